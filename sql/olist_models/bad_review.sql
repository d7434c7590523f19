-- What is known of an order when it has arrived, and whether its worst review has one or two stars.
--
-- Sellers are counted by a list of them: count(DISTINCT …) of a text takes 15 KB for each order (apache/datafusion#24857, mended
-- after DataFusion 55), 1.5 GB of Olist's.
SELECT
    order_id,
    min(review_score) <= 2 AS is_bad,
    max(order_delivery_time_hours) AS delivery_hours,
    max(order_time_accuracy_hours) AS hours_early,
    max(seller_customer_distance_km) AS distance_km,
    count(DISTINCT order_item_id) AS items,
    cardinality(array_distinct(array_agg(seller_id))) AS sellers,
    sum(freight_brl) / sum(price_brl) AS freight_share,
    max(payment_installments) AS instalments,
    min(customer_state) AS customer_state
FROM olist.wide
GROUP BY order_id
