//! Rows as a table for people: in a terminal ([`render`]) or in a document ([`markdown`]).
//!
//! Numbers are right-aligned and never broken over lines: where a table is too wide for the terminal, text wraps
//! first, and where that is not enough each row becomes a list of `column  value`. Floats are shown with six
//! significant digits and one number of decimals a column, and of a long text its beginning; `--format csv` and `json`
//! have them in full.

use std::borrow::Cow;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, SchemaRef};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table, Width};

use crate::output::Room;
use crate::style;
use crate::visible::visible;

/// The least width that a column of text is squeezed to before rows become lists.
const LEAST_TEXT_WIDTH: usize = 12;

/// Characters of a cell that a table for the eye shows.
const SHOWN_CHARACTERS: usize = 1_000;

/// One column as text, nulls as `null_text`.
struct Column {
    name: String,
    numeric: bool,
    cells: Vec<String>,
}

impl Column {
    fn width(&self) -> usize {
        let longest = |text: &String| text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        self.cells.iter().chain([&self.name]).map(longest).max().unwrap_or(0)
    }
}

/// The table, ending in a newline, with `… n more rows` where `room` cuts it.
pub(crate) fn render(schema: &SchemaRef, batches: &[RecordBatch], room: Room) -> Result<String, ArrowError> {
    let total: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let shown = room.max_rows.map_or(total, |most| most.min(total));
    let mut columns = columns(schema, batches, shown, "NULL", room.terminal)?;
    columns.iter_mut().flat_map(|column| &mut column.cells).for_each(cut);
    let mut text = match layout(&columns, room.width) {
        Layout::Natural => bordered(&columns, shown, None),
        Layout::Wrapped(width) => bordered(&columns, shown, Some(width)),
        Layout::Lists => lists(&columns, shown),
    };
    if shown < total {
        let rest = u64::try_from(total - shown).unwrap_or(u64::MAX);
        text.push_str(&format!("… {} more rows\n", style::count(rest)));
    }
    Ok(text)
}

/// Columns of the terminal that the rows take as a table without any line being wrapped.
pub(crate) fn natural_width(rows: &RecordBatch) -> Result<usize, ArrowError> {
    let columns = columns(&rows.schema(), std::slice::from_ref(rows), rows.num_rows(), "NULL", true)?;
    Ok(frame(columns.len()) + columns.iter().map(Column::width).sum::<usize>())
}

/// A GitHub table; nulls are empty, line breaks `<br>`.
pub(crate) fn markdown(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    room: Room,
) -> Result<String, ArrowError> {
    let rows = batches.iter().map(RecordBatch::num_rows).sum();
    let columns = columns(schema, batches, rows, "", false)?;
    let escaped = |text: &str| {
        let text = text.replace('|', "\\|").replace("\r\n", "<br>").replace(['\n', '\r'], "<br>");
        if room.terminal { visible(&text).into_owned() } else { text }
    };
    let line = |cells: &mut dyn Iterator<Item = String>| {
        let mut line = String::from("|");
        for cell in cells {
            line.push_str(&format!(" {cell} |"));
        }
        line.push('\n');
        line
    };
    let mut text = line(&mut columns.iter().map(|c| escaped(&c.name)));
    text.push_str(&line(&mut columns.iter().map(|c| if c.numeric { "---:" } else { "---" }.to_string())));
    for row in 0..rows {
        text.push_str(&line(
            &mut columns.iter().map(|c| escaped(c.cells.get(row).map_or("", String::as_str))),
        ));
    }
    Ok(text)
}

enum Layout {
    Natural,
    Wrapped(u16),
    Lists,
}

fn layout(columns: &[Column], width: Option<u16>) -> Layout {
    let Some(width) = width else { return Layout::Natural };
    let frame = frame(columns.len());
    let natural: usize = columns.iter().map(Column::width).sum();
    let least: usize =
        columns.iter().map(|c| if c.numeric { c.width() } else { c.width().min(LEAST_TEXT_WIDTH) }).sum();
    if natural + frame <= usize::from(width) {
        Layout::Natural
    } else if least + frame <= usize::from(width) {
        Layout::Wrapped(width)
    } else {
        Layout::Lists
    }
}

/// Each column has two spaces of padding and a border, and there is one border more.
fn frame(columns: usize) -> usize {
    3 * columns + 1
}

