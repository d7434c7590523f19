//! Texts as numbers.

use super::Unfit;

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
pub(super) const MOST_DIGITS: u8 = 38;

/// The powers of ten that fit.
pub(super) const POWERS: [i128; MOST_DIGITS as usize + 1] = {
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
