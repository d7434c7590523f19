//! Arithmetic of whole numbers and decimals whose result is right or an error.
//!
//! DataFusion's `+`, `-` and `*` of whole numbers wrap around, a decimal may pass the 38 digits of its type, and a quotient
//! of decimals is cut off. Here a result that its type does not hold is an error that names the expression, as in
//! PostgreSQL and DuckDB, and a quotient is rounded half away from zero, as in PostgreSQL and Spark.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Datum, Decimal128Array, Float32Array, Scalar};
use arrow::compute::kernels::numeric::{add, div, mul, neg, rem, sub};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, Decimal256Type, Field, FieldRef, Float32Type,
    Float64Type, i256,
};
use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Result, ScalarValue, internal_err};
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::{
    ColumnarValue, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::doubles::doubles;
use super::one_nan::one_nan;

/// What an expression may be an error for, the likeliest last: what is not likely to fail keeps away what is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Risk {
    No,
    /// For results that their type does not hold.
    TooLarge,
    /// For a zero, or for a text that is no number too.
    Any,
}

/// What is known of a divisor before there are rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Divisor {
    /// Nothing.
    Any,
    /// It is not zero, but may be -1, by which the smallest number has no quotient.
    NotZero,
    /// It is a number other than 0 and -1.
    Shrinks,
}

impl Divisor {
    /// A number as it is written.
    pub(super) fn of(value: &ScalarValue) -> Divisor {
        let kind = value.data_type();
        let is = |number: i64| ScalarValue::from(number).cast_to(&kind).is_ok_and(|number| number == *value);
        if value.is_null() || !kind.is_numeric() || is(0) {
            Divisor::Any
        } else if is(-1) {
            Divisor::NotZero
        } else {
            Divisor::Shrinks
        }
    }
}

/// What is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    /// Of two operands.
    Binary(Operator),
    /// The sign changed.
    Negative,
    /// One operand as the type of the result, which it may be too large for.
    Narrow,
    /// The same, with null for what is too large.
    TryNarrow,
}

/// A checked operation, with the expression that it is as the user has written it.
#[derive(Debug)]
pub(super) struct Checked {
    operation: Operation,
    result: DataType,
    text: String,
    signature: Signature,
}

impl Checked {
    pub(super) fn new(operation: Operation, result: DataType, text: String) -> Checked {
        Checked { operation, result, text, signature: Signature::variadic_any(Volatility::Immutable) }
    }

    /// What it may be an error for, with what is known of the second operand.
    pub(super) fn risk(&self, second: Divisor) -> Risk {
        match (self.operation, second) {
            (
                Operation::Binary(Operator::Plus | Operator::Minus | Operator::Multiply)
                | Operation::Negative,
                _,
            ) => Risk::TooLarge,
            (Operation::Binary(Operator::Divide | Operator::Modulo), Divisor::Any) => Risk::Any,
            (Operation::Binary(Operator::Modulo), _) if self.result.is_integer() => Risk::No,
            (Operation::Binary(Operator::Divide), Divisor::Shrinks) if self.result.is_integer() => Risk::No,
            (Operation::Binary(Operator::Divide | Operator::Modulo), _) => Risk::TooLarge,
            _ => Risk::Any,
        }
    }

    /// Whether it is a division, or what is left of one.
    pub(super) fn divides(&self) -> bool {
        matches!(self.operation, Operation::Binary(Operator::Divide | Operator::Modulo))
    }

    /// An error of the operation, with its expression where the result was too large.
    fn explain(&self, error: ArrowError) -> DataFusionError {
        let what = match error {
            ArrowError::ArithmeticOverflow(text) => {
                text.trim_start_matches("Overflow happened on: ").to_owned()
            }
            // No number at all.
            ArrowError::CastError(text) if text.starts_with("Cannot cast string") => {
                return DataFusionError::ArrowError(Box::new(ArrowError::CastError(text)), None);
            }
            ArrowError::DivideByZero => {
                return DataFusionError::Execution(format!(
                    "`{}` is a division by zero: NULLIF(divisor, 0) in its place makes it null",
                    self.text
                ));
            }
            ArrowError::CastError(text) | ArrowError::InvalidArgumentError(text) => text,
            other => return DataFusionError::ArrowError(Box::new(other), None),
        };
        let hint = match &self.result {
            DataType::Decimal128(..) | DataType::Decimal256(..) => "DECIMAL of fewer digits or to DOUBLE",
            DataType::Int64 | DataType::UInt64 => "DECIMAL(38,0) or to DOUBLE",
            DataType::Float32 => "DOUBLE",
            _ => "BIGINT",
        };
        DataFusionError::Execution(format!(
            "`{}` is more than {} holds ({what}): cast what it is made of to {hint}",
            self.text,
            sql_name(&self.result)
        ))
    }

