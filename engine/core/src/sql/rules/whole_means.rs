//! `avg` of whole numbers, which is exact: their sum in 128 bits, divided once.
//!
//! DataFusion 55 makes them doubles and adds those up. Of 9007199254740993, 1 and -9007199254740993 the mean is 0 to it, not a
//! third, and in a frame that moves what is lost stays lost.

use std::collections::HashSet;
use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, UInt64Array};
use arrow::datatypes::{
    ArrowPrimitiveType, DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, Field, FieldRef, Int64Type,
    UInt64Type,
};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature, Volatility,
};

/// The type of a sum, as it passes from one part of a plan to another.
const SUM: DataType = DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0);

/// The mean of whole numbers of 64 bits.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct WholeMean {
    signature: Signature,
}

impl WholeMean {
    pub(super) fn new() -> WholeMean {
        WholeMean { signature: Signature::any(1, Volatility::Immutable) }
    }

    /// The type in which the mean of such numbers is computed; `None`: they are no whole numbers.
    pub(super) fn argument(kind: &DataType) -> Option<DataType> {
        match kind {
            DataType::UInt64 => Some(DataType::UInt64),
            kind if kind.is_integer() => Some(DataType::Int64),
            _ => None,
        }
    }
}

impl AggregateUDFImpl for WholeMean {
    fn name(&self) -> &'static str {
        "avg"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(match args.is_distinct {
            true => Box::new(Distinct::default()),
            false => Box::new(Mean::default()),
        })
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let field = |name: &str, kind| Arc::new(Field::new(format!("{}[{name}]", args.name), kind, true));
        Ok(match args.is_distinct {
            true => vec![field("values", DataType::new_list(SUM, true))],
            false => vec![field("count", DataType::UInt64), field("sum", SUM)],
        })
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Groups(Vec::new())))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// Of some numbers: how many, and their sum.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    count: u64,
    sum: i128,
}

impl Mean {
    /// Null of none.
    fn value(self) -> Option<f64> {
        let Mean { count, sum } = self;
        if count == 0 {
            return None;
        }
        // Both are doubles as they are.
        if sum.unsigned_abs() < 1 << f64::MANTISSA_DIGITS {
            return Some(sum as f64 / count as f64);
        }
        let (whole, rest) = (sum / i128::from(count), sum % i128::from(count));
        Some(whole as f64 + rest as f64 / count as f64)
    }

    fn add(&mut self, value: i128) {
        self.count += 1;
        self.sum += value;
    }

    /// Of a column of whole numbers.
    fn of(column: &ArrayRef) -> Result<Mean> {
        let count = (column.len() - column.null_count()) as u64;
        let sum = match column.data_type() {
            // In halves, which pass no 64 bits within so many; 2^63 added to each leaves numbers without a sign, whose halves are
            // taken side by side.
            DataType::Int64 if column.null_count() == 0 => {
                let values = column.as_primitive::<Int64Type>().values();
                values.chunks(1 << 30).fold(0, |sum, values| {
                    let (mut upper, mut lower) = (0_u64, 0_u64);
                    for value in values {
                        let value = value.cast_unsigned() ^ (1 << 63);
                        upper += value >> 32;
                        lower += value & 0xffff_ffff;
                    }
                    let added = (values.len() as i128) << 63;
                    sum + (i128::from(upper) << 32) + i128::from(lower) - added
                })
            }
            DataType::Int64 => column.as_primitive::<Int64Type>().iter().flatten().map(i128::from).sum(),
            DataType::UInt64 => column.as_primitive::<UInt64Type>().iter().flatten().map(i128::from).sum(),
            kind => return internal_err!("a mean of whole numbers over {kind}"),
        };
        Ok(Mean { count, sum })
    }
}

fn only(columns: &[ArrayRef]) -> Result<&ArrayRef> {
    match columns {
        [column] => Ok(column),
        _ => internal_err!("a mean of {} columns", columns.len()),
    }
}

