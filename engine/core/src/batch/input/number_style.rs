//! Numbers that are not written as SQL has them, `1.234,5` say: made plain before they are read.

use arrow::array::StringArray;

use crate::project::NumberStyle;

/// The cells with numbers as SQL writes them. What is no number in this style is none in any.
pub(in crate::batch) fn made_plain(cells: &StringArray, style: NumberStyle) -> StringArray {
    cells.iter().map(|cell| Some(plain(cell?, style).unwrap_or_else(|| "?".to_owned()))).collect()
}

/// A number as SQL writes it; `None` for one that this style does not have, such as `1.5` where the point is between
/// thousands. What has no digits (`inf`) stays as it is.
pub(super) fn plain(text: &str, style: NumberStyle) -> Option<String> {
    let text = text.trim_ascii();
    if !text.bytes().any(|byte| byte.is_ascii_digit()) {
        return Some(text.to_owned());
    }
    let sign = text.len() - text.trim_start_matches(['+', '-']).len();
    let (sign, digits) = text.split_at(sign);
    let exponent = digits.find(['e', 'E']).unwrap_or(digits.len());
    let (mantissa, exponent) = digits.split_at(exponent);
    let mark = if style.decimal_comma { ',' } else { '.' };
    let (whole, decimals) = match mantissa.split_once(mark) {
        Some((whole, decimals)) => (whole, Some(decimals)),
        None => (mantissa, None),
    };
    let whole: String = match style.thousands.filter(|between| whole.contains(*between)) {
        None => whole.to_owned(),
        Some(between) => {
            let mut groups = whole.split(between);
            let first = groups.next().filter(|first| matches!(first.len(), 1..=3))?;
            let rest = groups.map(|group| (group.len() == 3).then_some(group)).collect::<Option<String>>()?;
            first.to_owned() + &rest
        }
    };
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(&whole) || !decimals.is_none_or(are_digits) {
        return None;
    }
    let point = if decimals.is_some() { "." } else { "" };
    Some(format!("{sign}{whole}{point}{}{exponent}", decimals.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::DataType;

    use super::super::number::{Unfit, Wanted};

    use super::*;

    #[test]
    fn a_number_of_another_style_is_that_number_or_none() {
        let german = NumberStyle { decimal_comma: true, thousands: Some('.') };
        for (text, expected) in [
            ("1.234,56", Some("1234.56")),
            (" -1.234.567,5 ", Some("-1234567.5")),
            ("1234,5e3", Some("1234.5e3")),
            ("1234", Some("1234")),
            ("-,5", Some("-.5")),
            ("nan", Some("nan")),
            ("1.5", None),
            ("1.2345", None),
            (".500", None),
            ("1234.567", None),
            ("1,234.5", None),
            ("1,2,3", None),
            ("12x", None),
        ] {
            assert_eq!(plain(text, german).as_deref(), expected, "`{text}`");
        }
        let comma = NumberStyle { decimal_comma: true, thousands: None };
        assert_eq!((plain("1,5", comma).as_deref(), plain("1.5", comma)), (Some("1.5"), None));
        let space = NumberStyle { decimal_comma: false, thousands: Some('\u{a0}') };
        assert_eq!(plain("12\u{a0}345.5", space).as_deref(), Some("12345.5"));
        let cells = StringArray::from(vec![Some("1.234,50"), None, Some("1.5"), Some("2,005")]);
        let wanted = Wanted { style: german, ..Wanted::given(&DataType::Decimal128(10, 2)) };
        let (found, bad) = wanted.parsed(&cells).unwrap();
        assert_eq!(found.as_primitive::<arrow::datatypes::Decimal128Type>().value(0), 123_450);
        assert_eq!(bad, [(2, Unfit::NoNumber), (3, Unfit::TooFine)]);
    }
}
