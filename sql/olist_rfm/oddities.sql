-- What was odd about the messages, by the rule that says what became of it (transform.sql).
WITH
    repeats AS (
        SELECT COUNT(*) AS seen
        FROM olist_rfm.order_rows
        GROUP BY order_id, order_item_id, payment_sequential, review_id
    )
SELECT 'order without payment: counts as an order, spends nothing' AS rule, COUNT(*) AS messages
FROM olist_rfm.order_rows
WHERE no_payment
UNION ALL
SELECT 'amount below 0 or above a million: no amount', COUNT(*)
FROM olist_rfm.order_rows
WHERE amount_out_of_range
UNION ALL
SELECT 'purchase after its message, or a century before: no time of purchase', COUNT(*)
FROM olist_rfm.order_rows
WHERE purchase_out_of_range
UNION ALL
SELECT 'id of customer or order is the empty text: kept, counts for none', COUNT(*)
FROM olist_rfm.order_rows
WHERE no_id
UNION ALL
SELECT 'review before the order: kept', COUNT(*)
FROM olist_rfm.order_rows
WHERE review_before_order
UNION ALL
SELECT 'steps of an order out of order: kept', COUNT(*)
FROM olist_rfm.order_rows
WHERE steps_out_of_order
UNION ALL
SELECT 'message that came before: kept, counts nothing', CAST(COALESCE(SUM(seen - 1), 0) AS BIGINT)
FROM repeats
UNION ALL
SELECT 'message that cannot be read, or without customer, order or time: dead letter', COUNT(*)
FROM system.dead_letters
WHERE job = 'olist-rfm'