    fn compute(&self, args: &[&dyn Datum]) -> Result<ArrayRef, ArrowError> {
        let made = match (self.operation, args) {
            (Operation::Binary(Operator::Divide), [left, right]) if self.result.is_decimal() => {
                return quotient(*left, *right, &self.result);
            }
            (Operation::Binary(Operator::BitwiseShiftLeft | Operator::BitwiseShiftRight), _) => {
                return super::shifts::shifted(self.operation == LEFT, args, &self.result);
            }
            (Operation::Narrow | Operation::TryNarrow, [value]) if self.result == DataType::Float32 => {
                return real(value.get().0, self.operation == Operation::TryNarrow);
            }
            (Operation::Narrow | Operation::TryNarrow, [value]) if self.result == DataType::Float64 => {
                return doubles(value.get().0);
            }
            (Operation::Binary(operator), [left, right]) => match operator {
                Operator::Plus => add(*left, *right),
                Operator::Minus => sub(*left, *right),
                Operator::Multiply => mul(*left, *right),
                Operator::Divide => div(*left, *right),
                _ => rem(*left, *right),
            },
            (Operation::Negative, [value]) => neg(value.get().0),
            (Operation::Narrow, [value]) => {
                let options = CastOptions { safe: false, ..Default::default() };
                cast_with_options(value.get().0, &self.result, &options)
            }
            _ => Err(ArrowError::InvalidArgumentError(format!("{} operands", args.len()))),
        }?;
        within_digits(&made)?;
        Ok(made)
    }
}

impl PartialEq for Checked {
    fn eq(&self, other: &Checked) -> bool {
        (self.operation, &self.result, &self.text) == (other.operation, &other.result, &other.text)
    }
}

impl Eq for Checked {}

impl Hash for Checked {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.operation, &self.result, &self.text).hash(state);
    }
}

impl ScalarUDFImpl for Checked {
    /// Of its own type: by default it is none, and then nothing can be sorted by a comparison of the result.
    fn evaluate_bounds(&self, _: &[&Interval]) -> Result<Interval> {
        Interval::make_unbounded(&self.result)
    }

    fn name(&self) -> &str {
        match self.operation {
            Operation::Binary(Operator::Plus) => "checked_add",
            Operation::Binary(Operator::Minus) => "checked_subtract",
            Operation::Binary(Operator::Multiply) => "checked_multiply",
            Operation::Binary(Operator::Divide) => "checked_divide",
            Operation::Binary(Operator::BitwiseShiftLeft) => "checked_shift_left",
            Operation::Binary(Operator::BitwiseShiftRight) => "checked_shift_right",
            Operation::Binary(_) => "checked_remainder",
            Operation::Negative => "checked_negative",
            Operation::Narrow => "checked_cast",
            Operation::TryNarrow => "checked_try_cast",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.result.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let may_be_null = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.result.clone(), may_be_null)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let all_scalars = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let operands = args.args.iter().map(operand).collect::<Result<Vec<_>>>()?;
        let operands: Vec<&dyn Datum> = operands.iter().map(AsRef::as_ref).collect();
        let made = self.compute(&operands).map_err(|error| self.explain(error))?;
        if made.data_type() != &self.result {
            return internal_err!("{} gives {}, not {}", self.text, made.data_type(), self.result);
        }
        Ok(match all_scalars {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&made, 0)?),
            false => ColumnarValue::Array(made),
        })
    }
}

const LEFT: Operation = Operation::Binary(Operator::BitwiseShiftLeft);

/// Numbers, or texts of some, as REAL: a finite one is no infinity there.
fn real(given: &dyn Array, lenient: bool) -> Result<ArrayRef, ArrowError> {
    let options = CastOptions { safe: lenient, ..Default::default() };
    let doubles = cast_with_options(given, &DataType::Float64, &options)?;
    let reals = cast_with_options(given, &DataType::Float32, &options)?;
    let pairs = doubles.as_primitive::<Float64Type>().iter().zip(reals.as_primitive::<Float32Type>());
    let made = pairs.map(|(double, real)| match (double, real) {
        (Some(double), Some(real)) if double.is_finite() && real.is_infinite() => match lenient {
            true => Ok(None),
            false => Err(ArrowError::ArithmeticOverflow(double.to_string())),
        },
        (_, real) => Ok(real),
    });
    let made: ArrayRef = Arc::new(made.collect::<Result<Float32Array, ArrowError>>()?);
    Ok(one_nan(made))
}

fn operand(value: &ColumnarValue) -> Result<Box<dyn Datum>> {
    Ok(match value {
        ColumnarValue::Array(array) => Box::new(array.clone()),
        ColumnarValue::Scalar(scalar) => Box::new(Scalar::new(scalar.to_array()?)),
    })
}

/// A decimal of 38 digits and more has no room for one more, but its 128 bits have.
fn within_digits(made: &ArrayRef) -> Result<(), ArrowError> {
    match made.data_type() {
        DataType::Decimal128(precision, _) if *precision == DECIMAL128_MAX_PRECISION => {
            made.as_primitive::<Decimal128Type>().validate_decimal_precision(*precision)
        }
        DataType::Decimal256(precision, _) => {
            made.as_primitive::<Decimal256Type>().validate_decimal_precision(*precision)
        }
        _ => Ok(()),
    }
}

