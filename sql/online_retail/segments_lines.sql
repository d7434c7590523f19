-- Invoice lines that count for the segments: of a known customer, once, of real goods, with a price.
--
-- Lines that agree in invoice, stock code, description, customer and quantity are one line: the first in the file. A stock
-- code with fewer than two digits is no product (POST, D, C2, M), nor is a delivery or an image. Descriptions stay as they
-- are written: the original upper-cases them after these rules, where nothing but what is shown of a product reads them.
SELECT
    l.line,
    l.invoice_no,
    STARTS_WITH(l.invoice_no, 'C') AS cancelled,
    l.stock_code,
    l.description,
    l.quantity,
    l.invoiced_at,
    l.unit_price,
    l.customer_id,
    l.country
FROM lines AS l
JOIN (
    SELECT MIN(line) AS line
    FROM lines
    WHERE customer_id IS NOT NULL AND description IS NOT NULL
    GROUP BY invoice_no, stock_code, description, customer_id, quantity
) AS first_ones ON l.line = first_ones.line
WHERE REGEXP_LIKE(l.stock_code, '[0-9].*[0-9]')
    AND l.description NOT IN ('Next Day Carriage', 'High Resolution Image')
    AND l.unit_price > 0
