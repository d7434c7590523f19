-- Kaggle's copy, currie32/crimes-in-chicago: written by pandas, with its row numbers under an empty heading.
-- header: ,ID,Case Number,Date,Block,IUCR,Primary Type,Description,Location Description,Arrest,Domestic,Beat,District,Ward,Community Area,FBI Code,X Coordinate,Y Coordinate,Year,Updated On,Latitude,Longitude,Location
-- All cells of `input` are text, empty ones null. Columns with gaps have become floats (`10.0` for district 10), beats have
-- lost their leading zeros, and so have IUCR and FBI codes in an extract that has none with a letter; booleans are True
-- and False.
SELECT
    CAST("ID" AS BIGINT) AS id,
    "Case Number" AS case_number,
    TO_TIMESTAMP_MICROS("Date", '%m/%d/%Y %I:%M:%S %p') AS date,
    CASE WHEN "Date" IS NOT NULL THEN 'second' END AS date_precision,
    CASE WHEN "Date" IS NOT NULL THEN 'MM/DD/YYYY hh:mm:ss AM' END AS "_format of Date",
    "Block" AS block,
    REPEAT('0', 4 - CHAR_LENGTH(iucr_code)) || iucr_code AS iucr,
    "Primary Type" AS primary_type,
    "Description" AS description,
    "Location Description" AS location_description,
    CAST("Arrest" AS BOOLEAN) AS arrest,
    CAST("Domestic" AS BOOLEAN) AS domestic,
    REPEAT('0', 4 - CHAR_LENGTH(beat_number)) || beat_number AS beat,
    REPEAT('0', 3 - CHAR_LENGTH(district_number)) || district_number AS district,
    -- Only a fraction of zero is taken off: CAST by way of DOUBLE would make 10 of 10.7.
    CAST(REGEXP_REPLACE("Ward", '[.]0$', '') AS INT) AS ward,
    CAST(REGEXP_REPLACE("Community Area", '[.]0$', '') AS INT) AS community_area,
    REGEXP_REPLACE(REGEXP_REPLACE("FBI Code", '[.]0$', ''), '^([0-9])([A-Z]?)$', '0\1\2') AS fbi_code,
    CAST("X Coordinate" AS DOUBLE) AS x_coordinate,
    CAST("Y Coordinate" AS DOUBLE) AS y_coordinate,
    CAST(REGEXP_REPLACE("Year", '[.]0$', '') AS INT) AS year,
    TO_TIMESTAMP_MICROS("Updated On", '%m/%d/%Y %I:%M:%S %p') AS updated_on,
    CAST("Latitude" AS DOUBLE) AS latitude,
    CAST("Longitude" AS DOUBLE) AS longitude,
    "Location" AS location
FROM (
    SELECT
        *,
        REGEXP_REPLACE("IUCR", '[.]0$', '') AS iucr_code,
        CAST(CAST(REGEXP_REPLACE("Beat", '[.]0$', '') AS INT) AS TEXT) AS beat_number,
        CAST(CAST(REGEXP_REPLACE("District", '[.]0$', '') AS INT) AS TEXT) AS district_number
    FROM input
)
