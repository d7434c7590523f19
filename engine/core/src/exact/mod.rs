//! What a text is as a value of a type: exactly that, or not at all.
//!
//! Readers of files and of messages cut off what a type has no room for: `1.005` as DECIMAL(10,2) is 1.00 to them, a
//! fraction as INT its whole part, and `1e400` as DOUBLE infinite. Here such a text is none of its type, and what is wrong
//! with it is told. Zeros behind the last digit are no digits: `1.500` is a DECIMAL(10,2). A DOUBLE is the one next to the
//! text, as everywhere; it may be `inf` or `nan`, where the text says so.
//!
//! A time may be written as a number, of what is counted since 1970: seconds or a thousandth or millionth of them. The
//! number does not say of which, so that the job has to.

mod numbers;
mod times;

use arrow::datatypes::DataType;

pub(crate) use numbers::{cut_whole, decimal, double, exact_double, whole};
pub(crate) use times::{YEARS_MS, date, is_too_fine, timestamp};

/// Why a text is no value of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It is none at all, or not a whole one where that is asked for.
    NoNumber,
    /// It has more decimals than the type.
    TooFine,
    /// It is beyond the greatest or the least one.
    TooGreat,
    /// A double of which nobody said that it is one, and which is another number than the text.
    Inexact,
    /// A number where a time is asked for, and nobody knows of what unit.
    NoUnit,
    /// A number that as a time is not of the years 1 to 9999.
    BeyondYears,
    /// A time of day, which a date has no room for.
    TimeOfDay,
}

impl Unfit {
    /// What is wrong with a cell.
    pub(crate) fn tell(self, cell: &str, kind: &DataType) -> String {
        let kind = words(kind);
        match self {
            Unfit::NoNumber => format!("`{cell}` is no {kind}"),
            Unfit::TooFine if kind.starts_with("TIMESTAMP") => {
                format!("`{cell}` has more decimals than TIMESTAMP holds: a microsecond has no parts")
            }
            Unfit::TooFine => format!("`{cell}` has more decimals than {kind} holds"),
            Unfit::TooGreat => format!("`{cell}` is too great for {kind}"),
            Unfit::Inexact => format!(
                "`{cell}` is not exactly a DOUBLE, the type found: give the column BIGINT, DECIMAL(p,s) or TEXT, or DOUBLE \
                 if about is enough"
            ),
            Unfit::NoUnit => format!(
                "`{cell}` is a number, and TIMESTAMP does not say of what: TIMESTAMP(s), TIMESTAMP(ms), TIMESTAMP(us) and \
                 TIMESTAMP(ns) do, counted from 1970"
            ),
            Unfit::BeyondYears => {
                format!("`{cell}` is a time beyond the years 1 to 9999: is its unit another?")
            }
            Unfit::TimeOfDay => {
                format!("`{cell}` has a time of day, which DATE does not hold: TIMESTAMP does")
            }
        }
    }
}

/// A type as the job writes it.
pub(crate) fn words(kind: &DataType) -> String {
    match kind {
        DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Utf8 => "TEXT".into(),
        DataType::Date32 => "DATE (YYYY-MM-DD)".into(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMPTZ (YYYY-MM-DD hh:mm:ss+hh:mm)".into(),
        DataType::Timestamp(..) => "TIMESTAMP (YYYY-MM-DD hh:mm:ss)".into(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision},{scale})"),
        other => other.to_string(),
    }
}
