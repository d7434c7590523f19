//! `parse_date`: text to a time, in formats that the job names.
//!
//! DataFusion's `to_timestamp_micros(text, format, …)` does nearly that. This one reads the formats once a batch, not once a
//! row, keeps the last text (files repeat a time on neighbouring rows), takes a date alone for its midnight, and says of
//! a text that fits no format which formats it was read with.
//!
//! Where chrono guesses, or drops what it has read, this follows POSIX and Python: `%Y` is four digits (`10` is no year),
//! `%y` of 69 is 1969, `%f` are the digits of a fraction (`5` is half a second). A text with an offset (`%z`) gives the
//! moment in UTC, as a cast does. Refused are a second 60, a year 0, a fraction finer than a microsecond, and parts of a time
//! without its hour.

use std::sync::Arc;

use arrow::array::{Array, AsArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, TimeUnit};
use chrono::format::{Fixed, Item, Numeric, Parsed, StrftimeItems, parse_and_remainder};
use chrono::{Datelike, NaiveDateTime, NaiveTime};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

/// `parse_date(text, format, …)`: a timestamp (microseconds, no time zone) by the first strftime format that fits.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ParseDate {
    signature: Signature,
}

impl ParseDate {
    pub(super) fn new() -> Self {
        ParseDate { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for ParseDate {
    fn name(&self) -> &str {
        "parse_date"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let text = |t: &DataType| t.is_string() || t.is_null();
        match types {
            [_, _, ..] if types.iter().all(text) => Ok(vec![DataType::Utf8View; types.len()]),
            [_] => plan_err!("parse_date needs a format after the text, such as '%Y-%m-%d %H:%M:%S'"),
            _ => plan_err!(
                "parse_date takes a text and formats, such as parse_date(day, '%d/%m/%Y'), not {types:?}"
            ),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Timestamp(TimeUnit::Microsecond, None))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some((text, formats)) = args.args.split_first() else {
            return exec_err!("parse_date was given no text");
        };
        let formats = formats.iter().map(Format::of).collect::<Result<Vec<_>>>()?;
        let texts = text.to_array(args.number_rows)?;
        let mut times = TimestampMicrosecondArray::builder(texts.len());
        let mut last: Option<(&str, i64)> = None;
        for text in texts.as_string_view() {
            let Some(text) = text else {
                times.append_null();
                continue;
            };
            let time = match last {
                Some((same, time)) if same == text => time,
                _ => read(text, &formats)?,
            };
            last = Some((text, time));
            times.append_value(time);
        }
        let times = times.finish();
        Ok(match text {
            ColumnarValue::Scalar(_) if times.len() == 1 => {
                ColumnarValue::Scalar(ScalarValue::try_from_array(&times, 0)?)
            }
            _ => ColumnarValue::Array(Arc::new(times)),
        })
    }
}

/// A format, as written and as read.
struct Format {
    text: String,
    items: Vec<Item<'static>>,
}

impl Format {
    fn of(argument: &ColumnarValue) -> Result<Format> {
        let ColumnarValue::Scalar(ScalarValue::Utf8View(Some(text))) = argument else {
            return exec_err!(
                "the formats of parse_date are constants: write them out, as in parse_date(day, '%d/%m/%Y')"
            );
        };
        match StrftimeItems::new(text).parse_to_owned() {
            Ok(items) if items.contains(&Item::Fixed(Fixed::TimezoneName)) => exec_err!(
                "`%Z` in `{text}` would be read over: the name of a zone says no offset; %z reads one, such as +0200"
            ),
            Ok(items) => Ok(Format { text: text.clone(), items: items.into_iter().map(with_zulu).collect() }),
            Err(_) => exec_err!(
                "`{text}` is no date format: it is made of %Y (year), %m (month), %d (day), %H (hour), %M (minute), %S (second) and what stands between them"
            ),
        }
    }

    fn read(&self, text: &str) -> Option<NaiveDateTime> {
        let mut parsed = Parsed::new();
        let mut rest = text;
        for item in &self.items {
            rest = match item {
                Item::Numeric(Numeric::Nanosecond, _) => fraction(&mut parsed, rest)?,
                _ => {
                    let behind = parse_and_remainder(&mut parsed, rest, std::iter::once(item)).ok()?;
                    let read = rest.get(..rest.len() - behind.len())?.trim_start();
                    if matches!(item, Item::Numeric(Numeric::Year | Numeric::IsoYear, _))
                        && (read.len() != 4 || !read.bytes().all(|byte| byte.is_ascii_digit()))
                    {
                        return None;
                    }
                    behind
                }
            };
        }
        if !rest.is_empty() {
            return None;
        }
        if parsed.year_mod_100() == Some(69) && parsed.year_div_100().is_none() && parsed.year().is_none() {
            parsed.set_year_div_100(19).ok()?;
        }
        time(&parsed)
    }
}

/// `%z` reads the Z of ISO 8601 too, as Python's does.
fn with_zulu(item: Item<'static>) -> Item<'static> {
    match item {
        Item::Fixed(Fixed::TimezoneOffset | Fixed::TimezoneOffsetColon) => {
            Item::Fixed(Fixed::TimezoneOffsetZ)
        }
        other => other,
    }
}

/// The digits of a fraction of a second.
fn fraction<'a>(parsed: &mut Parsed, text: &'a str) -> Option<&'a str> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (read, rest) = text.split_at(digits);
    let value: i64 = read.parse().ok().filter(|_| digits <= 9)?;
    parsed.set_nanosecond(value * 10_i64.pow(9 - u32::try_from(digits).ok()?)).ok()?;
    Some(rest)
}

fn time(parsed: &Parsed) -> Option<NaiveDateTime> {
    let offset = parsed.offset().unwrap_or(0);
    // 23:59:60 is no time of a day: microseconds since 1970 count no leap seconds.
    if parsed.second() == Some(60) || parsed.nanosecond().is_some_and(|n| n % 1000 != 0) {
        return None;
    }
    let local = match parsed.hour_mod_12() {
        Some(_) => parsed.to_naive_datetime_with_offset(offset).ok()?,
        None if parsed.timestamp().is_some() => parsed.to_naive_datetime_with_offset(offset).ok()?,
        None => {
            let of_a_time = [parsed.hour_div_12(), parsed.minute(), parsed.second(), parsed.nanosecond()];
            if of_a_time.iter().any(Option::is_some) {
                return None;
            }
            parsed.to_naive_date().ok()?.and_time(NaiveTime::MIN)
        }
    };
    let moment = local.checked_sub_signed(chrono::TimeDelta::seconds(i64::from(offset)))?;
    let is_of_a_year = |time: NaiveDateTime| (1..=9999).contains(&time.year());
    (is_of_a_year(local) && is_of_a_year(moment)).then_some(moment)
}

/// Microseconds since 1970 of the first format that fits.
fn read(text: &str, formats: &[Format]) -> Result<i64> {
    match formats.iter().find_map(|format| format.read(text)) {
        Some(time) => Ok(time.and_utc().timestamp_micros()),
        None => {
            let tried: Vec<String> = formats.iter().map(|format| format!("`{}`", format.text)).collect();
            exec_err!("`{text}` is not a date of the format {}", tried.join(" or "))
        }
    }
}
