//! `types = "auto"`: the types of cells, found in all of them.
//!
//! A column has the first of BOOLEAN, BIGINT, DOUBLE, DATE, TIMESTAMP and TIMESTAMPTZ that each of its cells is written as,
//! else it is TEXT; so is one without a cell. A number that would lose something is none: a zero before other digits (`007`), a `+` (of
//! telephones), a whole number that neither BIGINT nor DOUBLE holds. All rows are looked at, so none comes later that does
//! not fit.

use std::collections::BTreeMap;

use arrow::array::{AsArray, StringArray};
use arrow::datatypes::{DataType, TimeUnit};
use chrono::{NaiveDate, NaiveDateTime};
use encoding_rs::Encoding;

use super::number_style::plain;
use super::{InputFile, moment};
use crate::batch::csv_file::CsvFile;
use crate::error::Result;
use crate::project::{InputConfig, NumberStyle};

/// What the cells of a column may be, by the places in [`KINDS`].
#[derive(Debug, Clone, Copy)]
struct Guess {
    fits: [bool; KINDS.len()],
    has_cells: bool,
    /// Of words alone, `nan` and `inf` are none but words.
    has_digits: bool,
}

/// The types, each before those that hold its cells too.
const KINDS: [Kind; 6] =
    [Kind::Boolean, Kind::Whole, Kind::Double, Kind::Date, Kind::Timestamp, Kind::ZonedTimestamp];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Boolean,
    Whole,
    Double,
    Date,
    /// Without an offset.
    Timestamp,
    /// With one, or `Z`; a cell without is a time in UTC, as in DuckDB.
    ZonedTimestamp,
}

impl Kind {
    fn data_type(self) -> DataType {
        match self {
            Kind::Boolean => DataType::Boolean,
            Kind::Whole => DataType::Int64,
            Kind::Double => DataType::Float64,
            Kind::Date => DataType::Date32,
            Kind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Kind::ZonedTimestamp => DataType::Timestamp(TimeUnit::Microsecond, Some(moment::UTC.into())),
        }
    }
}

impl Guess {
    fn new() -> Guess {
        Guess { fits: [true; KINDS.len()], has_cells: false, has_digits: false }
    }

    fn is_text(&self) -> bool {
        self.fits == [false; KINDS.len()]
    }

    fn see(&mut self, cells: &StringArray, style: NumberStyle) {
        for cell in cells.iter().flatten() {
            if self.is_text() {
                return;
            }
            self.has_cells = true;
            self.has_digits = self.has_digits || cell.bytes().any(|byte| byte.is_ascii_digit());
            for (fits, kind) in self.fits.iter_mut().zip(&KINDS) {
                *fits = *fits && is_written_as(cell, *kind, style);
            }
        }
    }

    fn kind(&self) -> DataType {
        let first = self.fits.iter().zip(&KINDS).find(|(fits, _)| **fits);
        let kind = first.filter(|_| self.has_cells).map_or(DataType::Utf8, |(_, kind)| kind.data_type());
        if kind == DataType::Float64 && !self.has_digits { DataType::Utf8 } else { kind }
    }
}

/// The types of the columns of CSV files that the job gives none, by name. Rows that cannot be read have no say where the
/// job sets them aside.
///
/// # Errors
/// Data: a row that cannot be read.
pub(super) fn types(
    config: &InputConfig,
    files: &[InputFile],
    encoding: &'static Encoding,
) -> Result<BTreeMap<String, DataType>> {
    let mut guesses: BTreeMap<&str, Guess> = BTreeMap::new();
    for file in files {
        let names = file.header.iter().map(String::as_str);
        names.for_each(|name| _ = guesses.entry(name).or_insert_with(Guess::new));
    }
    for file in files {
        let mut reader =
            CsvFile::open_as(&file.path, &config.csv, config.csv.delimiter(file.format), encoding)?;
        loop {
            // Columns that are known to be text are not looked at any more.
            let open: Vec<usize> =
                (0..file.header.len()).filter(|at| !guesses[file.header[*at].as_str()].is_text()).collect();
            if open.is_empty() {
                break;
            }
            let places: Vec<Option<usize>> = open.iter().copied().map(Some).collect();
            // That a row is bad is told when it is read, with what the job says of such rows.
            let Some(rows) = reader.next_at(&places, Some(&mut Vec::new()))? else { break };
            for (column, at) in open.iter().enumerate() {
                if let Some(guess) = guesses.get_mut(file.header[*at].as_str()) {
                    guess.see(rows.text.column(column).as_string::<i32>(), config.csv.numbers);
                }
            }
        }
    }
    Ok(guesses.into_iter().map(|(name, guess)| (name.to_owned(), guess.kind())).collect())
}

