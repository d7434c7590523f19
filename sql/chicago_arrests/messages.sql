-- What `tidemill produce chicago-arrests` sends: the fields of a message, from a row of the clean table.
-- input: chicago-crimes
-- It runs row by row over the file as the job chicago-crimes cleans it, whichever of that job's forms the file has.
-- A null field is left out of the message.
SELECT
    arrest,
    domestic,
    CAST(beat AS INT) AS beat,
    CAST(district AS INT) AS district,
    community_area,
    x_coordinate,
    y_coordinate,
    iucr,
    location_description,
    fbi_code,
    block,
    CAST(DATE_PART('month', date) AS INT) AS month,
    CAST(DATE_PART('day', date) AS INT) AS day,
    -- Where only the day is known, the clock says midnight and means nothing.
    CASE WHEN date_precision IS DISTINCT FROM 'day' THEN CAST(DATE_PART('hour', date) AS INT) END AS hour,
    CASE WHEN date_precision IS DISTINCT FROM 'day' THEN CAST(DATE_PART('minute', date) AS INT) END AS minute
FROM crimes