/// `left / right` of decimals, to the scale of the result, rounded half away from zero.
fn quotient(left: &dyn Datum, right: &dyn Datum, result: &DataType) -> Result<ArrayRef, ArrowError> {
    let ((left, one_left), (right, one_right)) = (left.get(), right.get());
    let (Some(left), Some(right)) =
        (left.as_primitive_opt::<Decimal128Type>(), right.as_primitive_opt::<Decimal128Type>())
    else {
        return Err(ArrowError::InvalidArgumentError(
            "division of decimals of more than 38 digits".to_owned(),
        ));
    };
    let DataType::Decimal128(precision, scale) = *result else {
        return Err(ArrowError::InvalidArgumentError("a quotient of more than 38 digits".to_owned()));
    };
    // left / 10^s1 / (right / 10^s2) * 10^s = left * 10^(s + s2 - s1) / right.
    let shift = i32::from(scale) + i32::from(right.scale()) - i32::from(left.scale());
    let rows = if one_left { right.len() } else { left.len() };
    let mut made = Decimal128Array::builder(rows);
    for row in 0..rows {
        let (of_left, of_right) = (if one_left { 0 } else { row }, if one_right { 0 } else { row });
        if left.is_null(of_left) || right.is_null(of_right) {
            made.append_null();
        } else {
            made.append_value(rounded(left.value(of_left), right.value(of_right), shift)?);
        }
    }
    let made = made.finish().with_precision_and_scale(precision, scale)?;
    made.validate_decimal_precision(precision)?;
    Ok(Arc::new(made))
}

fn rounded(left: i128, right: i128, shift: i32) -> Result<i128, ArrowError> {
    if right == 0 {
        return Err(ArrowError::DivideByZero);
    }
    let (up, down) = (shift.max(0).unsigned_abs(), shift.min(0).unsigned_abs());
    let small = (|| {
        let numerator = left.checked_mul(10i128.checked_pow(up)?)?;
        let denominator = right.checked_mul(10i128.checked_pow(down)?)?;
        let (whole, rest) = (numerator.checked_div(denominator)?, numerator.checked_rem(denominator)?);
        let is_half = rest.unsigned_abs() >= denominator.unsigned_abs() - rest.unsigned_abs();
        let step = if (numerator < 0) == (denominator < 0) { 1 } else { -1 };
        Some(if is_half && rest != 0 { whole + step } else { whole })
    })();
    if let Some(made) = small {
        return Ok(made);
    }
    let overflow = || ArrowError::ArithmeticOverflow(format!("{left} / {right}"));
    let ten = |power: u32| i256::from_i128(10).checked_pow(power).ok_or_else(overflow);
    let numerator = i256::from_i128(left).checked_mul(ten(up)?).ok_or_else(overflow)?;
    let denominator = i256::from_i128(right).checked_mul(ten(down)?).ok_or_else(overflow)?;
    let whole = numerator.checked_div(denominator).ok_or_else(overflow)?;
    let rest = numerator.checked_rem(denominator).ok_or_else(overflow)?;
    let absolute = |x: i256| if x.is_negative() { x.wrapping_neg() } else { x };
    let is_half = absolute(rest) >= absolute(denominator).wrapping_sub(absolute(rest));
    let step = if numerator.is_negative() == denominator.is_negative() { i256::ONE } else { i256::MINUS_ONE };
    let made = if is_half && rest != i256::ZERO { whole.wrapping_add(step) } else { whole };
    made.to_i128().ok_or_else(overflow)
}

/// The type as SQL has it.
fn sql_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Int8 => "TINYINT".to_owned(),
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INT".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::UInt8 => "TINYINT UNSIGNED".to_owned(),
        DataType::UInt16 => "SMALLINT UNSIGNED".to_owned(),
        DataType::UInt32 => "INT UNSIGNED".to_owned(),
        DataType::UInt64 => "BIGINT UNSIGNED".to_owned(),
        DataType::Float32 => "REAL".to_owned(),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            format!("DECIMAL({precision},{scale})")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::check;

    /// Sorted in several parts, which are merged: values are DuckDB's.
    #[tokio::test]
    async fn rows_are_sorted_by_a_comparison_of_what_is_computed() {
        let rows = "FROM (SELECT value AS k, value % 3 AS b FROM generate_series(1, 9000))";
        check(&[
            (
                &format!("SELECT k {rows} WHERE k < 5 ORDER BY k * 2 > 5, k DESC"),
                &["2", "1", "4", "3"] as &[&str],
            ),
            (&format!("SELECT b {rows} GROUP BY b ORDER BY sum(k) - 1 > 13498500, b"), &["1", "0", "2"]),
            (
                &format!(
                    "SELECT k, rank() OVER (PARTITION BY k * 2 > 5 ORDER BY k) {rows} WHERE k < 5 ORDER BY k"
                ),
                &["1|1", "2|2", "3|1", "4|2"],
            ),
            (&format!("SELECT k {rows} WHERE k < 4 ORDER BY abs(k - 2) > 0, k"), &["2", "1", "3"]),
        ])
        .await;
    }
}
