-- Fifteen features of each customer with at least two lines, by the rules of the segments pipeline.
--
-- Totals count purchases and cancellations (which have negative quantities) alike, in pounds. average_days_between_purchases
-- is the mean difference of consecutive lines, so that those of one invoice are 0 days apart: the days from first to last,
-- divided by one less than the lines. The original takes lines in the order of the file, we in that of time: where a file
-- is out of order, its first line is not the earliest. (The real one is in order.) day_of_week (0 is Monday), hour and
-- country (is_uk: 1 or 0) are the most frequent of the customer's lines, the smallest if several are. Months without a line
-- do not count in the monthly figures; spending_trend is the slope of a line through them, pounds per month.
--
-- cancellation_rate divides by the customer's own invoices. The original divided by those of the customer in the same row
-- of a table that still had the customers of one line: that is cancellation_rate_original, kept to compare figures with.
WITH
    invoices AS (
        SELECT
            customer_id,
            MAX(CASE WHEN cancelled THEN 1 ELSE 0 END) AS cancelled,
            COUNT(*) AS lines,
            MIN(invoiced_at) AS first_at,
            MAX(invoiced_at) AS last_at,
            SUM(quantity) AS quantity,
            SUM(quantity * unit_price) AS spent
        FROM segments_lines
        GROUP BY customer_id, invoice_no
    ),
    products AS (
        SELECT customer_id, COUNT(*) AS unique_products_purchased
        FROM (SELECT DISTINCT customer_id, stock_code FROM segments_lines) AS l
        GROUP BY customer_id
    ),
    totals AS (
        SELECT
            customer_id,
            ROW_NUMBER() OVER (ORDER BY customer_id) AS place_of_all,
            SUM(lines) AS lines,
            CAST(MIN(first_at) AS DATE) AS first_day,
            CAST(MAX(last_at) AS DATE) AS last_day,
            COUNT(*) AS total_transactions,
            SUM(quantity) AS total_products_purchased,
            SUM(spent) AS total_spend,
            SUM(cancelled) AS cancellation_frequency
        FROM invoices
        GROUP BY customer_id
    ),
    customers AS (
        SELECT *, ROW_NUMBER() OVER (ORDER BY customer_id) AS place
        FROM totals
        CROSS JOIN (SELECT CAST(MAX(invoiced_at) AS DATE) AS newest_day FROM segments_lines) AS newest
        WHERE lines > 1
    ),
    days AS (
        SELECT
            customer_id,
            day_of_week,
            ROW_NUMBER() OVER (PARTITION BY customer_id ORDER BY COUNT(*) DESC, day_of_week) AS place
        FROM (SELECT customer_id, EXTRACT(ISODOW FROM invoiced_at) - 1 AS day_of_week FROM segments_lines) AS l
        GROUP BY customer_id, day_of_week
    ),
    hours AS (
        SELECT
            customer_id,
            hour,
            ROW_NUMBER() OVER (PARTITION BY customer_id ORDER BY COUNT(*) DESC, hour) AS place
        FROM (SELECT customer_id, EXTRACT(HOUR FROM invoiced_at) AS hour FROM segments_lines) AS l
        GROUP BY customer_id, hour
    ),
    countries AS (
        SELECT
            customer_id,
            country,
            ROW_NUMBER() OVER (PARTITION BY customer_id ORDER BY COUNT(*) DESC, country) AS place
        FROM segments_lines
        GROUP BY customer_id, country
    ),
    months AS (
        SELECT
            customer_id,
            SUM(quantity * unit_price) AS spent,
            ROW_NUMBER() OVER (PARTITION BY customer_id ORDER BY month) AS place
        FROM (
            SELECT customer_id, quantity, unit_price, DATE_TRUNC('month', invoiced_at) AS month
            FROM segments_lines
        ) AS l
        GROUP BY customer_id, month
    ),
    spending AS (
        SELECT
            customer_id,
            AVG(spent) AS monthly_spending_mean,
            CASE WHEN COUNT(*) > 1 THEN STDDEV_SAMP(spent) ELSE 0 END AS monthly_spending_std,
            CASE WHEN COUNT(*) > 1 THEN REGR_SLOPE(spent, CAST(place AS DOUBLE)) ELSE 0 END AS spending_trend
        FROM months
        GROUP BY customer_id
    )
SELECT
    c.customer_id,
    CAST(c.newest_day - c.last_day AS INT) AS days_since_last_purchase,
    CAST(c.total_transactions AS INT) AS total_transactions,
    CAST(c.total_products_purchased AS BIGINT) AS total_products_purchased,
    c.total_spend,
    c.total_spend / c.total_transactions AS average_transaction_value,
    CAST(products.unique_products_purchased AS INT) AS unique_products_purchased,
    CAST(c.last_day - c.first_day AS DOUBLE) / (c.lines - 1) AS average_days_between_purchases,
    CAST(days.day_of_week AS INT) AS day_of_week,
    CAST(hours.hour AS INT) AS hour,
    CAST(countries.country = 'United Kingdom' AS INT) AS is_uk,
    CAST(c.cancellation_frequency AS INT) AS cancellation_frequency,
    CAST(c.cancellation_frequency AS DOUBLE) / c.total_transactions AS cancellation_rate,
    CAST(c.cancellation_frequency AS DOUBLE) / same_place.total_transactions AS cancellation_rate_original,
    spending.monthly_spending_mean,
    spending.monthly_spending_std,
    spending.spending_trend
FROM customers AS c
JOIN totals AS same_place ON c.place = same_place.place_of_all
JOIN products ON c.customer_id = products.customer_id
JOIN days ON c.customer_id = days.customer_id AND days.place = 1
JOIN hours ON c.customer_id = hours.customer_id AND hours.place = 1
JOIN countries ON c.customer_id = countries.customer_id AND countries.place = 1
JOIN spending ON c.customer_id = spending.customer_id
ORDER BY c.customer_id
