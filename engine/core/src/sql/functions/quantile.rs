//! `quantile`, `median` and `iqr_bounds`: exact figures of all values of a group, as numpy makes them.
//!
//! Nulls do not count; of no value the result is null. One rule for what is no number, in all three: of values among which
//! is a NaN the figure is NaN (`describe` leaves NaN out before, as it says). Between two equal values, infinite or not,
//! lies that value; between a finite value and an infinite one the infinite; between the two infinities NaN.

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Float64Array, RecordBatch, StructArray};
use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, Field, FieldRef, Fields, Float64Type, Int64Type,
    Schema,
};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, GroupsAccumulator, Signature, Volatility,
};
use tidemill_ml::{TUKEY_REACH, tukey_fences};

use super::held::{Figure, Held, state_field};

/// `quantile(x, q)`, also `percentile_cont(q) WITHIN GROUP (ORDER BY x)`: numpy's default, linear between neighbours.
pub(super) fn quantile() -> AggregateUDF {
    AggregateUDF::from(OfAll::new(Kind::Quantile))
}

/// `median(x)`: the middle value, or the mean of the two in the middle; of DECIMAL with one more digit, so that no half is
/// cut off.
pub(super) fn median() -> AggregateUDF {
    AggregateUDF::from(OfAll::new(Kind::Median))
}

/// `iqr_bounds(x)`: `{lower, upper}` with lower = Q1 - 1.5 (Q3 - Q1) and upper = Q3 + 1.5 (Q3 - Q1), of exact quartiles.
pub(super) fn iqr_bounds() -> AggregateUDF {
    AggregateUDF::from(OfAll::new(Kind::Bounds))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Quantile,
    Median,
    Bounds,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OfAll {
    kind: Kind,
    aliases: Vec<String>,
    signature: Signature,
}

impl OfAll {
    fn new(kind: Kind) -> OfAll {
        let aliases = match kind {
            Kind::Quantile => vec!["quantile".to_owned(), "quantile_cont".to_owned()],
            Kind::Median | Kind::Bounds => Vec::new(),
        };
        OfAll { kind, aliases, signature: Signature::user_defined(Volatility::Immutable) }
    }

    /// What makes the figures of a call, for one group or many.
    fn held(&self, args: &AccumulatorArgs<'_>, single: bool) -> Result<HeldOf> {
        let value_type = args.expr_fields[0].data_type().clone();
        let distinct = args.is_distinct;
        Ok(match (self.kind, &value_type) {
            (Kind::Median, DataType::Decimal128(_, scale)) => {
                let result = args.return_field.data_type().clone();
                HeldOf::decimals(DecimalMedian { scale: *scale, result }, value_type, distinct, single)
            }
            (Kind::Median, DataType::Int64) => {
                HeldOf::Wholes(Held::new(WholeMedian, value_type, distinct, single))
            }
            (Kind::Median, _) => HeldOf::doubles(Doubles::Median, value_type, distinct, single),
            (Kind::Bounds, _) => HeldOf::doubles(Doubles::Bounds, value_type, distinct, single),
            (Kind::Quantile, _) => {
                HeldOf::doubles(Doubles::Quantile(share(args)?), value_type, distinct, single)
            }
        })
    }
}

/// Held values of one of the kinds.
enum HeldOf {
    Doubles(Held<Doubles>),
    Decimals(Held<DecimalMedian>),
    Wholes(Held<WholeMedian>),
}

impl HeldOf {
    fn doubles(figure: Doubles, value: DataType, distinct: bool, single: bool) -> HeldOf {
        HeldOf::Doubles(Held::new(figure, value, distinct, single))
    }

    fn decimals(figure: DecimalMedian, value: DataType, distinct: bool, single: bool) -> HeldOf {
        HeldOf::Decimals(Held::new(figure, value, distinct, single))
    }
}

/// The share of a call of `quantile`.
fn share(args: &AccumulatorArgs<'_>) -> Result<f64> {
    let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
    let value = args.exprs.get(1).and_then(|share| share.evaluate(&nothing).ok());
    let Some(ColumnarValue::Scalar(ScalarValue::Float64(Some(share)))) = value else {
        return plan_err!("the share of a quantile is one number for all rows, such as 0.9");
    };
    if !(0.0..=1.0).contains(&share) {
        return plan_err!("the share of a quantile is between 0 and 1, not {share}");
    }
    let descending = args.order_bys.first().is_some_and(|order| order.options.descending);
    Ok(if descending { 1.0 - share } else { share })
}

impl AggregateUDFImpl for OfAll {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Quantile => "percentile_cont",
            Kind::Median => "median",
            Kind::Bounds => "iqr_bounds",
        }
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let number = |kind: &DataType| kind.is_numeric() || kind.is_null();
        match (self.kind, types) {
            (Kind::Median, [DataType::Decimal256(..)]) => {
                plan_err!("median takes a DECIMAL of at most 38 digits: cast to one, or to DOUBLE")
            }
            (Kind::Median, [decimal]) if decimal.is_decimal() => match decimal {
                DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
                    Ok(vec![DataType::Decimal128(*precision, *scale)])
                }
                other => Ok(vec![other.clone()]),
            },
            (Kind::Median, [DataType::UInt64]) => Ok(vec![DataType::Decimal128(20, 0)]),
            (Kind::Median, [whole]) if whole.is_integer() => Ok(vec![DataType::Int64]),
            (Kind::Median | Kind::Bounds, [value]) if number(value) => Ok(vec![DataType::Float64]),
            (Kind::Quantile, [value, share]) if number(value) && number(share) => {
                Ok(vec![DataType::Float64; 2])
            }
            (Kind::Quantile, _) => plan_err!(
                "quantile takes a number and a share, such as quantile(x, 0.9), not {types:?}; of times take that of EXTRACT(EPOCH FROM t)"
            ),
            _ => plan_err!(
                "{} takes a number, not {types:?}; of times take that of EXTRACT(EPOCH FROM t)",
                self.name()
            ),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(match (self.kind, types.first()) {
            (Kind::Median, Some(DataType::Decimal128(precision, scale))) => {
                let most = DECIMAL128_MAX_PRECISION;
                DataType::Decimal128((precision + 1).min(most), (scale + 1).min(most as i8))
            }
            (Kind::Bounds, _) => DataType::Struct(bounds_fields()),
            _ => DataType::Float64,
        })
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        Ok(vec![state_field(format_state_name(args.name, "values"), args.input_fields[0].data_type())])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(match self.held(&args, true)? {
            HeldOf::Doubles(held) => Box::new(held),
            HeldOf::Decimals(held) => Box::new(held),
            HeldOf::Wholes(held) => Box::new(held),
        })
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(match self.held(&args, false)? {
            HeldOf::Doubles(held) => Box::new(held),
            HeldOf::Decimals(held) => Box::new(held),
            HeldOf::Wholes(held) => Box::new(held),
        })
    }

    fn supports_within_group_clause(&self) -> bool {
        self.kind == Kind::Quantile
    }
}

