-- How many invoice lines each rule of insiders_lines leaves, one after the other, and what customers remain.
SELECT
    COUNT(*) AS raw_lines,
    SUM(described) AS described_lines,
    SUM(described * product) AS product_lines,
    SUM(described * product * real_country) AS country_lines,
    SUM(described * product * real_country * priced) AS priced_lines,
    SUM(described * product * real_country * priced * sensible) AS kept_lines,
    MAX(kept.customers) AS customers,
    MAX(kept.imputed_customers) AS imputed_customers,
    MAX(kept.buyers) AS buyers,
    MAX(kept.imputed_buyers) AS imputed_buyers
FROM (
    SELECT
        CASE WHEN description IS NOT NULL THEN 1 ELSE 0 END AS described,
        CASE WHEN REGEXP_LIKE(stock_code, '[^A-Za-z]') THEN 1 ELSE 0 END AS product,
        CASE WHEN country NOT IN ('European Community', 'Unspecified') THEN 1 ELSE 0 END AS real_country,
        CASE WHEN unit_price >= 0.04 THEN 1 ELSE 0 END AS priced,
        CASE WHEN customer_id IS DISTINCT FROM 16446 THEN 1 ELSE 0 END AS sensible
    FROM lines
) AS rules
CROSS JOIN (
    SELECT
        COUNT(DISTINCT customer_id) AS customers,
        COUNT(DISTINCT CASE WHEN customer_imputed THEN customer_id END) AS imputed_customers,
        COUNT(DISTINCT CASE WHEN quantity > 0 THEN customer_id END) AS buyers,
        COUNT(DISTINCT CASE WHEN quantity > 0 AND customer_imputed THEN customer_id END) AS imputed_buyers
    FROM insiders_lines
) AS kept
