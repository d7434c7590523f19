//! `iqr_bounds`: the fences of Tukey's box plot, beyond which a value counts as an outlier.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, ListArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields, Float64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, AggregateUDF, Volatility, create_udaf};

/// Interquartile ranges from a quartile to its fence (Tukey, Exploratory Data Analysis, 1977).
const REACH: f64 = 1.5;

/// `iqr_bounds(x)`: `{lower, upper}` with lower = Q1 - 1.5 (Q3 - Q1) and upper = Q3 + 1.5 (Q3 - Q1).
///
/// The quartiles are exact and interpolated like `percentile_cont`'s. Nulls do not count; of no value the result is null.
/// All values of a group are held in memory.
pub(super) fn iqr_bounds() -> AggregateUDF {
    let values = DataType::List(Arc::new(Field::new_list_field(DataType::Float64, true)));
    create_udaf(
        "iqr_bounds",
        vec![DataType::Float64],
        Arc::new(DataType::Struct(fields())),
        Volatility::Immutable,
        Arc::new(|_| Ok(Box::new(Values::default()))),
        Arc::new(vec![values]),
    )
}

fn fields() -> Fields {
    ["lower", "upper"].map(|name| Field::new(name, DataType::Float64, true)).into_iter().collect()
}

#[derive(Debug, Default)]
struct Values(Vec<f64>);

impl Accumulator for Values {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.extend(values[0].as_primitive::<Float64Type>().iter().flatten());
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists: &ListArray = states[0].as_list();
        lists.iter().flatten().try_for_each(|list| self.update_batch(&[list]))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values: Vec<ScalarValue> =
            std::mem::take(&mut self.0).into_iter().map(|x| ScalarValue::Float64(Some(x))).collect();
        Ok(vec![ScalarValue::List(ScalarValue::new_list(&values, &DataType::Float64, true))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let Some((lower, upper)) = bounds(&mut self.0) else {
            return ScalarValue::try_from(&DataType::Struct(fields()));
        };
        let column = |x: f64| ScalarValue::Float64(Some(x)).to_array();
        let row = StructArray::try_new(fields(), vec![column(lower)?, column(upper)?], None)?;
        Ok(ScalarValue::Struct(Arc::new(row)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.0.capacity() * size_of::<f64>()
    }
}

fn bounds(values: &mut [f64]) -> Option<(f64, f64)> {
    values.sort_unstable_by(f64::total_cmp);
    let quantile = |q: f64| {
        let place = q * (values.len() - 1) as f64;
        let below = values[place as usize];
        let above = values[(place as usize + 1).min(values.len() - 1)];
        below + (above - below) * place.fract()
    };
    if values.is_empty() {
        return None;
    }
    let (first, third) = (quantile(0.25), quantile(0.75));
    let reach = REACH * (third - first);
    Some((first - reach, third + reach))
}
