-- What customers are grouped by, of the state as customers.sql shows it. One without a time of purchase is left out.
SELECT recency_days, CAST(monetary AS DOUBLE) AS monetary
FROM customers
