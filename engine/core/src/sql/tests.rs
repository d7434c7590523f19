//! Statements over no tables, from their text to their cells. Values are PostgreSQL's where nothing else is said.

use std::time::{Duration, Instant};

use arrow::util::display::array_value_to_string;
use datafusion::execution::context::SessionConfig;
use datafusion::execution::runtime_env::RuntimeEnv;

use super::*;
use crate::error::Result;

/// The rows of a statement, their cells joined by a bar.
async fn rows(sql: &str) -> Result<Vec<String>> {
    let session = context(SessionConfig::new().with_target_partitions(2), Arc::new(RuntimeEnv::default()));
    let mut rows = Vec::new();
    for batch in collect(frame(&session, sql).await?).await? {
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().map(|column| array_value_to_string(column, row));
            rows.push(cells.collect::<std::result::Result<Vec<_>, _>>()?.join("|"));
        }
    }
    Ok(rows)
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

/// A DECIMAL(5,0) 0 as `zero`, and a DOUBLE 1e-20 as `tiny`.
const ZERO_AND_TINY: &str = "(SELECT CAST(0 AS DECIMAL(5,0)) AS zero, CAST(1e-20 AS DOUBLE) AS tiny) AS t";

#[tokio::test]
async fn a_decimal_beside_a_double_is_a_double() {
    for (sql, expected) in [
        ("zero = tiny, zero <> tiny, zero < tiny, zero >= tiny", "false|true|true|false"),
        (
            "zero IS DISTINCT FROM tiny, zero BETWEEN tiny AND 1, tiny BETWEEN zero AND zero",
            "true|false|false",
        ),
        ("zero IN (tiny, 5), zero NOT IN (tiny), zero IN (SELECT CAST(1e-20 AS DOUBLE))", "false|true|false"),
        ("CASE zero WHEN tiny THEN 1 ELSE 2 END, nullif(zero, tiny)", "2|0.0"),
        ("greatest(zero, tiny), least(zero, -tiny), coalesce(NULL, tiny, zero)", "1e-20|-1e-20|1e-20"),
        ("zero = 1e-20, 1e-20 > zero, zero IN (1e-20), zero BETWEEN 1e-20 AND 1", "false|true|false|false"),
        (
            "zero < CAST('NaN' AS DOUBLE), zero < CAST('inf' AS DOUBLE), zero = CAST('-0.0' AS DOUBLE)",
            "true|true|true",
        ),
        ("CAST(0.1 AS DECIMAL(2,1)) = CAST(0.1 AS REAL)", "false"),
    ] {
        check(&[(&format!("SELECT {sql} FROM {ZERO_AND_TINY}"), &[expected])]).await;
    }
    for condition in [
        "zero IN (SELECT CAST(1e-20 AS DOUBLE))",
        "zero >= ALL (SELECT CAST(1e-20 AS DOUBLE))",
        "zero = ANY (SELECT 1e-20)",
        "EXISTS (SELECT 1 FROM (VALUES (CAST(1e-20 AS DOUBLE))) AS u (y) WHERE u.y = t.zero)",
    ] {
        check(&[(&format!("SELECT 1 FROM {ZERO_AND_TINY} WHERE {condition}"), &[])]).await;
    }
    for condition in [
        "zero NOT IN (SELECT CAST(1e-20 AS DOUBLE))",
        "zero < ANY (SELECT CAST(1e-20 AS DOUBLE))",
        "tiny > ALL (SELECT CAST(0 AS DECIMAL(5,0)))",
    ] {
        check(&[(&format!("SELECT 1 FROM {ZERO_AND_TINY} WHERE {condition}"), &["1"])]).await;
    }
}

