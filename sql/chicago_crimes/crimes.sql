-- Every crime of the register once. portal.sql, kaggle.sql and spreadsheet.sql make the columns of the files' cells.
SELECT * FROM register
