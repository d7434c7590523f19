//! Labels of many classes: values and the numbers that they have.
//!
//! | a row's label | classes that are named | all that are met |
//! | --- | --- | --- |
//! | a class that is known | is learned from | is learned from |
//! | another value | is left out, and no model is trained | gets the next number; beyond [`MOST_MET`] as in the other column |
//! | null, NaN | is left out | is left out |
//! | infinite | is left out, and no model is trained | is left out, and no model is trained |
//!
//! A number once given is never another value's: those that are named have their place in the job, those that are met the
//! order of the committed rows. A model knows the classes of the rows that it learned from, in the order of their numbers.

use std::collections::HashMap;

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use serde_json::Value;

use super::labels::LabelCounts;
use crate::error::{Error, Result};

/// So many values may be met: what has more is a number, or a name.
const MOST_MET: usize = 100;

/// Labels of many values.
#[derive(Debug)]
pub(super) struct ManyClasses {
    /// The value of each number, as the label has it.
    values: Vec<Value>,
    numbers: Numbers,
    /// Whether values that are met get numbers.
    is_open: bool,
    /// Of each row the number of its class.
    labels: Vec<u32>,
    /// Of each class the rows to train on.
    training: Vec<u64>,
    /// So many of the rows to train on are counted there.
    counted: usize,
    /// As `labels`, by the place of the class among those that have rows to train on; where others have none.
    of_training: Option<Vec<u32>>,
}

/// The number of each value.
#[derive(Debug)]
enum Numbers {
    Texts(HashMap<String, u32>),
    /// By the bits of the number.
    Doubles {
        of: HashMap<u64, u32>,
        kind: NumberKind,
    },
}

/// What the numbers of a label are.
#[derive(Debug, Clone, Copy)]
pub(super) enum NumberKind {
    Truth,
    Whole,
    Double,
}

impl NumberKind {
    /// Of a column of this type.
    pub(super) fn of(data_type: &DataType) -> NumberKind {
        match data_type {
            DataType::Boolean => NumberKind::Truth,
            of if of.is_integer() => NumberKind::Whole,
            _ => NumberKind::Double,
        }
    }
}

/// The value of a label as a model's record has it.
pub(super) fn value_of(number: f64, kind: NumberKind) -> Value {
    match kind {
        NumberKind::Truth => Value::Bool(number != 0.0),
        // A label beyond 2⁵³ is no number of a class that anybody meant.
        NumberKind::Whole => Value::from(number as i64),
        NumberKind::Double => Value::from(number),
    }
}

/// The bits of a number; both zeros are one.
fn bits(number: f64) -> u64 {
    (number + 0.0).to_bits()
}

/// A number that a job names a class by.
pub(super) fn number_of(class: &Value) -> Option<f64> {
    match class {
        Value::Bool(truth) => Some(f64::from(u8::from(*truth))),
        Value::Number(number) => number.as_f64(),
        _ => None,
    }
}

impl ManyClasses {
    /// For labels of this type, before the first row: of these classes, or of those that are met.
    ///
    /// # Errors
    /// User: a class is of another type than the label.
    pub(super) fn new(name: &str, of: &DataType, named: Option<&[Value]>) -> Result<ManyClasses> {
        let numbers = match of == &DataType::Boolean || of.is_numeric() {
            true => Numbers::Doubles { of: HashMap::new(), kind: NumberKind::of(of) },
            false => Numbers::Texts(HashMap::new()),
        };
        let mut classes = ManyClasses {
            values: Vec::new(),
            numbers,
            is_open: named.is_none(),
            labels: Vec::new(),
            training: Vec::new(),
            counted: 0,
            of_training: None,
        };
        for class in named.unwrap_or_default() {
            let is_known = match (&classes.numbers, class) {
                (Numbers::Texts(_), Value::String(text)) => classes.add_text(text).is_some(),
                (Numbers::Doubles { kind, .. }, class) => {
                    let kind = *kind;
                    let is_whole = |number: f64| !matches!(kind, NumberKind::Whole) || number.fract() == 0.0;
                    let number = number_of(class).filter(|number| number.is_finite() && is_whole(*number));
                    number.is_some_and(|number| classes.add_number(number, kind).is_some())
                }
                _ => false,
            };
            if !is_known {
                return Err(Error::user(format!(
                    "`classes` has {class}, and the target `{name}` is of type {of}"
                ))
                .hint("write the values as the target has them"));
            }
        }
        Ok(classes)
    }

