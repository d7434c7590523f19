//! The schema of a message, written as SQL: `CREATE TABLE crimes (arrest BOOLEAN NOT NULL, …)`.
//!
//! `NOT NULL` makes a message without the field a dead letter; everything else may be null.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::sql::sqlparser::ast::{
    ColumnOption, DataType as Sql, ExactNumberInfo, Statement, TimezoneInfo,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::error::{Error, Result};

/// Parses one `CREATE TABLE`.
///
/// # Errors
/// User: not exactly one CREATE TABLE, a type that a message cannot have, a column that starts with `_`.
pub fn parse_schema(sql: &str) -> Result<SchemaRef> {
    let statements = Parser::parse_sql(&GenericDialect {}, sql).map_err(|e| Error::user(e.to_string()))?;
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
        fields.push(Field::new(&name, data_type(&name, &column.data_type)?, !not_null));
    }
    if fields.is_empty() {
        return Err(Error::user("the schema has no column"));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// A type as SQL writes it, `DECIMAL(10,2)` say.
pub(crate) fn sql_type(column: &str, text: &str) -> Result<DataType> {
    let unknown = || {
        Error::user(format!("column `{column}`: `{text}` is no type of a cell"))
            .hint("BOOLEAN, INT, BIGINT, DOUBLE, DECIMAL(p,s), TEXT, DATE and TIMESTAMP are")
    };
    let mut parser = Parser::new(&GenericDialect {}).try_with_sql(text).map_err(|_| unknown())?;
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
        other => {
            return Err(Error::user(format!(
                "column `{column}`: {other} is not a type of a message's field"
            ))
            .hint("BOOLEAN, INT, BIGINT, DOUBLE, TEXT, DATE and TIMESTAMP are"));
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
