-- Items sold, orders and revenue of each product category (figure 2 of the paper): the most wanted first.
-- A category without a translation keeps its Portuguese name; products without a category are 'unknown'.
SELECT
    COALESCE(t.product_category_name_english, pr.product_category_name, 'unknown') AS category,
    COUNT(*) AS items,
    COUNT(DISTINCT i.order_id) AS orders,
    SUM(i.price) AS revenue_brl
FROM items AS i
JOIN products AS pr ON i.product_id = pr.product_id
LEFT JOIN translation AS t ON pr.product_category_name = t.product_category_name
GROUP BY 1
ORDER BY items DESC, category