    /// For labels of this type, those that are met after these.
    ///
    /// # Errors
    /// As [`new`](ManyClasses::new).
    pub(super) fn going_on(name: &str, of: &DataType, known: &[Value]) -> Result<ManyClasses> {
        let named = ManyClasses::new(name, of, Some(known))?;
        Ok(ManyClasses { is_open: true, ..named })
    }

    /// Gives a value the next number; `None` where there are enough.
    fn next(&mut self, value: Value) -> Option<u32> {
        let number = u32::try_from(self.values.len()).ok()?;
        self.values.push(value);
        self.training.push(0);
        Some(number)
    }

    fn add_text(&mut self, text: &str) -> Option<u32> {
        let number = self.next(Value::from(text))?;
        if let Numbers::Texts(of) = &mut self.numbers {
            of.insert(text.to_owned(), number);
        }
        Some(number)
    }

    fn add_number(&mut self, value: f64, kind: NumberKind) -> Option<u32> {
        let number = self.next(value_of(value, kind))?;
        if let Numbers::Doubles { of, .. } = &mut self.numbers {
            of.insert(bits(value), number);
        }
        Some(number)
    }

    /// Takes in those of a column that can be learned; says which.
    ///
    /// # Errors
    /// Internal.
    pub(super) fn take(&mut self, column: &ArrayRef, counts: &mut LabelCounts) -> Result<BooleanArray> {
        let kind = match self.numbers {
            Numbers::Texts(_) => {
                let column = cast(column, &DataType::Utf8)?;
                let texts = column.as_string::<i32>();
                return Ok(texts.iter().map(|text| Some(self.take_text(text, counts))).collect());
            }
            Numbers::Doubles { kind, .. } => kind,
        };
        let column = cast(column, &DataType::Float64)?;
        let numbers = column.as_primitive::<Float64Type>();
        Ok(numbers.iter().map(|number| Some(self.take_number(number, kind, counts))).collect())
    }

    fn take_text(&mut self, text: Option<&str>, counts: &mut LabelCounts) -> bool {
        let Some(text) = text else { return counts.miss() };
        let known = match &self.numbers {
            Numbers::Texts(of) => of.get(text).copied(),
            Numbers::Doubles { .. } => None,
        };
        match known.or_else(|| self.may_grow().then(|| self.add_text(text)).flatten()) {
            Some(number) => self.keep(number),
            None => counts.refuse(|| self.another(&format!("{text:?}"))),
        }
    }

    fn take_number(&mut self, number: Option<f64>, kind: NumberKind, counts: &mut LabelCounts) -> bool {
        let Some(value) = number.filter(|number| !number.is_nan()) else { return counts.miss() };
        if value.is_infinite() {
            return counts.refuse(|| format!("is {value}"));
        }
        let known = match &self.numbers {
            Numbers::Doubles { of, .. } => of.get(&bits(value)).copied(),
            Numbers::Texts(_) => None,
        };
        match known.or_else(|| self.may_grow().then(|| self.add_number(value, kind)).flatten()) {
            Some(number) => self.keep(number),
            None => counts.refuse(|| self.another(&value_of(value, kind).to_string())),
        }
    }

    fn may_grow(&self) -> bool {
        self.is_open && self.values.len() < MOST_MET
    }

    fn keep(&mut self, number: u32) -> bool {
        self.labels.push(number);
        true
    }

    /// What is wrong with a value that has no number.
    fn another(&self, value: &str) -> String {
        match self.is_open {
            true => format!(
                "is {value} beside {MOST_MET} other values (take `task = \"regress\"` for a number, or name the classes)"
            ),
            false => {
                let known: Vec<String> = self.values.iter().map(Value::to_string).collect();
                format!(
                    "is {value}, which is none of `classes`, {} (name it there, or leave such rows out by a WHERE of the \
                     features SELECT)",
                    known.join(", ")
                )
            }
        }
    }

    /// Takes note of the rows to train on, all that there are by now.
    pub(super) fn settle(&mut self, training: &[u32]) {
        for &row in training.get(self.counted..).unwrap_or_default() {
            if let Some(&label) = self.labels.get(row as usize) {
                self.training[label as usize] += 1;
            }
        }
        self.counted = training.len();
        let mut places = 0;
        let place_of: Vec<u32> = self
            .training
            .iter()
            .map(|&rows| {
                let place = places;
                places += u32::from(rows > 0);
                place
            })
            .collect();
        let is_whole = places as usize == self.values.len();
        // Rows of the others are not trained on, so that it does not matter what they are.
        let of_training = || self.labels.iter().map(|&label| place_of[label as usize]).collect();
        self.of_training = if is_whole { None } else { Some(of_training()) };
    }

