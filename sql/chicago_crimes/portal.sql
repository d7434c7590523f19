-- The Chicago Data Portal's export of "Crimes - 2001 to Present".
-- header: ID,Case Number,Date,Block,IUCR,Primary Type,Description,Location Description,Arrest,Domestic,Beat,District,Ward,Community Area,FBI Code,X Coordinate,Y Coordinate,Year,Updated On,Latitude,Longitude,Location
-- optional: Date Precision
-- All cells of `input` are text, empty ones null. Dates are `MM/DD/YYYY hh:mm:ss AM`, or `MM/DD/YYYY` in extracts that lost
-- the time: one of the two a file. "Date Precision" (day, minute, second) is in files put together from several sources,
-- whose dates all look alike. IUCR has four characters and FBI codes two digits, with or without a letter after them
-- (`0820`, `041A`, `06`, `08B`): where a tool read them as numbers, their leading zeros are put back.
SELECT
    CAST("ID" AS BIGINT) AS id,
    "Case Number" AS case_number,
    TO_TIMESTAMP_MICROS("Date", '%m/%d/%Y %I:%M:%S %p', '%m/%d/%Y') AS date,
    COALESCE(
        "Date Precision",
        CASE WHEN "Date" LIKE '__/__/____' THEN 'day' WHEN "Date" IS NOT NULL THEN 'second' END
    ) AS date_precision,
    CASE WHEN "Date" LIKE '__/__/____' THEN 'MM/DD/YYYY' WHEN "Date" IS NOT NULL THEN 'MM/DD/YYYY hh:mm:ss AM' END AS "_format of Date",
    "Block" AS block,
    REPEAT('0', 4 - CHAR_LENGTH("IUCR")) || "IUCR" AS iucr,
    "Primary Type" AS primary_type,
    "Description" AS description,
    "Location Description" AS location_description,
    CAST("Arrest" AS BOOLEAN) AS arrest,
    CAST("Domestic" AS BOOLEAN) AS domestic,
    REPEAT('0', 4 - CHAR_LENGTH(beat_number)) || beat_number AS beat,
    REPEAT('0', 3 - CHAR_LENGTH(district_number)) || district_number AS district,
    CAST("Ward" AS INT) AS ward,
    CAST("Community Area" AS INT) AS community_area,
    REGEXP_REPLACE("FBI Code", '^([0-9])([A-Z]?)$', '0\1\2') AS fbi_code,
    CAST("X Coordinate" AS DOUBLE) AS x_coordinate,
    CAST("Y Coordinate" AS DOUBLE) AS y_coordinate,
    CAST("Year" AS INT) AS year,
    TO_TIMESTAMP_MICROS("Updated On", '%m/%d/%Y %I:%M:%S %p') AS updated_on,
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
