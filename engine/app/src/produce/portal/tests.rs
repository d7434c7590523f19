//! Headers, gzip, ragged rows.

use std::io::Write;

use arrow::array::{Array, AsArray};
use flate2::Compression;
use flate2::write::GzEncoder;
use tidemill_core::ErrorKind;

use super::*;
use crate::produce::test_file::TestFile;

const ROW: &str = r#"1,HX1,03/01/2014 12:00:00 AM,001XX N STATE ST,0460,BATTERY,SIMPLE,"SCHOOL, PUBLIC, BUILDING",true,false,0111,001,42,32,08B,1176400,1900300,2014,03/08/2014 12:00:00 AM,41.88,-87.62,"(41.88, -87.62)""#;

fn header() -> String {
    COLUMNS.join(",")
}

fn read(file: &TestFile) -> Result<Vec<PortalBatch>> {
    let mut file = PortalFile::open(file.path())?;
    let mut batches = Vec::new();
    while let Some(batch) = file.next_batch()? {
        batches.push(batch);
    }
    Ok(batches)
}

fn refused(name: &str, bytes: &[u8]) -> Error {
    read(&TestFile::new(name, bytes)).err().expect("the file is read without an error")
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn columns_are_found_by_name_and_extra_ones_ignored() {
    // Another order, a column before and one behind, a byte order mark, CRLF.
    let text = format!("\u{feff}index,Date Precision,{},Source\r\n7,day,{ROW},elsewhere\r\n", header());
    let batches = read(&TestFile::new("extra.csv", text.as_bytes())).unwrap();
    let rows = &batches[0].rows;
    assert_eq!(rows.schema(), schema());
    assert_eq!(rows.column_by_name("IUCR").unwrap().as_string::<i32>().value(0), "0460");
    assert_eq!(
        rows.column_by_name("Location Description").unwrap().as_string::<i32>().value(0),
        "SCHOOL, PUBLIC, BUILDING"
    );
    assert_eq!(rows.column_by_name("Location").unwrap().as_string::<i32>().value(0), "(41.88, -87.62)");
    assert_eq!(rows.column_by_name(PRECISION).unwrap().as_string::<i32>().value(0), "day");
}

#[test]
fn empty_cells_and_an_absent_precision_are_null() {
    let text = format!("{}\n{}\n", header(), ROW.replace(",0111,001,", ",,,"));
    let rows = &read(&TestFile::new("empty.csv", text.as_bytes())).unwrap()[0].rows;
    for column in ["Beat", "District", PRECISION] {
        assert!(rows.column_by_name(column).unwrap().is_null(0), "{column}");
    }
}

#[test]
fn gzip_is_recognised_whatever_the_name_and_rows_are_numbered_through() {
    let text = format!("{}\n{}", header(), format!("{ROW}\n").repeat(BATCH_ROWS + 3));
    let batches = read(&TestFile::new("packed.csv", &gzip(&text))).unwrap();
    let shape: Vec<(u64, usize)> = batches.iter().map(|b| (b.first_row, b.rows.num_rows())).collect();
    assert_eq!(shape, [(1, BATCH_ROWS), (BATCH_ROWS as u64 + 1, 3)]);
}

#[test]
fn missing_columns_are_named_with_the_known_form() {
    let error = refused("short.csv", header().replace(",Beat,", ",").replace("FBI Code,", "").as_bytes());
    assert_eq!(error.kind(), ErrorKind::User);
    assert!(error.to_string().ends_with("lacks the columns Beat, FBI Code"), "{error}");
    assert!(error.next_step().unwrap().contains(&header()));

    let error = refused("other.csv", b"a,b,c\n1,2,3\n");
    assert!(error.to_string().ends_with("has none of the portal's columns"), "{error}");
}

#[test]
fn what_is_no_csv_is_one_clear_error() {
    assert!(refused("nothing.csv", b"").to_string().ends_with("is empty"));
    assert!(refused("zeros.bin", &[0xff; 100_000]).to_string().contains("is no header"));
    let absent = PortalFile::open(Path::new("no-such-file.csv")).err().unwrap();
    assert_eq!(
        (absent.kind(), absent.to_string().as_str()),
        (ErrorKind::User, "there is no file no-such-file.csv")
    );
    let folder = PortalFile::open(&std::env::temp_dir()).err().unwrap();
    assert!(folder.to_string().ends_with("is a folder"), "{folder}");
}

#[test]
fn a_row_with_too_few_cells_is_named_by_its_line() {
    let error = refused("ragged.csv", format!("{}\n{ROW}\n{ROW}\n1,2,3\n{ROW}\n", header()).as_bytes());
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.to_string().contains("line 4") && error.to_string().contains("ragged.csv"), "{error}");
}

#[test]
fn a_gzip_file_that_is_cut_off_says_so() {
    let text =
        format!("{}\n{}", header(), (0..2 * BATCH_ROWS).map(|i| format!("{i}{ROW}\n")).collect::<String>());
    let whole = gzip(&text);
    for length in [20, whole.len() / 2, whole.len() - 4] {
        let error = refused("cut.csv.gz", &whole[..length]);
        assert_eq!(error.kind(), ErrorKind::Data, "{length}");
        assert!(error.next_step().unwrap().contains("gzip -t"), "{length}: {error}");
    }
}
