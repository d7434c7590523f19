-- Every customer with the cluster of the mini-batch model and a name that says what its customers are like.
--
-- A cluster is recent or lapsed if its mean recency is below or above that of all customers by a quarter, and of low or
-- high spend by the mean of what its customers spent likewise; in between it is neither.
WITH
    clusters AS (
        SELECT cluster_minibatch AS cluster, AVG(recency_days) AS recency_days, AVG(monetary) AS monetary
        FROM olist_rfm.customers
        WHERE cluster_minibatch IS NOT NULL
        GROUP BY cluster_minibatch
    ),
    everybody AS (
        SELECT AVG(recency_days) AS recency_days, AVG(monetary) AS monetary
        FROM olist_rfm.customers
    ),
    named AS (
        SELECT
            c.cluster,
            CASE
                WHEN c.recency_days < 0.75 * e.recency_days THEN 'recent'
                WHEN c.recency_days > 1.25 * e.recency_days THEN 'lapsed'
                ELSE 'some time ago'
            END || ', ' || CASE
                WHEN c.monetary < 0.75 * e.monetary THEN 'low spend'
                WHEN c.monetary > 1.25 * e.monetary THEN 'high spend'
                ELSE 'middling spend'
            END AS segment
        FROM clusters AS c
        CROSS JOIN everybody AS e
    )
SELECT
    c.customer_unique_id AS customer,
    c.recency_days AS recency,
    c.orders AS frequency,
    c.monetary,
    c.cluster_minibatch AS cluster,
    n.segment
FROM olist_rfm.customers AS c
LEFT JOIN named AS n ON c.cluster_minibatch = n.cluster
