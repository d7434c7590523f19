//! What a classifier of many classes says of rows: the class as the target has it, and how probable each is.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, StructArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Fields};
use serde_json::Value;
use tidemill_ml::Fitted;

use crate::error::{Error, Result};
use crate::registry::Loaded;

/// The classes of a model of many, by their numbers.
#[derive(Debug)]
pub(super) struct Classes {
    /// One value for each.
    values: ArrayRef,
    /// What each is called as a column.
    names: Vec<String>,
}

impl Classes {
    /// Those of a model; `None` where it tells two classes apart, or none.
    pub(super) fn of(loaded: &Loaded) -> Option<Classes> {
        let count = count(&loaded.model)?;
        let said = &loaded.entry.outcome.classes;
        let numbers: Vec<Value> = (0..count).map(Value::from).collect();
        // A record always names them.
        Some(Classes::named(if said.len() == count as usize { said } else { &numbers }))
    }

    fn named(values: &[Value]) -> Classes {
        let names =
            values.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        let names: Vec<String> = names.collect();
        let values: ArrayRef = if values.iter().all(Value::is_i64) {
            Arc::new(values.iter().map(Value::as_i64).collect::<Int64Array>())
        } else if values.iter().all(Value::is_number) {
            Arc::new(values.iter().map(Value::as_f64).collect::<Float64Array>())
        } else if values.iter().all(Value::is_boolean) {
            Arc::new(values.iter().map(Value::as_bool).collect::<BooleanArray>())
        } else {
            Arc::new(StringArray::from_iter_values(&names))
        };
        Classes { values, names }
    }

    /// The type of a class.
    pub(super) fn data_type(&self) -> &DataType {
        self.values.data_type()
    }

    /// The type of the probabilities: a struct with a field for each class, by its name.
    pub(super) fn probabilities_type(&self) -> DataType {
        DataType::Struct(self.fields())
    }

    fn fields(&self) -> Fields {
        self.names.iter().map(|name| Field::new(name, DataType::Float64, true)).collect()
    }

    /// Of each row the class of the highest probability, the first of equal ones. `probabilities` is rows × classes, row-major.
    ///
    /// # Errors
    /// Internal.
    pub(super) fn most_probable(&self, probabilities: &[f64]) -> Result<ArrayRef> {
        let of_row = |of_row: &[f64]| {
            let first_highest = |best: usize, at: usize| if of_row[at] > of_row[best] { at } else { best };
            (1..of_row.len()).fold(0, first_highest) as u32
        };
        let best = probabilities.chunks_exact(self.names.len()).map(of_row);
        Ok(take(&self.values, &best.collect::<UInt32Array>(), None)?)
    }

    /// Of each row the probability of each class.
    ///
    /// # Errors
    /// Internal.
    pub(super) fn probabilities(&self, probabilities: &[f64]) -> Result<ArrayRef> {
        let classes = self.names.len();
        if classes == 0 {
            return Err(Error::internal("a model of no classes"));
        }
        let column = |class: usize| -> ArrayRef {
            Arc::new(probabilities.iter().skip(class).step_by(classes).copied().collect::<Float64Array>())
        };
        Ok(Arc::new(StructArray::try_new(self.fields(), (0..classes).map(column).collect(), None)?))
    }
}

/// How many classes a model tells apart, if it is one of many.
fn count(model: &Fitted) -> Option<u32> {
    match model {
        Fitted::MultiClassifier(model) => Some(model.classes()),
        Fitted::Pipeline(pipeline) => count(pipeline.model()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::{Float64Type, Int64Type};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_class_is_what_the_target_has_and_each_has_its_probability() {
        let classes = Classes::named(&[json!("b"), json!("a"), json!("c")]);
        let said = [0.2, 0.5, 0.3, 0.4, 0.2, 0.4];
        let best = classes.most_probable(&said).unwrap();
        assert_eq!(best.as_string::<i32>(), &StringArray::from(vec!["a", "b"]));
        let each = classes.probabilities(&said).unwrap();
        assert_eq!(each.data_type(), &classes.probabilities_type());
        let of_c = each.as_struct().column_by_name("c").unwrap();
        assert_eq!(of_c.as_primitive::<Float64Type>().values(), &[0.3, 0.4]);
        let whole = Classes::named(&[json!(7), json!(-1)]);
        assert_eq!(whole.most_probable(&[0.1, 0.9]).unwrap().as_primitive::<Int64Type>().values(), &[-1]);
        assert_eq!(whole.names, ["7", "-1"]);
        assert_eq!(Classes::named(&[json!(0.5), json!(1.0)]).data_type(), &DataType::Float64);
    }
}
