//! What a text is as a value of a type: exactly that, or not at all.
//!
//! Readers of files and of messages cut off what a type has no room for: `1.005` as DECIMAL(10,2) is 1.00 to them, a
//! fraction as INT its whole part, and `1e400` as DOUBLE infinite. Here such a text is none of its type, and what is wrong
//! with it is told. Zeros behind the last digit are no digits: `1.500` is a DECIMAL(10,2). A DOUBLE is the one next to the
//! text, as everywhere; it may be `inf` or `nan`, where the text says so.
//!
//! A time may be written as a number, of what is counted since 1970: seconds or a thousandth or millionth of them. The
//! number does not say of which, so that the job has to.

use std::ops::Range;

use arrow::compute::kernels::cast_utils::{Parser, string_to_datetime};
use arrow::datatypes::{DataType, Date32Type, TimeUnit};
use chrono::{NaiveTime, Utc};

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

fn has_digit(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
}

pub(crate) fn double(text: &str) -> Result<f64, Unfit> {
    match text.trim_ascii().parse::<f64>() {
        Ok(value) if value.is_infinite() && has_digit(text) => Err(Unfit::TooGreat),
        Ok(value) => Ok(value),
        Err(_) => Err(Unfit::NoNumber),
    }
}

/// The same, but where the text has no exponent, not another number: two that differ do not become one.
pub(crate) fn exact_double(text: &str) -> Result<f64, Unfit> {
    let value = double(text)?;
    // Below, every whole number is a double.
    if !value.is_finite() || value.abs() < 9_007_199_254_740_992.0 || text.contains(['e', 'E']) {
        return Ok(value);
    }
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = whole.trim_ascii().trim_start_matches(['-', '+']).trim_start_matches('0');
    let is_same = format!("{:.0}", value.abs()) == digits && decimals.bytes().all(|digit| digit == b'0');
    if is_same { Ok(value) } else { Err(Unfit::Inexact) }
}

/// A whole number, also where it is written `1.0` or `1e3`, as JSON may have it.
pub(crate) fn whole(text: &str) -> Result<i64, Unfit> {
    text.trim_ascii().parse::<i64>().or_else(|_| match decimal(text, MOST_DIGITS, 0) {
        Ok(value) => i64::try_from(value).map_err(|_| Unfit::TooGreat),
        Err(Unfit::TooFine) => Err(Unfit::NoNumber),
        Err(unfit) => Err(unfit),
    })
}

/// A whole number as JSON may have it, what is behind its point cut off. No digit goes by way of a double, which holds 15.
pub(crate) fn cut_whole(text: &str) -> Result<i64, Unfit> {
    if let Ok(value) = text.parse::<i64>() {
        return Ok(value);
    }
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = whole.bytes().chain(part.bytes()).skip_while(|digit| *digit == b'0').peekable();
    if digits.peek().is_none() {
        return Ok(0);
    }
    // Of the digits from the first that is no zero on, how many stand before the point.
    let leading = whole.bytes().chain(part.bytes()).take_while(|digit| *digit == b'0').count();
    let exponent = match exponent.parse::<i64>() {
        Ok(exponent) => exponent,
        Err(_) if exponent.starts_with('-') => return Ok(0),
        Err(_) => return Err(Unfit::TooGreat),
    };
    let before = (whole.len() as i64).saturating_sub(leading as i64).saturating_add(exponent);
    if before > 19 {
        return Err(Unfit::TooGreat);
    }
    let value = (0..before).try_fold(0_i128, |value, _| {
        let digit = digits.next().unwrap_or(b'0').wrapping_sub(b'0');
        (digit < 10).then(|| value * 10 + i128::from(digit)).ok_or(Unfit::NoNumber)
    })?;
    i64::try_from(if negative { -value } else { value }).map_err(|_| Unfit::TooGreat)
}

/// The digits that a DECIMAL has at most.
const MOST_DIGITS: u8 = 38;

