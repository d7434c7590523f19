-- What was odd about the messages, by the rule that says what became of it (transform.sql).
--
-- A message came before if one of its customer has the same order, item, payment and review. Such a message still counts
-- where it says something new: a later time of purchase, or the first amount of its payment.
WITH
    seen AS (
        SELECT
            ROW_NUMBER() OVER (
                PARTITION BY customer_unique_id, order_id, order_item_id, payment_sequential, review_id
                ORDER BY _batch_id, _partition, _offset
            ) > 1 AS came_before,
            customer_unique_id IS NOT NULL AND purchased_at IS NOT NULL AND COALESCE(
                purchased_at > MAX(purchased_at) OVER (
                    PARTITION BY customer_unique_id
                    ORDER BY _batch_id, _partition, _offset
                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                ),
                TRUE
            ) AS later_purchase,
            customer_unique_id IS NOT NULL AND order_id IS NOT NULL AND payment_sequential IS NOT NULL
                AND payment_brl IS NOT NULL
                AND COUNT(payment_brl) OVER (
                    PARTITION BY customer_unique_id, order_id, payment_sequential
                    ORDER BY _batch_id, _partition, _offset
                    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
                ) = 1 AS first_amount
        FROM olist_rfm.order_rows
    )
SELECT 'order without payment: counts as an order if it has an id, spends nothing' AS rule, COUNT(*) AS messages
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
SELECT 'id of customer or order is the empty text: kept, counts for no customer or for no order', COUNT(*)
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
SELECT 'message that came before: kept, counts nothing', COUNT(*)
FROM seen
WHERE came_before AND NOT later_purchase AND NOT first_amount
UNION ALL
SELECT 'message that came before, now with a later purchase or an amount: counts by that', COUNT(*)
FROM seen
WHERE came_before AND (later_purchase OR first_amount)
UNION ALL
SELECT 'message that cannot be read, or without customer, order or time: dead letter', COUNT(*)
FROM system.dead_letters
WHERE job = 'olist-rfm'
