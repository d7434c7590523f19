-- What was paid for the orders of each month of purchase, each payment once (figure 4 of the paper).
SELECT
    CAST(DATE_TRUNC('month', o.order_purchase_timestamp) AS DATE) AS month,
    SUM(p.payment_value) AS revenue_brl,
    COUNT(*) AS payments
FROM orders AS o
JOIN payments AS p ON o.order_id = p.order_id
GROUP BY 1
ORDER BY month
