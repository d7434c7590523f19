-- A point for each zip prefix: the mean of its distinct rows in the geolocation file, a quarter of which are repeats.
SELECT
    geolocation_zip_code_prefix AS zip_code_prefix,
    AVG(geolocation_lat) AS latitude,
    AVG(geolocation_lng) AS longitude,
    COUNT(*) AS points
FROM (
    SELECT DISTINCT
        geolocation_zip_code_prefix, geolocation_lat, geolocation_lng, geolocation_city, geolocation_state
    FROM geolocation
)
GROUP BY geolocation_zip_code_prefix
