-- The label and the features of a crime. Text columns are categories: encoding them belongs to the model.
SELECT
    arrest,
    domestic,
    beat,
    district,
    community_area,
    x_coordinate,
    y_coordinate,
    month,
    day,
    hour,
    minute,
    iucr,
    location_description,
    fbi_code,
    block
FROM crimes