/// The counts and sums of a state.
fn counts_and_sums(columns: &[ArrayRef]) -> Result<(&UInt64Array, &Decimal128Array)> {
    match columns {
        [counts, sums] => Ok((counts.as_primitive(), sums.as_primitive())),
        _ => internal_err!("a state of {} columns for a mean", columns.len()),
    }
}

impl Accumulator for Mean {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let Mean { count, sum } = Mean::of(only(columns)?)?;
        self.count += count;
        self.sum += sum;
        Ok(())
    }

    fn retract_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let Mean { count, sum } = Mean::of(only(columns)?)?;
        self.count = self.count.saturating_sub(count);
        self.sum -= sum;
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.value()))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let sum = ScalarValue::Decimal128(Some(self.sum), DECIMAL128_MAX_PRECISION, 0);
        Ok(vec![ScalarValue::UInt64(Some(self.count)), sum])
    }

    fn merge_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let (counts, sums) = counts_and_sums(columns)?;
        self.count += counts.iter().flatten().sum::<u64>();
        self.sum += sums.iter().flatten().sum::<i128>();
        Ok(())
    }

    fn size(&self) -> usize {
        size_of::<Mean>()
    }
}

/// The mean of values that are counted once.
#[derive(Debug, Default)]
struct Distinct(HashSet<i128>);

impl Distinct {
    fn add<T: ArrowPrimitiveType<Native: Into<i128>>>(&mut self, column: &ArrayRef) {
        self.0.extend(column.as_primitive::<T>().iter().flatten().map(Into::into));
    }
}

impl Accumulator for Distinct {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let column = only(columns)?;
        match column.data_type() {
            DataType::Int64 => self.add::<Int64Type>(column),
            DataType::UInt64 => self.add::<UInt64Type>(column),
            kind => return internal_err!("a mean of whole numbers over {kind}"),
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mean = Mean { count: self.0.len() as u64, sum: self.0.iter().sum() };
        Ok(ScalarValue::Float64(mean.value()))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = Decimal128Array::from_iter_values(self.0.iter().copied()).with_data_type(SUM);
        let values: Vec<ScalarValue> =
            (0..values.len()).map(|at| ScalarValue::try_from_array(&values, at)).collect::<Result<_>>()?;
        Ok(vec![ScalarValue::List(ScalarValue::new_list_nullable(&values, &SUM))])
    }

    fn merge_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        for values in only(columns)?.as_list::<i32>().iter().flatten() {
            self.add::<Decimal128Type>(&values);
        }
        Ok(())
    }

    fn size(&self) -> usize {
        size_of::<Distinct>() + self.0.capacity() * (size_of::<i128>() + 1)
    }
}

/// The means of groups.
struct Groups(Vec<Mean>);

impl Groups {
    fn add<T: ArrowPrimitiveType<Native: Into<i128>>>(
        &mut self,
        column: &ArrayRef,
        groups: &[usize],
        filter: Option<&BooleanArray>,
    ) {
        let column = column.as_primitive::<T>();
        match filter {
            None if column.null_count() == 0 => {
                for (group, value) in groups.iter().zip(column.values()) {
                    self.0[*group].add((*value).into());
                }
            }
            None => {
                for (group, value) in groups.iter().zip(column) {
                    if let Some(value) = value {
                        self.0[*group].add(value.into());
                    }
                }
            }
            Some(filter) => {
                for ((group, value), is_kept) in groups.iter().zip(column).zip(filter) {
                    if let (Some(value), Some(true)) = (value, is_kept) {
                        self.0[*group].add(value.into());
                    }
                }
            }
        }
    }
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        columns: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.0.resize(total, Mean::default());
        let column = only(columns)?;
        match column.data_type() {
            DataType::Int64 => self.add::<Int64Type>(column, groups, filter),
            DataType::UInt64 => self.add::<UInt64Type>(column, groups, filter),
            kind => return internal_err!("a mean of whole numbers over {kind}"),
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let means: Float64Array = emit.take_needed(&mut self.0).into_iter().map(Mean::value).collect();
        Ok(Arc::new(means))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let means = emit.take_needed(&mut self.0);
        let counts = UInt64Array::from_iter_values(means.iter().map(|mean| mean.count));
        let sums = Decimal128Array::from_iter_values(means.iter().map(|mean| mean.sum));
        Ok(vec![Arc::new(counts), Arc::new(sums.with_data_type(SUM))])
    }

