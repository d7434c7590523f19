-- Customers and sellers of each city (figure 6 of the paper), cities of one name told apart by their state.
SELECT
    COALESCE(c.city, s.city) AS city,
    COALESCE(c.state, s.state) AS state,
    COALESCE(c.customers, 0) AS customers,
    COALESCE(s.sellers, 0) AS sellers
FROM (
    SELECT customer_city AS city, customer_state AS state, COUNT(DISTINCT customer_unique_id) AS customers
    FROM customers
    GROUP BY customer_city, customer_state
) AS c
FULL JOIN (
    SELECT seller_city AS city, seller_state AS state, COUNT(*) AS sellers
    FROM sellers
    GROUP BY seller_city, seller_state
) AS s ON c.city = s.city AND c.state = s.state
ORDER BY customers DESC, city, state