/// The powers of ten that fit.
const POWERS: [i128; MOST_DIGITS as usize + 1] = {
    let mut powers = [1; MOST_DIGITS as usize + 1];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// A number in units of its last decimal.
pub(crate) fn decimal(text: &str, precision: u8, scale: i8) -> Result<i128, Unfit> {
    let text = text.trim_ascii().as_bytes();
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let value = match short(digits, scale) {
        Some(value) => value,
        None => long(digits, scale)?,
    };
    let limit = POWERS.get(usize::from(precision)).copied().unwrap_or(i128::MAX);
    match value < limit {
        true => Ok(if negative { -value } else { value }),
        false => Err(Unfit::TooGreat),
    }
}

/// Digits and a point that are few enough for a machine word, as nearly all are; `None` is for [`long`] to say.
fn short(text: &[u8], scale: i8) -> Option<i128> {
    if text.len() > 18 {
        return None;
    }
    let (mut value, mut decimals, mut point) = (0_u64, 0_usize, false);
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            value = value * 10 + u64::from(digit);
            decimals += usize::from(point);
        } else if *byte == b'.' && !point {
            point = true;
        } else {
            return None;
        }
    }
    if text.len() == usize::from(point) {
        return None;
    }
    let zeros = usize::try_from(scale).ok()?.checked_sub(decimals)?;
    // The value has at most 18 digits.
    (zeros <= 20).then(|| i128::from(value) * POWERS[zeros])
}

/// Any number, `1.5e-3` too.
fn long(text: &[u8], scale: i8) -> Result<i128, Unfit> {
    let exponent_at = text.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let (mantissa, exponent) = match exponent_at {
        None => (text, 0),
        Some(at) => {
            let exponent =
                std::str::from_utf8(&text[at + 1..]).ok().and_then(|text| text.parse::<i32>().ok());
            (&text[..at], i64::from(exponent.ok_or(Unfit::NoNumber)?))
        }
    };
    // Zeros count once another digit is behind them; more digits than any type has are not held, but counted.
    let (mut value, mut held, mut zeros, mut decimals, mut digits, mut point) =
        (0_i128, 0, 0_i64, 0_i64, 0, false);
    for byte in mantissa {
        match byte {
            b'0'..=b'9' => {
                digits += 1;
                decimals += i64::from(point);
                if *byte == b'0' {
                    zeros += i64::from(held > 0);
                    continue;
                }
                held += zeros + 1;
                if held <= i64::from(MOST_DIGITS) {
                    value = value * POWERS[zeros as usize + 1] + i128::from(byte - b'0');
                }
                zeros = 0;
            }
            b'.' if !point => point = true,
            _ => return Err(Unfit::NoNumber),
        }
    }
    if digits == 0 {
        return Err(Unfit::NoNumber);
    }
    if held == 0 {
        return Ok(0);
    }
    let shift = i64::from(scale) + exponent + zeros - decimals;
    if held + shift > i64::from(MOST_DIGITS) {
        return Err(Unfit::TooGreat);
    }
    match usize::try_from(shift) {
        Ok(shift) => Ok(value * POWERS[shift]),
        Err(_) => Err(Unfit::TooFine),
    }
}

