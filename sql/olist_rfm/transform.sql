-- Every message that can be read is a row; what is wrong with it is said in the columns at its end (counted by oddities).
--
-- An amount below 0 or above a million BRL is no amount: its payment counts as missing, and counts when it comes again
-- with one. An order without payment counts as an order and spends nothing. A purchase more than a day after its own
-- message cannot be: without a time it does not move recency, and the order still counts. Other steps and reviews out
-- of order are kept as they are: nothing is worked out from them.
SELECT
    order_id,
    customer_id,
    customer_unique_id,
    order_status,
    CASE WHEN purchased_at > _timestamp + INTERVAL '1 day' THEN NULL ELSE purchased_at END AS purchased_at,
    approved_at,
    carrier_at,
    delivered_at,
    estimated_delivery_at,
    order_item_id,
    product_id,
    seller_id,
    CASE WHEN price_brl BETWEEN 0 AND 1e6 THEN CAST(price_brl AS DECIMAL(12, 2)) END AS price_brl,
    CASE WHEN freight_brl BETWEEN 0 AND 1e6 THEN CAST(freight_brl AS DECIMAL(12, 2)) END AS freight_brl,
    payment_sequential,
    payment_type,
    payment_installments,
    CASE WHEN payment_brl BETWEEN 0 AND 1e6 THEN CAST(payment_brl AS DECIMAL(12, 2)) END AS payment_brl,
    review_id,
    review_score,
    review_created_at,
    review_answered_at,
    product_category_name_english,
    customer_city,
    customer_state,
    seller_city,
    seller_state,
    payment_sequential IS NULL OR payment_brl IS NULL AS no_payment,
    COALESCE(payment_brl NOT BETWEEN 0 AND 1e6, FALSE)
        OR COALESCE(price_brl NOT BETWEEN 0 AND 1e6, FALSE)
        OR COALESCE(freight_brl NOT BETWEEN 0 AND 1e6, FALSE) AS amount_out_of_range,
    COALESCE(purchased_at > _timestamp + INTERVAL '1 day', FALSE) AS purchase_in_future,
    COALESCE(review_created_at < DATE_TRUNC('day', purchased_at), FALSE) AS review_before_order,
    COALESCE(approved_at < purchased_at, FALSE)
        OR COALESCE(carrier_at < approved_at, FALSE)
        OR COALESCE(delivered_at < carrier_at, FALSE) AS steps_out_of_order
FROM batch
