//! Headers, gzip, line numbers, ragged rows.

use std::io::Write;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::ErrorKind;

fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// Rows as `(line, cells)`.
fn read(bytes: &[u8], columns: &[&str]) -> Result<Vec<(i64, Vec<Option<String>>)>> {
    let columns: Vec<String> = columns.iter().map(|c| c.to_string()).collect();
    let file = file(bytes);
    let mut csv = CsvFile::open(file.path())?;
    let mut rows = Vec::new();
    while let Some(batch) = csv.next_batch(&columns)? {
        let lines = batch.column_by_name(LINE).unwrap().as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let cell = |c: &String| {
                let cells = batch.column_by_name(c).unwrap().as_string::<i32>();
                cells.is_valid(row).then(|| cells.value(row).to_owned())
            };
            rows.push((lines.value(row), columns.iter().map(cell).collect()));
        }
    }
    Ok(rows)
}

fn refused(bytes: &[u8]) -> Error {
    read(bytes, &["a", "b"]).expect_err("the file is read without an error")
}

#[test]
fn columns_are_found_by_name_and_empty_cells_are_null() {
    let rows = read("\u{feff}x, b ,a\r\n1,\"two, three\",\r\n".as_bytes(), &["a", "b", "absent"]).unwrap();
    assert_eq!(rows, [(2, vec![None, Some("two, three".to_owned()), None])]);
}

#[test]
fn lines_are_counted_as_an_editor_does() {
    for end in ["\n", "\r\n"] {
        for last in ["", end] {
            // Line 4 has a line break in a cell, line 6 is blank.
            let text = ["a,b", "1,x", "2,x", "3,\"x", "y\"", "", "4,x", "5,x"].join(end) + last;
            let lines: Vec<i64> = read(text.as_bytes(), &["a"]).unwrap().iter().map(|row| row.0).collect();
            assert_eq!(lines, [2, 3, 4, 7, 8], "{end:?} {last:?}");
        }
    }
}

#[test]
fn gzip_is_recognised_and_lines_run_on_from_batch_to_batch() {
    let text = format!("a,b\n{}", "1,2\n".repeat(BATCH_ROWS + 3));
    let rows = read(&gzip(&text), &["a"]).unwrap();
    assert_eq!(rows.len(), BATCH_ROWS + 3);
    assert!(rows.iter().zip(2..).all(|(row, line)| row.0 == line));
}

#[test]
fn a_row_with_another_number_of_cells_is_named_by_line_and_column() {
    let error = refused(b"a,b\n1,2\n3\n4,5\n");
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(
        error.to_string().ends_with(", line 3: 1 cell where the header has 2: column b is missing"),
        "{error}"
    );
    let error = refused(b"a,b\r\n1,2\r\n3,4,5\r\n");
    assert!(error.to_string().ends_with(", line 3: 3 cells where the header has 2"), "{error}");
}

#[test]
fn a_quote_that_is_never_closed_is_named_by_line_and_column() {
    for end in ["\n", "\r\n"] {
        // In the second text the row has as many cells as it should.
        for (text, place) in
            [("a,b|1,2|\"3,4|5,6|", "line 3, column a"), ("a,b|1,\"x|y\"|3,\"4", "line 4, column b")]
        {
            let error = refused(text.replace('|', end).as_bytes());
            assert!(error.to_string().ends_with(&format!("{place}: a quote is not closed")), "{error}");
        }
    }
}

#[test]
fn a_cell_that_is_no_utf8_is_named_by_line_and_column() {
    let error = refused(b"a,b\n1,2\n3,\xa3\n");
    assert!(error.to_string().ends_with(", line 3, column b: the cell is not UTF-8"), "{error}");
}

#[test]
fn what_is_no_csv_is_one_clear_error() {
    assert!(refused(b"").to_string().ends_with("is empty"));
    assert!(refused(&[0xff; 100_000]).to_string().contains("is no header"));
    let absent = CsvFile::open(Path::new("no-such-file.csv")).err().unwrap();
    assert_eq!(
        (absent.kind(), absent.to_string().as_str()),
        (ErrorKind::User, "there is no file no-such-file.csv")
    );
    let folder = CsvFile::open(&std::env::temp_dir()).err().unwrap();
    assert!(folder.to_string().ends_with("is a folder"), "{folder}");
}

#[test]
fn a_gzip_file_that_is_cut_off_says_so() {
    let text =
        format!("a,b\n{}", (0..2 * BATCH_ROWS).map(|i| format!("{i},{}\n", i * 7919)).collect::<String>());
    let whole = gzip(&text);
    for length in [20, whole.len() / 2, whole.len() - 4] {
        let error = refused(&whole[..length]);
        assert_eq!(error.kind(), ErrorKind::Data, "{length}");
        assert!(error.to_string().contains("after line "), "{length}: {error}");
        assert!(error.next_step().unwrap().contains("gzip -t"), "{length}: {error}");
    }
}