fn bounds_fields() -> Fields {
    ["lower", "upper"].map(|name| Field::new(name, DataType::Float64, true)).into_iter().collect()
}

/// Figures of doubles.
#[derive(Debug, Clone, Copy)]
enum Doubles {
    Quantile(f64),
    Median,
    Bounds,
}

impl Figure for Doubles {
    type Value = Float64Type;

    fn of(&self, groups: &mut [Vec<f64>]) -> Result<ArrayRef> {
        let groups = groups.iter_mut();
        Ok(match *self {
            Doubles::Quantile(share) => {
                Arc::new(groups.map(|values| quantile_of(values, share)).collect::<Float64Array>())
            }
            Doubles::Median => Arc::new(groups.map(|values| median_of(values)).collect::<Float64Array>()),
            Doubles::Bounds => {
                let bounds: Vec<Option<(f64, f64)>> = groups.map(|values| bounds_of(values)).collect();
                let lower: Float64Array = bounds.iter().map(|both| both.map(|(lower, _)| lower)).collect();
                let upper: Float64Array = bounds.iter().map(|both| both.map(|(_, upper)| upper)).collect();
                let present = bounds.iter().map(Option::is_some).collect();
                Arc::new(StructArray::try_new(
                    bounds_fields(),
                    vec![Arc::new(lower), Arc::new(upper)],
                    Some(present),
                )?)
            }
        })
    }
}

