//! `tidemill run chicago-crimes`: files in three forms to one table, and what is refused.
//!
//! The samples are hand-made: one crime in each of the three forms, and a few more. With `TIDEMILL_DATA` the five files
//! of the register are cleaned too and compared with `crimes_combined.csv.gz`, which other means have made of them.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::prelude::SessionContext;
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use tidemill_core::lake::Lake;
use tidemill_core::table::read::{committed_files, read_rows};

use crate::support::{query, run, texts, tidemill, visible_files};

const JOB: &str = "chicago-crimes";

const PORTAL: &str = "\
ID,Case Number,Date,Block,IUCR,Primary Type,Description,Location Description,Arrest,Domestic,Beat,District,Ward,Community Area,FBI Code,X Coordinate,Y Coordinate,Year,Updated On,Latitude,Longitude,Location
1,HX1,09/05/2015 12:45:00 PM,035XX W BARRY AVE,0560,ASSAULT,SIMPLE,\"SCHOOL, PUBLIC, BUILDING\",true,false,0111,001,35,21,08A,1152037,1920384,2015,02/10/2018 03:50:00 PM,41.937405765,-87.716649687,\"(41.937405765, -87.716649687)\"
2,HX2,09/16/2015 12:00:00 AM,001XX N STATE ST,031A,ROBBERY,ARMED,,false,true,2533,,,,03,,,2015,02/10/2018 03:50:00 PM,,,
,HX3,09/16/2015 12:00:00 AM,001XX N STATE ST,031A,ROBBERY,ARMED,,false,true,2533,,,,03,,,2015,02/10/2018 03:50:00 PM,,,
";
const KAGGLE: &str = "\
,ID,Case Number,Date,Block,IUCR,Primary Type,Description,Location Description,Arrest,Domestic,Beat,District,Ward,Community Area,FBI Code,X Coordinate,Y Coordinate,Year,Updated On,Latitude,Longitude,Location
3,11,HX1,09/05/2015 12:45:00 PM,035XX W BARRY AVE,0560,ASSAULT,SIMPLE,\"SCHOOL, PUBLIC, BUILDING\",True,False,111,1.0,35.0,21.0,08A,1152037.0,1920384.0,2015,02/10/2018 03:50:00 PM,41.937405765,-87.716649687,\"(41.937405765, -87.716649687)\"
";
const SPREADSHEET: &str = "\
unique,caseno,Date,block,iucr,Type,Type_desc,Where,Arrest,Domestic,Beat,District,Ward,Community_area,FBI,x,y,Year,Updated,Latitude,Longitude,Location,color1,color2\r
21,HX1,09-05-2015 12:45,035XX W BARRY AVE,560,ASSAULT,SIMPLE,\"SCHOOL, PUBLIC, BUILDING\",TRUE,FALSE,111,1,35,21,08A,1152037,1920384,2015,02-10-2018 15:50,41.937405765,-87.716649687,\"(41.937405765, -87.716649687)\",#fff,#000\r
22,HX4,09/16/2015 07:30:00 PM,001XX N STATE ST,31A,ROBBERY,ARMED,,FALSE,FALSE,2533,25,,,3,,,2015,02/10/2018 03:50:00 PM,,,,#fff,#000\r
1,HX9,09-05-2015 12:45,ELSEWHERE,560,ASSAULT,SIMPLE,STREET,TRUE,FALSE,111,1,35,21,5,1152037,1920384,2015,02-10-2018 15:50,41.9,-87.7,\"(41.9, -87.7)\",#fff,#000\r
";
/// The rows of the portal's export that lost its time of day.
const DAYS: &str = "\
31,HX5,12/10/2019,001XX E 44TH ST,2024,NARCOTICS,POSSESS,STREET,true,false,0215,002,3,38,18,,,2019,12/12/2020 03:47:49 PM,,,
";

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Files {
        Files(tempfile::tempdir().unwrap())
    }

    fn lake(&self) -> PathBuf {
        self.0.path().join("lake")
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The outcomes that the run prints: `(file name, form, outcome, rows)`.
    fn clean(&self, inputs: &[PathBuf]) -> Vec<(String, String, String, u64)> {
        let output =
            run(tidemill(&self.lake()).args(["run", JOB, "--format", "json", "--input"]).args(inputs));
        let (stdout, stderr) = texts(&output);
        assert!(output.status.success(), "{stderr}");
        let rows: Vec<Value> = serde_json::from_str(&stdout).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let name = |value: &Value| text(value).rsplit('/').next().unwrap().to_owned();
        rows.iter()
            .filter(|row| row["step"] == "read")
            .map(|row| {
                (name(&row["file"]), text(&row["form"]), text(&row["outcome"]), row["rows"].as_u64().unwrap())
            })
            .collect()
    }

    /// Exit code and standard error of a run that is to fail.
    fn refused(&self, inputs: &[&Path]) -> (Option<i32>, String) {
        let output = run(tidemill(&self.lake()).args(["run", JOB, "--input"]).args(inputs));
        let (stdout, stderr) = texts(&output);
        assert_eq!(stdout, "");
        (output.status.code(), stderr)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_forms_become_one_table() {
    let files = Files::new();
    let header = PORTAL.lines().next().unwrap();
    let inputs = [
        files.write("portal.csv", PORTAL),
        files.write("kaggle.csv", KAGGLE),
        files.write("spreadsheet.csv", SPREADSHEET),
        files.write("days.csv", format!("{header}\n{DAYS}")),
    ];
    let row = |file: &str, form: &str, outcome: &str, rows| (file.into(), form.into(), outcome.into(), rows);
    assert_eq!(
        files.clean(&inputs),
        [
            row("portal.csv", "portal", "in the table", 2),
            row("portal.csv", "portal", "no id", 1),
            row("kaggle.csv", "kaggle", "in the table", 1),
            row("spreadsheet.csv", "spreadsheet", "in the table", 2),
            row("spreadsheet.csv", "spreadsheet", "duplicate id", 1),
            row("days.csv", "portal", "in the table", 1),
        ]
    );
    let lake = Lake::new(files.lake());
    let columns = "id, case_number, CAST(date AS TEXT), date_precision, block, iucr, primary_type, \
        location_description, arrest, domestic, beat, district, ward, community_area, fbi_code, x_coordinate, \
        year, updated_on, latitude, location, _line";
    let cells = query(&lake, &format!("SELECT {columns} FROM chicago_crimes.crimes")).await;
    let crime = |id: &str, precision: &str| {
        format!(
            "{id}|HX1|2015-09-05T12:45:00|{precision}|035XX W BARRY AVE|0560|ASSAULT|SCHOOL, PUBLIC, BUILDING|true|false|\
             0111|001|35|21|08A|1152037.0|2015|2018-02-10T15:50:00|41.937405765|(41.937405765, -87.716649687)|2"
        )
    };
    let expected = [
        crime("1", "second"),
        "2|HX2|2015-09-16T00:00:00|second|001XX N STATE ST|031A|ROBBERY||false|true|2533||||03||2015|\
         2018-02-10T15:50:00|||3"
            .to_owned(),
        crime("11", "second"),
        crime("21", "minute"),
        "22|HX4|2015-09-16T19:30:00|second|001XX N STATE ST|031A|ROBBERY||false|false|2533|025|||03||2015|\
         2018-02-10T15:50:00|||3"
            .to_owned(),
        "31|HX5|2019-12-10T00:00:00|day|001XX E 44TH ST|2024|NARCOTICS|STREET|true|false|0215|002|3|38|18||2019|\
         2020-12-12T15:47:49|||2"
            .to_owned(),
    ];
    assert_eq!(cells.iter().map(|row| row.join("|")).collect::<Vec<_>>(), expected);

    // A second run replaces the table: for SQL, and for a plain glob.
    files.clean(&inputs[1..2]);
    assert_eq!(query(&lake, "SELECT count(*) FROM crimes").await[0][0], "1");
    let visible = visible_files(&lake.resolve("chicago_crimes/crimes"));
    assert_eq!(visible, [lake.resolve("chicago_crimes/crimes/batch-00000001.parquet")]);
}

/// Name, content, exit code and what the error must say.
type BadFile<'a> = (&'a str, Vec<u8>, Option<i32>, &'a [&'a str]);

