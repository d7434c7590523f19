-- What the customers of each segment have paid.
SELECT cluster, count(*) AS customers, sum(monetary) AS paid_brl, max(recency_days) AS longest_away_days
FROM segments_rows
JOIN olist.rfm USING (customer_unique_id)
GROUP BY cluster
