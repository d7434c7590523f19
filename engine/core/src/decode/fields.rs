//! The fields of messages, and columns of them.
//!
//! What a field is, is noted as the message is read; what it is as a value of its column, when all messages of a chunk have
//! been: column by column, so that of a field that is there twice the last counts, and a bad value spoils its own row alone.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, PrimitiveArray, StringBuilder, new_null_array};
use arrow::compute::kernels::cast_utils::Parser;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Field, Float64Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType,
};

use crate::exact::{self, Unfit};
use crate::json::{self, Fault, Value};

/// Characters of a value that are quoted where it is refused.
const QUOTED: usize = 40;

/// What the messages of a chunk have in the fields of the schema: a row of values each, null where they have nothing.
pub(crate) struct Fields<'a> {
    places: HashMap<&'a str, usize>,
    /// The names of the message before, and where they go: nearly always those of the next one.
    seen: Vec<(&'a str, Option<usize>)>,
    values: Vec<Value<'a>>,
    rows: usize,
}

/// Rows that a column makes bad, and why.
pub(crate) type Faults = Vec<(usize, String)>;

impl<'a> Fields<'a> {
    pub(crate) fn new(fields: &'a [Arc<Field>], rows: usize) -> Self {
        let places = fields.iter().enumerate().map(|(at, field)| (field.name().as_str(), at)).collect();
        Fields { places, seen: Vec::new(), values: Vec::with_capacity(rows * fields.len()), rows: 0 }
    }

    /// Messages taken.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Takes a message.
    ///
    /// # Errors
    /// It is not one JSON object; nothing of it has been taken then.
    pub(crate) fn take(&mut self, message: &'a str) -> Result<(), Fault> {
        let Fields { places, seen, values, .. } = self;
        let start = values.len();
        values.resize(start + places.len(), Value::Null);
        let mut number = 0;
        let read = json::object(message, |name, value| {
            let place = match seen.get(number) {
                Some((written, place)) if *written == name.written() => *place,
                _ => {
                    let place = places.get(name.meant().as_ref()).copied();
                    seen.truncate(number);
                    seen.push((name.written(), place));
                    place
                }
            };
            number += 1;
            if let Some(place) = place {
                values[start + place] = value;
            }
        });
        match read {
            Ok(()) => self.rows += 1,
            Err(_) => self.values.truncate(start),
        }
        read
    }

