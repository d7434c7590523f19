-- A copy that went through a spreadsheet: renamed headings, codes read as numbers, some dates rewritten.
-- header: unique,caseno,Date,block,iucr,Type,Type_desc,Where,Arrest,Domestic,Beat,District,Ward,Community_area,FBI,x,y,Year,Updated,Latitude,Longitude,Location
-- All cells of `input` are text, empty ones null. Where the day is 12 or less the spreadsheet took MM/DD for DD/MM and wrote
-- the date anew as `MM-DD-YYYY HH:MM` (24 hours, the seconds lost); the others stayed `MM/DD/YYYY hh:mm:ss AM`. Both are
-- month first. IUCR has four characters and FBI codes two digits, with or without a letter after them, so that their
-- leading zeros can be put back.
SELECT
    CAST("unique" AS BIGINT) AS id,
    "caseno" AS case_number,
    TO_TIMESTAMP_MICROS("Date", '%m/%d/%Y %I:%M:%S %p', '%m-%d-%Y %H:%M') AS date,
    CASE WHEN "Date" LIKE '__-__-____ __:__' THEN 'minute' WHEN "Date" IS NOT NULL THEN 'second' END AS date_precision,
    "block" AS block,
    REPEAT('0', 4 - CHAR_LENGTH("iucr")) || "iucr" AS iucr,
    "Type" AS primary_type,
    "Type_desc" AS description,
    "Where" AS location_description,
    CAST("Arrest" AS BOOLEAN) AS arrest,
    CAST("Domestic" AS BOOLEAN) AS domestic,
    REPEAT('0', 4 - CHAR_LENGTH(beat_number)) || beat_number AS beat,
    REPEAT('0', 3 - CHAR_LENGTH(district_number)) || district_number AS district,
    CAST("Ward" AS INT) AS ward,
    CAST("Community_area" AS INT) AS community_area,
    REGEXP_REPLACE("FBI", '^([0-9])([A-Z]?)$', '0\1\2') AS fbi_code,
    CAST("x" AS DOUBLE) AS x_coordinate,
    CAST("y" AS DOUBLE) AS y_coordinate,
    CAST("Year" AS INT) AS year,
    TO_TIMESTAMP_MICROS("Updated", '%m/%d/%Y %I:%M:%S %p', '%m-%d-%Y %H:%M') AS updated_on,
    CAST("Latitude" AS DOUBLE) AS latitude,
    CAST("Longitude" AS DOUBLE) AS longitude,
    "Location" AS location
FROM (
    SELECT
        *,
        CAST(CAST("Beat" AS INT) AS TEXT) AS beat_number,
        CAST(CAST("District" AS INT) AS TEXT) AS district_number
    FROM input
)
