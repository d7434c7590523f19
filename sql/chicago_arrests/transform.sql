-- What of a batch goes to the table `crimes`: every field as it came, blank text as null.
SELECT
    arrest,
    domestic,
    beat,
    district,
    community_area,
    x_coordinate,
    y_coordinate,
    NULLIF(TRIM(iucr), '') AS iucr,
    NULLIF(TRIM(location_description), '') AS location_description,
    NULLIF(TRIM(fbi_code), '') AS fbi_code,
    NULLIF(TRIM(block), '') AS block,
    month,
    day,
    hour,
    minute
FROM batch
