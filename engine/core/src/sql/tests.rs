//! Statements over no tables, from their text to their cells. Values are PostgreSQL's where nothing else is said.

use std::time::{Duration, Instant};

use arrow::util::display::array_value_to_string;
use datafusion::execution::context::SessionConfig;
use datafusion::execution::runtime_env::RuntimeEnv;

use super::*;
use crate::error::Result;

pub(super) fn session() -> SessionContext {
    context(SessionConfig::new().with_target_partitions(2), Arc::new(RuntimeEnv::default()))
}

/// The rows of a statement, their cells joined by a bar.
async fn rows(sql: &str) -> Result<Vec<String>> {
    let session = session();
    let mut rows = Vec::new();
    for batch in collect(frame(&session, sql).await?).await? {
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().map(|column| array_value_to_string(column, row));
            rows.push(cells.collect::<std::result::Result<Vec<_>, _>>()?.join("|"));
        }
    }
    Ok(rows)
}

/// The plan of a statement as it is run.
pub(super) async fn physical(sql: &str) -> String {
    rows(&format!("EXPLAIN {sql}")).await.unwrap().join("\n")
}

pub(super) async fn check(cases: &[(&str, &[&str])]) {
    for (sql, expected) in cases {
        match rows(sql).await {
            Ok(rows) => assert_eq!(rows, *expected, "{sql}"),
            Err(error) => panic!("{sql}: {error}"),
        }
    }
}

