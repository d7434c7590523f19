//! `<<` and `>>` of whole numbers: DataFusion 55 takes the places modulo the width, so that `1 << 64` is 1.
//!
//! A shift by fewer than no places or by the width and more is an error, and so is one to the left that loses digits.

use arrow::array::{Array, ArrayRef, AsArray, Datum, Decimal128Array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Decimal128Type};
use arrow::error::ArrowError;

/// The first operand moved by as many places as the second says, of the type of the result.
pub(super) fn shifted(left: bool, args: &[&dyn Datum], result: &DataType) -> Result<ArrayRef, ArrowError> {
    let [values, places] = args else {
        return Err(ArrowError::InvalidArgumentError(format!("a shift of {} operands", args.len())));
    };
    let width = 8 * result.primitive_width().unwrap_or(8) as i128;
    let options = CastOptions { safe: false, ..Default::default() };
    // Holds any whole number.
    let wide = DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0);
    let ((values, one_value), (places, one_place)) = (values.get(), places.get());
    let values = cast_with_options(values, &wide, &options)?;
    let places = cast_with_options(places, &wide, &options)?;
    let (values, places) = (values.as_primitive::<Decimal128Type>(), places.as_primitive::<Decimal128Type>());
    let rows = if one_value { places.len() } else { values.len() };
    let made = (0..rows).map(|row| {
        let (of_value, of_place) = (if one_value { 0 } else { row }, if one_place { 0 } else { row });
        if values.is_null(of_value) || places.is_null(of_place) {
            return Ok(None);
        }
        let (value, place) = (values.value(of_value), places.value(of_place));
        let lost =
            || ArrowError::ArithmeticOverflow(format!("{value} {} {place}", if left { "<<" } else { ">>" }));
        let by = u32::try_from(place).ok().filter(|_| place < width).ok_or_else(lost)?;
        let made = match left {
            true => value.checked_mul(1 << by).ok_or_else(lost)?,
            false => value >> by,
        };
        Ok(Some(made))
    });
    let made = made.collect::<Result<Decimal128Array, ArrowError>>()?.with_data_type(wide);
    cast_with_options(&made, result, &options)
}
