//! The figures of a job's exploratory tables: bars over categories and months, as one SVG, as an HTML page, or in the terminal.
//!
//! ```text
//! tables in the lake ──SQL──> Figure (labels, values) ──> svg | html | terminal
//! ```
//!
//! The figures are numbers 2 to 6 of the paper that the Olist job follows. Shares are drawn where two groups of very
//! different size stand beside each other (fourteen customers in a thousand are not three sellers), and said to be shares.

mod html;
mod svg;
mod terminal;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::prelude::SessionContext;
use tidemill_core::lake::Lake;
use tidemill_core::{Error, calendar, catalog};

use super::{COLORS, Color};

pub(crate) use html::html;
pub(crate) use svg::svg;
pub(crate) use terminal::terminal;

/// How a figure's labels run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Labels {
    /// Downwards, the largest first.
    Names,
    /// To the right in time, `YYYY-MM`; a month without a row has bars of 0.
    Months,
}

/// What is drawn, and the SQL that gives its labels (first column) and bars (the others).
struct Plan {
    title: &'static str,
    unit: &'static str,
    labels: Labels,
    bars: &'static [&'static str],
    table: &'static str,
    select: &'static str,
}

const PLANS: [Plan; 5] = [
    Plan {
        title: "Figure 2: demand by category, the 20 largest",
        unit: "items sold",
        labels: Labels::Names,
        bars: &["items"],
        table: "demand_by_category",
        select: "SELECT category, items FROM {} ORDER BY items DESC, category LIMIT 20",
    },
    Plan {
        title: "Figure 3: items by month of purchase",
        unit: "items sold",
        labels: Labels::Months,
        bars: &["items"],
        table: "items_by_month",
        select: "SELECT SUBSTR(CAST(month AS TEXT), 1, 7), items FROM {} ORDER BY month",
    },
    Plan {
        title: "Figure 4: revenue by month of purchase",
        unit: "thousand reais paid",
        labels: Labels::Months,
        bars: &["revenue"],
        table: "revenue_by_month",
        select: "SELECT SUBSTR(CAST(month AS TEXT), 1, 7), CAST(revenue_brl AS DOUBLE) / 1000 FROM {} ORDER BY month",
    },
    Plan {
        title: "Figure 5: customers and sellers by state",
        unit: "% of all customers, of all sellers",
        labels: Labels::Names,
        bars: &["customers", "sellers"],
        table: "people_by_state",
        select: "SELECT state, 100.0 * customers / SUM(customers) OVER (), 100.0 * sellers / SUM(sellers) OVER () \
                 FROM {} ORDER BY customers DESC, state",
    },
    Plan {
        title: "Figure 6: customers and sellers by city, the 15 with most customers",
        unit: "% of all customers, of all sellers",
        labels: Labels::Names,
        bars: &["customers", "sellers"],
        table: "people_by_city",
        select: "SELECT city || ' (' || state || ')', 100.0 * customers / SUM(customers) OVER (), \
                 100.0 * sellers / SUM(sellers) OVER () FROM {} ORDER BY customers DESC, city, state LIMIT 15",
    },
];

/// Bars over labels.
#[derive(Debug)]
pub(crate) struct Figure {
    title: &'static str,
    unit: &'static str,
    labels: Labels,
    bars: &'static [&'static str],
    /// A label with a value for each of `bars`.
    rows: Vec<(String, Vec<f64>)>,
}

impl Figure {
    /// The largest value, at least a little above 0.
    fn highest(&self) -> f64 {
        self.rows.iter().flat_map(|row| row.1.iter().copied()).fold(1e-9, f64::max)
    }

    fn color(bar: usize) -> Color {
        COLORS[bar % COLORS.len()]
    }
}