/// IUCR has four characters, FBI codes two digits and perhaps a letter; what read them as numbers dropped their zeros.
#[tokio::test(flavor = "multi_thread")]
async fn codes_that_lost_their_zeros_have_them_again_in_every_form() {
    let files = Files::new();
    let codes = [
        ("820", "6", "0820 06"),
        ("0820", "06", "0820 06"),
        ("1310", "14", "1310 14"),
        ("041A", "08B", "041A 08B"),
        ("41A", "8B", "041A 08B"),
        ("5114", "04A", "5114 04A"),
        ("", "", "- -"),
    ];
    let row = |id: usize, iucr: &str, fbi: &str| {
        format!(
            "{id},HX,09/05/2015 12:45:00 PM,B,{iucr},T,D,,true,false,111,1,,,{fbi},,,2015,02/10/2018 03:50:00 PM,,,\n"
        )
    };
    let rows = |from: usize, codes: &[(&str, &str, &str)], before: &str| -> String {
        let of =
            |(id, (iucr, fbi, _)): (usize, &(&str, &str, &str))| format!("{before}{}", row(id, iucr, fbi));
        (from..).zip(codes).map(of).collect()
    };
    let head = |text: &str| text.lines().next().unwrap().to_owned();
    let spreadsheet = rows(30, &codes, "").replace(",,,\n", ",,,,,\r\n");
    // Where no code has a letter, pandas makes floats of a column with gaps.
    let floats = [("820.0", "6.0", "0820 06"), ("1310.0", "14.0", "1310 14")];
    files.clean(&[
        files.write("portal.csv", format!("{}\n{}", head(PORTAL), rows(10, &codes, ""))),
        files.write("kaggle.csv", format!("{}\n{}", head(KAGGLE), rows(20, &codes, "1,"))),
        files.write("spreadsheet.csv", format!("{}\r\n{spreadsheet}", head(SPREADSHEET))),
        files.write("floats.csv", format!("{}\n{}", head(KAGGLE), rows(40, &floats, "1,"))),
    ]);
    let cells =
        "SELECT id, concat(coalesce(iucr, '-'), ' ', coalesce(fbi_code, '-')) FROM crimes ORDER BY id";
    let of_form = |from: usize, codes: &[(&str, &str, &str)]| -> Vec<Vec<String>> {
        (from..).zip(codes).map(|(id, code)| vec![id.to_string(), code.2.to_owned()]).collect()
    };
    let expected = [of_form(10, &codes), of_form(20, &codes), of_form(30, &codes), of_form(40, &floats)];
    assert_eq!(query(&Lake::new(files.lake()), cells).await, expected.concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_files_name_file_line_and_column_and_leave_the_table_alone() {
    let files = Files::new();
    let good = files.write("good.csv", PORTAL);
    files.clean(std::slice::from_ref(&good));

    let twice = PORTAL.replace("2,HX2,09/16/2015 12:00:00 AM", "2,HX2,09/16/2015");
    let rewritten = PORTAL.replace("2,HX2,09/16/2015 12:00:00 AM", "2,HX2,09-06-2015 12:45");
    let kaggle = KAGGLE.to_owned() + "4,12,HX1,2015-09-05\n";
    let mut packed = Vec::new();
    let text = PORTAL.repeat(50);
    std::io::copy(
        &mut flate2::read::GzEncoder::new(text.as_bytes(), flate2::Compression::fast()),
        &mut packed,
    )
    .unwrap();
    packed.truncate(packed.len() / 2);
    let cases: [BadFile<'_>; 10] = [
        ("cut.csv.gz", packed, Some(1), &["cut.csv.gz after line ", "gzip -t"]),
        (
            "beat.csv",
            PORTAL.replace("ID,", "").replace("Beat,", "").into(),
            Some(2),
            &[
                "beat.csv, line 1: the header is of no known form",
                "`portal`",
                "ID, Beat",
                "kaggle: ",
                "spreadsheet: ",
            ],
        ),
        (
            "other.csv",
            "when,where\n1,2\n".into(),
            Some(2),
            &["other.csv, line 1", "portal: ", "unique,caseno"],
        ),
        (
            "short.csv",
            kaggle.into(),
            Some(1),
            &["short.csv, line 3: 4 cells where the header has 23", "Block"],
        ),
        (
            "days.csv",
            twice.into(),
            Some(1),
            &[
                "days.csv, line 3, column Date: two formats in one column: MM/DD/YYYY here, MM/DD/YYYY hh:mm:ss AM on line 2",
            ],
        ),
        (
            "rewritten.csv",
            rewritten.into(),
            Some(1),
            &[
                "rewritten.csv, line 3, column Date: `09-06-2015 12:45` is not MM/DD/YYYY hh:mm:ss AM, the one format of this column (see line 2)",
            ],
        ),
        (
            "calendar.csv",
            SPREADSHEET.replace("09/16/2015 07:30", "09/31/2015 07:30").into(),
            Some(1),
            &["calendar.csv, line 3, column Date: ", "09/31/2015 07:30:00 PM"],
        ),
        (
            "district.csv",
            KAGGLE.replace(",1.0,", ",1.5,").into(),
            Some(1),
            &["district.csv, line 2, column District: ", "1.5", "sql/chicago_crimes/kaggle.sql"],
        ),
        (
            "arrest.csv",
            SPREADSHEET.replace("FALSE,FALSE,2533", "perhaps,FALSE,2533").into(),
            Some(1),
            &["arrest.csv, line 3, column Arrest: ", "perhaps"],
        ),
        ("empty.csv", Vec::new(), Some(2), &["empty.csv is empty"]),
    ];
    for (name, bytes, code, parts) in cases {
        let bad = files.write(name, bytes);
        let (exit, error) = files.refused(&[&good, &bad]);
        assert_eq!(exit, code, "{name}: {error}");
        assert!(error.contains("help: "), "{name}: {error}");
        for part in parts {
            assert!(error.contains(part), "{name}: `{part}` is not in\n{error}");
        }
    }
    let (exit, error) = files.refused(&[&good, Path::new("nowhere.csv")]);
    assert!(exit == Some(2) && error.contains("there is no file nowhere.csv"), "{error}");

    let lake = Lake::new(files.lake());
    assert_eq!(query(&lake, "SELECT count(*) FROM crimes").await[0][0], "2");
    assert_eq!(visible_files(&lake.resolve("chicago_crimes/crimes")).len(), 1);
}

#[test]
fn a_wrong_job_is_answered_with_what_to_do() {
    let files = Files::new();
    let good = files.write("good.csv", PORTAL);
    for (job, part) in [("chicago-crime", "`chicago-crimes`"), ("chicago-arrests", "tidemill stream")] {
        let output = run(tidemill(&files.lake()).args(["run", job, "--input"]).arg(&good));
        let (_, error) = texts(&output);
        assert!(output.status.code() == Some(2) && error.contains(part), "{error}");
    }
}

const FIVE: [&str; 5] = [
    "Chicago_Crimes_2012_to_2017_extract.csv.gz",
    "Crimes_-_2014-02-28_to_2014-03-15.csv.gz",
    "Crimes_-_2016-01-01_to_2016-01-03.csv.gz",
    "Crimes_-_2015_excel_edited.csv.gz",
    "Crimes_-_2019_sample_50000.csv.gz",
];

/// Each heading of the reference, and our column written as its cells are.
const CELLS: [(&str, &str); 23] = [
    ("ID", "CAST(id AS TEXT)"),
    ("Case Number", "case_number"),
    ("Date", "TO_CHAR(date, '%m/%d/%Y %I:%M:%S %p')"),
    ("Block", "block"),
    ("IUCR", "iucr"),
    ("Primary Type", "primary_type"),
    ("Description", "description"),
    ("Location Description", "location_description"),
    ("Arrest", "CAST(arrest AS TEXT)"),
    ("Domestic", "CAST(domestic AS TEXT)"),
    ("Beat", "beat"),
    ("District", "district"),
    ("Ward", "CAST(ward AS TEXT)"),
    ("Community Area", "CAST(community_area AS TEXT)"),
    ("FBI Code", "fbi_code"),
    ("X Coordinate", "CAST(CAST(x_coordinate AS BIGINT) AS TEXT)"),
    ("Y Coordinate", "CAST(CAST(y_coordinate AS BIGINT) AS TEXT)"),
    ("Year", "CAST(year AS TEXT)"),
    ("Updated On", "TO_CHAR(updated_on, '%m/%d/%Y %I:%M:%S %p')"),
    ("Latitude", "latitude"),
    ("Longitude", "longitude"),
    ("Location", "location"),
    ("Date Precision", "date_precision"),
];

/// A gzipped CSV as text, empty cells null.
fn text_table(path: &Path) -> RecordBatch {
    let open = || GzDecoder::new(File::open(path).unwrap());
    let mut header = String::new();
    BufReader::new(open()).read_line(&mut header).unwrap();
    let names = header.trim_end().split(',');
    let schema = Schema::new(names.map(|name| Field::new(name, DataType::Utf8, true)).collect::<Vec<_>>());
    let reader = arrow::csv::ReaderBuilder::new(Arc::new(schema)).with_header(true).build(open()).unwrap();
    let batches = reader.collect::<Result<Vec<_>, _>>().unwrap();
    arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_five_files_of_the_register_agree_with_the_reference_cell_by_cell() {
    let folder = std::env::var_os("TIDEMILL_DATA").map(|data| PathBuf::from(data).join("chicago_crimes"));
    let Some(folder) = folder.filter(|folder| folder.is_dir()) else {
        println!("skipped: TIDEMILL_DATA has no Chicago crimes");
        return;
    };
    let files = Files::new();
    let outcomes = files.clean(&FIVE.map(|name| folder.join(name)));
    let total = |outcome: &str| outcomes.iter().filter(|o| o.2 == outcome).map(|o| o.3).sum::<u64>();
    assert_eq!((total("in the table"), total("duplicate id")), (73_597, 25), "{outcomes:?}");
    assert_eq!(outcomes.iter().map(|o| o.3).sum::<u64>(), 73_622);
    let forms: Vec<&str> = outcomes.iter().filter(|o| o.2 == "in the table").map(|o| o.1.as_str()).collect();
    assert_eq!(forms, ["kaggle", "portal", "portal", "spreadsheet", "portal"]);

    let lake = Lake::new(files.lake());
    let committed = committed_files(&lake, "chicago_crimes", "chicago_crimes.crimes").unwrap();
    let session = SessionContext::new();
    session.register_batch("crimes", read_rows(&lake, &committed[0]).unwrap()).unwrap();
    let reference = text_table(&folder.join("crimes_combined.csv.gz"));
    session.register_batch("reference", reference).unwrap();
    let count = |(heading, ours): &(&str, &str)| {
        // Coordinates have as many digits as their source gave: the numbers are compared.
        let theirs = match *heading {
            "Latitude" | "Longitude" => format!("CAST(\"{heading}\" AS DOUBLE)"),
            _ => format!("\"{heading}\""),
        };
        format!("SUM(CASE WHEN {ours} IS DISTINCT FROM {theirs} THEN 1 ELSE 0 END) AS \"{heading}\"")
    };
    let differences = format!(
        "SELECT COUNT(*) AS rows, {} FROM crimes FULL JOIN reference ON CAST(id AS TEXT) = \"ID\"",
        CELLS.iter().map(count).collect::<Vec<_>>().join(", ")
    );
    let batches = session.sql(&differences).await.unwrap().collect().await.unwrap();
    let mut json = arrow::json::ArrayWriter::new(Vec::new());
    json.write_batches(&batches.iter().collect::<Vec<_>>()).unwrap();
    json.finish().unwrap();
    let found: Value = serde_json::from_slice(json.get_ref()).unwrap();
    let mut expected: Value = CELLS.iter().map(|(heading, _)| (heading.to_string(), json!(0))).collect();
    expected["rows"] = json!(73_597);
    assert_eq!(found[0], expected);
}
