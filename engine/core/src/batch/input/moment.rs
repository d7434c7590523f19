//! Dates and times of text cells, held exactly or not at all.
//!
//! Arrow's readers take `2026-03-01 23:59:59` for the DATE 2026-03-01, `23:59:60` for the midnight after, and cut off what is
//! finer than a microsecond. Here such a cell is none of its type. A TIMESTAMP with an offset is its moment in UTC. Years go
//! from 1 to 9999.

use arrow::compute::kernels::cast_utils::{Parser, string_to_datetime};
use arrow::datatypes::{DataType, Date32Type, TimeUnit};
use chrono::Utc;

use crate::exact::{Unfit, is_too_fine};

/// The zone of TIMESTAMP WITH TIME ZONE.
pub(super) const UTC: &str = "UTC";

const DAY_MICROS: i64 = 86_400_000_000;

/// Whether a type is one of these.
pub(super) fn is_moment(kind: &DataType) -> bool {
    match kind {
        DataType::Date32 => true,
        DataType::Timestamp(TimeUnit::Microsecond, zone) => zone.as_deref().is_none_or(|zone| zone == UTC),
        _ => false,
    }
}

/// Days since 1970 of `2026-03-01`, also where a midnight follows.
pub(super) fn date(text: &str) -> Result<i32, Unfit> {
    let text = text.trim_ascii();
    if let Some(days) = short_date(text.as_bytes()) {
        return i32::try_from(days).map_err(|_| Unfit::NoNumber);
    }
    let days = match text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        true => Date32Type::parse(text).filter(|_| has_year(text)),
        false => timestamp(text)
            .ok()
            .filter(|micros| micros % DAY_MICROS == 0)
            .and_then(|micros| i32::try_from(micros / DAY_MICROS).ok()),
    };
    days.ok_or(Unfit::NoNumber)
}

/// Microseconds since 1970 of `2026-03-01 09:30:00`, and of what else Arrow reads.
pub(super) fn timestamp(text: &str) -> Result<i64, Unfit> {
    let text = text.trim_ascii();
    if let Some(micros) = short_timestamp(text.as_bytes()) {
        return Ok(micros);
    }
    if is_too_fine(text) {
        return Err(Unfit::TooFine);
    }
    // A second 60 is no time of a day.
    if !has_year(text)
        || text.get(17..19).is_some_and(|second| second > "59" && second.bytes().all(|b| b.is_ascii_digit()))
    {
        return Err(Unfit::NoNumber);
    }
    string_to_datetime(&Utc, text).map(|time| time.timestamp_micros()).map_err(|_| Unfit::NoNumber)
}

/// A year of four digits, but 0.
fn has_year(text: &str) -> bool {
    let year = text.as_bytes().get(..4).filter(|year| year.iter().all(u8::is_ascii_digit));
    year.is_some_and(|year| year != b"0000")
        && text.as_bytes().get(4).is_none_or(|byte| !byte.is_ascii_digit())
}

/// The number of a few digits.
fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| value * 10 + i64::from(digit))
    })
}

/// `YYYY-MM-DD` and nothing else.
fn short_date(text: &[u8]) -> Option<i64> {
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = text else { return None };
    let (year, month, day) = (digits(&[*y0, *y1, *y2, *y3])?, digits(&[*m0, *m1])?, digits(&[*d0, *d1])?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if year == 0 || !(1..=length).contains(&day) {
        return None;
    }
    // Days of the civil calendar, years beginning in March (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// `YYYY-MM-DD hh:mm:ss`, with a `T` too, and nothing else.
fn short_timestamp(text: &[u8]) -> Option<i64> {
    if text.len() != 19 || !matches!(text[10], b' ' | b'T') || text[13] != b':' || text[16] != b':' {
        return None;
    }
    let (hour, minute, second) = (digits(&text[11..13])?, digits(&text[14..16])?, digits(&text[17..])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(short_date(&text[..10])? * DAY_MICROS + (hour * 3_600 + minute * 60 + second) * 1_000_000)
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;

    #[test]
    fn days_are_chronos() {
        let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
        let mut day = NaiveDate::from_ymd_opt(1, 1, 1).unwrap();
        while day <= NaiveDate::from_ymd_opt(9999, 12, 31).unwrap() {
            let text = day.format("%Y-%m-%d").to_string();
            assert_eq!(date(&text), Ok((day - epoch).num_days() as i32), "{text}");
            day = day.checked_add_days(chrono::Days::new(13)).unwrap();
        }
        assert_eq!(date("2024-02-29"), Ok(19_782));
        assert_eq!(date("9999-12-31"), Ok(2_932_896));
    }

    #[test]
    fn a_cell_is_a_date_or_none() {
        for text in [
            "2026-03-01",
            "2026-3-1",
            " 2026-03-01 ",
            "2026-03-01 00:00:00",
            "2026-03-01T00:00:00Z",
            "2026-03-01 00:00:00.000",
        ] {
            assert_eq!(date(text), Ok(20_513), "{text}");
        }
        for text in [
            "2026-03-01 23:59:59",
            "2026-03-01T00:00:00+02:00",
            "2026-02-29",
            "2026-13-01",
            "2026-00-01",
            "2026-01-00",
            "0000-01-01",
            "-0001-01-01",
            "10000-01-01",
            "99999-01-01",
            "01.03.2026",
            "20513",
            "",
            "noon",
        ] {
            assert_eq!(date(text), Err(Unfit::NoNumber), "{text}");
        }
    }

    #[test]
    fn a_cell_is_a_time_or_none() {
        let at = 1_772_357_400_000_000;
        for text in [
            "2026-03-01 09:30:00",
            "2026-03-01T09:30:00",
            "2026-03-01T09:30:00Z",
            "2026-03-01 11:30:00+02:00",
            "2026-03-01 09:30:00.000000",
            "2026-03-01 09:30:00.000000000",
        ] {
            assert_eq!(timestamp(text), Ok(at), "{text}");
        }
        assert_eq!(timestamp("2026-03-01 09:30:00.5"), Ok(at + 500_000));
        assert_eq!(timestamp("2026-03-01 09:30:00.123456000"), Ok(at + 123_456));
        assert_eq!(timestamp("1969-12-31 23:59:59"), Ok(-1_000_000));
        assert_eq!(timestamp("2026-03-01"), Ok(1_772_323_200_000_000));
        for text in ["2026-03-01 09:30:00.1234567", "2026-03-01 09:30:00.123456789Z"] {
            assert_eq!(timestamp(text), Err(Unfit::TooFine), "{text}");
        }
        for text in [
            "2026-03-01 24:00:00",
            "2026-03-01 23:59:60",
            "2026-03-01T23:59:60Z",
            "2026-03-01 23:60:00",
            "2026-02-29 00:00:00",
            "0000-01-01 00:00:00",
            "-0001-01-01 00:00:00",
            "10000-01-01 00:00:00",
            "+2026-03-01 09:30:00",
            "09:30",
            "noon",
            "",
        ] {
            assert_eq!(timestamp(text), Err(Unfit::NoNumber), "{text}");
        }
    }
}
