//! The CSV files of SQL tests. An empty cell is a null and `""` the empty text, which no reader of CSV tells apart: so they
//! are read here.
//!
//! Lines end in LF, CRLF or CR. A blank line is no row, but in a file of one column it is a null.

use arrow::array::{ArrayRef, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use super::input::parse_cells;
use crate::error::{Error, Result};
use crate::exact::words;
use crate::project::sql_type;

/// What a file says, column by column.
pub(super) struct Cells {
    /// Headings without their types.
    pub names: Vec<String>,
    /// The types of `heading::TYPE`.
    pub types: Vec<Option<DataType>>,
    /// Cells as they are written.
    pub columns: Vec<StringArray>,
    /// Rows.
    pub rows: usize,
}

/// A row and the line that it begins on.
type Record = (usize, Vec<Option<String>>);

impl Cells {
    /// Reads a file.
    ///
    /// # Errors
    /// User, with the line: no header, a row of more or fewer cells, a quote that is not closed, a type that is none.
    pub(super) fn read(text: &str) -> Result<Cells> {
        Cells::read_as(text, ',')
    }

    /// The same of a file with another character between cells.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) fn read_as(text: &str, delimiter: char) -> Result<Cells> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut records = records(text, delimiter)?.into_iter();
        let header = records.find(|(_, cells)| !is_blank(cells));
        let (_, header) = header.ok_or_else(|| Error::user("there is no header line"))?;
        let (mut names, mut types) = (Vec::new(), Vec::new());
        for heading in header {
            let heading = heading.unwrap_or_default();
            let (name, kind) = match heading.trim().split_once("::") {
                Some((name, kind)) => (name, Some(sql_type(name, kind)?)),
                None => (heading.trim(), None),
            };
            names.push(name.to_owned());
            types.push(kind);
        }
        let mut columns: Vec<Vec<Option<String>>> = vec![Vec::new(); names.len()];
        let mut rows = 0;
        for (line, cells) in records.filter(|(_, cells)| names.len() == 1 || !is_blank(cells)) {
            if cells.len() != names.len() {
                let what = format!("{} cells where the header has {}", cells.len(), names.len());
                return Err(Error::user(what).context(format!("line {line}")));
            }
            rows += 1;
            columns.iter_mut().zip(cells).for_each(|(column, cell)| column.push(cell));
        }
        Ok(Cells { names, types, columns: columns.into_iter().map(StringArray::from).collect(), rows })
    }
}

/// Cells as values of a type.
///
/// # Errors
/// What a cell is not. The empty text is text alone.
pub(super) fn typed(cells: &StringArray, kind: &DataType) -> std::result::Result<ArrayRef, String> {
    if kind.is_string() {
        return cast(cells, kind).map_err(|e| e.to_string());
    }
    if cells.iter().flatten().any(str::is_empty) {
        return Err(format!(
            "`\"\"` is the empty text, which is no {}; a null is an empty cell",
            words(kind)
        ));
    }
    parse_cells(cells, kind)
}

fn is_blank(cells: &[Option<String>]) -> bool {
    matches!(cells, [None])
}

/// All lines, blank ones too.
fn records(text: &str, delimiter: char) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while !rest.is_empty() {
        let begin = line;
        let mut cells = Vec::new();
        loop {
            let cell;
            (cell, rest) =
                next_cell(rest, delimiter, &mut line).map_err(|e| e.context(format!("line {begin}")))?;
            cells.push(cell);
            match rest.strip_prefix(delimiter) {
                Some(behind) => rest = behind,
                None => break,
            }
        }
        let end = ["\r\n", "\n", "\r"].into_iter().find_map(|end| rest.strip_prefix(end));
        rest = end.unwrap_or(rest);
        line += 1;
        records.push((begin, cells));
    }
    Ok(records)
}