/// The type of a column of these cells alone.
pub(in crate::batch) fn type_of(cells: &StringArray, style: NumberStyle) -> DataType {
    let mut guess = Guess::new();
    guess.see(cells, style);
    guess.kind()
}

/// Whether a cell is written as a value of this type.
fn is_written_as(cell: &str, kind: Kind, style: NumberStyle) -> bool {
    let number = |cell: &str| {
        if style.is_plain() { Some(cell.to_owned()) } else { plain(cell, style) }
    };
    match kind {
        Kind::Boolean => cell.eq_ignore_ascii_case("true") || cell.eq_ignore_ascii_case("false"),
        Kind::Whole => number(cell).is_some_and(|cell| is_whole(&cell) && cell.parse::<i64>().is_ok()),
        Kind::Double => number(cell).is_some_and(|cell| is_double(&cell)),
        Kind::Date => is_date(cell),
        Kind::Timestamp => is_date(cell) || is_time(cell),
        Kind::ZonedTimestamp => is_time(without_offset(cell)) && moment::timestamp(cell).is_ok(),
    }
}

/// Digits with or without a `-`, the first no zero that stands before others.
fn is_whole(cell: &str) -> bool {
    let digits = cell.strip_prefix('-').unwrap_or(cell);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) && !is_padded(digits)
}

