-- What all customers spent is what was paid for all known orders, to the cent.
SELECT spent, paid
FROM (SELECT SUM(monetary) AS spent FROM rfm) AS s
CROSS JOIN (
    SELECT SUM(p.payment_value) AS paid
    FROM payments AS p
    JOIN (SELECT DISTINCT order_id FROM orders) AS o ON p.order_id = o.order_id
) AS p
WHERE spent <> paid
