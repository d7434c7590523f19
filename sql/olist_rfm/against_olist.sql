-- The customers of olist.rfm (all orders) that the stream's state does not have, or has with other numbers.
--
-- The stream carries olist.wide, whose inner joins drop every order without item, payment or review, or whose product
-- has no English category: a customer with such orders alone is absent, one with some of them differs by these.
SELECT
    all_orders.customer_unique_id,
    CASE
        WHEN streamed.customer_unique_id IS NULL THEN 'absent: every order is dropped by the joins of olist.wide'
        WHEN streamed.orders < all_orders.orders THEN 'differs: some orders are dropped by the joins of olist.wide'
        ELSE 'differs: unexplained'
    END AS reason,
    all_orders.orders AS orders_of_all,
    COALESCE(streamed.orders, 0) AS orders_streamed,
    all_orders.monetary AS monetary_of_all,
    COALESCE(streamed.monetary, 0) AS monetary_streamed,
    all_orders.last_purchase_at AS last_purchase_at_of_all,
    streamed.last_purchase_at AS last_purchase_at_streamed
FROM olist.rfm AS all_orders
LEFT JOIN olist_rfm.customers AS streamed ON all_orders.customer_unique_id = streamed.customer_unique_id
WHERE
    streamed.customer_unique_id IS NULL
    OR streamed.orders <> all_orders.orders
    OR streamed.payments <> all_orders.payments
    OR streamed.monetary <> all_orders.monetary
    OR streamed.last_purchase_at <> all_orders.last_purchase_at