/// A cell and what is behind it.
fn next_cell<'a>(text: &'a str, delimiter: char, line: &mut usize) -> Result<(Option<String>, &'a str)> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find([delimiter, '\n', '\r']).unwrap_or(text.len());
        let (cell, rest) = text.split_at(end);
        return Ok(((!cell.is_empty()).then(|| cell.to_owned()), rest));
    };
    let mut cell = String::new();
    loop {
        let Some((part, behind)) = rest.split_once('"') else {
            return Err(
                Error::user("a quote is not closed").hint("close it, or double it if it is of the text")
            );
        };
        *line += part.matches('\n').count();
        cell.push_str(part);
        rest = behind;
        match rest.strip_prefix('"') {
            Some(behind) => {
                cell.push('"');
                rest = behind;
            }
            None if rest.is_empty() || rest.starts_with([delimiter, '\n', '\r']) => {
                return Ok((Some(cell), rest));
            }
            None => {
                let what = "there is text behind the closing quote of a cell";
                return Err(Error::user(what).hint("a quote that is of the text is doubled"));
            }
        }
    }
}

/// A cell as such a file has it.
pub(super) fn written(cell: Option<&str>) -> String {
    match cell {
        None => String::new(),
        Some(text) if text.is_empty() || text.contains([',', '"', '\n', '\r']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Some(text) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Array;
    use proptest::prelude::*;

    use super::*;

    fn rows(text: &str) -> Vec<Vec<Option<String>>> {
        let cells = Cells::read(text).unwrap();
        let cell =
            |column: &StringArray, row: usize| column.is_valid(row).then(|| column.value(row).to_owned());
        (0..cells.rows).map(|row| cells.columns.iter().map(|column| cell(column, row)).collect()).collect()
    }

    #[test]
    fn an_empty_cell_is_a_null_and_two_quotes_are_the_empty_text() {
        let some = |text: &str| Some(text.to_owned());
        let read = rows("\u{feff}a, b::INT\r\n,\"\"\r\n\r\n\"x\"\"y\",\"1,\n2\"\r\n");
        assert_eq!(read, [vec![None, some("")], vec![some("x\"y"), some("1,\n2")]]);
        assert_eq!(rows("a\n\n\"\"\nx\n"), [vec![None], vec![some("")], vec![some("x")]]);
        assert_eq!(rows("a,b"), Vec::<Vec<_>>::new());
        let cells = Cells::read("a, b::INT\n").unwrap();
        assert_eq!(
            (cells.names, cells.types),
            (vec!["a".into(), "b".into()], vec![None, Some(DataType::Int32)])
        );
        let texts = StringArray::from(vec![Some(""), None]);
        assert_eq!(typed(&texts, &DataType::Utf8).unwrap().null_count(), 1);
        assert!(typed(&texts, &DataType::Int32).unwrap_err().contains("no INT"));
    }

    #[test]
    fn what_is_no_table_is_told_by_its_line() {
        for (text, says) in [
            ("", "no header"),
            ("a,b\n1\n", "line 2"),
            ("a,b\n\"1\n2\",3\n4,\"5\n", "line 4: a quote is not closed"),
            ("a\n\"x\"y\n", "line 2: there is text behind"),
        ] {
            let error = Cells::read(text).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(says), "{text:?}: {error}");
        }
    }

    proptest! {
        /// What the csv crate writes is read as what it was.
        #[test]
        fn cells_are_read_as_they_were_written(
            lines in proptest::collection::vec(proptest::array::uniform3("[a,\"\n\r ]{0,4}"), 0..6),
        ) {
            let mut writer = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Always).from_writer(Vec::new());
            writer.write_record(["x", "y", "z"]).unwrap();
            lines.iter().for_each(|line| writer.write_record(line).unwrap());
            let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            let expected: Vec<Vec<Option<String>>> =
                lines.iter().map(|line| line.iter().cloned().map(Some).collect()).collect();
            prop_assert_eq!(rows(&text), expected.clone());
            let ours = lines.iter().map(|line| {
                line.iter().map(|cell| written(Some(cell))).collect::<Vec<_>>().join(",") + "\n"
            });
            prop_assert_eq!(rows(&format!("x,y,z\n{}", ours.collect::<String>())), expected);
        }
    }
}