#[tokio::test]
async fn joins_and_sets_of_decimals_and_doubles() {
    let a = "(VALUES (CAST(0 AS DECIMAL(5,0))), (1)) AS a (x)";
    let b = |name: &str| format!("(VALUES (CAST(1e-20 AS DOUBLE)), (1)) AS b ({name})");
    check(&[
        (&format!("SELECT * FROM {a} JOIN {} ON x = y", b("y")), &["1|1.0"]),
        (&format!("SELECT x FROM {a} JOIN {} USING (x)", b("x")), &["1"]),
        (
            &format!("SELECT x FROM {a} FULL JOIN {} USING (x) ORDER BY x", b("x")),
            &["0.0", "1e-20", "1.0"],
        ),
        (
            &format!("SELECT x, y FROM {a} LEFT JOIN {} ON x < y ORDER BY x, y", b("y")),
            &["0|1e-20", "0|1.0", "1|"],
        ),
        (
            "SELECT CAST(0 AS DECIMAL(5,0)) AS x UNION ALL SELECT CAST(1e-20 AS DOUBLE) ORDER BY x",
            &["0.0", "1e-20"],
        ),
        ("SELECT CAST(0 AS DECIMAL(5,0)) AS x EXCEPT SELECT CAST(1e-20 AS DOUBLE)", &["0"]),
        ("SELECT CAST(0 AS DECIMAL(5,0)) AS x INTERSECT SELECT CAST(0 AS DOUBLE)", &["0"]),
        (
            "SELECT x FROM (VALUES (CAST(0 AS DECIMAL(5,0))), (CAST(1e-20 AS DOUBLE)), (NULL)) AS t (x) ORDER BY x",
            &["0.0", "1e-20", ""],
        ),
        // A cast that was written stays one.
        (
            "SELECT x FROM (VALUES (CAST(1e-20 AS DECIMAL(30,15))), (CAST('NaN' AS DOUBLE))) AS t (x) ORDER BY x",
            &["0.0", "NaN"],
        ),
        // The type of a UNION is known to what reads it.
        (
            "SELECT u.x = CAST(1e-20 AS DOUBLE) FROM \
             (SELECT CAST(0 AS DECIMAL(5,0)) AS x UNION ALL SELECT CAST(1e-20 AS DOUBLE)) AS u ORDER BY u.x",
            &["false", "true"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_double_that_is_written_out_beside_a_decimal_is_one() {
    check(&[
        (
            "SELECT p > 9.99, p = 9.99, p IN (9.98, 9.99), p BETWEEN 9.985 AND 9.995, -p = -9.99 \
             FROM (SELECT CAST('9.99' AS DECIMAL(10,2)) AS p) AS t",
            &["false|true|true|true|true"],
        ),
        (
            "SELECT coalesce(p, 0.0), coalesce(NULL, p, 0.0), CASE WHEN p > 100 THEN p ELSE 0.555 END \
             FROM (SELECT CAST('9.99' AS DECIMAL(10,2)) AS p) AS t",
            &["9.99|9.99|0.555"],
        ),
        ("SELECT CAST('0.10000000000000000001' AS DECIMAL(38,20)) = 0.1", &["false"]),
        (
            "SELECT sum(x) FROM (SELECT CAST('1.10' AS DECIMAL(10,2)) AS x UNION ALL SELECT 0.0) AS t",
            &["1.10"],
        ),
        (
            "SELECT x FROM (VALUES (CAST('0.5' AS DECIMAL(4,2))), (1.5)) AS t (x) ORDER BY x",
            &["0.50", "1.50"],
        ),
    ])
    .await;
}

/// Two columns of DECIMAL(15,2) and one of whole numbers.
const TAXES: &str = "(VALUES (CAST('0.05' AS DECIMAL(15,2)), CAST('0.06' AS DECIMAL(15,2)), 6), \
    (CAST('0.07' AS DECIMAL(15,2)), CAST('0.08' AS DECIMAL(15,2)), 7), \
    (CAST('0.37' AS DECIMAL(15,2)), CAST('0.74' AS DECIMAL(15,2)), 74))";

/// Values from DuckDB.
#[tokio::test]
async fn what_is_computed_of_decimals_and_written_numbers_is_compared_as_a_decimal() {
    for (condition, expected) in [
        // The sixth query of TPC-H, whose discount of 0.07 is one of those.
        ("d BETWEEN 0.06 - 0.01 AND 0.06 + 0.01", &["0.05", "0.07"] as &[&str]),
        ("d <= 0.06 + 0.01", &["0.05", "0.07"]),
        ("t = d + 0.01", &["0.05", "0.07"]),
        ("d = 0.1 * 0.7", &["0.07"]),
        ("d IN (0.01 + 0.06, 0.03)", &["0.07"]),
        ("d >= 0.1 * 3.7", &["0.37"]),
        ("nullif(t, d + 0.01) IS NULL", &["0.05", "0.07"]),
        ("t - 0.01 = 0.07 OR abs(d - 0.38) <= 0.01", &["0.07", "0.37"]),
        ("t = k * 0.01", &["0.05", "0.37"]),
        ("d * 1.1 = 0.077", &["0.07"]),
        ("t % 0.37 = 0", &["0.37"]),
        ("CASE WHEN k = 7 THEN d + 0.01 ELSE d END = t", &["0.07"]),
        // Doubles they stay beside a double.
        ("t = d + CAST(0.01 AS DOUBLE) AND k = 6", &[]),
    ] {
        check(&[(&format!("SELECT d FROM {TAXES} AS l (d, t, k) WHERE {condition} ORDER BY d"), expected)])
            .await;
    }
}

/// Values from DuckDB.
#[tokio::test]
async fn what_is_computed_of_decimals_meets_decimals_of_other_tables() {
    let numbers = "WITH p AS (SELECT 0.06 AS m, 0.01 AS s)";
    for (sql, expected) in [
        (
            format!(
                "SELECT l.d, m.t FROM {TAXES} AS l (d, t, k) JOIN {TAXES} AS m (d, t, k) ON l.d + 0.37 = m.t"
            ),
            &["0.37|0.74"] as &[&str],
        ),
        (
            format!(
                "{numbers} SELECT d FROM {TAXES} AS l (d, t, k), p WHERE d BETWEEN m - s AND m + s ORDER BY d"
            ),
            &["0.05", "0.07"],
        ),
        (
            format!("{numbers} SELECT d FROM {TAXES} AS l (d, t, k) JOIN p ON d <= m + s ORDER BY d"),
            &["0.05", "0.07"],
        ),
        (
            format!(
                "SELECT d FROM {TAXES} AS l (d, t, k) \
                 WHERE d + 0.01 IN (SELECT t FROM {TAXES} AS m (d, t, k)) ORDER BY d"
            ),
            &["0.05", "0.07"],
        ),
        (format!("SELECT count(*) FROM {TAXES} AS l (d, t, k) HAVING sum(t) = sum(d) + 0.39"), &["3"]),
    ] {
        check(&[(&sql, expected)]).await;
    }
}

/// Values from DuckDB.
#[tokio::test]
async fn a_whole_number_before_a_decimal_or_double_does_not_hide_it() {
    let z = "(VALUES (1, CAST('0' AS DECIMAL(8,2))), (2, CAST('0.5' AS DECIMAL(8,2)))) AS z (a, p)";
    let y = "(VALUES (1, CAST('NaN' AS DOUBLE)), (2, CAST(0.25 AS DOUBLE))) AS y (a, f)";
    for (sql, expected) in [
        (
            format!("SELECT CASE WHEN a = 1 THEN 0 ELSE p END = CAST(1e-20 AS DOUBLE) FROM {z} ORDER BY a"),
            &["false", "false"] as &[&str],
        ),
        (
            format!(
                "SELECT CASE WHEN a = 1 THEN 0 WHEN a = 2 THEN p ELSE CAST('NaN' AS DOUBLE) END \
                 = CAST(1e-20 AS DOUBLE) FROM {z} ORDER BY a"
            ),
            &["false", "false"],
        ),
        (
            format!(
                "SELECT v, f FROM (SELECT 1 AS v UNION ALL SELECT p FROM {z}) AS u JOIN {y} ON v <= f ORDER BY v, f"
            ),
            &["0.00|0.25", "0.00|NaN", "0.50|NaN", "1.00|NaN"],
        ),
        (
            format!("SELECT a FROM {z} UNION ALL SELECT p FROM {z} UNION ALL SELECT f FROM {y} ORDER BY a"),
            &["0.0", "0.25", "0.5", "1.0", "2.0", "NaN"],
        ),
        (
            format!("SELECT sum(CASE WHEN a = 1 THEN 0 ELSE p END) < CAST('NaN' AS DOUBLE) FROM {z}"),
            &["true"],
        ),
        (
            format!("SELECT p FROM {z} WHERE p IN (SELECT CASE WHEN a = 1 THEN 0 ELSE f END FROM {y})"),
            &["0.00"],
        ),
        (
            format!(
                "SELECT sum(CASE WHEN a = 1 THEN 0 ELSE p END), max(CASE WHEN a = 1 THEN 3 ELSE 0.5 END) FROM {z}"
            ),
            &["0.50|3.0"],
        ),
    ] {
        check(&[(&sql, expected)]).await;
    }
}

/// Values from DuckDB.
#[tokio::test]
async fn decimals_of_38_digits_are_compared_as_decimals() {
    let v = "(VALUES (CAST('12345678901234567.00' AS DECIMAL(38,2))), \
             (CAST('12345678901234568.00' AS DECIMAL(38,2)))) AS x (v)";
    for (sql, expected) in [
        (
            format!("SELECT v FROM {v} WHERE v NOT IN (0.125, 12345678901234568)"),
            &["12345678901234567.00"] as &[&str],
        ),
        (format!("SELECT v FROM {v} WHERE v BETWEEN 0.125 AND 12345678901234567"), &["12345678901234567.00"]),
        (
            format!("SELECT v FROM {v} WHERE v > 0.125 AND v <> 12345678901234567 AND 0.125 IN (0.125, v)"),
            &["12345678901234568.00"],
        ),
        (
            format!(
                "SELECT CASE v WHEN 0.125 THEN 1 WHEN 12345678901234568 THEN 2 ELSE 3 END FROM {v} ORDER BY v"
            ),
            &["3", "2"],
        ),
    ] {
        check(&[(&sql, expected)]).await;
    }
}

#[tokio::test]
async fn a_decimal_as_a_double_is_the_next_one() {
    check(&[
        ("SELECT CAST(CAST('1.1' AS DECIMAL(38,25)) AS DOUBLE), CAST('1.1' AS DECIMAL(38,25)) = CAST(1.1 AS DOUBLE)", &["1.1|true"]),
        ("SELECT CAST(CAST('12345678901234567.89' AS DECIMAL(19,2)) AS DOUBLE)", &["1.2345678901234568e16"]),
    ])
    .await;
}

#[tokio::test]
async fn dates_beside_times_past_2262() {
    check(&[
        (
            "SELECT x FROM (VALUES (DATE '9999-12-31'), (TIMESTAMP '9999-12-30 12:00:00')) AS t (x) ORDER BY x",
            &["9999-12-30T12:00:00", "9999-12-31T00:00:00"],
        ),
        ("SELECT 1 FROM (SELECT DATE '9999-12-31' AS d) AS t WHERE d IN (SELECT TIMESTAMP '9999-12-31 00:00:00')", &["1"]),
        ("SELECT 1 FROM (SELECT DATE '9999-12-31' AS d) AS t WHERE d NOT IN (SELECT TIMESTAMP '9999-12-31 00:00:00')", &[]),
        ("SELECT 1 FROM (SELECT DATE '9999-12-31' AS d) AS t WHERE d > ALL (SELECT TIMESTAMP '9999-12-30 00:00:00')", &["1"]),
        ("SELECT nvl2(NULL, DATE '9999-12-30', TIMESTAMP '9999-12-31 01:00:00')", &["9999-12-31T01:00:00"]),
        ("SELECT nvl2(1, DATE '9999-12-30', TIMESTAMP '9999-12-31 01:00:00')", &["9999-12-30T00:00:00"]),
        ("SELECT DATE '9999-12-31' AS x INTERSECT SELECT TIMESTAMP '9999-12-31 00:00:00'", &["9999-12-31"]),
    ])
    .await;
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