pub(super) async fn refused(cases: &[(&str, &str)]) {
    for (sql, part) in cases {
        match rows(sql).await {
            Ok(rows) => panic!("{sql}: {rows:?}"),
            Err(error) => {
                let text = format!("{error}; {}", error.next_step().unwrap_or_default());
                assert!(text.contains(part), "{sql}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn aggregates_of_pairs() {
    let frames = "(VALUES (1, 1e20, 1.0), (2, 1, 2), (3, 1, 3), (4, 2, 5)) AS t (o, y, x) \
                  WINDOW w AS (ORDER BY o ROWS 1 PRECEDING) ORDER BY o";
    let far = "(VALUES ('a', 1000000001.0, 1000000002.0), ('a', 1000000002, 1000000004), ('a', 1000000003, 1000000005), \
               ('a', 1000000004, 1000000004), ('a', 1000000005, 1000000005), ('b', 1, 1), ('b', NULL, 1)) AS t (g, y, x)";
    check(&[
        // Each frame by itself.
        (
            &format!("SELECT corr(y, x) OVER w, covar_pop(y, x) OVER w, regr_slope(y, x) OVER w FROM {frames}"),
            &["|0.0|", "-1.0|-2.5e19|-1e20", "|0.0|0.0", "1.0|0.5|0.5"],
        ),
        // `SELECT round(corr(y, x)::numeric, 9)` and so on of PostgreSQL.
        (
            &format!(
                "SELECT g, round(corr(y, x), 9), covar_samp(y, x), round(regr_slope(y, x), 9), regr_count(y, x) FROM {far} GROUP BY g ORDER BY g"
            ),
            &["a|0.774596669|1.5|1.0|5", "b||||1"],
        ),
        // Of a constant as in PostgreSQL, of a NaN as in DuckDB.
        (
            "SELECT corr(y, x), corr(x, y), regr_slope(y, x), regr_r2(y, x), regr_r2(x, y) \
             FROM (VALUES (1.0, 2.0), (1.0, 3.0)) AS t (y, x)",
            &["||0.0|1.0|"],
        ),
        (
            "SELECT corr(y, x), covar_pop(y, x), covar_samp(x, y), regr_slope(y, x), regr_intercept(x, y), regr_r2(y, x) \
             FROM (VALUES (CAST('NaN' AS DOUBLE), 1.0), (1, 1), (2, 1)) AS t (y, x)",
            &["NaN|NaN|NaN|NaN|NaN|NaN"],
        ),
        (
            "SELECT corr(x, x), covar_pop(x, x), regr_avgy(x, x), regr_sxx(x, x), slope(x, x) \
             FROM (VALUES (CAST('inf' AS DOUBLE)), (1), (2)) AS t (x)",
            &["NaN|NaN|inf|NaN|NaN"],
        ),
        ("SELECT corr(x, x) FROM (VALUES (0.1), (0.7), (0.3)) AS t (x)", &["1.0"]),
        ("SELECT corr(y, x), covar_pop(y, x), regr_count(y, x) FROM (SELECT 1.0 AS y, 2.0 AS x) AS t WHERE y > 1", &["||0"]),
    ])
    .await;
    refused(&[("SELECT corr(x, x) FROM (VALUES (1e200), (2e200)) AS t (x)", "more than DOUBLE holds")]).await;
}

/// `levels` queries in each other.
fn nested(levels: usize, level: impl Fn(String, usize) -> String) -> String {
    (0..levels).fold("SELECT 1 AS x".to_owned(), level)
}

#[tokio::test]
async fn whatever_stands_in_each_other_is_planned_in_bounded_time_or_refused() {
    type Level = fn(String, usize) -> String;
    let kinds: [(&str, Level); 10] = [
        ("value", |q, _| format!("SELECT ({q}) AS x")),
        ("IN", |q, at| format!("SELECT x FROM (VALUES (1)) AS t{at} (x) WHERE x IN ({q})")),
        ("NOT IN", |q, at| format!("SELECT x FROM (VALUES (1)) AS t{at} (x) WHERE x NOT IN ({q})")),
        ("EXISTS", |q, at| format!("SELECT x FROM (VALUES (1)) AS t{at} (x) WHERE EXISTS ({q})")),
        ("ALL", |q, at| format!("SELECT x FROM (VALUES (1)) AS t{at} (x) WHERE x >= ALL ({q})")),
        ("FROM", |q, at| format!("SELECT x FROM ({q}) AS t{at} WHERE x > 0")),
        ("UNION", |q, at| format!("(SELECT {at} AS x UNION {q})")),
        ("coalesce", |q, _| {
            q.replacen("SELECT ", "SELECT coalesce(abs(", 1).replacen(" AS x", "), 7) AS x", 1)
        }),
        ("between", |q, _| {
            q.replacen("SELECT ", "SELECT CAST((", 1).replacen(" AS x", ") BETWEEN 0 AND 1 AS INT) AS x", 1)
        }),
        ("CASE", |q, _| {
            q.replacen("SELECT ", "SELECT CASE WHEN 1 = ", 1).replacen(" AS x", " THEN 1 ELSE 0 END AS x", 1)
        }),
    ];
    for (kind, level) in kinds {
        for levels in [3, 5, 12, 20, 200] {
            let begin = Instant::now();
            let made = rows(&nested(levels, level)).await;
            assert!(begin.elapsed() < Duration::from_secs(20), "{kind} {levels}: {:?}", begin.elapsed());
            match made {
                Ok(_) => {}
                Err(error) if levels > 3 => {
                    let text = error.to_string();
                    assert!(text.contains("in each other"), "{kind} {levels}: {text}");
                }
                Err(error) => panic!("{kind} {levels}: {error}"),
            }
        }
    }
    // A chain of WITH parts is as deep.
    let chain = |levels: usize| {
        let parts = (1..=levels)
            .map(|at| format!(", c{at} AS (SELECT 1 AS x WHERE 1 IN (SELECT x FROM c{}))", at - 1));
        format!("WITH c0 AS (SELECT 1 AS x){} SELECT x FROM c{levels}", parts.collect::<String>())
    };
    check(&[(&chain(8), &["1"])]).await;
    refused(&[(&chain(30), "stand in each other")]).await;
    let chain = |levels: usize| {
        let parts = (1..=levels).map(|at| {
            format!(", c{at} AS (SELECT x + 1 AS x FROM c{} WHERE x > 0 UNION ALL SELECT 1)", at - 1)
        });
        format!("WITH c0 AS (SELECT 1 AS x){} SELECT count(*) FROM c{levels}", parts.collect::<String>())
    };
    check(&[(&chain(10), &["11"])]).await;
    refused(&[(&chain(200), "UNIONs")]).await;
}

#[tokio::test]
async fn columns_that_differ_in_a_cast_alone() {
    check(&[
        (
            "SELECT max(x), max(CAST(x AS REAL)), max(CAST(x AS DOUBLE)) FROM (VALUES (1), (2)) AS t (x)",
            &["2|2.0|2.0"],
        ),
        ("SELECT x, CAST(x AS REAL), x::DOUBLE FROM (VALUES (1)) AS t (x)", &["1|1.0|1.0"]),
        // DuckDB's: to PostgreSQL the column is called x, and put in order as text.
        ("SELECT CAST(x AS VARCHAR) FROM (VALUES (2), (10)) AS t (x) ORDER BY x", &["2", "10"]),
        ("SELECT *, CAST(x AS VARCHAR) || 'a' FROM (VALUES (1)) AS t (x) ORDER BY x", &["1|1a"]),
        ("SELECT count(*) FROM (VALUES (1), (1)) AS t (x) GROUP BY x, CAST(x AS REAL)", &["2"]),
        ("SELECT count(*) FROM (VALUES (1), (1)) AS t (x) GROUP BY x, x", &["2"]),
        (
            "SELECT CAST(x AS DOUBLE) = 1e0, x = CAST(1e0 AS DOUBLE) FROM (VALUES (1)) AS t (x)",
            &["true|true"],
        ),
    ])
    .await;
    refused(&[("SELECT x, x FROM (VALUES (1)) AS t (x)", "a name of its own")]).await;
    refused(&[(
        "SELECT max(b) OVER w, max(CAST(b AS BIGINT)) OVER w FROM (VALUES (5, DATE '2024-01-01')) AS t (b, d) \
         WINDOW w AS (ORDER BY d RANGE BETWEEN CAST('3 days' AS INTERVAL) PRECEDING AND CURRENT ROW)",
        "Invalid window frame",
    )])
    .await;
}

#[tokio::test]
async fn headings_are_what_was_written() {
    let session = context(SessionConfig::new(), Arc::new(RuntimeEnv::default()));
    let sql = "SELECT 18446744073709551616, -99999999999999999999 + 1, 5 AS n";
    let frame = frame(&session, sql).await.unwrap();
    let names: Vec<&String> = frame.schema().fields().iter().map(|field| field.name()).collect();
    assert_eq!(names, ["18446744073709551616", "-99999999999999999999 + 1", "n"]);
}

#[tokio::test]
async fn comparisons_with_all_rows_of_a_subquery_as_columns() {
    let (t, s) = (
        "(VALUES (1), (2), (3), (NULL)) AS t (x) ORDER BY x",
        "SELECT y FROM (VALUES (1), (2), (NULL)) AS s (y)",
    );
    let whole = "SELECT y FROM (VALUES (1), (2)) AS s (y)";
    let none = "SELECT y FROM (VALUES (1)) AS s (y) WHERE y > 1";
    check(&[
        (&format!("SELECT x = ANY ({s}), x <> ALL ({s}) FROM {t}"), &["true|false", "true|false", "|", "|"]),
        (
            &format!("SELECT x > ANY ({s}), x > ALL ({s}), x > ALL ({whole}) FROM {t}"),
            &["|false|false", "true|false|false", "true||true", "||"],
        ),
        (
            &format!(
                "SELECT x < ANY ({s}), x <= ALL ({whole}), x = ALL ({whole}), x <> ANY ({whole}) FROM {t}"
            ),
            &["true|true|false|true", "|false|false|true", "|false|false|true", "|||"],
        ),
        (
            &format!("SELECT x > ANY ({none}), x > ALL ({none}), x = ALL ({none}) FROM {t} LIMIT 1"),
            &["false|true|true"],
        ),
        (
            "SELECT x, x > ALL (SELECT y FROM (VALUES (1, 1), (2, 1), (2, 5)) AS s (k, y) WHERE k = x) \
          FROM (VALUES (1), (2), (3)) AS t (x) ORDER BY x",
            &["1|false", "2|false", "3|true"],
        ),
    ])
    .await;
    refused(&[(
        "SELECT x < ANY (SELECT max(y) FROM (VALUES (1, 1)) AS s (k, y) WHERE k = x) FROM (VALUES (1), (2)) AS t (x)",
        "LEFT JOIN",
    )])
    .await;
}

#[tokio::test]
async fn times_are_no_numbers() {
    for (value, part) in [
        ("DATE '2026-01-31'", "DATE '1970-01-01'"),
        ("TIMESTAMP '2026-01-31 00:00:00'", "EXTRACT(EPOCH FROM x)"),
        ("now()", "EXTRACT(EPOCH FROM x)"),
        ("TIME '10:00:00'", "EXTRACT(EPOCH FROM x)"),
        ("(TIMESTAMP '2026-01-31 00:00:00' - TIMESTAMP '2026-01-30 00:00:00')", "EXTRACT(EPOCH FROM x)"),
    ] {
        for kind in ["INT", "BIGINT", "DOUBLE", "DECIMAL(38,0)"] {
            refused(&[
                (&format!("SELECT CAST({value} AS {kind})"), part),
                (&format!("SELECT TRY_CAST({value} AS {kind})"), part),
                (&format!("SELECT {value}::{kind}"), part),
            ])
            .await;
        }
    }
    check(&[
        ("SELECT DATE '2026-01-31' - DATE '1970-01-01', CAST(DATE '2026-01-31' - DATE '2026-01-01' AS INT)", &["20484|30"]),
        ("SELECT CAST(EXTRACT(EPOCH FROM TIME '10:00:00') AS INT)", &["36000"]),
        ("SELECT to_unixtime(TIMESTAMP '2026-01-31 00:00:00')", &["1769817600"]),
    ])
    .await;
}

#[tokio::test]
async fn a_format_says_what_sixty_is_and_reaches_the_year_9999() {
    check(&[
        // chrono's `%y` of 60 is 2060, as Python's.
        ("SELECT to_date('10:05:60', '%d:%m:%y')", &["2060-05-10"]),
        ("SELECT to_timestamp('31/12/9999 10:00', '%d/%m/%Y %H:%M')", &["9999-12-31T10:00:00"]),
        ("SELECT to_timestamp('31/12/1500', '%Y-%m-%d', '%d/%m/%Y')", &["1500-12-31T00:00:00"]),
        (
            "SELECT to_timestamp('9999-12-31 10:00:00.123456 +0200', '%Y-%m-%d %H:%M:%S%.f %z')",
            &["9999-12-31T08:00:00.123456"],
        ),
    ])
    .await;
    refused(&[
        ("SELECT to_timestamp('31/12/2020 10:00:60', '%d/%m/%Y %H:%M:%S')", "second 60"),
        ("SELECT to_timestamp('31/12/2020 10:00:60', '%d/%m/%Y %H:%M:%-S')", "second 60"),
        ("SELECT to_timestamp('31/12/9999 10', '%d/%m/%Y')", "31/12/9999 10"),
    ])
    .await;
}

/// Values from DuckDB.
#[tokio::test]
async fn a_subquery_without_a_row_is_null_in_a_union() {
    let none = "(SELECT 'x' AS v FROM (VALUES (1)) AS w (a) WHERE a > 1 LIMIT 1)";
    check(&[
        (
            &format!("SELECT {none} AS b FROM (VALUES (1), (2)) AS v (k) UNION SELECT 'y' ORDER BY b"),
            &["y", ""],
        ),
        (
            &format!("SELECT count(*) FROM (SELECT {none} AS b UNION ALL SELECT 'y') AS q WHERE b IS NULL"),
            &["1"],
        ),
    ])
    .await;
}
