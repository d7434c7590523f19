-- Invoice lines that count for the insiders, every one with a customer.
--
-- An invoice without a customer gets one of its own: ids from 19000 up (above the file's own, if those go higher, so that no
-- two are one) in the order in which the file has such invoices, before any other rule; a line with a customer keeps it.
-- Such ids are invoices, not people: who came twice has two (a quarter of the insiders). Left out: lines without a
-- description, stock codes of letters only (postage, fees, manual entries), two countries that are none, prices below .04,
-- and customer 16446, who bought 80,995 things by mistake and gave them back.
WITH
    imputed AS (
        SELECT invoice_no, ROW_NUMBER() OVER (ORDER BY MIN(line)) AS number
        FROM lines
        WHERE customer_id IS NULL
        GROUP BY invoice_no
    )
SELECT
    l.line,
    l.invoice_no,
    l.stock_code,
    l.description,
    l.quantity,
    l.invoiced_at,
    l.unit_price,
    COALESCE(l.customer_id, newest.customer_id + CAST(imputed.number AS BIGINT)) AS customer_id,
    l.customer_id IS NULL AS customer_imputed,
    l.country
FROM lines AS l
LEFT JOIN imputed ON l.invoice_no = imputed.invoice_no
CROSS JOIN (SELECT GREATEST(18999, MAX(customer_id)) AS customer_id FROM lines) AS newest
WHERE l.description IS NOT NULL
    AND REGEXP_LIKE(l.stock_code, '[^A-Za-z]')
    AND l.country NOT IN ('European Community', 'Unspecified')
    AND l.unit_price >= 0.04
    AND l.customer_id IS DISTINCT FROM 16446
