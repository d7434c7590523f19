-- What became of the rows of `wide`: how many there are, how many repeat another one, how many were filled, and with what.
SELECT
    COUNT(*) AS row_count,
    COUNT(*) - (SELECT COUNT(*) FROM (SELECT DISTINCT * FROM wide)) AS duplicate_rows,
    COUNT(DISTINCT order_id) AS orders,
    COUNT(DISTINCT customer_id) AS customers,
    SUM(CASE WHEN approved_at_filled THEN 1 ELSE 0 END) AS approved_at_filled,
    SUM(CASE WHEN carrier_at_filled THEN 1 ELSE 0 END) AS carrier_at_filled,
    SUM(CASE WHEN delivered_at_filled THEN 1 ELSE 0 END) AS delivered_at_filled,
    SUM(CASE WHEN product_size_filled THEN 1 ELSE 0 END) AS product_size_filled,
    MAX(approved_s) AS approved_gap_s,
    MAX(carrier_s) AS carrier_gap_s,
    MAX(delivered_s) AS delivered_gap_s
FROM wide
CROSS JOIN order_gaps
