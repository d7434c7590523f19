//! JSON of rows, and where a bad cell is found.

use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::produce::test_file::TestFile;

const HEADER: &str = "ID,Case Number,Date,Block,IUCR,Primary Type,Description,Location Description,Arrest,Domestic,Beat,District,Ward,\
Community Area,FBI Code,X Coordinate,Y Coordinate,Year,Updated On,Latitude,Longitude,Location,Source,Date Precision";

/// A row with these cells; the rest is of no interest.
fn row(date: &str, arrest: &str, beat: &str, x: &str, place: &str, precision: &str) -> String {
    format!(
        "1,HX1,{date},001XX N STATE ST,031A,ROBBERY,ARMED,{place},{arrest},false,{beat},001,42,32,03,{x},1900300,2014,\
         03/08/2014 12:00:00 AM,41.88,-87.62,\"(41.88, -87.62)\",s,{precision}"
    )
}

async fn encode(name: &str, rows: &[String], month: Option<u32>) -> Result<Vec<Value>> {
    let file = TestFile::new(name, format!("{HEADER}\n{}\n", rows.join("\n")).as_bytes());
    read(&file, month).await
}

async fn read(file: &TestFile, month: Option<u32>) -> Result<Vec<Value>> {
    let project = Project::open(Path::new("/nonexistent"));
    let mut messages =
        FileMessages::open(&project, "sql/chicago_arrests/messages.sql", file.path(), month).await?;
    let mut values = Vec::new();
    while let Some(lines) = messages.next_lines().await? {
        let lines = String::from_utf8(lines).unwrap();
        values.extend(lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }
    Ok(values)
}

#[tokio::test]
async fn a_whole_row_has_all_fields_in_their_types() {
    let rows = [row("03/01/2014 01:05:00 PM", "true", "0111", "1176400", "ALLEY", "second")];
    let expected = json!({
        "arrest": true, "domestic": false, "beat": 111, "district": 1, "community_area": 32,
        "x_coordinate": 1176400.0, "y_coordinate": 1900300.0, "iucr": "031A", "location_description": "ALLEY",
        "fbi_code": "03", "block": "001XX N STATE ST", "month": 3, "day": 1, "hour": 13, "minute": 5,
    });
    assert_eq!(encode("whole.csv", &rows, None).await.unwrap(), [expected]);
}

#[tokio::test]
async fn midnight_noon_and_unknown_times() {
    let times = ["12:00:00 AM", "12:01:00 AM", "12:00:00 PM", "11:59:00 PM"];
    let mut rows: Vec<String> =
        times.map(|t| row(&format!("12/31/2015 {t}"), "false", "0111", "1.5", "X", "minute")).to_vec();
    rows.push(row("12/31/2015 12:00:00 AM", "false", "0111", "1.5", "X", "day"));
    rows.push(row("12/31/2015 12:00:00 AM", "false", "0111", "1.5", "X", ""));
    rows.push(row("", "false", "0111", "1.5", "X", "second"));
    let values = encode("times.csv", &rows, None).await.unwrap();
    let clock =
        |v: &Value| (v["month"].as_i64(), v["day"].as_i64(), v["hour"].as_i64(), v["minute"].as_i64());
    let seen: Vec<_> = values.iter().map(clock).collect();
    let at = |hour, minute| (Some(12), Some(31), Some(hour), Some(minute));
    assert_eq!(seen[..4], [at(0, 0), at(0, 1), at(12, 0), at(23, 59)]);
    assert_eq!(seen[4..], [(Some(12), Some(31), None, None), at(0, 0), (None, None, None, None)]);
}

#[tokio::test]
async fn empty_cells_are_absent_fields() {
    let values =
        encode("gaps.csv", &[row("03/01/2014 01:05:00 PM", "", "", "", "", "second")], None).await.unwrap();
    let fields: Vec<&String> = values[0].as_object().unwrap().keys().collect();
    for field in ["arrest", "beat", "x_coordinate", "location_description"] {
        assert!(!fields.iter().any(|f| *f == field), "{field}");
    }
    assert_eq!(fields.len(), 11);
}

#[tokio::test]
async fn month_keeps_its_rows_in_order() {
    let months = ["03", "04", "03", "12", "03"];
    let date = |(i, month): (usize, &str)| {
        row(&format!("{month}/0{}/2014 01:05:00 PM", i + 1), "true", "0111", "1", "X", "second")
    };
    let rows: Vec<String> = months.into_iter().enumerate().map(date).collect();
    let values = encode("months.csv", &rows, Some(3)).await.unwrap();
    assert_eq!(values.iter().map(|v| v["day"].as_i64()).collect::<Vec<_>>(), [Some(1), Some(3), Some(5)]);
}

#[tokio::test]
async fn a_bad_cell_is_named_by_line_and_column() {
    let good = || row("03/01/2014 01:05:00 PM", "true", "0111", "1", "X", "second");
    // The bad row is in the second batch, so that numbers run on.
    let cases = [
        ("Beat", "11x", row("03/01/2014 01:05:00 PM", "true", "11x", "1", "X", "second")),
        ("Arrest", "perhaps", row("03/01/2014 01:05:00 PM", "perhaps", "0111", "1", "X", "second")),
        ("X Coordinate", "east", row("03/01/2014 01:05:00 PM", "true", "0111", "east", "X", "second")),
        ("Date", "2014-03-01", row("2014-03-01", "true", "0111", "1", "X", "second")),
    ];
    for (column, cell, bad) in cases {
        let mut rows: Vec<String> = (0..9_000).map(|_| good()).collect();
        rows[8_499] = bad;
        let error = encode(&format!("bad-{column}.csv"), &rows, None).await.unwrap_err();
        assert_eq!(error.kind(), tidemill_core::ErrorKind::Data);
        assert!(error.to_string().contains(&format!("line 8501, column {column}: ")), "{error}");
        assert!(error.to_string().contains(cell) && error.next_step().is_some(), "{error}");
    }
}

#[tokio::test]
async fn the_same_crime_is_the_same_message_in_every_form() {
    let portal = [row("09/05/2015 01:05:00 PM", "true", "0111", "1176400", "ALLEY", "")];
    let portal = encode("same.csv", &portal, None).await.unwrap();
    let kaggle = "\
,ID,Case Number,Date,Block,IUCR,Primary Type,Description,Location Description,Arrest,Domestic,Beat,District,Ward,\
Community Area,FBI Code,X Coordinate,Y Coordinate,Year,Updated On,Latitude,Longitude,Location
7,1,HX1,09/05/2015 01:05:00 PM,001XX N STATE ST,031A,ROBBERY,ARMED,ALLEY,True,False,111,1.0,42.0,32.0,03,1176400.0,\
1900300.0,2014,03/08/2014 12:00:00 AM,41.88,-87.62,\"(41.88, -87.62)\"
";
    let kaggle = TestFile::new("same-kaggle.csv", kaggle.as_bytes());
    assert_eq!(read(&kaggle, None).await.unwrap(), portal);
    let spreadsheet = "\
unique,caseno,Date,block,iucr,Type,Type_desc,Where,Arrest,Domestic,Beat,District,Ward,Community_area,FBI,x,y,Year,\
Updated,Latitude,Longitude,Location,color1,color2\r
1,HX1,09-05-2015 13:05,001XX N STATE ST,031A,ROBBERY,ARMED,ALLEY,TRUE,FALSE,111,1,42,32,3,1176400,1900300,2014,\
03-08-2014 00:00,41.88,-87.62,\"(41.88, -87.62)\",#fff,#000\r
";
    let spreadsheet = TestFile::new("same-spreadsheet.csv", spreadsheet.as_bytes());
    assert_eq!(read(&spreadsheet, None).await.unwrap(), portal);
}

#[tokio::test]
async fn sql_that_is_none_is_told_before_anything_is_sent() {
    let input = TestFile::new("sql.csv", format!("{HEADER}\n").as_bytes());
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("sql")).unwrap();
    let project = Project::open(folder.path());
    let refused = async |sql: &str, month| {
        std::fs::write(folder.path().join("sql/m.sql"), sql).unwrap();
        FileMessages::open(&project, "sql/m.sql", input.path(), month).await.err().unwrap()
    };
    for sql in ["SELECT", "SELECT no_such_column FROM crimes", "SELECT * FROM elsewhere"] {
        let error = refused(&format!("-- input: chicago-crimes\n{sql}"), None).await;
        assert!(error.to_string().starts_with("sql/m.sql: "), "{error}");
    }
    let error = refused("SELECT beat FROM crimes", None).await;
    assert!(error.next_step().unwrap().contains("-- input: chicago-crimes"), "{error}");
    let error = refused("-- input: chicago-crimes\nSELECT beat FROM crimes", Some(3)).await;
    assert!(error.to_string().contains("no column `month`"), "{error}");
}
