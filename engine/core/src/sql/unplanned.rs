//! Statements that DataFusion 55 refuses while it reads them, in words that do not say what to write instead.

use datafusion::common::DataFusionError;

use crate::error::Error;

/// The error of a statement that could not be planned, by the text of DataFusion's.
pub(super) fn told(text: &str, sql: &str) -> Option<DataFusionError> {
    let made = if let Some(name) = lost(text)
        && has_word(sql, &["NATURAL", "USING"])
    {
        let made = format!("no column is called {name} where it is read");
        Error::user(made).hint(format!(
            "in a subquery, and in ORDER BY of a window, write the table before a column that USING or NATURAL merges: t.{name}"
        ))
    } else if text.contains("'date_part' failed to match any signature") {
        let kind = text.split_once("but received ").and_then(|(_, rest)| rest.split([' ', '.']).next());
        let made = format!(
            "EXTRACT and date_part read a date, a time or an interval, and this is {}: the difference of two DATEs is a number of days",
            kind.unwrap_or("none of them")
        );
        Error::user(made).hint("for its seconds write 86400 * (a - b), for its days a - b alone")
    } else if let Some((_, columns)) = text.split_once("The subquery should only return one column: ") {
        let made = format!(
            "a subquery beside IN or a comparison, or as a value, has one column, and this one has several: {columns}"
        );
        Error::user(made).hint(
            "for (a, b) IN (SELECT c, d FROM t) write EXISTS (SELECT 1 FROM (SELECT c, d FROM t) AS m WHERE m.c = a AND m.d = b)",
        )
    } else if text.contains("Only identifiers and literals are supported in tuples") {
        Error::user("a row in brackets, (a, b), is of columns and of what is written out, not of what is computed")
            .hint("write struct(a, b + 1) for a row as a value, and for IN ((c, d), …) write (a = c AND b = d) OR …")
    } else if text.contains("Empty tuple not supported yet") {
        Error::user("GROUP BY () is one group of all rows").hint("leave GROUP BY out")
    } else if let Some((call, takes)) = of_no_match(text) {
        let hint = match call.contains("Bool") {
            true => {
                "for how many are true write count(*) FILTER (WHERE x), and for their share avg(CAST(x AS INT))"
            }
            false => "write CAST(x AS DOUBLE), say, where a text holds numbers",
        };
        Error::user(format!("there is no {call}: it takes {takes}")).hint(hint)
    } else if let Some((_, rest)) = text.split_once("ORDER BY expressions ")
        && let Some((columns, _)) = rest.split_once(" must appear in select list")
    {
        let made = format!(
            "for SELECT DISTINCT, ORDER BY expressions must appear in select list: of rows that are one there may be several values of {columns}"
        );
        Error::user(made).hint("select it too, or write GROUP BY and order by an aggregate: SELECT a FROM t GROUP BY a ORDER BY min(b)")
    } else if text.contains("DISTINCT ON expressions must match initial ORDER BY") {
        Error::user("SELECT DISTINCT ON expressions must match initial ORDER BY expressions: the order says which row of each is the first")
            .hint("begin ORDER BY with what DISTINCT ON names, and write SELECT * FROM (SELECT DISTINCT ON …) AS t ORDER BY … for another order of the result")
    } else if text.contains("Schema contains duplicate") && has_word(sql, &["ROLLUP", "CUBE", "SETS"]) {
        Error::user("a column is there twice among the keys of ROLLUP, CUBE or GROUPING SETS")
            .hint("write it once: ROLLUP (a, a) has the groups of a twice, which UNION ALL makes too")
    } else {
        return None;
    };
    Some(DataFusionError::External(Box::new(made)))
}

/// A call that fits no function of its name, where DataFusion calls that an error of its own, and what it takes instead.
fn of_no_match(text: &str) -> Option<(&str, String)> {
    let (of_types, rest) = text.split_once("No function matches the given name and argument types '")?;
    if !of_types.contains("failed to match any signature") {
        return None;
    }
    let (call, rest) = rest.split_once('\'')?;
    let (_, candidates) = rest.split_once("Candidate functions:")?;
    let takes = candidates.lines().filter_map(|line| line.split_once('(')?.1.strip_suffix(')'));
    let takes = takes.collect::<Vec<_>>().join(" or ");
    (!takes.is_empty()).then_some((call, takes))
}

