-- What each customer with a purchase bought and gave back: the features of the insiders notebook.
--
-- gross_revenue (pounds) and quantity_of_products (pieces, not lines or kinds) are of purchases alone, those that were given
-- back later included; recency_days are whole days of 24 hours from the customer's last purchase to the last of all;
-- frequency is invoices per such day between first and last purchase, 0 where that is under one day; returns are distinct
-- invoices with a negative quantity. Customers without a purchase are left out, and nothing else is.
WITH
    bought AS (
        SELECT
            customer_id,
            SUM(CASE WHEN quantity > 0 THEN quantity * unit_price END) AS gross_revenue,
            MAX(CASE WHEN quantity > 0 THEN invoiced_at END) AS last_purchase_at,
            MIN(CASE WHEN quantity > 0 THEN invoiced_at END) AS first_purchase_at,
            SUM(CASE WHEN quantity > 0 THEN quantity END) AS quantity_of_products,
            COUNT(DISTINCT CASE WHEN quantity > 0 THEN invoice_no END) AS invoices,
            COUNT(DISTINCT CASE WHEN quantity < 0 THEN invoice_no END) AS returns
        FROM insiders_lines
        GROUP BY customer_id
    ),
    timed AS (
        SELECT
            *,
            FLOOR(EXTRACT(EPOCH FROM newest.purchase_at - last_purchase_at) / 86400) AS recency_days,
            FLOOR(EXTRACT(EPOCH FROM last_purchase_at - first_purchase_at) / 86400) AS active_days
        FROM bought
        CROSS JOIN (SELECT MAX(last_purchase_at) AS purchase_at FROM bought) AS newest
        WHERE last_purchase_at IS NOT NULL
    )
SELECT
    customer_id,
    gross_revenue,
    CAST(recency_days AS INT) AS recency_days,
    CAST(quantity_of_products AS BIGINT) AS quantity_of_products,
    CASE WHEN active_days >= 1 THEN CAST(invoices AS DOUBLE) / active_days ELSE 0 END AS frequency,
    CAST(returns AS INT) AS returns
FROM timed
ORDER BY customer_id
