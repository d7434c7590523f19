//! `bit_xor` over a frame that moves: DataFusion 55 has 0 for one that values have left and none are in, where SQL has null.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature};

/// `bit_xor` that counts the values of a frame.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct MovingXor(Arc<AggregateUDF>);

impl MovingXor {
    /// `None`: another function.
    pub(super) fn of(inner: &Arc<AggregateUDF>) -> Option<MovingXor> {
        (inner.name() == "bit_xor").then(|| MovingXor(inner.clone()))
    }
}

impl AggregateUDFImpl for MovingXor {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.0.return_type(types)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        self.0.accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let nothing = ScalarValue::try_new_null(args.return_field.data_type())?;
        Ok(Box::new(Frame { bits: self.0.create_sliding_accumulator(args)?, values: 0, nothing }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.0.state_fields(args)
    }
}

#[derive(Debug)]
struct Frame {
    bits: Box<dyn Accumulator>,
    values: usize,
    nothing: ScalarValue,
}

fn count(columns: &[ArrayRef]) -> usize {
    columns.first().map_or(0, |column| column.len() - column.null_count())
}

impl Accumulator for Frame {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        self.values += count(columns);
        self.bits.update_batch(columns)
    }

    fn retract_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        self.values = self.values.saturating_sub(count(columns));
        self.bits.retract_batch(columns)
    }

    fn supports_retract_batch(&self) -> bool {
        self.bits.supports_retract_batch()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.values == 0 { Ok(self.nothing.clone()) } else { self.bits.evaluate() }
    }

    fn size(&self) -> usize {
        size_of::<Frame>() + self.bits.size()
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
    use crate::sql::tests::check;

    /// DuckDB's values.
    #[tokio::test]
    async fn a_frame_without_values_has_no_bits() {
        let rows = "(VALUES (1, 5), (2, NULL), (3, NULL), (4, 6), (5, 3), (6, NULL)) AS t (k, b) ORDER BY k";
        check(&[
            (
                &format!("SELECT bit_xor(b) OVER (ORDER BY k ROWS BETWEEN CURRENT ROW AND CURRENT ROW) FROM {rows}"),
                &["5", "", "", "6", "3", ""] as &[&str],
            ),
            (
                &format!("SELECT bit_xor(b) OVER (ORDER BY k ROWS 1 PRECEDING), bit_xor(b) OVER (ORDER BY k) FROM {rows}"),
                &["5|5", "5|5", "|5", "6|3", "5|0", "3|0"],
            ),
        ])
        .await;
    }
}
