-- Where and when a crime happened: the place in feet, the hour as a point on the clock's circle, so that 23 is next to 0.
-- Rows without a place or a time of day are in no cluster.
SELECT
    x_coordinate,
    y_coordinate,
    SIN(2 * PI() * hour / 24) AS hour_sin,
    COS(2 * PI() * hour / 24) AS hour_cos
FROM crimes
WHERE x_coordinate IS NOT NULL AND y_coordinate IS NOT NULL AND hour IS NOT NULL
