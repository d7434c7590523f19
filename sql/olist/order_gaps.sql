-- The median time between an order's steps, in whole seconds: what fills a step that has no time. One row.
-- Every order counts once, however many items, payments and reviews it has.
SELECT
    CAST(FLOOR(MEDIAN(EXTRACT(EPOCH FROM order_approved_at - order_purchase_timestamp))) AS BIGINT) AS approved_s,
    CAST(FLOOR(MEDIAN(EXTRACT(EPOCH FROM order_delivered_carrier_date - order_approved_at))) AS BIGINT) AS carrier_s,
    CAST(FLOOR(MEDIAN(EXTRACT(EPOCH FROM order_delivered_customer_date - order_delivered_carrier_date))) AS BIGINT) AS delivered_s
FROM orders
