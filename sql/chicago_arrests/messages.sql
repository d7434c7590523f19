-- What `tidemill produce chicago-arrests` sends: the fields of a message, from the text cells of a row in the portal's form.
-- It runs row by row over the table `portal`: the portal's 22 columns and "Date Precision", all text, empty cells null.
-- A null field is left out of the message.
SELECT
    CAST("Arrest" AS BOOLEAN) AS arrest,
    CAST("Domestic" AS BOOLEAN) AS domestic,
    CAST("Beat" AS INT) AS beat,
    CAST("District" AS INT) AS district,
    CAST("Community Area" AS INT) AS community_area,
    CAST("X Coordinate" AS DOUBLE) AS x_coordinate,
    CAST("Y Coordinate" AS DOUBLE) AS y_coordinate,
    "IUCR" AS iucr,
    "Location Description" AS location_description,
    "FBI Code" AS fbi_code,
    "Block" AS block,
    CAST(DATE_PART('month', happened_at) AS INT) AS month,
    CAST(DATE_PART('day', happened_at) AS INT) AS day,
    -- Where only the day is known, the cell says midnight and means nothing.
    CASE WHEN "Date Precision" IS DISTINCT FROM 'day' THEN CAST(DATE_PART('hour', happened_at) AS INT) END AS hour,
    CASE WHEN "Date Precision" IS DISTINCT FROM 'day' THEN CAST(DATE_PART('minute', happened_at) AS INT) END AS minute
FROM (SELECT *, TO_TIMESTAMP("Date", '%m/%d/%Y %I:%M:%S %p') AS happened_at FROM portal)
