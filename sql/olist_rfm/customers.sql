-- A customer as readers and models see it: recency against the latest purchase of the whole stream, in whole days.
SELECT
    customer_unique_id,
    last_purchase_at,
    CAST(FLOOR(EXTRACT(EPOCH FROM _max_last_purchase_at - last_purchase_at) / 86400) AS INT) AS recency_days,
    CAST(orders AS INT) AS orders,
    CAST(payments AS INT) AS payments,
    CAST(COALESCE(monetary, 0) AS DECIMAL(12, 2)) AS monetary
FROM customers
