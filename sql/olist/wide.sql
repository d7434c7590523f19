-- Everything about an order in one row for each of its items, payments and reviews, with the features of the way it took.
--
-- An order without item, payment or review, or whose product has no English category, is not in it (as in the paper).
-- A step without a time gets the time of the step before it plus the median gap (order_gaps); a product without
-- a size gets the mean size of all products. The *_filled columns say where. Reviews stay as they are, nulls and all.
WITH
    timed AS (
        SELECT
            orders.*,
            COALESCE(
                order_approved_at,
                order_purchase_timestamp + approved_gap
            ) AS approved_at,
            COALESCE(
                order_delivered_carrier_date,
                order_approved_at + carrier_gap,
                order_purchase_timestamp + approved_gap + carrier_gap
            ) AS carrier_at,
            COALESCE(
                order_delivered_customer_date,
                order_delivered_carrier_date + delivered_gap,
                order_approved_at + carrier_gap + delivered_gap,
                order_purchase_timestamp + approved_gap + carrier_gap + delivered_gap
            ) AS delivered_at
        FROM orders
        CROSS JOIN (
            SELECT
                CAST(CAST(approved_s AS TEXT) || ' seconds' AS INTERVAL) AS approved_gap,
                CAST(CAST(carrier_s AS TEXT) || ' seconds' AS INTERVAL) AS carrier_gap,
                CAST(CAST(delivered_s AS TEXT) || ' seconds' AS INTERVAL) AS delivered_gap
            FROM order_gaps
        ) AS gaps
    ),
    sized AS (
        SELECT
            products.*,
            COALESCE(product_weight_g, mean_weight_g) AS weight_g,
            COALESCE(product_length_cm, mean_length_cm) AS length_cm,
            COALESCE(product_height_cm, mean_height_cm) AS height_cm,
            COALESCE(product_width_cm, mean_width_cm) AS width_cm,
            product_weight_g IS NULL OR product_length_cm IS NULL
                OR product_height_cm IS NULL OR product_width_cm IS NULL AS size_filled
        FROM products
        CROSS JOIN (
            SELECT
                AVG(product_weight_g) AS mean_weight_g,
                AVG(product_length_cm) AS mean_length_cm,
                AVG(product_height_cm) AS mean_height_cm,
                AVG(product_width_cm) AS mean_width_cm
            FROM products
        ) AS means
    )
SELECT
    o.order_id,
    o.customer_id,
    c.customer_unique_id,
    o.order_status,
    o.order_purchase_timestamp AS purchased_at,
    o.approved_at,
    o.carrier_at,
    o.delivered_at,
    o.order_estimated_delivery_date AS estimated_delivery_at,
    o.order_approved_at IS NULL AS approved_at_filled,
    o.order_delivered_carrier_date IS NULL AS carrier_at_filled,
    o.order_delivered_customer_date IS NULL AS delivered_at_filled,
    i.order_item_id,
    i.product_id,
    i.seller_id,
    i.shipping_limit_date AS shipping_limit_at,
    i.price AS price_brl,
    i.freight_value AS freight_brl,
    p.payment_sequential,
    p.payment_type,
    p.payment_installments,
    p.payment_value AS payment_brl,
    r.review_id,
    r.review_score,
    r.review_comment_title,
    r.review_comment_message,
    r.review_creation_date AS review_created_at,
    r.review_answer_timestamp AS review_answered_at,
    pr.product_category_name,
    t.product_category_name_english,
    pr.product_name_lenght AS product_name_length_chars,
    pr.product_description_lenght AS product_description_length_chars,
    pr.product_photos_qty,
    pr.weight_g AS product_weight_g,
    pr.length_cm AS product_length_cm,
    pr.height_cm AS product_height_cm,
    pr.width_cm AS product_width_cm,
    pr.size_filled AS product_size_filled,
    c.customer_zip_code_prefix,
    c.customer_city,
    c.customer_state,
    cz.latitude AS customer_latitude,
    cz.longitude AS customer_longitude,
    s.seller_zip_code_prefix,
    s.seller_city,
    s.seller_state,
    sz.latitude AS seller_latitude,
    sz.longitude AS seller_longitude,
    EXTRACT(EPOCH FROM o.delivered_at - o.order_purchase_timestamp) / 3600 AS order_process_time_hours,
    EXTRACT(EPOCH FROM o.delivered_at - o.carrier_at) / 3600 AS order_delivery_time_hours,
    EXTRACT(EPOCH FROM o.order_estimated_delivery_date - o.delivered_at) / 3600 AS order_time_accuracy_hours,
    EXTRACT(EPOCH FROM o.approved_at - o.order_purchase_timestamp) / 3600 AS order_approved_time_hours,
    EXTRACT(EPOCH FROM r.review_creation_date - o.delivered_at) / 3600 AS review_send_time_hours,
    EXTRACT(EPOCH FROM r.review_answer_timestamp - r.review_creation_date) / 3600 AS review_answer_time_hours,
    pr.length_cm * pr.height_cm * pr.width_cm AS product_volume_cm3,
    HAVERSINE_KM(sz.latitude, sz.longitude, cz.latitude, cz.longitude) AS seller_customer_distance_km
FROM timed AS o
LEFT JOIN items AS i ON o.order_id = i.order_id
JOIN payments AS p ON o.order_id = p.order_id
JOIN reviews AS r ON o.order_id = r.order_id
JOIN sized AS pr ON i.product_id = pr.product_id
JOIN customers AS c ON o.customer_id = c.customer_id
JOIN sellers AS s ON i.seller_id = s.seller_id
JOIN translation AS t ON pr.product_category_name = t.product_category_name
LEFT JOIN zip_locations AS cz ON c.customer_zip_code_prefix = cz.zip_code_prefix
LEFT JOIN zip_locations AS sz ON s.seller_zip_code_prefix = sz.zip_code_prefix
