//! Rows that came beside rows that were expected, cell by cell, in any order and as often as each is there.
//!
//! Two floats are one where they round to the same nine digits, where they differ by no more than half of the ninth digit,
//! and where both are within 1e-12 of each other, as what is left of `0.1 + 0.2 - 0.3` is no digit of anybody's. NaN is NaN,
//! an infinity is itself, 0 and -0 are one.

use std::collections::{BTreeMap, VecDeque};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::test_csv::written;
use crate::calendar;
use crate::error::Result;

/// Floats this near to each other are one.
const NEAR: f64 = 1e-12;

/// A cell as it is compared.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    /// A null.
    Null,
    /// What is not a float, as text.
    Text(String),
    /// A float.
    Number(f64),
}

/// What two rows must have in common before their floats are looked at.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Kind<'a> {
    Null,
    Text(&'a str),
    Number,
}

/// Rows that came, and rows that were expected.
type Both<'a> = (Vec<&'a [Cell]>, Vec<&'a [Cell]>);

impl Cell {
    fn kind(&self) -> Kind<'_> {
        match self {
            Cell::Null => Kind::Null,
            Cell::Text(text) => Kind::Text(text),
            Cell::Number(_) => Kind::Number,
        }
    }

    fn is_like(&self, other: &Cell) -> bool {
        match (self, other) {
            (Cell::Number(a), Cell::Number(b)) => close(*a, *b),
            _ => self == other,
        }
    }

    fn text(&self) -> String {
        match self {
            Cell::Null => written(None),
            Cell::Text(text) => written(Some(text)),
            Cell::Number(number) => nine_digits(*number).to_string(),
        }
    }
}

/// The cells of a column.
///
/// # Errors
/// Internal: values that have no text.
pub(super) fn cells(column: &ArrayRef) -> Result<Vec<Cell>> {
    if column.data_type().is_floating() {
        let floats = cast(column, &DataType::Float64)?;
        let floats = floats.as_primitive::<Float64Type>();
        return Ok(floats.iter().map(|cell| cell.map_or(Cell::Null, Cell::Number)).collect());
    }
    let shown =
        calendar::shown(&RecordBatch::try_from_iter_with_nullable([("cell", column.clone(), true)])?)?;
    let column = shown.column(0);
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(column, &options)?;
    let cell = |at: usize| match column.is_null(at) {
        true => Cell::Null,
        false => Cell::Text(formatter.value(at).to_string()),
    };
    Ok((0..column.len()).map(cell).collect())
}

/// The rows of one side that the other has not: `-` expected and not there, `+` there and not expected.
pub(super) fn difference(got: &[Vec<Cell>], expected: &[Vec<Cell>]) -> Vec<String> {
    let mut groups: BTreeMap<Vec<Kind<'_>>, Both<'_>> = BTreeMap::new();
    for row in got {
        groups.entry(row.iter().map(Cell::kind).collect()).or_default().0.push(row);
    }
    for row in expected {
        groups.entry(row.iter().map(Cell::kind).collect()).or_default().1.push(row);
    }
    let mut lines: Vec<(String, char)> = Vec::new();
    for (came, wanted) in groups.into_values() {
        let partners = pairs(&came, &wanted);
        let text = |row: &[Cell]| row.iter().map(Cell::text).collect::<Vec<_>>().join(",");
        let missing = (0..wanted.len()).filter(|at| partners[*at].is_none());
        lines.extend(missing.map(|at| (text(wanted[at]), '-')));
        let mut taken = vec![false; came.len()];
        partners.iter().flatten().for_each(|at| taken[*at] = true);
        lines.extend(came.iter().zip(taken).filter(|(_, taken)| !taken).map(|(row, _)| (text(row), '+')));
    }
    lines.sort();
    lines.into_iter().map(|(row, sign)| format!("{sign} {row}")).collect()
}

/// For each wanted row the one that came in its place: as many as can have one. A row may be like several, so that which
/// goes with which is a matching: begun with rows of the same digits, and grown along paths.
fn pairs(came: &[&[Cell]], wanted: &[&[Cell]]) -> Vec<Option<usize>> {
    let mut of_wanted: Vec<Option<usize>> = vec![None; wanted.len()];
    let mut of_came: Vec<Option<usize>> = vec![None; came.len()];
    let text = |row: &[Cell]| row.iter().map(Cell::text).collect::<Vec<_>>();
    let mut same: BTreeMap<Vec<String>, Vec<usize>> = BTreeMap::new();
    came.iter().enumerate().for_each(|(at, row)| same.entry(text(row)).or_default().push(at));
    for (at, row) in wanted.iter().enumerate() {
        if let Some(partner) = same.get_mut(&text(row)).and_then(Vec::pop) {
            of_wanted[at] = Some(partner);
            of_came[partner] = Some(at);
        }
    }
    for start in 0..wanted.len() {
        if of_wanted[start].is_some() {
            continue;
        }
        // From whom a row that came was reached.
        let mut reached: Vec<Option<usize>> = vec![None; came.len()];
        let mut todo = VecDeque::from([start]);
        'search: while let Some(from) = todo.pop_front() {
            for at in 0..came.len() {
                let is_like = || wanted[from].iter().zip(came[at]).all(|(a, b)| a.is_like(b));
                if reached[at].is_some() || !is_like() {
                    continue;
                }
                reached[at] = Some(from);
                if let Some(other) = of_came[at] {
                    todo.push_back(other);
                    continue;
                }
                // Each on the way takes the row that it reached, and leaves its own to the one before.
                let mut free = Some(at);
                while let Some((place, owner)) = free.and_then(|at| Some((at, reached[at]?))) {
                    free = of_wanted[owner].replace(place);
                    of_came[place] = Some(owner);
                }
                break 'search;
            }
        }
    }
    of_wanted
}

