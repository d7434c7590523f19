//! Labels of committed rows: what is to be predicted.
//!
//! | a model learns | label | the row | the model |
//! | --- | --- | --- | --- |
//! | one of two classes | the first two values that are met (true and false, 0 and 1, 'yes' and 'no'), or `positive` and one other | is learned from | |
//! | | null, NaN | is left out | |
//! | | a third value | is left out | is not trained: of three classes it would learn two as if they were all |
//! | a number | finite | is learned from | |
//! | | null, NaN | is left out | |
//! | | infinite | is left out | is not trained |
//!
//! Of two classes the greater one is that which is looked for, unless `positive` says which; a 1 or a true is, also while
//! it is the only one.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use serde_json::Value;
use tidemill_ml::Target;

use crate::error::{Error, Result};

/// What labels some rows have.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct LabelCounts {
    /// Rows.
    pub(super) rows: u64,
    /// Rows whose label is null.
    pub(super) missing: u64,
    /// Rows whose label cannot be learned.
    pub(super) other: u64,
    /// What is wrong with them, by the first.
    pub(super) first_other: Option<String>,
}

impl LabelCounts {
    /// Takes in those of later rows.
    pub(super) fn add(&mut self, later: &LabelCounts) {
        self.rows += later.rows;
        self.missing += later.missing;
        self.other += later.other;
        if self.first_other.is_none() {
            self.first_other.clone_from(&later.first_other);
        }
    }

    /// Why a model cannot learn from these rows, if it cannot.
    pub(super) fn refusal(&self, label: &str) -> Option<String> {
        let first = self.first_other.as_ref()?;
        Some(format!("the label `{label}` {first}, in {} of {} rows", self.other, self.rows))
    }
}

/// The labels of all rows so far.
#[derive(Debug)]
pub(super) enum Labels {
    /// There is nothing to predict.
    None,
    /// Whether each row is of the class that is looked for.
    Classes(TwoClasses),
    /// A number of each row.
    Numbers(Vec<f64>),
}

/// Labels of two values.
#[derive(Debug)]
pub(super) struct TwoClasses {
    seen: Seen,
    /// The first of the values is the one that is looked for, whatever the other is.
    first_is_positive: bool,
    /// Of each row: whether it is of the class that is looked for.
    truths: Vec<bool>,
}

/// The values that were met, two at most, in the order in which they were.
#[derive(Debug)]
enum Seen {
    Numbers(Vec<f64>),
    Texts(Vec<String>),
}