fn bordered(columns: &[Column], rows: usize, width: Option<u16>) -> String {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::UTF8_FULL_CONDENSED).force_no_tty();
    let align = |c: &Column| if c.numeric { CellAlignment::Right } else { CellAlignment::Left };
    table.set_header(columns.iter().map(|c| Cell::new(&c.name).set_alignment(align(c))));
    for row in 0..rows {
        table.add_row(
            columns
                .iter()
                .map(|c| Cell::new(c.cells.get(row).map_or("", String::as_str)).set_alignment(align(c))),
        );
    }
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        table.set_constraints(columns.iter().map(|c| {
            if c.numeric {
                ColumnConstraint::ContentWidth
            } else {
                let least = u16::try_from(c.width().min(LEAST_TEXT_WIDTH)).unwrap_or(u16::MAX);
                // The constraint counts the padding.
                ColumnConstraint::LowerBoundary(Width::Fixed(least.saturating_add(2)))
            }
        }));
    }
    let mut text = table.trim_fmt();
    text.push('\n');
    text
}

fn lists(columns: &[Column], rows: usize) -> String {
    let names = columns.iter().map(|c| c.name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for row in 0..rows {
        text.push_str(&format!("─ row {} ─\n", row + 1));
        for column in columns {
            let value = column.cells.get(row).map_or("", String::as_str);
            text.push_str(&format!("{:names$}  {value}\n", column.name));
        }
    }
    if rows == 0 {
        for column in columns {
            text.push_str(&format!("{}\n", column.name));
        }
        text.push_str("(no rows)\n");
    }
    text
}

/// The first `rows` rows as text, column by column.
fn columns(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    rows: usize,
    null_text: &str,
    terminal: bool,
) -> Result<Vec<Column>, ArrowError> {
    schema
        .fields()
        .iter()
        .enumerate()
        .map(|(index, field)| {
            let mut column = column(index, field, batches, rows, null_text)?;
            if terminal {
                column.cells.iter_mut().chain([&mut column.name]).for_each(show);
            }
            Ok(column)
        })
        .collect()
}

fn column(
    index: usize,
    field: &Field,
    batches: &[RecordBatch],
    rows: usize,
    null_text: &str,
) -> Result<Column, ArrowError> {
    let options = FormatOptions::default().with_null(null_text);
    let mut floats = Vec::new();
    let mut cells = Vec::new();
    for batch in batches {
        let left = rows - cells.len().max(floats.len());
        let Some(array) = batch.columns().get(index) else { continue };
        let array = array.slice(0, left.min(array.len()));
        if field.data_type().is_floating() {
            floats.extend(cast(&array, &DataType::Float64)?.as_primitive::<Float64Type>().iter());
        } else {
            let formatter = ArrayFormatter::try_new(array.as_ref(), &options)?;
            for row in 0..array.len() {
                cells.push(formatter.value(row).try_to_string()?);
            }
        }
    }
    if field.data_type().is_floating() {
        cells = float_cells(&floats, null_text);
    }
    Ok(Column { name: field.name().clone(), numeric: field.data_type().is_numeric(), cells })
}

/// The text as a terminal may have it.
fn show(text: &mut String) {
    if let Cow::Owned(shown) = visible(text) {
        *text = shown;
    }
}

/// The beginning of a text that nobody reads whole, with its length.
fn cut(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(SHOWN_CHARACTERS) {
        let length = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
        text.truncate(end);
        text.push_str(&format!("… ({} characters)", style::count(length)));
    }
}

/// Floats with the decimals that six significant digits need, the same number in the whole column, at least one.
fn float_cells(values: &[Option<f64>], null_text: &str) -> Vec<String> {
    let decimals = values.iter().flatten().map(|&v| decimals_of(v)).max().unwrap_or(1);
    let text = |value: f64| {
        if !value.is_finite() {
            value.to_string()
        } else if is_extreme(value) {
            format!("{value:.5e}")
        } else {
            format!("{value:.decimals$}")
        }
    };
    values.iter().map(|value| value.map_or_else(|| null_text.to_string(), text)).collect()
}

/// Too large or too small to be read without an exponent.
fn is_extreme(value: f64) -> bool {
    value != 0.0 && !(1e-5..1e15).contains(&value.abs())
}

/// Decimals of the value at six significant digits, trailing zeros left out; 1 to 9.
fn decimals_of(value: f64) -> usize {
    if value == 0.0 || !value.is_finite() || is_extreme(value) {
        return 1;
    }
    // Two decimals at least, so that money and means keep their fraction however large they are.
    let wanted = (5 - (value.abs().log10().floor() as i64)).clamp(2, 9) as usize;
    let text = format!("{value:.wanted$}");
    let fraction = text.split('.').nth(1).unwrap_or("").trim_end_matches('0');
    fraction.len().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::awkward;

    fn rendered(batch: &RecordBatch, room: Room) -> String {
        render(&batch.schema(), std::slice::from_ref(batch), room).unwrap()
    }

    #[test]
    fn a_table_has_aligned_numbers_and_visible_nulls() {
        let text = rendered(&awkward(), Room::default());
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[1], "│ text    ┆                    n ┆ at                  ┆ yes  ┆ share │");
        assert_eq!(lines[3], "│ a,\"b\"|c ┆ 18446744073709551615 ┆ 2024-03-01T10:30:00 ┆ true ┆  0.25 │");
        assert_eq!(lines[5], "│ NULL    ┆                 NULL ┆ NULL                ┆ NULL ┆  NULL │");
    }

    #[test]
    fn markdown_escapes_pipes_and_line_breaks() {
        let batch = awkward();
        let text = markdown(&batch.schema(), &[batch], Room::default()).unwrap();
        assert_eq!(
            text.lines().nth(2),
            Some("| a,\"b\"\\|c<br>d | 18446744073709551615 | 2024-03-01T10:30:00 | true | 0.25 |")
        );
        assert_eq!(text.lines().nth(3), Some("|  |  |  |  |  |"));
    }

    #[test]
    fn a_cut_says_how_many_rows_are_left() {
        let batch = awkward();
        let room = Room { max_rows: Some(1), ..Room::default() };
        let text = render(&batch.schema(), &[batch.clone(), batch], room).unwrap();
        assert!(text.ends_with("… 3 more rows\n"), "{text}");
        assert!(!text.contains("NULL"), "{text}");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_no_number_is_broken() {
        let text = "long words that can be wrapped ".repeat(5);
        let batch = RecordBatch::try_from_iter([
            (
                "text",
                std::sync::Arc::new(arrow::array::StringArray::from(vec![text])) as arrow::array::ArrayRef,
            ),
            (
                "n",
                std::sync::Arc::new(arrow::array::UInt64Array::from(vec![u64::MAX]))
                    as arrow::array::ArrayRef,
            ),
        ])
        .unwrap();
        for width in [60, 40, 30] {
            let text = rendered(&batch, Room { width: Some(width), ..Room::default() });
            assert!(text.contains("18446744073709551615"), "{width}: {text}");
            if width > 39 {
                let widest = text.lines().map(|line| line.chars().count()).max();
                assert!(widest <= Some(usize::from(width)), "{width}: {text}");
            } else {
                assert!(text.starts_with("─ row 1 ─\ntext  long"), "{text}");
            }
        }
    }

    #[test]
    fn a_long_cell_is_cut_and_says_how_long_it_is() {
        let cells: arrow::array::ArrayRef = std::sync::Arc::new(arrow::array::StringArray::from(vec![
            "ü".repeat(8_000_000),
            "ü".repeat(1_000),
        ]));
        let batch = RecordBatch::try_from_iter([("t", cells)]).unwrap();
        let text = rendered(&batch, Room { width: Some(80), ..Room::default() });
        assert!(text.len() < 20_000, "{}", text.len());
        assert_eq!(text.matches('ü').count(), 2_000);
        assert!(text.contains("(8,000,000 characters)"), "{text}");
    }

    #[test]
    fn floats_are_readable_and_share_their_decimals() {
        let some = |values: &[f64]| values.iter().map(|&v| Some(v)).collect::<Vec<_>>();
        assert_eq!(float_cells(&some(&[0.1 + 0.2, 0.25, 12.0]), ""), ["0.30", "0.25", "12.00"]);
        assert_eq!(float_cells(&some(&[0.891_234_567]), ""), ["0.891235"]);
        assert_eq!(float_cells(&some(&[1_234_567.891]), ""), ["1234567.89"]);
        assert_eq!(float_cells(&some(&[3.0]), ""), ["3.0"]);
        assert_eq!(float_cells(&some(&[1e300, -2e-9, 0.0]), ""), ["1.00000e300", "-2.00000e-9", "0.0"]);
        assert_eq!(float_cells(&[None, Some(f64::NAN)], "NULL"), ["NULL", "NaN"]);
    }
}