/// The name, without a table, of a column that is not there.
fn lost(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("Schema error: No field named ")?;
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'))?;
    let name = rest[..end].trim_end_matches('.');
    (!name.is_empty() && !name.contains('.')).then_some(name)
}

fn has_word(sql: &str, wanted: &[&str]) -> bool {
    let mut words = sql.split(|c: char| !c.is_alphanumeric());
    words.any(|word| wanted.iter().any(|wanted| word.eq_ignore_ascii_case(wanted)))
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::{check, refused};

    #[tokio::test]
    async fn what_is_refused_says_what_to_write() {
        refused(&[
            (
                "SELECT EXTRACT(EPOCH FROM d - DATE '2026-01-01') FROM (VALUES (DATE '2026-03-01')) AS v (d)",
                "this is Int64: the difference of two DATEs is a number of days; for its seconds write 86400 * (a - b)",
            ),
            ("SELECT date_part('year', 5.5)", "this is Float64"),
            (
                "SELECT 1 WHERE (1, 2) IN (SELECT 1, max(2))",
                "this one has several: Int64(1), max(Int64(2)); for (a, b) IN (SELECT c, d FROM t) write EXISTS",
            ),
            ("SELECT 1 WHERE 1 = (SELECT 1, 2)", "has one column"),
            ("SELECT 1 WHERE (1, 2) IN ((1 + 0, 2), (3, 4))", "write (a = c AND b = d) OR"),
            ("SELECT count(DISTINCT (k % 2, k)) FROM (VALUES (1)) AS t (k)", "write struct(a, b + 1) for a row as a value"),
            ("SELECT count(*) FROM (VALUES (1)) AS t (k) GROUP BY ()", "GROUP BY () is one group of all rows; leave"),
            (
                "SELECT sum(s) FROM (VALUES ('1')) AS t (s)",
                "there is no sum(Utf8): it takes Decimal or UInt64 or Int64 or Float64 or Duration or Interval; write CAST(x AS DOUBLE)",
            ),
            ("SELECT avg(s > 'a') FROM (VALUES ('1')) AS t (s)", "count(*) FILTER (WHERE x)"),
            (
                "SELECT a, string_agg(b, ',' ORDER BY b), string_agg(b, ',' ORDER BY c DESC) FROM (VALUES (1, 'x', 2), (1, 'y', 1)) AS v (a, b, c) GROUP BY a",
                "do not go together; make each in a WITH of its own",
            ),
            (
                "SELECT bool_and(a > 1) OVER (ORDER BY a ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM (VALUES (1), (2)) AS v (a)",
                "bool_and has no moving frame, only one that begins with UNBOUNDED PRECEDING; for bool_and write min(x)",
            ),
            ("SELECT count(*) FROM (VALUES (1)) AS a (k) GROUP BY ROLLUP (k, a.k)", "a column is there twice among the keys of ROLLUP"),
            ("SELECT DISTINCT k FROM (VALUES (1, 2)) AS a (k, v) ORDER BY v", "select it too, or write GROUP BY"),
            ("SELECT DISTINCT ON (k) k FROM (VALUES (1, 2)) AS a (k, v) ORDER BY v, k", "begin ORDER BY with what DISTINCT ON names"),
            (
                "SELECT (SELECT max(c) FROM (VALUES (1)) AS w (c) WHERE c = k) FROM (VALUES (1)) AS a (k) NATURAL JOIN (VALUES (1)) AS b (k)",
                "no column is called k where it is read; in a subquery, and in ORDER BY of a window, write the table before",
            ),
        ])
        .await;
    }

    /// `max(v)` and `max(CAST(v AS …))` are one name to DataFusion, which is no matter of the keys.
    #[tokio::test]
    async fn aggregates_of_casts_stand_beside_keys_of_a_cube() {
        let rows = "(VALUES (1, 2.5), (2, 3.5)) AS t (k, v)";
        check(&[
            (
                &format!(
                    "SELECT max(CAST(v AS INT)) AS a, max(v) AS b FROM {rows} GROUP BY CUBE (k) ORDER BY b"
                ),
                &["2|2.5", "3|3.5", "3|3.5"] as &[&str],
            ),
            (
                &format!(
                    "SELECT min(CAST(k AS DOUBLE)), min(k), k FROM {rows} GROUP BY ROLLUP (k) ORDER BY k"
                ),
                &["1.0|1|1", "2.0|2|2", "1.0|1|"],
            ),
        ])
        .await;
    }
}