/// Reads the figures of a job.
///
/// # Errors
/// User: the job's tables are not in the lake; Storage or Corrupt.
pub(crate) async fn read(session: &SessionContext, lake: &Lake, job: &str) -> Result<Vec<Figure>, Error> {
    let schema = job.replace('-', "_");
    let known = catalog::table_names(lake)?;
    let missing: Vec<String> = PLANS
        .iter()
        .map(|plan| format!("{schema}.{}", plan.table))
        .filter(|table| !known.contains(table))
        .collect();
    if !missing.is_empty() {
        let built = known.iter().any(|table| table.starts_with(&format!("{schema}.")));
        return Err(Error::user(format!(
            "the figures of {job} need tables that are not there: {}",
            missing.join(", ")
        ))
        .hint(match built {
            true => "the job `olist` makes them; copy its SQL to have them of your own files".to_owned(),
            false => format!("build the job's tables first: tidemill run {job}"),
        }));
    }
    let mut figures = Vec::new();
    for plan in &PLANS {
        let statement = plan.select.replace("{}", &format!("{schema}.{}", plan.table));
        let mut rows = Vec::new();
        for batch in catalog::query(session, lake, &statement).await? {
            rows.extend(read_rows(&batch)?);
        }
        if plan.labels == Labels::Months {
            rows = every_month(rows, plan.bars.len());
        }
        figures.push(Figure {
            title: plan.title,
            unit: plan.unit,
            labels: plan.labels,
            bars: plan.bars,
            rows,
        });
    }
    Ok(figures)
}

fn read_rows(batch: &RecordBatch) -> Result<Vec<(String, Vec<f64>)>, Error> {
    let labels = cast(calendar::shown(batch)?.column(0), &DataType::Utf8)?;
    let labels = labels.as_string::<i32>();
    let values = (1..batch.num_columns())
        .map(|column| cast(batch.column(column), &DataType::Float64))
        .collect::<Result<Vec<_>, _>>()?;
    let value = |column: &arrow::array::ArrayRef, row: usize| {
        let column = column.as_primitive::<Float64Type>();
        // A share of nothing is not a number; it has no bar.
        if column.is_valid(row) && column.value(row).is_finite() { column.value(row) } else { 0.0 }
    };
    let row = |row: usize| (labels.value(row).to_owned(), values.iter().map(|c| value(c, row)).collect());
    Ok((0..batch.num_rows()).map(row).collect())
}

/// The months from the first to the last, also those of which there is no row.
fn every_month(rows: Vec<(String, Vec<f64>)>, bars: usize) -> Vec<(String, Vec<f64>)> {
    let number = |label: &str| {
        let (year, month) = label.split_once('-')?;
        Some(12 * year.parse::<u32>().ok()? + month.parse::<u32>().ok()? - 1)
    };
    let numbers: Vec<u32> = rows.iter().filter_map(|row| number(&row.0)).collect();
    let (Some(first), Some(last)) = (numbers.iter().min(), numbers.iter().max()) else { return rows };
    if numbers.len() != rows.len() {
        return rows;
    }
    let values = |month: u32| numbers.iter().position(|n| *n == month).map(|place| rows[place].1.clone());
    (*first..=*last)
        .map(|month| {
            let label = format!("{}-{:02}", month / 12, month % 12 + 1);
            (label, values(month).unwrap_or_else(|| vec![0.0; bars]))
        })
        .collect()
}

/// A value beside its bar.
fn written(value: f64) -> String {
    match value {
        v if v >= 1_000.0 => crate::style::count(v.round() as u64),
        v if v >= 100.0 || v.fract() == 0.0 => format!("{v:.0}"),
        v => format!("{v:.1}"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn figures() -> Vec<Figure> {
        let row = |label: &str, values: &[f64]| (label.to_owned(), values.to_vec());
        let months = vec![row("2016-11", &[7.0]), row("2017-02", &[1_780.0])];
        vec![
            Figure {
                title: "Figure 5: customers and sellers by state",
                unit: "% of all",
                labels: Labels::Names,
                bars: &["customers", "sellers"],
                rows: vec![row("SP", &[41.9, 59.7]), row("a<b", &[12.9, 0.0])],
            },
            Figure {
                title: "Figure 3: items by month of purchase",
                unit: "items sold",
                labels: Labels::Months,
                bars: &["items"],
                rows: every_month(months, 1),
            },
        ]
    }

    #[test]
    fn months_without_a_row_are_there_with_nothing() {
        let months: Vec<(String, f64)> = figures()[1].rows.iter().map(|r| (r.0.clone(), r.1[0])).collect();
        let expected = [("2016-11", 7.0), ("2016-12", 0.0), ("2017-01", 0.0), ("2017-02", 1_780.0)];
        assert_eq!(months, expected.map(|(month, value)| (month.to_owned(), value)));
        assert!(every_month(Vec::new(), 1).is_empty());
    }

    #[test]
    fn values_are_written_as_people_read_them() {
        assert_eq!(
            [written(11_115.0), written(553.7), written(6.0), written(41.94)],
            ["11,115", "554", "6", "41.9"]
        );
    }
}