/// The value at a share of the way from the least to the greatest.
fn quantile_of(values: &mut [f64], share: f64) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    if values.iter().any(|value| value.is_nan()) {
        return Some(f64::NAN);
    }
    let place = share * last as f64;
    let below = (place as usize).min(last);
    let (_, low, above) = values.select_nth_unstable_by(below, f64::total_cmp);
    let low = *low;
    let weight = place - below as f64;
    match above.iter().copied().min_by(f64::total_cmp) {
        Some(high) if weight > 0.0 => Some(between(low, high, weight)),
        _ => Some(low),
    }
}

/// numpy's `_lerp`: from the nearer end, so that no rounding passes either.
fn between(low: f64, high: f64, weight: f64) -> f64 {
    let span = high - low;
    match (low.is_finite(), high.is_finite()) {
        _ if low == high => low,
        (true, true) if span.is_infinite() => low * (1.0 - weight) + high * weight,
        (true, true) if weight >= 0.5 => high - span * (1.0 - weight),
        (true, true) => low + span * weight,
        (false, true) => low,
        (true, false) => high,
        (false, false) => f64::NAN,
    }
}

fn median_of(values: &mut [f64]) -> Option<f64> {
    if values.iter().any(|value| value.is_nan()) {
        return Some(f64::NAN);
    }
    middle(values, f64::total_cmp).map(|(low, high)| match (low + high) / 2.0 {
        sum if sum.is_infinite() => low / 2.0 + high / 2.0,
        mean => mean,
    })
}

fn bounds_of(values: &mut [f64]) -> Option<(f64, f64)> {
    let (first, third) = (quantile_of(values, 0.25)?, quantile_of(values, 0.75)?);
    Some(tukey_fences(first, third, TUKEY_REACH))
}

/// The two values in the middle; of an odd number twice the one.
fn middle<T: Copy>(values: &mut [T], order: fn(&T, &T) -> std::cmp::Ordering) -> Option<(T, T)> {
    let half = values.len() / 2;
    if values.is_empty() {
        return None;
    }
    let odd = !values.len().is_multiple_of(2);
    let (low, high, _) = values.select_nth_unstable_by(half, order);
    let high = *high;
    let below = if odd { None } else { low.iter().copied().max_by(order) };
    Some((below.unwrap_or(high), high))
}

/// The median of whole numbers, as a double that is it.
#[derive(Debug, Clone)]
struct WholeMedian;

impl Figure for WholeMedian {
    type Value = Int64Type;

    fn of(&self, groups: &mut [Vec<i64>]) -> Result<ArrayRef> {
        let medians = groups.iter_mut().map(|values| {
            let Some((low, high)) = middle(values, i64::cmp) else { return Ok(None) };
            let sum = i128::from(low) + i128::from(high);
            let double = sum as f64;
            match double as i128 == sum {
                true => Ok(Some(double / 2.0)),
                false => exec_err!(
                    "the median, half of {sum}, is more than DOUBLE holds exactly: cast to DECIMAL(20,0) before"
                ),
            }
        });
        Ok(Arc::new(medians.collect::<Result<Float64Array>>()?))
    }
}

/// The median of decimals.
#[derive(Debug, Clone)]
struct DecimalMedian {
    scale: i8,
    result: DataType,
}

impl Figure for DecimalMedian {
    type Value = Decimal128Type;

    fn of(&self, groups: &mut [Vec<i128>]) -> Result<ArrayRef> {
        let DataType::Decimal128(precision, scale) = self.result else {
            return exec_err!("the median of decimals as {}", self.result);
        };
        // A half is five tenths, with a digit more.
        let (times, parts) = if scale > self.scale { (5, 1) } else { (1, 2) };
        let medians = groups.iter_mut().map(|values| {
            let Some((low, high)) = middle(values, i128::cmp) else { return Ok(None) };
            match low.checked_add(high).and_then(|sum| sum.checked_mul(times)) {
                Some(sum) if sum % parts == 0 => Ok(Some(sum / parts)),
                _ => exec_err!("the median does not fit into {}: cast to DOUBLE before", self.result),
            }
        });
        let medians =
            medians.collect::<Result<Decimal128Array>>()?.with_precision_and_scale(precision, scale)?;
        medians.validate_decimal_precision(precision)?;
        Ok(Arc::new(medians))
    }
}