/// The power of ten that a second of a unit is.
fn digits_of(unit: TimeUnit) -> usize {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

/// Microseconds since 1970 of the beginning of the year 1 and before that of the year 10,000.
const YEARS: Range<i128> = -62_135_596_800_000_000..253_402_300_800_000_000;

/// The same in milliseconds.
pub(crate) const YEARS_MS: Range<i64> = -62_135_596_800_000..253_402_300_800_000;

/// The same in days.
const YEARS_DAYS: Range<i32> = -719_162..2_932_897;

/// A time in microseconds since 1970, of a text like `2026-01-31 12:00:00` or, where the unit of numbers is known, of a
/// number. One that has parts of a microsecond is none.
pub(crate) fn timestamp(text: &str, unit: Option<TimeUnit>) -> Result<i64, Unfit> {
    // Decimals of a second that a number may have.
    const FINEST: i8 = 18;
    let time = || match string_to_datetime(&Utc, text) {
        // A second 60 is no time of a day: Arrow makes it the next minute.
        Ok(_) if text.get(16..19) == Some(":60") => Err(Unfit::NoNumber),
        Ok(_) if is_too_fine(text) => Err(Unfit::TooFine),
        Ok(time) => {
            let micros = time.timestamp_micros();
            if YEARS.contains(&i128::from(micros)) { Ok(micros) } else { Err(Unfit::BeyondYears) }
        }
        Err(_) => Err(Unfit::NoNumber),
    };
    let Some(unit) = unit else {
        return time().map_err(|unfit| match decimal(text, MOST_DIGITS, FINEST) {
            Err(Unfit::NoNumber) => unfit,
            _ => Unfit::NoUnit,
        });
    };
    match decimal(text, MOST_DIGITS, FINEST) {
        Ok(value) => {
            let micro = POWERS[usize::from(FINEST.unsigned_abs()) - 6 + digits_of(unit)];
            let micros = value.div_euclid(micro);
            match YEARS.contains(&micros) {
                false => Err(Unfit::BeyondYears),
                true if value.rem_euclid(micro) != 0 => Err(Unfit::TooFine),
                true => i64::try_from(micros).map_err(|_| Unfit::BeyondYears),
            }
        }
        Err(Unfit::TooGreat) => Err(Unfit::BeyondYears),
        Err(Unfit::NoNumber) => time(),
        Err(unfit) => Err(unfit),
    }
}

/// Whether a time has parts of a microsecond.
pub(crate) fn is_too_fine(text: &str) -> bool {
    let fraction = text.split_once('.').map_or("", |(_, behind)| behind);
    let mut digits = fraction.bytes().take_while(u8::is_ascii_digit);
    digits.by_ref().nth(5).is_some() && digits.any(|digit| digit != b'0')
}

/// A date in days since 1970.
pub(crate) fn date(text: &str) -> Result<i32, Unfit> {
    let days = Date32Type::parse(text).ok_or(Unfit::NoNumber)?;
    if !YEARS_DAYS.contains(&days) {
        return Err(Unfit::BeyondYears);
    }
    let is_date = text.len() <= 10 || text.starts_with(['+', '-']);
    let midnight = || string_to_datetime(&Utc, text).is_ok_and(|time| time.time() == NaiveTime::MIN);
    if is_date || midnight() { Ok(days) } else { Err(Unfit::TimeOfDay) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_decimal_is_exact_or_refused() {
        use Unfit::{NoNumber, TooFine, TooGreat};
        for (text, expected) in [
            ("1.005", Err(TooFine)),
            ("1.5000000000000000000000000000000000000000000000", Ok(150)),
            ("-0.07", Ok(-7)),
            ("+3", Ok(300)),
            (" 3. ", Ok(300)),
            (".5", Ok(50)),
            ("-.50", Ok(-50)),
            ("1.5e1", Ok(1500)),
            ("1500E-3", Ok(150)),
            ("1e-3", Err(TooFine)),
            ("0e99", Ok(0)),
            ("0.000000000000000000000000000000000000000000000000", Ok(0)),
            ("00000000000000000000000000000000000000000000000001", Ok(100)),
            ("99999999.99", Ok(9_999_999_999)),
            ("-99999999.99", Ok(-9_999_999_999)),
            ("100000000", Err(TooGreat)),
            ("100000000.001", Err(TooFine)),
            ("1e30", Err(TooGreat)),
            ("1e2000000000", Err(TooGreat)),
            ("1e3000000000", Err(NoNumber)),
            ("1234567890123456789012345678901234567890123", Err(TooGreat)),
            ("0.1234567890123456789012345678901234567890123", Err(TooFine)),
            ("", Err(NoNumber)),
            (" ", Err(NoNumber)),
            ("-", Err(NoNumber)),
            (".", Err(NoNumber)),
            ("e5", Err(NoNumber)),
            ("1e", Err(NoNumber)),
            ("1.2.3", Err(NoNumber)),
            ("--1", Err(NoNumber)),
            ("1,5", Err(NoNumber)),
            ("inf", Err(NoNumber)),
            ("nan", Err(NoNumber)),
        ] {
            assert_eq!(decimal(text, 10, 2), expected, "`{text}`");
        }
        assert_eq!(decimal(&"9".repeat(38), 38, 0), Ok(POWERS[38] - 1));
        assert_eq!(decimal(&format!("-0.{}", "9".repeat(38)), 38, 38), Ok(1 - POWERS[38]));
        assert_eq!(decimal("1", 38, 38), Err(TooGreat));
    }

    #[test]
    fn whole_numbers_and_doubles() {
        assert_eq!([whole("12"), whole("-1e3"), whole("1.0")], [Ok(12), Ok(-1000), Ok(1)]);
        assert_eq!([whole("1.5"), whole("x")], [Err(Unfit::NoNumber); 2]);
        assert_eq!(whole("9223372036854775808"), Err(Unfit::TooGreat));
        assert_eq!((double("1e400"), double("-1e400")), (Err(Unfit::TooGreat), Err(Unfit::TooGreat)));
        assert_eq!((double("-inf"), double(" 0.5")), (Ok(f64::NEG_INFINITY), Ok(0.5)));
        assert!(double("NaN").is_ok_and(f64::is_nan));
    }

    #[test]
    fn a_fraction_is_cut_off_and_no_digit_is_lost() {
        // The right ones by Python: int(decimal.Decimal(text)).
        for (text, value) in [
            ("1.5", 1),
            ("-1.999999999999999999999999", -1),
            ("-0.5", 0),
            ("0e99999999999999999999", 0),
            ("1e-99999999999999999999", 0),
            ("0.00012e5", 12),
            ("9007199254740993.0", 9_007_199_254_740_993),
            ("9.007199254740993e15", 9_007_199_254_740_993),
            ("9223372036854775807.9", i64::MAX),
            ("-9223372036854775808.9", i64::MIN),
            ("-9.223372036854775808E+18", i64::MIN),
            ("90071992547409930000e-4", 9_007_199_254_740_993),
            ("12e2", 1_200),
        ] {
            assert_eq!(cut_whole(text), Ok(value), "{text}");
        }
        for text in
            ["9223372036854775808", "-9223372036854775809", "1e19", "1e99999999999999999999", "9.3e18"]
        {
            assert_eq!(cut_whole(text), Err(Unfit::TooGreat), "{text}");
        }
    }

    #[test]
    fn a_double_that_was_only_found_is_the_number_of_the_text() {
        for good in [
            "1.5",
            "0.1",
            "9007199254740992",
            "9007199254740994.0",
            "-18446744073709551616",
            "6.02214076e23",
            "1e300",
        ] {
            assert_eq!(exact_double(good), double(good), "{good}");
        }
        for bad in [
            "9007199254740993",
            "-9007199254740993.0",
            "9007199254740992.5",
            "18446744073709551615",
            &"9".repeat(50),
        ] {
            assert_eq!(exact_double(bad), Err(Unfit::Inexact), "{bad}");
        }
        assert_eq!(exact_double("1e400"), Err(Unfit::TooGreat));
    }

    #[test]
    fn a_time_is_a_text_or_a_number_of_a_known_unit() {
        use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
        // `date -u -d 2026-01-01T00:00:00.123456 +%s%6N`
        let at = 1_767_225_600_123_456;
        for text in
            ["2026-01-01 00:00:00.123456", "2026-01-01T00:00:00.1234560Z", "2026-01-01T02:00:00.123456+02:00"]
        {
            assert_eq!([timestamp(text, None), timestamp(text, Some(Second))], [Ok(at), Ok(at)], "{text}");
        }
        for (text, unit) in [
            ("1767225600.123456", Second),
            ("1767225600.1234560", Second),
            ("1.767225600123456e9", Second),
            ("1767225600123.456", Millisecond),
            ("1767225600123456", Microsecond),
            ("1767225600123456000", Nanosecond),
        ] {
            assert_eq!(timestamp(text, Some(unit)), Ok(at), "{text}");
            assert_eq!(timestamp(text, None), Err(Unfit::NoUnit), "{text}");
        }
        assert_eq!([timestamp("-0.000001", Some(Second)), timestamp("0", Some(Second))], [Ok(-1), Ok(0)]);
        for (text, unit) in [
            ("1767225600.1234567", Second),
            ("-0.0000005", Second),
            ("1767225600123.4567", Millisecond),
            ("1767225600123456.5", Microsecond),
            ("1767225600123456001", Nanosecond),
            ("2026-01-01T00:00:00.1234567Z", Second),
        ] {
            assert_eq!(timestamp(text, Some(unit)), Err(Unfit::TooFine), "{text}");
        }
        assert_eq!(timestamp("2026-01-01 00:00:00.1234567+02:00", None), Err(Unfit::TooFine));
        for text in ["1767225600000", "-99999999999999", "1e60"] {
            assert_eq!(timestamp(text, Some(Second)), Err(Unfit::BeyondYears), "{text}");
        }
        assert_eq!([timestamp("noon", None), timestamp("true", Some(Second))], [Err(Unfit::NoNumber); 2]);
        for text in ["0000-12-31 23:59:59", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"] {
            assert_eq!(timestamp(text, None), Err(Unfit::BeyondYears), "{text}");
        }
        assert_eq!(timestamp("2026-12-31 23:59:60", None), Err(Unfit::NoNumber));
        // `date -u -d 9999-12-31T23:59:59 +%s`
        assert_eq!(timestamp("9999-12-31 23:59:59", None), Ok(253_402_300_799_000_000));
    }

    #[test]
    fn a_date_has_no_time_of_day() {
        assert_eq!([date("2026-03-01"), date("2026-03-01T00:00:00")], [Ok(20_513); 2]);
        assert_eq!(
            [date("2026-03-01 23:59:59"), date("2026-03-01T00:00:00+01:00")],
            [Err(Unfit::TimeOfDay); 2]
        );
        assert_eq!([date("20513"), date("x")], [Err(Unfit::NoNumber); 2]);
        // `date -u -d 9999-12-31 +%s` / 86400
        assert_eq!([date("0001-01-01"), date("9999-12-31")], [Ok(-719_162), Ok(2_932_896)]);
        assert_eq!([date("0000-12-31"), date("+10000-01-01")], [Err(Unfit::BeyondYears); 2]);
    }

    proptest! {
        /// However many zeros and whatever exponent a number is written with, it is the same.
        #[test]
        fn a_number_is_the_same_in_every_writing(
            units in -999_999_999_999_999_999i64..=999_999_999_999_999_999,
            before in 0usize..30,
            behind in 0usize..30,
        ) {
            let (sign, digits) = (if units < 0 { "-" } else { "" }, format!("{:019}", units.unsigned_abs()));
            let (whole, part) = digits.split_at(digits.len() - 4);
            let plain = format!("{sign}{}{whole}.{part}{}", "0".repeat(before), "0".repeat(behind));
            prop_assert_eq!(decimal(&plain, 20, 4), Ok(i128::from(units)));
            let moved = format!("{sign}{digits}{}e-{}", "0".repeat(behind), behind + 4);
            prop_assert_eq!(decimal(&moved, 20, 4), Ok(i128::from(units)));
        }
    }
}
