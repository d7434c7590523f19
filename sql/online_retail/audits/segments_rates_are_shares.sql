-- Nobody cancels more invoices than they have.
SELECT customer_id, cancellation_frequency, total_transactions, cancellation_rate
FROM segments_features
WHERE cancellation_rate < 0 OR cancellation_rate > 1
