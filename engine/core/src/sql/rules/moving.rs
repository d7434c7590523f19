//! Sums, means and deviations of doubles over a frame that moves, without taking values out of a sum.
//!
//! DataFusion 55 subtracts what leaves a frame: of 1e20, 1, 1 the last two then add up to 0, and a NaN or an infinity stays
//! for ever. Here they are in a [`queue`](super::queue). Of pairs, see [`pairs`](super::pairs).

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature};

use super::queue::{Figures, Queue};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Sum,
    Mean,
    /// Of a sample or of all; the square root of it or not.
    Spread {
        sample: bool,
        root: bool,
    },
}

/// An aggregate function with other frames.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Moving {
    kind: Kind,
    inner: Arc<AggregateUDF>,
}

impl Moving {
    /// `None`: another function.
    pub(super) fn of(inner: &Arc<AggregateUDF>) -> Option<Moving> {
        let kind = match inner.name() {
            "sum" => Kind::Sum,
            "avg" => Kind::Mean,
            "var" | "var_samp" => Kind::Spread { sample: true, root: false },
            "var_pop" => Kind::Spread { sample: false, root: false },
            "stddev" => Kind::Spread { sample: true, root: true },
            "stddev_pop" => Kind::Spread { sample: false, root: true },
            _ => return None,
        };
        Some(Moving { kind, inner: inner.clone() })
    }
}

impl AggregateUDFImpl for Moving {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        self.inner.accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let result = args.return_field.data_type().clone();
        Ok(Box::new(Frame { kind: self.kind, result, values: Queue::new() }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }
}

/// Of some values: how many, their sum, their mean, and the squares of their distances to it, summed up.
#[derive(Debug, Clone, Copy)]
struct Spread {
    count: f64,
    sum: f64,
    mean: f64,
    squares: f64,
}

impl Figures for Spread {
    type Value = f64;

    const NONE: Spread = Spread { count: 0.0, sum: 0.0, mean: 0.0, squares: 0.0 };

    fn of(value: f64) -> Spread {
        // What is no number has no distance.
        let squares = if value.is_finite() { 0.0 } else { f64::NAN };
        Spread { count: 1.0, sum: value, mean: value, squares }
    }

    /// After Chan, Golub and LeVeque 1979.
    fn with(self, other: Spread) -> Spread {
        if self.count == 0.0 {
            return other;
        }
        if other.count == 0.0 {
            return self;
        }
        let count = self.count + other.count;
        let apart = other.mean - self.mean;
        Spread {
            count,
            sum: self.sum + other.sum,
            mean: self.mean + apart * (other.count / count),
            squares: self.squares + other.squares + apart * apart * (self.count * other.count / count),
        }
    }
}

#[derive(Debug)]
struct Frame {
    kind: Kind,
    result: DataType,
    values: Queue<Spread>,
}

impl Frame {
    fn values(columns: &[ArrayRef]) -> Result<Vec<f64>> {
        let Some(column) = columns.first() else { return internal_err!("a frame of no column") };
        let doubles = cast(column, &DataType::Float64)?;
        Ok(doubles.as_primitive::<Float64Type>().iter().flatten().collect())
    }
}

impl Accumulator for Frame {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        for value in Frame::values(columns)? {
            self.values.push(value);
        }
        Ok(())
    }

    fn retract_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        // They leave in the order in which they came.
        for _ in Frame::values(columns)? {
            self.values.pop()?;
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let all = self.values.all();
        let value = match self.kind {
            _ if all.count == 0.0 => None,
            Kind::Sum => Some(all.sum),
            Kind::Mean => Some(all.sum / all.count),
            Kind::Spread { sample, root } => {
                let degrees = if sample { all.count - 1.0 } else { all.count };
                let spread = (degrees > 0.0).then(|| all.squares / degrees);
                if root { spread.map(f64::sqrt) } else { spread }
            }
        };
        ScalarValue::Float64(value).cast_to(&self.result)
    }

    fn size(&self) -> usize {
        size_of::<Frame>() + self.values.bytes()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        internal_err!("a frame is never a part of another")
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        internal_err!("a frame is never a part of another")
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Float64Array;

    use super::*;

    #[test]
    fn what_has_left_a_frame_is_gone() {
        let column =
            |values: &[f64]| -> Vec<ArrayRef> { vec![Arc::new(Float64Array::from(values.to_vec()))] };
        let frame = |kind| Frame { kind, result: DataType::Float64, values: Queue::new() };
        let values = [1e20, 1.0, 1.0, f64::NAN, 2.0, 3.0, f64::INFINITY, 4.0, 8.0];
        let mut sum = frame(Kind::Sum);
        let mut spread = frame(Kind::Spread { sample: true, root: false });
        let mut found = Vec::new();
        for (at, value) in values.iter().enumerate() {
            for moving in [&mut sum, &mut spread] {
                moving.update_batch(&column(&[*value])).unwrap();
                if at > 1 {
                    moving.retract_batch(&column(&values[at - 2..at - 1])).unwrap();
                }
            }
            found.push(format!("{} {}", sum.evaluate().unwrap(), spread.evaluate().unwrap()));
        }
        // numpy's, of each value and the one before.
        let expected = [
            "100000000000000000000 NULL",
            "100000000000000000000 5e39",
            "2 0",
            "NaN NaN",
            "NaN NaN",
            "5 0.5",
            "inf NaN",
            "inf NaN",
            "12 8",
        ];
        let expected = expected.map(|row| row.replace("5e39", &format!("{}", 5e39)));
        assert_eq!(found, expected);
        sum.retract_batch(&column(&values[7..])).unwrap();
        assert_eq!(sum.evaluate().unwrap(), ScalarValue::Float64(None));
    }
}
