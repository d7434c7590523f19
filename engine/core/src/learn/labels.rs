//! Labels of committed rows: a classifier has two classes, so a label is true or false, 0 or 1.
//!
//! | label | the row | the model |
//! | --- | --- | --- |
//! | true, false, 0, 1 | is learned from | |
//! | null | is left out | |
//! | anything else | is left out | is not trained: of three classes it would learn two as if they were all |

use arrow::array::{Array, AsArray, BooleanArray};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Float64Type};
use arrow::record_batch::RecordBatch;

use crate::error::Result;

/// What labels some rows have.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct LabelCounts {
    /// Rows.
    pub(super) rows: u64,
    /// Rows whose label is null.
    pub(super) missing: u64,
    /// Rows whose label is neither 0 nor 1.
    pub(super) other: u64,
    /// The first of these values.
    pub(super) first_other: Option<f64>,
}

impl LabelCounts {
    /// Takes in those of later rows.
    pub(super) fn add(&mut self, later: LabelCounts) {
        self.rows += later.rows;
        self.missing += later.missing;
        self.other += later.other;
        self.first_other = self.first_other.or(later.first_other);
    }

    /// Why a classifier cannot learn from these rows, if it cannot.
    pub(super) fn refusal(&self, label: &str) -> Option<String> {
        let value = self.first_other?;
        Some(format!(
            "the label `{label}` is neither 0 nor 1 in {} of {} rows ({value}, say), and a classifier has two classes: let \
             the features SELECT say which is meant, `{label} = {value} AS {label}`, or leave the others out by its WHERE",
            self.other, self.rows
        ))
    }
}

/// The rows that have a label, and what labels all of them have.
///
/// # Errors
/// Internal.
pub(super) fn with_label(rows: &RecordBatch, label: usize) -> Result<(RecordBatch, LabelCounts)> {
    let column = rows.column(label);
    let mut counts = LabelCounts { rows: rows.num_rows() as u64, ..LabelCounts::default() };
    let keep: BooleanArray = if column.data_type() == &DataType::Boolean {
        (0..rows.num_rows()).map(|row| Some(column.is_valid(row))).collect()
    } else {
        let values = cast(column, &DataType::Float64)?;
        let values = values.as_primitive::<Float64Type>();
        let is_label = |value: &f64| *value == 0.0 || *value == 1.0;
        counts.other = values.iter().flatten().filter(|value| !is_label(value)).count() as u64;
        counts.first_other = values.iter().flatten().find(|value| !is_label(value));
        values.iter().map(|value| Some(value.is_some_and(|value| is_label(&value)))).collect()
    };
    let kept = keep.true_count() as u64;
    counts.missing = counts.rows - kept - counts.other;
    if kept == counts.rows {
        return Ok((rows.clone(), counts));
    }
    Ok((filter_record_batch(rows, &keep)?, counts))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, Int64Array};
    use arrow::datatypes::Int64Type;

    use super::*;

    fn of(label: ArrayRef) -> (Vec<i64>, LabelCounts) {
        let place = Arc::new(Int64Array::from_iter_values(0..label.len() as i64)) as ArrayRef;
        let rows = RecordBatch::try_from_iter([("y", label), ("a", place)]).unwrap();
        let (kept, counts) = with_label(&rows, 0).unwrap();
        (kept["a"].as_primitive::<Int64Type>().values().to_vec(), counts)
    }

    #[test]
    fn values_that_are_no_label_are_left_out_and_counted() {
        let (kept, counts) = of(Arc::new(Int64Array::from(vec![Some(0), Some(2), None, Some(1), Some(7)])));
        assert_eq!(kept, [0, 3]);
        assert_eq!(counts, LabelCounts { rows: 5, missing: 1, other: 2, first_other: Some(2.0) });
        let refusal = counts.refusal("y").unwrap();
        assert!(refusal.contains("`y` is neither 0 nor 1 in 2 of 5 rows (2, say)"), "{refusal}");
        assert!(refusal.contains("`y = 2 AS y`"), "{refusal}");

        let (kept, counts) = of(Arc::new(Float64Array::from(vec![Some(f64::NAN), Some(1.0), Some(-0.0)])));
        assert_eq!((kept, counts.other), (vec![1, 2], 1));

        let (kept, counts) = of(Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])));
        assert_eq!(kept, [0, 2]);
        assert_eq!((counts.missing, counts.refusal("y")), (1, None));
    }

    #[test]
    fn counts_of_batches_add_up() {
        let mut all = LabelCounts { rows: 3, missing: 1, ..LabelCounts::default() };
        all.add(LabelCounts { rows: 2, missing: 0, other: 1, first_other: Some(9.0) });
        all.add(LabelCounts { rows: 1, missing: 0, other: 1, first_other: Some(8.0) });
        assert_eq!(all, LabelCounts { rows: 6, missing: 1, other: 2, first_other: Some(9.0) });
    }
}
