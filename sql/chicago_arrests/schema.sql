-- A message on the topic `crimes`: one JSON object. Fields that are not named here are ignored.
CREATE TABLE crimes (
    arrest               BOOLEAN NOT NULL, -- was somebody arrested? 0/1 or true/false; a message without it is a dead letter
    domestic             BOOLEAN,          -- 0/1 or true/false
    beat                 INT,              -- police beat, the smallest area of the register
    district             INT,              -- police district
    community_area       INT,              -- one of 77
    x_coordinate         DOUBLE,           -- feet, State Plane Illinois East (NAD 1983)
    y_coordinate         DOUBLE,           -- feet
    iucr                 TEXT,             -- Illinois Uniform Crime Reporting code, four characters
    location_description TEXT,             -- kind of place
    fbi_code             TEXT,             -- FBI crime classification
    block                TEXT,             -- address, known to the block
    month                INT,              -- 1 to 12
    day                  INT,              -- of the month, 1 to 31
    hour                 INT,              -- 0 to 23; null where only the day is known
    minute               INT               -- 0 to 59; null where only the day is known
)