impl Labels {
    /// For labels of this type, before the first row. `numbers`: they are learned as numbers; `positive`: the class that is
    /// looked for.
    ///
    /// # Errors
    /// User: they are of a type that is no label, or `positive` of another one.
    pub(super) fn new(name: &str, of: &DataType, numbers: bool, positive: Option<&Value>) -> Result<Labels> {
        let is_number = of == &DataType::Boolean || of.is_numeric();
        let is_text = matches!(of, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        if numbers {
            return match is_number {
                true => Ok(Labels::Numbers(Vec::new())),
                false => {
                    Err(Error::user(format!("the label `{name}` is to be a number, it is of type {of}")))
                }
            };
        }
        if !is_number && !is_text {
            return Err(Error::user(format!(
                "the label `{name}` is to be BOOLEAN, a number or a text, it is of type {of}"
            ))
            .hint("let the features SELECT say which rows are meant, as in `kind = 'x' AS label`"));
        }
        let seen = match (is_text, positive) {
            (true, None) => Seen::Texts(Vec::new()),
            (false, None) => Seen::Numbers(Vec::new()),
            (true, Some(Value::String(text))) => Seen::Texts(vec![text.clone()]),
            (false, Some(Value::Bool(truth))) => Seen::Numbers(vec![f64::from(u8::from(*truth))]),
            (false, Some(Value::Number(number))) => Seen::Numbers(number.as_f64().into_iter().collect()),
            (_, Some(other)) => {
                let what = format!("`positive` is {other}, and the label `{name}` is of type {of}");
                return Err(Error::user(what).hint("write the value that is looked for as the label has it"));
            }
        };
        Ok(Labels::Classes(TwoClasses { seen, first_is_positive: positive.is_some(), truths: Vec::new() }))
    }

    /// Takes in those of a column that can be learned; says which, and what became of all.
    ///
    /// # Errors
    /// Internal.
    pub(super) fn take(&mut self, column: &ArrayRef) -> Result<(BooleanArray, LabelCounts)> {
        let mut counts = LabelCounts { rows: column.len() as u64, ..LabelCounts::default() };
        let keep = match self {
            Labels::None => (0..column.len()).map(|_| Some(true)).collect(),
            Labels::Numbers(values) => {
                let column = cast(column, &DataType::Float64)?;
                let mut kept = |value: Option<f64>| match value.filter(|value| !value.is_nan()) {
                    Some(value) if value.is_finite() => {
                        values.push(value);
                        true
                    }
                    Some(value) => counts.refuse(|| format!("is {value}")),
                    None => counts.miss(),
                };
                column.as_primitive::<Float64Type>().iter().map(|value| Some(kept(value))).collect()
            }
            Labels::Classes(TwoClasses { seen: Seen::Texts(seen), first_is_positive, truths }) => {
                let column = cast(column, &DataType::Utf8)?;
                let mut kept = |value: Option<&str>| {
                    let Some(value) = value else { return counts.miss() };
                    if seen.len() < 2 && !seen.iter().any(|of| of == value) {
                        seen.push(value.to_owned());
                        settle(*first_is_positive, seen, truths);
                    }
                    let Some(class) = seen.iter().position(|of| of == value) else {
                        return counts.refuse(|| third(value, seen));
                    };
                    truths.push(class == positive(*first_is_positive, seen));
                    true
                };
                column.as_string::<i32>().iter().map(|value| Some(kept(value))).collect()
            }
            Labels::Classes(TwoClasses { seen: Seen::Numbers(seen), first_is_positive, truths }) => {
                let column = cast(column, &DataType::Float64)?;
                let mut kept = |value: Option<f64>| {
                    let Some(value) = value.filter(|value| !value.is_nan()) else { return counts.miss() };
                    if seen.len() < 2 && !seen.contains(&value) {
                        seen.push(value);
                        settle(*first_is_positive, seen, truths);
                    }
                    let Some(class) = seen.iter().position(|of| *of == value) else {
                        return counts.refuse(|| third(value, seen));
                    };
                    let alone = seen.len() == 1 && !*first_is_positive;
                    truths.push(if alone {
                        value == 1.0
                    } else {
                        class == positive(*first_is_positive, seen)
                    });
                    true
                };
                column.as_primitive::<Float64Type>().iter().map(|value| Some(kept(value))).collect()
            }
        };
        Ok((keep, counts))
    }

    /// As what a model learns to predict.
    pub(super) fn target(&self) -> Target<'_> {
        match self {
            Labels::None => Target::None,
            Labels::Classes(classes) => Target::Binary(&classes.truths),
            Labels::Numbers(values) => Target::Numbers(values),
        }
    }

    /// Forgets all rows.
    pub(super) fn clear(&mut self) {
        match self {
            Labels::None => {}
            Labels::Classes(classes) => classes.truths = Vec::new(),
            Labels::Numbers(values) => *values = Vec::new(),
        }
    }

    /// A row's label in a hash of the row, for those from `start` on: what it is to be combined with.
    pub(super) fn marks(&self, start: usize) -> Vec<u64> {
        match self {
            Labels::None => Vec::new(),
            Labels::Classes(classes) => {
                let rows = classes.truths.get(start..).unwrap_or_default();
                rows.iter().map(|truth| if *truth { u64::MAX } else { 0 }).collect()
            }
            Labels::Numbers(values) => {
                let rows = values.get(start..).unwrap_or_default();
                rows.iter().map(|value| value.to_bits().wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect()
            }
        }
    }
}

impl LabelCounts {
    fn miss(&mut self) -> bool {
        self.missing += 1;
        false
    }

