-- Every message that can be read is a row; what is wrong with it is said in the columns at its end (counted by oddities).
--
-- An amount below 0 or above a million BRL is no amount: its payment counts as missing, and counts when it comes again
-- with one. An order without payment counts as an order and spends nothing. A purchase more than a day after its own
-- message, or a hundred years before it, cannot be: without a time it does not move recency, and the order still counts.
-- An id that is the empty text is none: the message counts for no customer, or for no order. Other steps and
-- reviews out of order are kept as they are: nothing is worked out from them.
SELECT
    NULLIF(order_id, '') AS order_id,
    customer_id,
    NULLIF(customer_unique_id, '') AS customer_unique_id,
    order_status,
    CASE
        WHEN purchased_at BETWEEN _timestamp - INTERVAL '100 years' AND _timestamp + INTERVAL '1 day' THEN purchased_at
    END AS purchased_at,
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
    customer_unique_id = '' OR order_id = '' AS no_id,
    purchased_at NOT BETWEEN _timestamp - INTERVAL '100 years' AND _timestamp + INTERVAL '1 day' AS purchase_out_of_range,
    COALESCE(review_created_at < DATE_TRUNC('day', purchased_at), FALSE) AS review_before_order,
    COALESCE(approved_at < purchased_at, FALSE)
        OR COALESCE(carrier_at < approved_at, FALSE)
        OR COALESCE(delivered_at < carrier_at, FALSE) AS steps_out_of_order
FROM batch
