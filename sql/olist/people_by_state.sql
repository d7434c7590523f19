-- Customers and sellers of each state (figure 5 of the paper). A customer who has moved counts in each of the states.
SELECT
    COALESCE(c.state, s.state) AS state,
    COALESCE(c.customers, 0) AS customers,
    COALESCE(s.sellers, 0) AS sellers
FROM (
    SELECT customer_state AS state, COUNT(DISTINCT customer_unique_id) AS customers
    FROM customers
    GROUP BY customer_state
) AS c
FULL JOIN (
    SELECT seller_state AS state, COUNT(*) AS sellers
    FROM sellers
    GROUP BY seller_state
) AS s ON c.state = s.state
ORDER BY customers DESC, state
