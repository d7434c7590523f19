-- The invoice lines of the file with plain names and types, as they stand and in its order: `line` is the number of the row.
SELECT
    "_row" AS line,
    "InvoiceNo" AS invoice_no,
    "StockCode" AS stock_code,
    "Description" AS description,
    "Quantity" AS quantity,
    PARSE_DATE("InvoiceDate", '%m/%d/%Y %H:%M') AS invoiced_at,
    "UnitPrice" AS unit_price,
    "CustomerID" AS customer_id,
    "Country" AS country
FROM invoice_lines