fn is_padded(digits: &str) -> bool {
    digits.strip_prefix('0').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn is_double(cell: &str) -> bool {
    let digits = cell.strip_prefix('-').unwrap_or(cell);
    let is_word = ["nan", "inf", "infinity"].iter().any(|word| digits.eq_ignore_ascii_case(word));
    if is_word {
        return true;
    }
    let begins = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let Ok(value) = cell.parse::<f64>() else { return false };
    // 2^53: from there on not every whole number is a double.
    let is_exact = || {
        let whole = cell.parse::<i128>();
        whole.map_or(digits.len() < 20, |whole| whole.abs() <= 1 << 53 || (value as i128) == whole)
    };
    let is_short = !digits.bytes().all(|byte| byte.is_ascii_digit()) || is_exact();
    begins && value.is_finite() && !is_padded(digits) && is_short
}

fn is_date(cell: &str) -> bool {
    cell.len() == 10 && cell.is_ascii() && NaiveDate::parse_from_str(cell, "%Y-%m-%d").is_ok()
}

/// The cell without `Z` or an offset of hours and minutes behind its time.
fn without_offset(cell: &str) -> &str {
    let is_offset = |offset: &str| {
        let hours = offset.replace(':', "");
        matches!(offset.len(), 3 | 5 | 6)
            && matches!(hours.len(), 3 | 5)
            && hours[1..].bytes().all(|b| b.is_ascii_digit())
    };
    match cell.rfind(['+', '-', 'Z']) {
        Some(at) if at > 10 && cell.is_ascii() && (&cell[at..] == "Z" || is_offset(&cell[at..])) => {
            &cell[..at]
        }
        _ => cell,
    }
}

/// A day and a time to microseconds, without an offset.
fn is_time(cell: &str) -> bool {
    if !cell.is_ascii() {
        return false;
    }
    let Some((day, time)) = cell.split_at_checked(10) else { return false };
    let Some(time) = time.strip_prefix(['T', ' ']) else { return false };
    let (seconds, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let is_fraction = (1..=6).contains(&fraction.len()) && fraction.bytes().all(|b| b.is_ascii_digit());
    is_date(day)
        && seconds.len() == 8
        && is_fraction
        && NaiveDateTime::parse_from_str(&format!("{day} {seconds}"), "%Y-%m-%d %H:%M:%S").is_ok()
        && !seconds.ends_with("60")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(cells: &[&str]) -> String {
        let cells = cells.iter().map(|cell| (!cell.is_empty()).then_some(*cell)).collect();
        super::super::strict::words(&type_of(&cells, NumberStyle::default()))
            .split(' ')
            .next()
            .unwrap()
            .to_owned()
    }

    #[test]
    fn a_column_is_the_first_type_that_all_its_cells_are() {
        for (cells, expected) in [
            (&["true", "FALSE", ""][..], "BOOLEAN"),
            (&["true", "1"], "TEXT"),
            (&["1", "-20", "", "0"], "BIGINT"),
            (&["9223372036854775807"], "BIGINT"),
            (&["1", "2.5", ".5", "5.", "-1e3", "NaN", "inf", "0.5"], "DOUBLE"),
            (&["2026-02-28"], "DATE"),
            (&["2026-02-28", "2026-03-01 23:59:59"], "TIMESTAMP"),
            (&["2026-03-01T23:59:59.123456"], "TIMESTAMP"),
            // As DuckDB 1.5 finds them.
            (&["2026-03-01T23:59:59.123456Z"], "TIMESTAMPTZ"),
            (&["2026-02-28 23:59:59+02:00", "2026-02-28T23:59:59-0530", ""], "TIMESTAMPTZ"),
            (&["2026-02-28 23:59:59+02"], "TIMESTAMPTZ"),
            (&["2026-02-28 23:59:59", "2026-02-28 23:59:59.5+02:00"], "TIMESTAMPTZ"),
            (&["2026-02-28", "2026-02-28 23:59:59+02:00"], "TEXT"),
            (&["2026-02-28 23:59:59 +02:00"], "TEXT"),
            (&["2026-02-28 23:59:59+2"], "TEXT"),
            (&["", ""], "TEXT"),
            (&["nan", "Inf"], "TEXT"),
            (&["1", "x"], "TEXT"),
            (&["1", "2026-02-28"], "TEXT"),
            // What another type would change.
            (&["007"], "TEXT"),
            (&["-01.5"], "TEXT"),
            (&["+43123"], "TEXT"),
            (&["9223372036854775809"], "TEXT"),
            (&["9007199254740993", "1.5"], "TEXT"),
            (&["9007199254740992", "1.5"], "DOUBLE"),
            (&["12345678901234567890123456789012345678901234567890"], "TEXT"),
            (&["1e400"], "TEXT"),
            (&[" 1"], "TEXT"),
            (&["2026-02-29"], "TEXT"),
            (&["2026-2-28"], "TEXT"),
            (&["2026-02-28 24:00:00"], "TEXT"),
            (&["2026-02-28 23:59:60"], "TEXT"),
            (&["2026-02-28 23:59:59.1234567"], "TEXT"),
            (&["2026-02-28 23:59:59.1234567+02:00"], "TEXT"),
            (&["12:30"], "TEXT"),
        ] {
            assert_eq!(kind(cells), expected, "{cells:?}");
        }
    }

    #[test]
    fn numbers_of_another_style_are_numbers() {
        let style = NumberStyle { decimal_comma: true, thousands: Some('.') };
        let kind = |cell: &str| {
            let mut guess = Guess::new();
            guess.see(&StringArray::from(vec![cell]), style);
            guess.kind()
        };
        assert_eq!(kind("1.234"), DataType::Int64);
        assert_eq!(kind("1.234,5"), DataType::Float64);
        assert_eq!(kind("1.5"), DataType::Utf8);
    }
}
