//! `FROM crimes VERSION AS OF 40` and `FROM crimes TIMESTAMP AS OF '2026-11-30 12:00:00'`: a table as it was, in Databricks' words.
//!
//! The parser that DataFusion 55 is called with reads neither. So where a statement cannot be read, such a table becomes one name,
//! `"crimes VERSION AS OF 40" AS crimes`, which the catalog of a lake takes apart again: [`split`].

use std::ops::ControlFlow;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use datafusion::common::plan_err;
use datafusion::sql::sqlparser::ast::{ObjectName, ObjectNamePart, Query, Statement, Visit, Visitor};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::{Keyword, RESERVED_FOR_TABLE_ALIAS};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Word};

use super::order_names::normal;
use crate::error::{Error, Result};

/// Which state of a table is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AsOf {
    /// After a batch of a stream, or a version of a batch job's table.
    Version(u64),
    /// After all that was committed up to this moment.
    Moment(DateTime<Utc>),
}

const VERSION: &str = " VERSION AS OF ";
const TIMESTAMP: &str = " TIMESTAMP AS OF ";

/// The name of a table, and which state of it is meant; `None` where it is meant as it is now.
///
/// # Errors
/// User: no number of a version, or no time.
pub(crate) fn split(name: &str) -> Result<Option<(&str, AsOf)>> {
    if let Some((table, version)) = name.rsplit_once(VERSION) {
        let number = version.parse().map_err(|_| {
            Error::user(format!("`{version}` is no version: it is a whole number from 0"))
                .hint("FROM crimes VERSION AS OF 40, or TIMESTAMP AS OF '2026-11-30 12:00:00'")
        })?;
        return Ok(Some((table, AsOf::Version(number))));
    }
    if let Some((table, moment)) = name.rsplit_once(TIMESTAMP) {
        return Ok(Some((table, AsOf::Moment(time(moment)?))));
    }
    Ok(None)
}

/// A moment as people write it: RFC 3339, or a date with or without a time, which is UTC.
///
/// # Errors
/// User: it is none.
pub(crate) fn time(text: &str) -> Result<DateTime<Utc>> {
    let text = text.trim();
    if let Ok(moment) = text.parse::<DateTime<Utc>>() {
        return Ok(moment);
    }
    let naive = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"]
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    let day = || text.parse::<NaiveDate>().ok().map(|day| day.and_time(NaiveTime::MIN));
    naive.or_else(day).map(|naive| naive.and_utc()).ok_or_else(|| {
        Error::user(format!("`{text}` is no time"))
            .hint("write TIMESTAMP AS OF '2026-11-30 12:00:00' (UTC), or with an offset: '2026-11-30T13:00:00+01:00'")
    })
}