    fn merge_batch(&mut self, columns: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.0.resize(total, Mean::default());
        let (counts, sums) = counts_and_sums(columns)?;
        for ((group, count), sum) in groups.iter().zip(counts).zip(sums) {
            let mean = &mut self.0[*group];
            mean.count += count.unwrap_or(0);
            mean.sum += sum.unwrap_or(0);
        }
        Ok(())
    }

    fn convert_to_state(&self, columns: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let column = only(columns)?;
        let mut means = Groups(vec![Mean::default(); column.len()]);
        let each: Vec<usize> = (0..column.len()).collect();
        means.update_batch(columns, &each, filter, each.len())?;
        means.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.0.capacity() * size_of::<Mean>()
    }
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::check;

    /// The last value before the rest is 2^63 - 1. Values are those of Python's fractions.
    #[tokio::test]
    async fn a_mean_of_whole_numbers_is_exact() {
        let rows = "(VALUES ('a', 9007199254740993, 1), ('a', 1, 2), ('a', -9007199254740993, 3), ('b', 9223372036854775807, 4), \
                    ('b', 1000000007, 5), ('b', -9223372036854775807, 6), ('b', NULL, 7), ('c', NULL, 8)) AS t (g, v, o)";
        let third = "0.3333333333333333";
        let of_b = "333333335.6666667";
        for (statement, expected) in [
            (format!("SELECT g, avg(v) FROM {rows} GROUP BY g ORDER BY g"), vec![format!("a|{third}"), format!("b|{of_b}"), "c|".to_owned()]),
            (format!("SELECT avg(v), mean(v) FROM {rows} WHERE g = 'a'"), vec![format!("{third}|{third}")]),
            (format!("SELECT avg(DISTINCT v), count(DISTINCT o) FROM {rows} WHERE g = 'b'"), vec![format!("{of_b}|4")]),
            (format!("SELECT g, avg(DISTINCT v) FROM {rows} GROUP BY g ORDER BY g"), vec![format!("a|{third}"), format!("b|{of_b}"), "c|".to_owned()]),
            (format!("SELECT avg(DISTINCT v), avg(v), avg(DISTINCT o) FROM {rows} WHERE g = 'a'"), vec![format!("{third}|{third}|2.0")]),
            (format!("SELECT avg(v) FILTER (WHERE g = 'b'), g IS NULL FROM {rows} GROUP BY 2"), vec![format!("{of_b}|false")]),
            (format!("SELECT avg(v) OVER (PARTITION BY g) FROM {rows} WHERE g = 'a'"), vec![third.to_owned(); 3]),
            (
                format!("SELECT avg(v) OVER (ORDER BY o ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) FROM {rows} WHERE g <> 'a' ORDER BY o"),
                ["9.223372036854776e18", "4.611686018927388e18", of_b, "-4.6116860179273876e18", "-9.223372036854776e18"]
                    .map(str::to_owned)
                    .to_vec(),
            ),
            (format!("SELECT avg(v) FROM {rows} WHERE o > 7"), vec![String::new()]),
            (format!("SELECT avg(CAST(o AS SMALLINT)), avg(CAST(o AS BIGINT UNSIGNED)), avg(o + 0.5) FROM {rows}"), vec!["4.5|4.5|5.0".to_owned()]),
            ("SELECT avg(9223372036854775807), avg(n) FROM (SELECT count(*) AS n FROM (VALUES (1), (2)) AS t (k) GROUP BY k)".to_owned(), vec!["9.223372036854776e18|1.0".to_owned()]),
        ] {
            let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
            check(&[(&statement, &expected)]).await;
        }
    }
}
