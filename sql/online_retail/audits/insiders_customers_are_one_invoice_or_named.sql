-- A made-up customer has the lines of one invoice, and no id of the file's own.
SELECT customer_id, COUNT(DISTINCT invoice_no) AS invoices, MIN(customer_imputed) AS also_named
FROM (
    SELECT customer_id, invoice_no, CASE WHEN customer_imputed THEN 1 ELSE 0 END AS customer_imputed
    FROM insiders_lines
) AS l
GROUP BY customer_id
HAVING MAX(customer_imputed) = 1 AND (COUNT(DISTINCT invoice_no) > 1 OR MIN(customer_imputed) = 0)