/// The statement with each such table as one name; `None` where there is none.
///
/// # Errors
/// User: what follows AS OF is neither a number nor a time that is written out.
pub(super) fn as_names(sql: &str) -> Result<Option<String>> {
    let Ok(mut said) = Tokenizer::new(&GenericDialect {}, sql).with_unescape(false).tokenize_with_location()
    else {
        return Ok(None);
    };
    said.retain(|part| !matches!(part.token, Token::Whitespace(_)));
    let token = |place: usize| said.get(place).map(|part: &TokenWithSpan| &part.token);
    let keyword = |place: usize| match token(place) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.keyword,
        _ => Keyword::NoKeyword,
    };
    // Where what is replaced begins and ends, and what stands there then. All else stays as it is written.
    let mut made: Vec<(Location, Location, String)> = Vec::new();
    for place in 1..said.len() {
        let kind = match keyword(place) {
            Keyword::VERSION => VERSION,
            Keyword::TIMESTAMP => TIMESTAMP,
            _ => continue,
        };
        let Some(Token::Word(table)) = token(place - 1) else { continue };
        if keyword(place + 1) != Keyword::AS
            || keyword(place + 2) != Keyword::OF
            || !is_table(&token, place - 1)
        {
            continue;
        }
        let typed = matches!(keyword(place + 3), Keyword::TIMESTAMP | Keyword::DATE);
        let value = place + 3 + usize::from(typed);
        let text = match (kind, token(value)) {
            (VERSION, Some(Token::Number(number, false))) if !typed => number.clone(),
            (TIMESTAMP, Some(Token::SingleQuotedString(text))) => text.clone(),
            _ => {
                return Err(Error::user(format!("{} is followed by what is written out", kind.trim())).hint(
                    "FROM crimes VERSION AS OF 40, or FROM crimes TIMESTAMP AS OF '2026-11-30 12:00:00'",
                ));
            }
        };
        let name = match table.quote_style {
            Some(_) => table.value.clone(),
            None => table.value.to_lowercase(),
        };
        let mut text = quoted(&format!("{name}{kind}{text}"));
        let has_alias = match token(value + 1) {
            Some(Token::Word(Word { keyword: Keyword::AS, quote_style: None, .. })) => true,
            Some(Token::Word(word)) => {
                word.quote_style.is_some() || !RESERVED_FOR_TABLE_ALIAS.contains(&word.keyword)
            }
            _ => false,
        };
        if !has_alias {
            text = format!("{text} AS {}", quoted(&name));
        }
        made.push((said[place - 1].span.start, said[value].span.end, text));
    }
    if made.is_empty() {
        return Ok(None);
    }
    let (mut statement, mut next) = (String::with_capacity(sql.len() + 32 * made.len()), 0);
    for (begin, end, text) in made {
        statement.push_str(sql.get(next..place_of(sql, begin)).unwrap_or_default());
        statement.push_str(&text);
        next = place_of(sql, end);
    }
    statement.push_str(sql.get(next..).unwrap_or_default());
    Ok(Some(statement))
}

/// The byte at which the tokenizer was: it counts lines and their characters from 1.
fn place_of(sql: &str, at: Location) -> usize {
    let before = usize::try_from(at.line.saturating_sub(1)).unwrap_or(usize::MAX);
    let line: usize = sql.split_inclusive('\n').take(before).map(str::len).sum();
    let column = usize::try_from(at.column.saturating_sub(1)).unwrap_or(usize::MAX);
    let rest = sql.get(line..).unwrap_or_default();
    line + rest.char_indices().nth(column).map_or(rest.len(), |(place, _)| place)
}

