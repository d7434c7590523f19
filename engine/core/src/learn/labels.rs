//! Labels of committed rows: what is to be predicted.
//!
//! | a model learns | label | the row | the model |
//! | --- | --- | --- | --- |
//! | one of two classes | the first two values that are met (true and false, 0 and 1, 'yes' and 'no'), or `positive` and one other | is learned from | |
//! | | null, NaN | is left out | |
//! | | a third value, an infinite number | is left out | is not trained: of three classes it would learn two as if they were all |
//! | one of many classes | as `classes` says | | |
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

use super::classes::{ManyClasses, NumberKind, number_of, value_of};
use crate::error::{Error, Result};
use crate::project::TargetForm;

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
    Two(TwoClasses),
    /// The class of each row.
    Many(ManyClasses),
    /// A number of each row.
    Numbers(Vec<f64>),
}

/// Labels of two values.
#[derive(Debug)]
pub(super) struct TwoClasses {
    seen: Seen,
    /// What the numbers are, where they are numbers.
    kind: NumberKind,
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
    /// For labels of this type, before the first row, that are learned in this form.
    ///
    /// # Errors
    /// User: they are of a type that is no label, or a class that the job names of another one.
    pub(super) fn new(name: &str, of: &DataType, form: &TargetForm) -> Result<Labels> {
        let is_number = of == &DataType::Boolean || of.is_numeric();
        let is_text = matches!(of, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        if *form == TargetForm::Number {
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
        let (positive, negative) = match form {
            TargetForm::Named(classes) => return ManyClasses::new(name, of, Some(classes)).map(Labels::Many),
            TargetForm::Met => return ManyClasses::new(name, of, None).map(Labels::Many),
            TargetForm::Two { positive, negative } => (positive, negative),
            TargetForm::Number => return Err(Error::internal("a number is no class")),
        };
        let said: Vec<&Value> = positive.iter().chain(negative).collect();
        let refused = |value: &Value| {
            let what = format!("`positive` is {value}, and the label `{name}` is of type {of}");
            Error::user(what).hint("write the value that is looked for as the label has it")
        };
        let seen = match is_text {
            true => {
                let text = |value: &&Value| value.as_str().map(str::to_owned).ok_or_else(|| refused(value));
                Seen::Texts(said.iter().map(text).collect::<Result<_>>()?)
            }
            false => {
                let number = |value: &&Value| number_of(value).ok_or_else(|| refused(value));
                Seen::Numbers(said.iter().map(number).collect::<Result<_>>()?)
            }
        };
        let mut classes = TwoClasses {
            seen,
            kind: NumberKind::of(of),
            first_is_positive: positive.is_some(),
            truths: Vec::new(),
        };
        if let (NumberKind::Truth, Seen::Numbers(seen)) = (classes.kind, &mut classes.seen) {
            // Of booleans both are known.
            let positive = seen.first().copied().unwrap_or(1.0);
            (*seen, classes.first_is_positive) = (vec![positive, 1.0 - positive], true);
        }
        Ok(Labels::Two(classes))
    }

    /// [`new`](Labels::new) for rows among which not all of the classes may be that are known from others, by their numbers.
    ///
    /// # Errors
    /// As those.
    pub(super) fn knowing(name: &str, of: &DataType, form: &TargetForm, known: &[Value]) -> Result<Labels> {
        let labels = match (form, known) {
            (TargetForm::Two { .. }, [negative, positive]) => {
                let (positive, negative) = (Some(positive.clone()), Some(negative.clone()));
                Labels::new(name, of, &TargetForm::Two { positive, negative })
            }
            (TargetForm::Met, [_, ..]) => ManyClasses::going_on(name, of, known).map(Labels::Many),
            _ => return Labels::new(name, of, form),
        };
        // The target may be of another type than it was.
        labels.or_else(|_| Labels::new(name, of, form))
    }

    /// Takes in those of a column that can be learned; says which, and what became of all.
    ///
    /// # Errors
    /// Internal.
    pub(super) fn take(&mut self, column: &ArrayRef) -> Result<(BooleanArray, LabelCounts)> {
        let mut counts = LabelCounts { rows: column.len() as u64, ..LabelCounts::default() };
        let keep = match self {
            Labels::None => (0..column.len()).map(|_| Some(true)).collect(),
            Labels::Many(classes) => classes.take(column, &mut counts)?,
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
            Labels::Two(TwoClasses { seen: Seen::Texts(seen), first_is_positive, truths, .. }) => {
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
            Labels::Two(TwoClasses { seen: Seen::Numbers(seen), first_is_positive, truths, .. }) => {
                let column = cast(column, &DataType::Float64)?;
                let mut kept = |value: Option<f64>| {
                    let Some(value) = value.filter(|value| !value.is_nan()) else { return counts.miss() };
                    if value.is_infinite() {
                        return counts.refuse(|| format!("is {value}"));
                    }
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
            Labels::Two(classes) => Target::Binary(&classes.truths),
            Labels::Many(classes) => {
                Target::Classes { labels: classes.labels(), classes: classes.values().len() as u32 }
            }
            Labels::Numbers(values) => Target::Numbers(values),
        }
    }

    /// [`target`](Labels::target) to train on: a class that has no rows to train on has no number there.
    pub(super) fn target_of_training(&self) -> Target<'_> {
        match self {
            Labels::Many(classes) => Target::Classes {
                labels: classes.labels_of_training(),
                classes: classes.trained().len() as u32,
            },
            others => others.target(),
        }
    }

    /// Of each row the number of its class, of two 1 for the one that is looked for; none where there are no classes.
    pub(super) fn numbers(&self) -> Vec<u32> {
        match self {
            Labels::Many(classes) => classes.labels().to_vec(),
            Labels::Two(classes) => classes.truths.iter().map(|truth| u32::from(*truth)).collect(),
            Labels::None | Labels::Numbers(_) => Vec::new(),
        }
    }

    /// The classes by their numbers, of two the one that is looked for last; none where they are not known yet, or there are
    /// none.
    pub(super) fn classes(&self) -> Vec<Value> {
        match self {
            Labels::Many(classes) => classes.values().to_vec(),
            Labels::Two(TwoClasses { seen, kind, first_is_positive, .. }) => match seen {
                Seen::Texts(seen) => in_order(*first_is_positive, seen, |text| Value::from(text.as_str())),
                Seen::Numbers(seen) => in_order(*first_is_positive, seen, |number| value_of(*number, *kind)),
            },
            Labels::None | Labels::Numbers(_) => Vec::new(),
        }
    }

    /// The classes of [`target_of_training`](Labels::target_of_training).
    pub(super) fn classes_of_training(&self) -> Vec<Value> {
        match self {
            Labels::Many(classes) => classes.trained(),
            others => others.classes(),
        }
    }

    /// Takes note of the rows to train on, all that there are by now.
    pub(super) fn settle(&mut self, training: &[u32]) {
        if let Labels::Many(classes) = self {
            classes.settle(training);
        }
    }

    /// Forgets all rows.
    pub(super) fn clear(&mut self) {
        match self {
            Labels::None => {}
            Labels::Two(classes) => classes.truths = Vec::new(),
            Labels::Many(classes) => classes.clear(),
            Labels::Numbers(values) => *values = Vec::new(),
        }
    }

    /// A row's label in a hash of the row, for those from `start` on: what it is to be combined with.
    pub(super) fn marks(&self, start: usize) -> Vec<u64> {
        match self {
            Labels::None => Vec::new(),
            Labels::Many(classes) => {
                let rows = classes.labels().get(start..).unwrap_or_default();
                rows.iter().map(|label| u64::from(label + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect()
            }
            Labels::Two(classes) => {
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
    pub(super) fn miss(&mut self) -> bool {
        self.missing += 1;
        false
    }

    pub(super) fn refuse(&mut self, why: impl FnOnce() -> String) -> bool {
        self.other += 1;
        self.first_other.get_or_insert_with(why);
        false
    }
}

fn third(value: impl std::fmt::Display, seen: &[impl std::fmt::Display]) -> String {
    let seen: Vec<String> = seen.iter().map(ToString::to_string).collect();
    format!(
        "is {value} beside {}, and a classifier has two classes (name more by `classes`, let the features SELECT say which is \
         meant, or leave the others out by its WHERE)",
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

/// Two values, the one that is looked for last; none while one is missing.
fn in_order<T: PartialOrd>(first_is_positive: bool, seen: &[T], value: impl Fn(&T) -> Value) -> Vec<Value> {
    match seen {
        [first, second] if positive(first_is_positive, seen) == 0 => vec![value(second), value(first)],
        [first, second] => vec![value(first), value(second)],
        _ => Vec::new(),
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

    fn two(positive: Option<Value>) -> TargetForm {
        TargetForm::Two { positive, negative: None }
    }

    /// The rows that are kept, their labels, and the counts, of columns one after the other.
    fn of(positive: Option<Value>, columns: &[ArrayRef]) -> (Vec<usize>, Vec<bool>, LabelCounts) {
        let mut labels = Labels::new("y", columns[0].data_type(), &two(positive)).unwrap();
        let (mut kept, mut all, mut at) = (Vec::new(), LabelCounts::default(), 0);
        for column in columns {
            let (keep, counts) = labels.take(column).unwrap();
            kept.extend((0..keep.len()).filter(|&row| keep.value(row)).map(|row| at + row));
            at += keep.len();
            all.add(&counts);
        }
        let Target::Binary(truths) = labels.target() else { panic!("two classes") };
        assert_eq!((truths.len(), labels.marks(0).len()), (kept.len(), kept.len()));
        let is_known = labels.classes().len() == 2;
        assert!(is_known || truths.iter().all(|truth| *truth == truths[0]), "{:?}", labels.classes());
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
        let mut labels = Labels::new("y", &DataType::Float64, &TargetForm::Number).unwrap();
        let values = vec![Some(3.5), None, Some(f64::NAN), Some(f64::INFINITY), Some(-1.0)];
        let (keep, counts) = labels.take(&(Arc::new(Float64Array::from(values)) as ArrayRef)).unwrap();
        assert_eq!(keep.true_count(), 2);
        assert_eq!(labels.target(), Target::Numbers(&[3.5, -1.0]));
        assert_eq!((counts.missing, counts.other), (2, 1));
        assert_eq!(counts.refusal("y").unwrap(), "the label `y` is inf, in 1 of 5 rows");
    }

    /// Of two classes the one that is looked for is the last, written as the label has it.
    #[test]
    fn classes_are_named_as_the_label_has_them() {
        let of = |form: TargetForm, column: ArrayRef| {
            let mut labels = Labels::new("y", column.data_type(), &form).unwrap();
            labels.take(&column).unwrap();
            labels.classes()
        };
        let yes = || texts(&[Some("yes"), Some("no")]);
        assert_eq!(of(two(None), yes()), [json!("no"), json!("yes")]);
        assert_eq!(of(two(Some(json!("no"))), yes()), [json!("yes"), json!("no")]);
        assert_eq!(of(two(None), texts(&[Some("yes"), None])), [] as [Value; 0]);
        let truths: ArrayRef = Arc::new(BooleanArray::from(vec![false]));
        assert_eq!(of(two(None), truths.clone()), [json!(false), json!(true)]);
        assert_eq!(of(two(Some(json!(false))), truths), [json!(true), json!(false)]);
        assert_eq!(of(two(None), Arc::new(Int64Array::from(vec![7, 5]))), [json!(5), json!(7)]);
        assert_eq!(of(two(None), Arc::new(Float64Array::from(vec![0.5, 1.0]))), [json!(0.5), json!(1.0)]);
        assert_eq!(of(TargetForm::Met, yes()), [json!("yes"), json!("no")]);
    }

    #[test]
    fn a_label_or_positive_of_another_type_is_refused() {
        assert!(Labels::new("y", &DataType::Date32, &two(None)).is_err());
        assert!(Labels::new("y", &DataType::Utf8, &TargetForm::Number).is_err());
        assert!(Labels::new("y", &DataType::Utf8, &two(Some(json!(1)))).is_err());
        assert!(Labels::new("y", &DataType::Int64, &two(Some(json!("yes")))).is_err());
        assert!(Labels::new("y", &DataType::Boolean, &two(Some(json!(false)))).is_ok());
    }
}
