//! The schema of a message, written as SQL: `CREATE TABLE crimes (arrest BOOLEAN NOT NULL, …)`.
//!
//! `NOT NULL` makes a message without the field a dead letter; everything else may be null. `TIMESTAMP(s)`, `(ms)`, `(us)`
//! and `(ns)` say what a number counts that is a time, from 1970; the column is a TIMESTAMP like any other.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::sql::sqlparser::ast::{
    ColumnOption, DataType as Sql, ExactNumberInfo, Statement, TimezoneInfo,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer, Word};

use crate::error::{Error, Result};

/// Parses one `CREATE TABLE`.
///
/// # Errors
/// User: not exactly one CREATE TABLE, a type that a message cannot have, a column that starts with `_`.
pub fn parse_schema(sql: &str) -> Result<SchemaRef> {
    let statements = parser(sql).and_then(|mut parser| parser.parse_statements());
    let statements = statements.map_err(|e| Error::user(e.to_string()))?;
    let [Statement::CreateTable(table)] = statements.as_slice() else {
        return Err(Error::user("a schema is one CREATE TABLE statement"));
    };
    let mut fields = Vec::new();
    for column in &table.columns {
        let name = column.name.value.clone();
        if name.starts_with('_') {
            return Err(Error::user(format!("column `{name}`: names that start with `_` are the engine's")));
        }
        if fields.iter().any(|f: &Field| f.name() == &name) {
            return Err(Error::user(format!("column `{name}` is there twice")));
        }
        let not_null = column.options.iter().any(|o| matches!(o.option, ColumnOption::NotNull));
        let field = Field::new(&name, data_type(&name, &column.data_type)?, !not_null);
        let unit = unit_of(&column.data_type).map(|(word, _)| (UNIT.to_owned(), word.to_owned()));
        fields.push(field.with_metadata(HashMap::from_iter(unit)));
    }
    if fields.is_empty() {
        return Err(Error::user("the schema has no column"));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// The key of a field's metadata that has the unit of numbers that are times.
const UNIT: &str = "unit";
/// The units by their words in a type.
const UNITS: [(&str, TimeUnit); 4] = [
    ("s", TimeUnit::Second),
    ("ms", TimeUnit::Millisecond),
    ("us", TimeUnit::Microsecond),
    ("ns", TimeUnit::Nanosecond),
];
/// How a TIMESTAMP with a unit is called on its way through the parser, which knows numbers in its brackets alone.
const WITH_UNIT: &str = "tidemill_timestamp_";

/// What a number counts that is a time of this field of a message; `None` where its type does not say it.
pub(crate) fn number_unit(field: &Field) -> Option<TimeUnit> {
    let word = field.metadata().get(UNIT)?;
    UNITS.iter().find(|(known, _)| known == word).map(|(_, unit)| *unit)
}

/// The same of a type that [`sql_type`] took.
pub(crate) fn number_unit_of(text: &str) -> Option<TimeUnit> {
    unit_of(&parser(text).ok()?.parse_data_type().ok()?).map(|(_, unit)| unit)
}

/// Whether a message of the one schema may follow those of the other: the columns are the same, and what numbers count
/// that are times is what it was, or was not said before.
pub(crate) fn may_follow(new: &Schema, old: &Schema) -> bool {
    let same = |(new, old): (&Arc<Field>, &Arc<Field>)| {
        let plain = |field: &Arc<Field>| field.as_ref().clone().with_metadata(HashMap::new());
        plain(new) == plain(old) && (new == old || number_unit(old).is_none())
    };
    new.fields().len() == old.fields().len() && new.fields().iter().zip(old.fields()).all(same)
}

fn unit_of(sql: &Sql) -> Option<(&'static str, TimeUnit)> {
    let Sql::Custom(name, _) = sql else { return None };
    let name = name.to_string();
    let word = name.strip_prefix(WITH_UNIT)?;
    UNITS.into_iter().find(|(known, _)| *known == word)
}

/// A parser that knows the units of TIMESTAMP.
fn parser(sql: &str) -> std::result::Result<Parser<'static>, ParserError> {
    let mut tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location()?;
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    let mut at = 0;
    while let Some([name, open, unit, close]) = tokens.get(at..at + 4) {
        at += 1;
        let (Token::Word(name), Token::Word(Word { value, .. })) = (&name.token, &unit.token) else {
            continue;
        };
        if open.token != Token::LParen
            || close.token != Token::RParen
            || name.quote_style.is_some()
            || !name.value.eq_ignore_ascii_case("timestamp")
        {
            continue;
        }
        let value = value.to_ascii_lowercase();
        if UNITS.iter().any(|(known, _)| *known == value) {
            tokens[at - 1].token = Token::make_word(&format!("{WITH_UNIT}{value}"), None);
            tokens.drain(at..at + 3);
        }
    }
    Ok(Parser::new(&GenericDialect {}).with_tokens_with_locations(tokens))
}

/// A type as SQL writes it, `DECIMAL(10,2)` say.
pub(crate) fn sql_type(column: &str, text: &str) -> Result<DataType> {
    let unknown = || {
        Error::user(format!("column `{column}`: `{text}` is no type of a cell"))
            .hint("BOOLEAN, INT, BIGINT, DOUBLE, DECIMAL(p,s), TEXT, DATE and TIMESTAMP are, with a unit of numbers: TIMESTAMP(s), (ms), (us) or (ns)")
    };
    let mut parser = parser(text).map_err(|_| unknown())?;
    let parsed = parser.parse_data_type().map_err(|_| unknown())?;
    if parser.peek_token().token != Token::EOF {
        return Err(unknown());
    }
    match parsed {
        Sql::Decimal(ExactNumberInfo::PrecisionAndScale(precision, scale)) => {
            let precision =
                u8::try_from(precision).ok().filter(|p| (1..=38).contains(p)).ok_or_else(unknown)?;
            let scale =
                i8::try_from(scale).ok().filter(|s| (0..=precision as i8).contains(s)).ok_or_else(unknown)?;
            Ok(DataType::Decimal128(precision, scale))
        }
        other => data_type(column, &other).map_err(|_| unknown()),
    }
}

fn data_type(column: &str, sql: &Sql) -> Result<DataType> {
    Ok(match sql {
        Sql::Boolean | Sql::Bool => DataType::Boolean,
        Sql::TinyInt(_) | Sql::SmallInt(_) | Sql::Int(_) | Sql::Integer(_) => DataType::Int32,
        Sql::BigInt(_) => DataType::Int64,
        Sql::Real | Sql::Float(_) | Sql::Double(_) | Sql::DoublePrecision => DataType::Float64,
        Sql::Text | Sql::String(_) | Sql::Varchar(_) | Sql::Char(_) => DataType::Utf8,
        Sql::Date => DataType::Date32,
        Sql::Timestamp(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            DataType::Timestamp(TimeUnit::Microsecond, None)
        }
        other if unit_of(other).is_some() => DataType::Timestamp(TimeUnit::Microsecond, None),
        other => {
            return Err(Error::user(format!(
                "column `{column}`: {other} is not a type of a message's field"
            ))
            .hint("BOOLEAN, INT, BIGINT, DOUBLE, TEXT, DATE and TIMESTAMP are, with a unit of numbers: TIMESTAMP(s), (ms), (us) or (ns)"));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_nullability() {
        let schema = parse_schema("CREATE TABLE t (a BOOLEAN NOT NULL, b INT, c DOUBLE, d TEXT)").unwrap();
        let seen: Vec<_> = schema.fields().iter().map(|f| (f.data_type().clone(), f.is_nullable())).collect();
        let expected = [
            (DataType::Boolean, false),
            (DataType::Int32, true),
            (DataType::Float64, true),
            (DataType::Utf8, true),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_timestamp_says_what_numbers_count() {
        let schema =
            |kind: &str| parse_schema(&format!("CREATE TABLE t (a {kind}, \"timestamp\" INT)")).unwrap();
        let at = DataType::Timestamp(TimeUnit::Microsecond, None);
        for (kind, unit) in [
            ("TIMESTAMP", None),
            ("TIMESTAMP(3)", None),
            ("TIMESTAMP(s)", Some(TimeUnit::Second)),
            ("timestamp ( MS ) NOT NULL", Some(TimeUnit::Millisecond)),
            ("TIMESTAMP(us)", Some(TimeUnit::Microsecond)),
            ("TIMESTAMP(ns)", Some(TimeUnit::Nanosecond)),
        ] {
            let schema = schema(kind);
            assert_eq!((schema.field(0).data_type(), number_unit(schema.field(0))), (&at, unit), "{kind}");
            if !kind.contains("NOT") {
                assert_eq!(
                    (sql_type("a", kind).unwrap(), number_unit_of(kind)),
                    (at.clone(), unit),
                    "{kind}"
                );
            }
        }
        assert!(
            sql_type("a", "TIMESTAMP(h)").is_err()
                && parse_schema("CREATE TABLE t (a TIMESTAMP(h))").is_err()
        );
        let may = |new: &str, old: &str| may_follow(&schema(new), &schema(old));
        assert!(may("TIMESTAMP(s)", "TIMESTAMP") && may("TIMESTAMP(s)", "TIMESTAMP(s)") && may("INT", "INT"));
        assert!(
            !may("TIMESTAMP(s)", "TIMESTAMP(ms)")
                && !may("TIMESTAMP", "TIMESTAMP(s)")
                && !may("INT", "BIGINT")
        );
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        for sql in [
            "SELECT 1",
            "CREATE TABLE t (a INT, a INT)",
            "CREATE TABLE t (_offset INT)",
            "CREATE TABLE t (a INTERVAL)",
            "CREATE TABLE t (a INT); SELECT 1",
            "nonsense",
        ] {
            assert!(parse_schema(sql).is_err(), "{sql}");
        }
    }
}
