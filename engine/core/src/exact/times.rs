//! Texts, and numbers of a known unit, as times and dates.

use std::ops::Range;

use arrow::compute::kernels::cast_utils::{Parser, string_to_datetime};
use arrow::datatypes::{Date32Type, TimeUnit};
use chrono::{NaiveTime, Utc};

use super::Unfit;
use super::numbers::{MOST_DIGITS, POWERS, decimal};

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
    use super::*;

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
}