    fn refuse(&mut self, why: impl FnOnce() -> String) -> bool {
        self.other += 1;
        self.first_other.get_or_insert_with(why);
        false
    }
}

fn third(value: impl std::fmt::Display, seen: &[impl std::fmt::Display]) -> String {
    let seen: Vec<String> = seen.iter().map(ToString::to_string).collect();
    format!(
        "is {value} beside {}, and a classifier has two classes (let the features SELECT say which is meant, or leave the others \
         out by its WHERE)",
        seen.join(" and ")
    )
}

/// Which of the values that were met is looked for.
fn positive<T: PartialOrd>(first_is_positive: bool, seen: &[T]) -> usize {
    match seen {
        _ if first_is_positive => 0,
        [first, second] => usize::from(second > first),
        // Of one alone nothing is learned; which it is shows by the second.
        _ => usize::MAX,
    }
}

/// The second value is there: the rows of the first are of the class that is looked for if that is the greater.
fn settle<T: PartialOrd>(first_is_positive: bool, seen: &[T], truths: &mut [bool]) {
    if seen.len() == 2 && !first_is_positive {
        truths.fill(positive(false, seen) == 0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, StringArray};
    use serde_json::json;

    use super::*;

    /// The rows that are kept, their labels, and the counts, of columns one after the other.
    fn of(positive: Option<Value>, columns: &[ArrayRef]) -> (Vec<usize>, Vec<bool>, LabelCounts) {
        let mut labels = Labels::new("y", columns[0].data_type(), false, positive.as_ref()).unwrap();
        let (mut kept, mut all, mut at) = (Vec::new(), LabelCounts::default(), 0);
        for column in columns {
            let (keep, counts) = labels.take(column).unwrap();
            kept.extend((0..keep.len()).filter(|&row| keep.value(row)).map(|row| at + row));
            at += keep.len();
            all.add(&counts);
        }
        let Target::Binary(truths) = labels.target() else { panic!("two classes") };
        assert_eq!((truths.len(), labels.marks(0).len()), (kept.len(), kept.len()));
        (kept, truths.to_vec(), all)
    }

    fn texts(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    #[test]
    fn a_third_value_is_left_out_counted_and_told() {
        let (kept, truths, counts) =
            of(None, &[Arc::new(Int64Array::from(vec![Some(0), Some(1), None, Some(2), Some(1), Some(7)]))]);
        assert_eq!((kept, truths), (vec![0, 1, 4], vec![false, true, true]));
        assert_eq!((counts.rows, counts.missing, counts.other), (6, 1, 2));
        let refusal = counts.refusal("y").unwrap();
        assert!(
            refusal.contains("`y` is 2 beside 0 and 1") && refusal.contains("in 2 of 6 rows"),
            "{refusal}"
        );

        let (kept, truths, counts) =
            of(None, &[Arc::new(Float64Array::from(vec![Some(f64::NAN), Some(1.0), Some(-0.0), Some(0.0)]))]);
        assert_eq!((kept, truths, counts.missing), (vec![1, 2, 3], vec![true, false, false], 1));

        let (kept, truths, counts) =
            of(None, &[Arc::new(BooleanArray::from(vec![Some(true), None, Some(true)]))]);
        assert_eq!((kept, truths), (vec![0, 2], vec![true, true]), "a true alone is what is looked for");
        assert_eq!((counts.missing, counts.refusal("y")), (1, None));
    }

    #[test]
    fn the_greater_is_looked_for_or_what_positive_says_however_the_rows_are_cut() {
        let all = [Some("yes"), Some("yes"), None, Some("no"), Some("yes"), Some("maybe")];
        for cut in 0..=all.len() {
            let parts = [texts(&all[..cut]), texts(&all[cut..])];
            let (kept, truths, counts) = of(None, &parts);
            assert_eq!((kept, truths), (vec![0, 1, 3, 4], vec![true, true, false, true]), "{cut}");
            assert_eq!((counts.missing, counts.other), (1, 1));
            let (_, truths, _) = of(Some(json!("no")), &parts);
            assert_eq!(truths, [false, false, true, false], "{cut}");
        }
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![2, 1, 1]));
        assert_eq!(of(None, std::slice::from_ref(&numbers)).1, [true, false, false]);
        assert_eq!(of(Some(json!(1)), &[numbers]).1, [false, true, true]);
        // What is looked for never came: three others are one too many.
        let (kept, truths, counts) = of(Some(json!("x")), &[texts(&[Some("a"), Some("b"), Some("a")])]);
        assert_eq!((kept, truths, counts.other), (vec![0, 2], vec![false, false], 1));
    }

    #[test]
    fn numbers_are_learned_as_they_are_and_infinite_ones_refused() {
        let mut labels = Labels::new("y", &DataType::Float64, true, None).unwrap();
        let values = vec![Some(3.5), None, Some(f64::NAN), Some(f64::INFINITY), Some(-1.0)];
        let (keep, counts) = labels.take(&(Arc::new(Float64Array::from(values)) as ArrayRef)).unwrap();
        assert_eq!(keep.true_count(), 2);
        assert_eq!(labels.target(), Target::Numbers(&[3.5, -1.0]));
        assert_eq!((counts.missing, counts.other), (2, 1));
        assert_eq!(counts.refusal("y").unwrap(), "the label `y` is inf, in 1 of 5 rows");
    }

    #[test]
    fn a_label_or_positive_of_another_type_is_refused() {
        assert!(Labels::new("y", &DataType::Date32, false, None).is_err());
        assert!(Labels::new("y", &DataType::Utf8, true, None).is_err());
        assert!(Labels::new("y", &DataType::Utf8, false, Some(&json!(1))).is_err());
        assert!(Labels::new("y", &DataType::Int64, false, Some(&json!("yes"))).is_err());
        assert!(Labels::new("y", &DataType::Boolean, false, Some(&json!(false))).is_ok());
    }
}
