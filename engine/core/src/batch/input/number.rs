//! Numbers and times of text cells, held exactly or not at all ([`crate::exact`]).

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, PrimitiveArray, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Float64Type, Int32Type, Int64Type, TimeUnit,
};
use arrow::error::ArrowError;

use super::{moment, number_style};
pub(super) use crate::exact::Unfit;
use crate::exact::{date, decimal, double, exact_double, timestamp, whole};
use crate::project::NumberStyle;

/// Whether [`parsed`] knows the type.
pub(super) fn is_number(kind: &DataType) -> bool {
    matches!(kind, DataType::Int32 | DataType::Int64 | DataType::Float64 | DataType::Decimal128(..))
}

/// What text cells are to be.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// The type.
    pub kind: DataType,
    /// What numbers count that are times; `None` where nobody said it.
    pub unit: Option<TimeUnit>,
    /// The type was not given but found: that a number is a DOUBLE is then no wish of anybody.
    pub is_found: bool,
    /// How numbers are written.
    pub style: NumberStyle,
}

impl Wanted {
    /// A type that somebody gave.
    pub(super) fn given(kind: &DataType) -> Wanted {
        Wanted { kind: kind.clone(), unit: None, is_found: false, style: NumberStyle::default() }
    }

    /// Whether [`Self::parsed`] knows the type.
    pub(super) fn is_known(&self) -> bool {
        is_number(&self.kind) || moment::is_moment(&self.kind)
    }

    /// Whether a reader of CSV is to give the text: it would read another value, or none.
    pub(super) fn is_text_first(&self) -> bool {
        self.kind.is_decimal()
            || moment::is_moment(&self.kind)
            || (!self.style.is_plain() && is_number(&self.kind))
    }

    /// The same for what is in a list or an object, which the job cannot give a type.
    pub(super) fn inner(&self, kind: &DataType) -> Wanted {
        Wanted { kind: kind.clone(), ..self.clone() }
    }

    /// The cells as values, and the rows of those that are none (there the value is 0).
    ///
    /// # Errors
    /// The type is none that [`Self::is_known`].
    pub(super) fn parsed(&self, cells: &StringArray) -> Result<(ArrayRef, Vec<(usize, Unfit)>), ArrowError> {
        if !self.style.is_plain() && is_number(&self.kind) {
            let plain = Wanted { style: NumberStyle::default(), ..self.clone() };
            return plain.parsed(&number_style::made_plain(cells, self.style));
        }
        match &self.kind {
            DataType::Int32 => Ok(numbers::<Int32Type>(cells, |text| {
                whole(text).and_then(|value| i32::try_from(value).map_err(|_| Unfit::TooGreat))
            })),
            DataType::Int64 => Ok(numbers::<Int64Type>(cells, whole)),
            DataType::Float64 if self.is_found => Ok(numbers::<Float64Type>(cells, exact_double)),
            DataType::Float64 => Ok(numbers::<Float64Type>(cells, double)),
            DataType::Date32 => Ok(numbers::<Date32Type>(cells, day)),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                let (found, bad) = values(cells, |text| time(text, self.unit));
                let found = TimestampMicrosecondArray::try_new(found.into(), cells.nulls().cloned())?;
                Ok((Arc::new(found.with_timezone_opt(zone.clone())), bad))
            }
            DataType::Decimal128(precision, scale) => {
                let (found, bad) = values(cells, |text| decimal(text, *precision, *scale));
                let found = Decimal128Array::try_new(found.into(), cells.nulls().cloned())?;
                Ok((Arc::new(found.with_precision_and_scale(*precision, *scale)?), bad))
            }
            other => Err(ArrowError::NotYetImplemented(format!("cells of the type {other}"))),
        }
    }
}

/// A date, or that it has a time of day.
fn day(text: &str) -> Result<i32, Unfit> {
    moment::date(text).map_err(|unfit| match date(text) {
        Err(Unfit::TimeOfDay) => Unfit::TimeOfDay,
        _ => unfit,
    })
}

/// A time of a text, or of a number where the job says what it counts.
fn time(text: &str, unit: Option<TimeUnit>) -> Result<i64, Unfit> {
    moment::timestamp(text).or_else(|unfit| match timestamp(text, None) {
        // A number.
        Err(Unfit::NoUnit) => timestamp(text, unit),
        _ => Err(unfit),
    })
}

/// The cells as a type that somebody gave, and the rows of those that are none.
///
/// # Errors
/// The type is none that is known here.
pub(super) fn parsed(
    cells: &StringArray,
    kind: &DataType,
) -> Result<(ArrayRef, Vec<(usize, Unfit)>), ArrowError> {
    Wanted::given(kind).parsed(cells)
}

fn numbers<T: ArrowPrimitiveType>(
    cells: &StringArray,
    number: impl Fn(&str) -> Result<T::Native, Unfit>,
) -> (ArrayRef, Vec<(usize, Unfit)>) {
    let (found, bad) = values(cells, number);
    (Arc::new(PrimitiveArray::<T>::new(found.into(), cells.nulls().cloned())), bad)
}

fn values<N: Default>(
    cells: &StringArray,
    number: impl Fn(&str) -> Result<N, Unfit>,
) -> (Vec<N>, Vec<(usize, Unfit)>) {
    let mut bad = Vec::new();
    let cell = |row| if cells.is_null(row) { Ok(N::default()) } else { number(cells.value(row)) };
    let mut found = |row| {
        cell(row).unwrap_or_else(|unfit| {
            bad.push((row, unfit));
            N::default()
        })
    };
    let found = (0..cells.len()).map(&mut found).collect();
    (found, bad)
}

/// Whether an infinite double is in a column.
pub(super) fn has_infinite(cells: &ArrayRef) -> bool {
    let doubles = cells.as_primitive_opt::<Float64Type>();
    doubles.is_some_and(|doubles| doubles.values().iter().any(|value| value.is_infinite()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_told_by_its_row() {
        let cells = StringArray::from(vec![Some("7"), None, Some("3000000000")]);
        let (found, bad) = parsed(&cells, &DataType::Int32).unwrap();
        assert_eq!((found.null_count(), bad), (1, vec![(2, Unfit::TooGreat)]));
        let cells = StringArray::from(vec!["2026-01-01", "5"]);
        let (_, bad) = parsed(&cells, &DataType::Date32).unwrap();
        assert_eq!(bad, vec![(1, Unfit::NoNumber)]);
        let cells = StringArray::from(vec!["9007199254740993", "1.5"]);
        assert_eq!(parsed(&cells, &DataType::Float64).unwrap().1, vec![]);
        let found = Wanted { is_found: true, ..Wanted::given(&DataType::Float64) };
        assert_eq!(found.parsed(&cells).unwrap().1, vec![(0, Unfit::Inexact)]);
    }
}
