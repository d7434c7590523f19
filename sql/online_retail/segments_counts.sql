-- How many invoice lines each rule of segments_lines leaves, one after the other, and what customers remain.
SELECT
    MAX(whole.raw_lines) AS raw_lines,
    MAX(whole.known_lines) AS known_lines,
    COUNT(*) AS distinct_lines,
    SUM(product) AS product_lines,
    SUM(product * goods) AS goods_lines,
    SUM(product * goods * priced) AS priced_lines,
    SUM(cancelled) AS distinct_cancelled_lines,
    COUNT(DISTINCT CASE WHEN product * goods * priced = 1 THEN customer_id END) AS customers
FROM (
    SELECT
        l.customer_id,
        CASE WHEN REGEXP_LIKE(l.stock_code, '[0-9].*[0-9]') THEN 1 ELSE 0 END AS product,
        CASE WHEN l.description NOT IN ('Next Day Carriage', 'High Resolution Image') THEN 1 ELSE 0 END AS goods,
        CASE WHEN l.unit_price > 0 THEN 1 ELSE 0 END AS priced,
        CASE WHEN STARTS_WITH(l.invoice_no, 'C') THEN 1 ELSE 0 END AS cancelled
    FROM lines AS l
    JOIN (
        SELECT MIN(line) AS line
        FROM lines
        WHERE customer_id IS NOT NULL AND description IS NOT NULL
        GROUP BY invoice_no, stock_code, description, customer_id, quantity
    ) AS first_ones ON l.line = first_ones.line
) AS rules
CROSS JOIN (
    SELECT
        COUNT(*) AS raw_lines,
        SUM(CASE WHEN customer_id IS NOT NULL AND description IS NOT NULL THEN 1 ELSE 0 END) AS known_lines
    FROM lines
) AS whole