    /// The values of the field at a place as a column, null where one is none of its type.
    pub(crate) fn column(
        &self,
        at: usize,
        field: &Field,
        unit: Option<TimeUnit>,
        faults: &mut Faults,
    ) -> ArrayRef {
        let name = field.name();
        let kind = field.data_type();
        let mut bad = |row: usize, value: Value<'_>, reason: Reason| {
            faults.push((row, reason.told(name, value, kind)));
        };
        match kind {
            DataType::Int32 => self.numbers::<Int32Type>(at, &mut bad, |text| {
                i32::try_from(exact::cut_whole(text)?).map_err(|_| Unfit::TooGreat)
            }),
            DataType::Int64 => self.numbers::<Int64Type>(at, &mut bad, exact::cut_whole),
            DataType::Float64 => self.numbers::<Float64Type>(at, &mut bad, exact::double),
            DataType::Boolean => {
                let truth = |value: Value<'_>| match value {
                    Value::True => Ok(true),
                    Value::False => Ok(false),
                    other => plain(&other).and_then(|text| truth(&text)).ok_or(Reason::NoTruth),
                };
                Arc::new(self.each(at, &mut bad, truth).collect::<BooleanArray>())
            }
            DataType::Utf8 => Arc::new(self.texts(at, &mut bad)),
            DataType::Date32 => {
                let date = |value: Value<'_>| Ok(exact::date(&plain(&value).ok_or(Reason::OtherKind)?)?);
                Arc::new(self.each(at, &mut bad, date).collect::<PrimitiveArray<Date32Type>>())
            }
            DataType::Timestamp(TimeUnit::Microsecond, None) => {
                let time =
                    |value: Value<'_>| Ok(exact::timestamp(&plain(&value).ok_or(Reason::OtherKind)?, unit)?);
                Arc::new(self.each(at, &mut bad, time).collect::<PrimitiveArray<TimestampMicrosecondType>>())
            }
            other => {
                self.each(at, &mut bad, |_| Err::<(), _>(Reason::OtherKind)).for_each(drop);
                new_null_array(other, self.rows)
            }
        }
    }

    /// Whether all that the field at a place has is `true` and `false`.
    pub(crate) fn has_only_booleans(&self, at: usize) -> bool {
        self.values(at).all(|value| matches!(value, Value::Null | Value::True | Value::False))
    }

    /// The values of a field, by row.
    fn values(&self, at: usize) -> impl Iterator<Item = Value<'a>> {
        self.values.iter().skip(at).step_by(self.places.len().max(1)).copied()
    }

    /// What a field's values are as those of a type; null is nothing.
    fn each<T>(
        &self,
        at: usize,
        bad: &mut impl FnMut(usize, Value<'a>, Reason),
        as_type: impl Fn(Value<'a>) -> Result<T, Reason>,
    ) -> impl Iterator<Item = Option<T>> {
        self.values(at).enumerate().map(move |(row, value)| {
            if value == Value::Null {
                return None;
            }
            as_type(value).map_err(|reason| bad(row, value, reason)).ok()
        })
    }

    fn numbers<T: ArrowPrimitiveType + Parser>(
        &self,
        at: usize,
        bad: &mut impl FnMut(usize, Value<'a>, Reason),
        number: impl Fn(&str) -> Result<T::Native, Unfit>,
    ) -> ArrayRef {
        let number = |value: Value<'a>| match value {
            Value::Number(text) => match number(text) {
                Err(Unfit::TooGreat) if T::DATA_TYPE == DataType::Float64 => Err(Reason::NotFinite),
                number => Ok(number?),
            },
            Value::Text(text) => {
                let number = T::parse(&text.meant()).ok_or(Unfit::NoNumber)?;
                if is_finite::<T>(number) { Ok(number) } else { Err(Reason::NotFinite) }
            }
            _ => Err(Reason::OtherKind),
        };
        Arc::new(self.each(at, bad, number).collect::<PrimitiveArray<T>>())
    }

    fn texts(&self, at: usize, bad: &mut impl FnMut(usize, Value<'a>, Reason)) -> arrow::array::StringArray {
        let length = |value: Value<'_>| match value {
            Value::Text(text) => text.written().len(),
            Value::Number(text) => text.len(),
            _ => 0,
        };
        let bytes = self.values(at).map(length).sum();
        let mut texts = StringBuilder::with_capacity(self.rows, bytes);
        for (row, value) in self.values(at).enumerate() {
            match plain(&value) {
                Some(text) => texts.append_value(text),
                None => {
                    texts.append_null();
                    if value != Value::Null {
                        bad(row, value, Reason::OtherKind);
                    }
                }
            }
        }
        texts.finish()
    }
}

fn is_finite<T: ArrowPrimitiveType>(number: T::Native) -> bool {
    use arrow::array::ArrowNativeTypeOp;
    // Of whole numbers each is its own difference to nothing; an infinite one and NaN have none.
    number.sub_wrapping(number).is_zero()
}

/// Why a value is none of its column.
enum Reason {
    Unfit(Unfit),
    NoTruth,
    NotFinite,
    /// A list, say, where a number is expected.
    OtherKind,
}

impl From<Unfit> for Reason {
    fn from(unfit: Unfit) -> Self {
        Reason::Unfit(unfit)
    }
}

impl Reason {
    fn told(self, name: &str, value: Value<'_>, kind: &DataType) -> String {
        let quoted = || plain(&value).unwrap_or_default().chars().take(QUOTED).collect::<String>();
        match self {
            Reason::Unfit(unfit) => format!("`{name}`: {}", unfit.tell(&quoted(), kind)),
            Reason::NoTruth if plain(&value).is_some() => {
                format!("`{name}` is `{}`: a boolean is true, false, 1 or 0", quoted())
            }
            Reason::NotFinite => format!("`{name}` is not a finite number"),
            Reason::NoTruth | Reason::OtherKind => {
                let what = match value {
                    Value::List => "a list",
                    Value::Object => "an object",
                    _ => "true or false",
                };
                format!("`{name}` is {what}, not {}", exact::words(kind))
            }
        }
    }
}

/// A value as text; `None` of a list, an object and null.
fn plain<'a>(value: &Value<'a>) -> Option<Cow<'a, str>> {
    match value {
        Value::Text(text) => Some(text.meant()),
        Value::Number(text) => Some(Cow::Borrowed(*text)),
        Value::True => Some(Cow::Borrowed("true")),
        Value::False => Some(Cow::Borrowed("false")),
        Value::Null | Value::List | Value::Object => None,
    }
}

/// A boolean that is not written as one: `1.0` is what a producer of floats sends.
fn truth(word: &str) -> Option<bool> {
    match word {
        "true" | "1" | "1.0" | "True" | "TRUE" => Some(true),
        "false" | "0" | "0.0" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}