/// Refuses a part of WITH as it was: it is no table, and a table of its name is not meant.
///
/// # Errors
/// Plan: there is one.
pub(super) fn check(statement: &Statement) -> datafusion::common::Result<()> {
    match statement.visit(&mut Parts { names: Vec::new() }) {
        ControlFlow::Break(name) => plan_err!(
            "`{name}` is a part of WITH, which has no versions: write VERSION AS OF within it, behind the table that it reads, or schema.{name} for a table of that name"
        ),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// The names of the parts of WITH, of each query around.
struct Parts {
    names: Vec<Vec<String>>,
}

impl Visitor for Parts {
    type Break = String;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        let parts = query.with.iter().flat_map(|with| &with.cte_tables);
        self.names.push(parts.map(|part| normal(&part.alias.name)).collect());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<String> {
        self.names.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<String> {
        let [ObjectNamePart::Identifier(name)] = relation.0.as_slice() else {
            return ControlFlow::Continue(());
        };
        match split(&name.value) {
            Ok(Some((table, _))) if self.names.iter().flatten().any(|part| part == table) => {
                ControlFlow::Break(table.to_owned())
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Whether the word is the last part of a name after FROM, JOIN or a comma.
fn is_table<'a>(token: &impl Fn(usize) -> Option<&'a Token>, mut place: usize) -> bool {
    while place >= 2
        && token(place - 1) == Some(&Token::Period)
        && matches!(token(place - 2), Some(Token::Word(_)))
    {
        place -= 2;
    }
    match place.checked_sub(1).and_then(token) {
        Some(Token::Comma | Token::LParen) => true,
        Some(Token::Word(word)) => matches!(word.keyword, Keyword::FROM | Keyword::JOIN),
        _ => false,
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_as_it_was_is_one_name() {
        for (sql, made) in [
            (
                "SELECT * FROM crimes VERSION AS OF 40",
                Some("SELECT * FROM \"crimes VERSION AS OF 40\" AS \"crimes\""),
            ),
            (
                "SELECT * FROM Chicago.Crimes version as of 4 AS c JOIN b TIMESTAMP AS OF '2026-11-30' USING (k)",
                Some(
                    "SELECT * FROM Chicago.\"crimes VERSION AS OF 4\" AS c JOIN \"b TIMESTAMP AS OF 2026-11-30\" AS \"b\" USING (k)",
                ),
            ),
            (
                "SELECT 1 FROM a, \"B c\" VERSION AS OF 1 x WHERE 1 = 1",
                Some("SELECT 1 FROM a, \"B c VERSION AS OF 1\" x WHERE 1 = 1"),
            ),
            (
                "SELECT 1 FROM a TIMESTAMP AS OF DATE '2026-11-30' WHERE true",
                Some("SELECT 1 FROM \"a TIMESTAMP AS OF 2026-11-30\" AS \"a\" WHERE true"),
            ),
            (
                "SELECT E'a\\\\b', E'it\\'s', '\u{e4}'\n  -- \u{fc}\n,  $$x$$ FROM\n\t\u{e4} version AS OF 1\n, b  TIMESTAMP AS OF '2026-11-30'WHERE t = E'\\n'",
                Some(
                    "SELECT E'a\\\\b', E'it\\'s', '\u{e4}'\n  -- \u{fc}\n,  $$x$$ FROM\n\t\"\u{e4} VERSION AS OF 1\" AS \"\u{e4}\"\n, \"b TIMESTAMP AS OF 2026-11-30\" AS \"b\"WHERE t = E'\\n'",
                ),
            ),
            ("SELECT timestamp AS of FROM t", None),
            ("SELECT x, version AS of FROM t", None),
            ("SELECT 'FROM t VERSION AS OF 1'", None),
            ("SELECT 1 -- FROM t VERSION AS OF 1", None),
        ] {
            assert_eq!(as_names(sql).unwrap().as_deref(), made, "{sql}");
        }
        for sql in [
            "SELECT 1 FROM t VERSION AS OF x",
            "SELECT 1 FROM t VERSION AS OF '4'",
            "SELECT 1 FROM t VERSION AS OF -1",
            "SELECT 1 FROM t TIMESTAMP AS OF now()",
            "SELECT 1 FROM t TIMESTAMP AS OF 7",
            "SELECT 1 FROM t VERSION AS OF",
        ] {
            assert!(as_names(sql).unwrap_err().next_step().is_some(), "{sql}");
        }
    }

    #[test]
    fn a_name_is_taken_apart() {
        assert_eq!(split("crimes").unwrap(), None);
        assert_eq!(
            split("a VERSION AS OF 1 VERSION AS OF 2").unwrap(),
            Some(("a VERSION AS OF 1", AsOf::Version(2)))
        );
        let moment = AsOf::Moment("2026-11-30T12:00:00Z".parse().unwrap());
        for text in [
            "2026-11-30 12:00:00",
            "2026-11-30T12:00",
            "2026-11-30T13:00:00.000+01:00",
            "2026-11-30 12:00:00Z",
        ] {
            assert_eq!(split(&format!("t TIMESTAMP AS OF {text}")).unwrap(), Some(("t", moment)), "{text}");
        }
        assert!(
            split("t VERSION AS OF 1.5").is_err() && split("t VERSION AS OF 99999999999999999999").is_err()
        );
        assert!(split("t TIMESTAMP AS OF yesterday").is_err());
    }
}
