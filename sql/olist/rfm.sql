-- Recency, frequency and monetary value of every customer: orders of all statuses, each payment once.
--
-- Payments are summed by order before anything is joined to them, so that no item or review repeats one.
-- A customer of whom no payment is known has 0 of them and spent 0.
WITH
    paid AS (
        SELECT order_id, COUNT(*) AS payments, SUM(payment_value) AS paid_brl
        FROM payments
        GROUP BY order_id
    ),
    bought AS (
        SELECT
            c.customer_unique_id,
            MAX(o.order_purchase_timestamp) AS last_purchase_at,
            COUNT(*) AS orders,
            COALESCE(SUM(p.payments), 0) AS payments,
            COALESCE(SUM(p.paid_brl), 0) AS monetary
        FROM orders AS o
        JOIN customers AS c ON o.customer_id = c.customer_id
        LEFT JOIN paid AS p ON o.order_id = p.order_id
        GROUP BY c.customer_unique_id
    )
SELECT
    customer_unique_id,
    last_purchase_at,
    CAST(FLOOR(EXTRACT(EPOCH FROM newest.purchase_at - last_purchase_at) / 86400) AS INT) AS recency_days,
    CAST(orders AS INT) AS orders,
    CAST(payments AS INT) AS payments,
    CAST(monetary AS DECIMAL(12, 2)) AS monetary
FROM bought
CROSS JOIN (SELECT MAX(last_purchase_at) AS purchase_at FROM bought) AS newest
ORDER BY customer_unique_id