/// Whether two floats are one.
fn close(a: f64, b: f64) -> bool {
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    if !a.is_finite() || !b.is_finite() {
        return false;
    }
    let apart = (a - b).abs();
    let unit = 10f64.powf(a.abs().max(b.abs()).log10().floor() - 8.0);
    // Half of the unit, and the error of the numbers themselves.
    apart <= NEAR || apart <= unit * 0.500_000_1 || nine_digits(a) == nine_digits(b)
}

fn nine_digits(value: f64) -> f64 {
    format!("{value:.8e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, StringArray};

    use super::*;

    fn rows(columns: &[ArrayRef]) -> Vec<Vec<Cell>> {
        let columns: Vec<Vec<Cell>> = columns.iter().map(|column| cells(column).unwrap()).collect();
        (0..columns[0].len()).map(|row| columns.iter().map(|column| column[row].clone()).collect()).collect()
    }

    fn texts(list: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(list.to_vec()))
    }

    fn floats(list: &[f64]) -> ArrayRef {
        Arc::new(Float64Array::from(list.to_vec()))
    }

    #[test]
    fn cells_are_compared_and_not_their_text_together() {
        let got = rows(&[texts(&[Some("a,b"), None, Some("x")]), texts(&[Some("c"), Some(""), Some("y")])]);
        let expected =
            rows(&[texts(&[Some("a"), Some(""), Some("x")]), texts(&[Some("b,c"), None, Some("y")])]);
        let lines = ["- \"\",", "+ \"a,b\",c", "+ ,\"\"", "- a,\"b,c\""];
        assert_eq!(difference(&got, &expected), lines);
        assert!(difference(&got, &got).is_empty());
    }

    #[test]
    fn a_row_counts_as_often_as_it_is_there() {
        let got = rows(&[texts(&[Some("a"), Some("a"), Some("b")])]);
        let expected = rows(&[texts(&[Some("b"), Some("a"), Some("b")])]);
        assert_eq!(difference(&got, &expected), ["+ a", "- b"]);
    }

    #[test]
    fn floats_are_one_to_nine_digits_and_near_nothing() {
        let one = |a: f64, b: f64| difference(&rows(&[floats(&[a])]), &rows(&[floats(&[b])])).is_empty();
        for (a, b) in [
            (0.1 + 0.2 - 0.3, 0.0),
            (1.0 / 3.0, 0.333333333),
            (2.0 / 3.0, 0.666666667),
            (0.0, -0.0),
            (f64::NAN, f64::NAN),
            (f64::INFINITY, f64::INFINITY),
            (1.000000005, 1.0000000049),
            (1e300, 1.0000000001e300),
            (123456789.4, 123456789.0),
        ] {
            assert!(one(a, b) && one(b, a), "{a} {b}");
        }
        for (a, b) in [
            (1.00000001, 1.00000002),
            (1e-10, 0.0),
            (f64::INFINITY, f64::NEG_INFINITY),
            (f64::INFINITY, 1e308),
            (f64::NAN, 0.0),
            (1.0, -1.0),
            (123456789.0, 123456790.0),
        ] {
            assert!(!one(a, b) && !one(b, a), "{a} {b}");
        }
    }

    #[test]
    fn near_floats_are_paired_so_that_none_is_left_over() {
        // In the order of either column alone the rows would be paired crosswise.
        let got = rows(&[floats(&[0.0, 1e-13]), floats(&[7.0, 8.0])]);
        let expected = rows(&[floats(&[0.0, 1e-13]), floats(&[8.0, 7.0])]);
        assert!(difference(&got, &expected).is_empty());
        // The first digit alike takes the only partner of another, and gives it back.
        let got = rows(&[floats(&[0.0, 0.9e-12])]);
        let expected = rows(&[floats(&[0.9e-12, 1.8e-12])]);
        assert!(difference(&got, &expected).is_empty());
    }
}
