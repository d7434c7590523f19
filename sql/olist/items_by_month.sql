-- Items and orders of each month of purchase (figure 3 of the paper). An order without items counts as an order.
SELECT
    CAST(DATE_TRUNC('month', o.order_purchase_timestamp) AS DATE) AS month,
    COUNT(i.order_item_id) AS items,
    COUNT(DISTINCT o.order_id) AS orders
FROM orders AS o
LEFT JOIN items AS i ON o.order_id = i.order_id
GROUP BY 1
ORDER BY month
