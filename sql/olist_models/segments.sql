-- Customers by how long ago, how often and for how much they bought; amounts by their logarithm.
SELECT customer_unique_id, recency_days, payments, ln(1 + CAST(monetary AS DOUBLE)) AS ln_monetary FROM olist.rfm
