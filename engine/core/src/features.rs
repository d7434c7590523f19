//! From Arrow rows to a [`FeatureTable`]: the one way, of training and of prediction alike.
//!
//! | column | feature |
//! | --- | --- |
//! | number, decimal, boolean | a number; null is a missing value |
//! | text | a category; null is a missing value |
//! | anything else | refused: cast it |

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Schema};
use arrow::record_batch::RecordBatch;
use tidemill_ml::FeatureTable;

use crate::error::{Error, Result, suggestion};

/// Which columns of some rows are features, and of which kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FeatureColumns {
    numeric: Vec<Feature>,
    categorical: Vec<Feature>,
}

/// A column by its name, and its place among the columns.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Feature {
    name: String,
    column: usize,
}

/// What columns of a type are as features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Category,
}

fn kind_of(data_type: &DataType) -> Option<Kind> {
    match data_type {
        DataType::Boolean => Some(Kind::Number),
        of if of.is_numeric() => Some(Kind::Number),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(Kind::Category),
        DataType::Dictionary(_, values) => kind_of(values),
        _ => None,
    }
}

impl FeatureColumns {
    /// The columns of which `is_feature` holds, by their places and names.
    ///
    /// # Errors
    /// User: one is of a type that is no feature; there is none.
    pub(crate) fn of(schema: &Schema, is_feature: impl Fn(usize, &str) -> bool) -> Result<FeatureColumns> {
        let mut columns = FeatureColumns { numeric: Vec::new(), categorical: Vec::new() };
        for (column, field) in schema.fields().iter().enumerate() {
            let name = field.name();
            if !is_feature(column, name) {
                continue;
            }
            let feature = Feature { name: name.clone(), column };
            match kind_of(field.data_type()) {
                Some(Kind::Number) => columns.numeric.push(feature),
                Some(Kind::Category) => columns.categorical.push(feature),
                None => {
                    return Err(Error::user(format!("feature `{name}` is of type {}", field.data_type())).hint(
                        "numbers and booleans are numeric features, text is a category: cast it in the SELECT",
                    ));
                }
            }
        }
        if columns.numeric.is_empty() && columns.categorical.is_empty() {
            return Err(Error::user("the features SELECT has no feature beside the label"));
        }
        Ok(columns)
    }

    /// [`of`](FeatureColumns::of), where all features have to be numbers.
    ///
    /// # Errors
    /// User: one is none.
    pub(crate) fn of_numbers(
        schema: &Schema,
        is_feature: impl Fn(usize, &str) -> bool,
    ) -> Result<FeatureColumns> {
        for (column, field) in schema.fields().iter().enumerate() {
            if is_feature(column, field.name()) && kind_of(field.data_type()) != Some(Kind::Number) {
                let what = format!("feature `{}` is of type {}", field.name(), field.data_type());
                return Err(
                    Error::user(what).hint("clusters are of numbers: cast it, or leave it out of the SELECT")
                );
            }
        }
        FeatureColumns::of(schema, is_feature)
    }

    /// The columns of these names, numbers and categories, in this order.
    ///
    /// # Errors
    /// User: one is not there, or of another kind.
    pub(crate) fn named(
        schema: &Schema,
        numeric: &[String],
        categorical: &[String],
    ) -> Result<FeatureColumns> {
        let missing: Vec<&str> = numeric.iter().chain(categorical).map(String::as_str).collect();
        let missing: Vec<&str> =
            missing.into_iter().filter(|name| schema.column_with_name(name).is_none()).collect();
        if let Some(first) = missing.first() {
            let known: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            let what = format!("its features `{}` are not among the columns", missing.join("`, `"));
            return Err(Error::user(what).hint(suggestion(first, "columns", &known)));
        }
        let find = |names: &[String], kind: Kind, called: &str| {
            let column = |name: &String| {
                let (column, field) = schema
                    .column_with_name(name)
                    .ok_or_else(|| Error::internal("a column that was there"))?;
                // Where every value is NULL there is nothing that would be of another kind.
                if kind_of(field.data_type()) != Some(kind) && field.data_type() != &DataType::Null {
                    let what =
                        format!("feature `{name}` is {called}, the column is of type {}", field.data_type());
                    return Err(Error::user(what).hint("cast it, as the features SELECT of the model does"));
                }
                Ok(Feature { name: name.clone(), column })
            };
            names.iter().map(column).collect::<Result<Vec<_>>>()
        };
        Ok(FeatureColumns {
            numeric: find(numeric, Kind::Number, "a number")?,
            categorical: find(categorical, Kind::Category, "a text")?,
        })
    }

    /// A table for these features, without rows.
    pub(crate) fn table(&self) -> FeatureTable {
        let names = |of: &[Feature]| of.iter().map(|feature| feature.name.clone()).collect();
        FeatureTable::new(names(&self.numeric), names(&self.categorical))
    }

    /// How many features there are: numbers, and categories.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.numeric.len(), self.categorical.len())
    }

    /// Adds rows to a [`table`](FeatureColumns::table) of these features.
    ///
    /// # Errors
    /// Data: more rows or categories than a table holds.
    pub(crate) fn append(&self, rows: &RecordBatch, to: &mut FeatureTable) -> Result<()> {
        for (slot, feature) in self.numeric.iter().enumerate() {
            let values = numbers(rows.column(feature.column))?;
            let values = values.as_primitive::<Float64Type>();
            to.push_numeric(slot, values.iter().map(|v| v.unwrap_or(f64::NAN)));
        }
        for (slot, feature) in self.categorical.iter().enumerate() {
            let values = cast(rows.column(feature.column), &DataType::Utf8)?;
            to.push_category(slot, values.as_string::<i32>().iter());
        }
        Ok(to.finish_append()?)
    }
}

/// A column of numbers or booleans as doubles.
fn numbers(column: &ArrayRef) -> Result<ArrayRef> {
    Ok(cast(column, &DataType::Float64)?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BooleanArray, Date32Array, Int64Array, StringArray};

    use super::*;

    fn rows() -> RecordBatch {
        RecordBatch::try_from_iter([
            ("late", Arc::new(BooleanArray::from(vec![Some(true), None])) as ArrayRef),
            ("place", Arc::new(StringArray::from(vec![None, Some("street")]))),
            ("hour", Arc::new(Int64Array::from(vec![Some(7), None]))),
            ("day", Arc::new(Date32Array::from(vec![1, 2]))),
        ])
        .unwrap()
    }

    #[test]
    fn numbers_and_texts_become_features_and_null_is_missing() {
        let rows = rows();
        let columns = FeatureColumns::of(&rows.schema(), |_, name| name != "day").unwrap();
        assert_eq!(columns.counts(), (2, 1));
        let mut table = columns.table();
        columns.append(&rows, &mut table).unwrap();
        columns.append(&rows.slice(0, 1), &mut table).unwrap();
        assert_eq!((table.rows(), table.numeric_names()), (3, &["late".to_owned(), "hour".to_owned()][..]));
    }

    #[test]
    fn a_type_that_is_no_feature_is_named() {
        let schema = rows().schema();
        let error = FeatureColumns::of(&schema, |_, _| true).unwrap_err();
        assert!(error.to_string().contains("`day` is of type Date32"), "{error}");
        let error = FeatureColumns::of_numbers(&schema, |_, name| name != "day").unwrap_err();
        assert!(error.to_string().contains("`place` is of type Utf8"), "{error}");
        assert!(FeatureColumns::of(&schema, |_, _| false).is_err());
    }
}