    /// The value of each number.
    pub(super) fn values(&self) -> &[Value] {
        &self.values
    }

    /// The classes that have rows to train on.
    pub(super) fn trained(&self) -> Vec<Value> {
        let each = self.values.iter().zip(&self.training);
        each.filter(|(_, rows)| **rows > 0).map(|(value, _)| value.clone()).collect()
    }

    /// Of each row the number of its class.
    pub(super) fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// Of each row the place of its class among those that have rows to train on.
    pub(super) fn labels_of_training(&self) -> &[u32] {
        self.of_training.as_ref().unwrap_or(&self.labels)
    }

    /// Forgets all rows, but no number.
    pub(super) fn clear(&mut self) {
        (self.labels, self.of_training, self.counted) = (Vec::new(), None, 0);
        self.training.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, StringArray};
    use serde_json::json;

    use super::*;

    fn texts(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    #[test]
    fn a_class_that_is_met_later_has_the_next_number_however_the_rows_are_cut() {
        let all = [Some("b"), None, Some("a"), Some("b"), Some("c"), Some("a")];
        for cut in 0..=all.len() {
            let mut classes = ManyClasses::new("y", &DataType::Utf8, None).unwrap();
            let mut counts = LabelCounts::default();
            for part in [&all[..cut], &all[cut..]] {
                classes.take(&texts(part), &mut counts).unwrap();
            }
            assert_eq!((classes.labels(), counts.missing), (&[0, 1, 0, 2, 1][..], 1));
            assert_eq!(classes.values(), [json!("b"), json!("a"), json!("c")]);
            // The only row of `b` that is left to train on, and `c`: `a` has none yet.
            classes.settle(&[0, 3]);
            assert_eq!(classes.trained(), [json!("b"), json!("c")]);
            let of_training = classes.labels_of_training();
            assert_eq!((of_training[0], of_training[3]), (0, 1));
            classes.settle(&[0, 3, 4]);
            assert_eq!((classes.trained().len(), classes.labels_of_training()), (3, classes.labels()));
        }
    }

    #[test]
    fn named_classes_have_their_places_and_other_values_are_told() {
        let named = [json!(3), json!(1), json!(2)];
        let mut classes = ManyClasses::new("y", &DataType::Int64, Some(&named)).unwrap();
        let mut counts = LabelCounts::default();
        let column: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(3), Some(4), None, Some(2)]));
        let keep = classes.take(&column, &mut counts).unwrap();
        assert_eq!((keep.true_count(), classes.labels()), (3, &[1, 0, 2][..]));
        assert_eq!((counts.missing, counts.other), (1, 1));
        let first = counts.first_other.unwrap();
        assert!(first.starts_with("is 4, which is none of `classes`, 3, 1, 2"), "{first}");
        for (of, class) in
            [(DataType::Int64, json!("a")), (DataType::Int64, json!(1.5)), (DataType::Utf8, json!(1))]
        {
            let error = ManyClasses::new("y", &of, Some(&[class])).unwrap_err().to_string();
            assert!(error.contains("the target `y` is of type"), "{error}");
        }
    }

    #[test]
    fn infinite_numbers_and_too_many_values_are_told() {
        let mut classes = ManyClasses::new("y", &DataType::Float64, None).unwrap();
        let mut counts = LabelCounts::default();
        let column: ArrayRef =
            Arc::new(Float64Array::from(vec![0.5, -0.0, 0.0, f64::NAN, f64::INFINITY, 0.5]));
        classes.take(&column, &mut counts).unwrap();
        assert_eq!(classes.labels(), [0, 1, 1, 0]);
        assert_eq!(classes.values(), [json!(0.5), json!(0.0)]);
        assert_eq!((counts.missing, counts.other, counts.first_other.unwrap().as_str()), (1, 1, "is inf"));
        let mut counts = LabelCounts::default();
        let column: ArrayRef = Arc::new((0..200).map(|i| Some(f64::from(i))).collect::<Float64Array>());
        classes.take(&column, &mut counts).unwrap();
        assert_eq!((classes.values().len(), counts.other), (MOST_MET, 101));
        assert!(counts.first_other.unwrap().contains("beside 100 other values"));
    }
}
