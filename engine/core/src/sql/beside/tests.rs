//! Decimals, doubles, dates and times beside each other. Values are PostgreSQL's where nothing else is said.

use crate::sql::tests::{check, refused};

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

/// Values from DuckDB, but for zeros at the end.
#[tokio::test]
async fn what_is_computed_of_decimals_and_written_numbers_is_a_decimal() {
    let rows = "(VALUES (CAST('9.99' AS DECIMAL(10,2)), 3, CAST(1.5 AS DOUBLE))) AS t (p, i, x)";
    for (columns, expected) in [
        ("p * 0.07, p + 0.5, p - 0.5, p % 0.5, -0.5 * p", "0.6993|10.49|9.49|0.49|-4.995"),
        ("p * (1 - 0.07), p * (1 + i * 0.5), p * 0.07 * 0.19 * 1.5", "9.2907|24.975|0.1993005"),
        // More digits than a double has.
        ("p * 3.14159265358979323846", "31.3845106093620344522154"),
        ("abs(p * -0.5), sum(p * 0.07) OVER (), coalesce(p * 0.07, 0.0)", "4.995|0.6993|0.6993"),
        ("arrow_typeof(p * 0.07), arrow_typeof(p + 0.001)", "Decimal128(13, 4)|Decimal128(12, 3)"),
        // Doubles: of a double, of one with an exponent, quotients and means.
        ("arrow_typeof(x * 0.07), arrow_typeof(i * 0.07), arrow_typeof(p * 7e-2)", "Float64|Float64|Float64"),
        ("arrow_typeof(x * 3.14159265358979323846), arrow_typeof(p * x * 0.5)", "Float64|Float64"),
        ("p / 0.5, p * 0.07 / 11, 3 / (p * 0.07)", "19.98|0.06357272727272728|4.29000429000429"),
        ("avg(p * 0.07 + 0.0001) OVER (), CAST(p * 0.07 AS DOUBLE)", "0.6994|0.6993"),
        // Wherever the product stands.
        (
            "coalesce(p * 0.07, 0.0) / 11, sum(p * 0.07) OVER () / 11",
            "0.06357272727272728|0.06357272727272728",
        ),
        (
            "(CASE WHEN i > 0 THEN p * 0.07 END) / 11, round(p * 0.07, 4) / 11",
            "0.06357272727272728|0.06357272727272728",
        ),
        ("max(p * 0.07) OVER () / 11, nullif(p * 0.07, 0) / 11", "0.06357272727272728|0.06357272727272728"),
        // As wide as there is: DECIMAL(38,4) and DECIMAL(38,3).
        ("CAST(p AS DECIMAL(38,2)) * 0.07, CAST(p AS DECIMAL(38,2)) + 0.075", "0.6993|10.065"),
        ("CAST(p AS DECIMAL(38,2)) * 0.07 = CAST('0.6993' AS DECIMAL(38,30))", "true"),
    ] {
        check(&[(&format!("SELECT {columns} FROM {rows}"), &[expected])]).await;
    }
    check(&[
        ("SELECT avg(p * 0.07), sum(p * 0.07) FROM (VALUES (CAST('9.99' AS DECIMAL(10,2))), (10.00), (10.00)) AS t (p)", &["0.6997666666666666|2.0993"]),
        (
            "WITH q AS (SELECT p * 0.07 AS tax FROM (VALUES (CAST('9.99' AS DECIMAL(10,2)))) AS t (p)) \
             SELECT tax / 11, sum(tax) / 11, avg(tax), (SELECT max(tax) FROM q) / 11 FROM q GROUP BY tax",
            &["0.06357272727272728|0.06357272727272728|0.6993|0.06357272727272728"],
        ),
        (
            "SELECT sum(p * 0.5) / 300000000 FROM (VALUES (CAST('9.99' AS DECIMAL(10,2)))) AS t (p)",
            &["1.665e-8"],
        ),
        // Of decimals alone it is one, as before.
        ("SELECT arrow_typeof(sum(p) / 3) FROM (VALUES (CAST('9.99' AS DECIMAL(10,2)))) AS t (p)", &["Decimal128(24, 6)"]),
        (
            "WITH q AS (SELECT p, p * 0.07 AS tax FROM (VALUES (CAST('9.99' AS DECIMAL(10,2)))) AS t (p)) \
             SELECT q.tax, (SELECT max(a.p) FROM q AS a WHERE a.tax = q.tax), \
               (SELECT count(*) FROM (VALUES (CAST('0.6993' AS DECIMAL(38,20)))) AS v (y) WHERE v.y = q.tax) FROM q",
            &["0.6993|9.99|1"],
        ),
        (
            "WITH RECURSIVE r AS (SELECT CAST('5' AS DECIMAL(10,2)) * 0.5 AS n, 1 AS k UNION ALL SELECT n * 0.5, k + 1 FROM r WHERE k < 3) \
             SELECT n FROM r ORDER BY k",
            &["2.5", "1.25", "0.625"],
        ),
    ])
    .await;
    let most = "CAST('9999999999999999999999999999999999.99' AS DECIMAL(38,2))";
    refused(&[
        ("SELECT p % 0.0 FROM (SELECT CAST('9.99' AS DECIMAL(10,2)) AS p) AS t", "is a division by zero"),
        (&format!("SELECT p * 1000.5 FROM (SELECT {most} AS p) AS t"), "is more than DECIMAL(38,3) holds"),
    ])
    .await;
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
