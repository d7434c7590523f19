//! Statements that DataFusion answers wrongly, or that end the process, and their right answers.
//!
//! The answers are DuckDB's and PostgreSQL's on the same rows. `tests/differential/run.sh` tries
//! thousands of others beside DuckDB.

use crate::batch::Shop;
use crate::support::{run, texts, tidemill};

/// Tables `ta` (k, i, s, x), `tb` (k, s, d) and `rates` (id, rate), whose doubles have NaN and a zero with a sign.
pub fn shop() -> Shop {
    let shop = Shop::new();
    for old in ["wide", "by_state"] {
        std::fs::remove_file(shop.path().join(format!("sql/shop/{old}.sql"))).unwrap();
    }
    shop.write("a.csv", "k,i,s,x\n1,1,a,1\n1,2,b,0\n1,2,c,\n0,5,1,-0.0\n");
    shop.write("b.csv", "k,s,d\n1,x,1\n0,,1\n7,z,3\n");
    shop.write("sql/shop/ta.sql", "SELECT * FROM in_a");
    shop.write("sql/shop/tb.sql", "SELECT * FROM in_b");
    let rates = "SELECT i AS id, x / x AS rate FROM in_a UNION ALL SELECT 9, 1.0";
    shop.write("sql/shop/rates.sql", rates);
    let path = |name: &str| shop.path().join(name).display().to_string();
    shop.write(
        "jobs/shop.toml",
        format!(
            "sql = \"sql/shop\"\n[inputs.in_a]\npath = \"{}\"\ntypes = {{ k = \"INT\", i = \"INT\", x = \"DOUBLE\" }}\n\
             [inputs.in_b]\npath = \"{}\"\ntypes = {{ k = \"INT\", d = \"DECIMAL(10,2)\" }}\n",
            path("a.csv"),
            path("b.csv")
        ),
    );
    shop.run(&[]);
    shop
}

pub async fn expect(cases: &[(&str, &[&str])]) {
    let shop = shop();
    for (sql, rows) in cases {
        assert_eq!(shop.rows(sql).await, *rows, "{sql}");
    }
}

/// Each statement is refused, with an error that says so.
pub fn refuse(shop: &Shop, cases: &[(&str, &str)]) {
    for (sql, reason) in cases {
        let output = run(tidemill(shop.lake().root()).args(["sql", sql]));
        let (_, errors) = texts(&output);
        let code = output.status.code().unwrap_or(-1);
        assert!((1..=2).contains(&code) && errors.contains(reason), "{sql}: {code} {errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn distinct_structs_and_lists_are_counted() {
    expect(&[
        ("SELECT count(*), count(DISTINCT (k, i)) FROM shop.ta", &["4|3"]),
        // A field may be null, a struct that is null itself is none.
        ("SELECT count(*), count(DISTINCT (k, x)) FROM shop.ta", &["4|4"]),
        ("SELECT sum(i), count(DISTINCT CASE WHEN i > 1 THEN (k, i) END) FROM shop.ta", &["10|2"]),
        (
            "SELECT k, count(*), count(DISTINCT (i, 0)) AS n FROM shop.ta GROUP BY k ORDER BY n",
            &["0|1|1", "1|3|2"],
        ),
        ("SELECT count(*), count(DISTINCT (k, i)) FILTER (WHERE s <> 'a') FROM shop.ta", &["4|2"]),
        ("SELECT sum(i), count(DISTINCT [k, i]), count(DISTINCT s) FROM shop.ta", &["10|3|4"]),
        ("SELECT k FROM shop.ta GROUP BY k HAVING count(DISTINCT (i, s)) > 1 AND count(*) > 1", &["1"]),
        ("SELECT count(*), count(DISTINCT (rate, 1)) FROM shop.rates", &["5|3"]),
        ("SELECT count(*), count(DISTINCT (x, 1)) FROM shop.ta", &["4|3"]),
        ("SELECT count(DISTINCT (k, i)) FROM shop.ta", &["3"]),
        ("SELECT count(*), count(DISTINCT (k, i)) FROM shop.ta WHERE k > 9", &["0|0"]),
        // These took more memory than there is.
        (
            "SELECT count(*), count(DISTINCT struct(value % 1000, value)) FROM generate_series(1, 200000)",
            &["200000|200000"],
        ),
        (
            "SELECT max(n) FROM (SELECT value % 7, count(*), count(DISTINCT [value % 1000]) AS n \
             FROM generate_series(1, 200000) GROUP BY 1)",
            &["1000"],
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nan_is_one_value_greater_than_all_and_in_no_statistics() {
    expect(&[
        // 0 / 0 of two rows, written and read back; a NaN of x86 has a sign.
        ("SELECT id, rate FROM shop.rates ORDER BY rate, id", &["1|1.0", "9|1.0", "2|NaN", "5|NaN", "2|"]),
        ("SELECT max(rate), min(rate) FROM shop.rates", &["NaN|1.0"]),
        ("SELECT count(*) FROM shop.rates WHERE rate > 2", &["2"]),
        ("SELECT count(*) FROM shop.rates WHERE rate = 1", &["2"]),
        ("SELECT count(*) FROM shop.rates WHERE rate = CAST('NaN' AS DOUBLE)", &["2"]),
        ("SELECT count(DISTINCT rate) FROM shop.rates", &["2"]),
        ("SELECT rate, count(*) FROM shop.rates GROUP BY 1 ORDER BY 1", &["1.0|2", "NaN|2", "|1"]),
        ("SELECT count(*) FROM shop.rates a JOIN shop.rates b ON a.rate = b.rate", &["8"]),
        ("SELECT max(x / x) > 1, least(1.0, max(x / x)) FROM ta", &["true|1.0"]),
        (
            "SELECT g, max(x), min(x) FROM (VALUES ('a', CAST('NaN' AS DOUBLE)), ('a', 1.0), ('b', 1.0), \
             ('b', CAST('NaN' AS DOUBLE)), ('c', -2.5), ('c', -1e300)) AS v (g, x) GROUP BY g ORDER BY g",
            &["a|NaN|1.0", "b|NaN|1.0", "c|-2.5|-1e300"],
        ),
        ("SELECT 0e0 / 0e0 > 1e0, 1e308 * 10 - 1e308 * 10 = CAST('NaN' AS DOUBLE)", &["true|true"]),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn zero_is_one_value() {
    expect(&[
        ("SELECT count(*) FROM ta WHERE x = 0", &["2"]),
        ("SELECT x, count(*) FROM ta GROUP BY 1 ORDER BY 1", &["0.0|2", "1.0|1", "|1"]),
        ("SELECT rank() OVER (ORDER BY -x) FROM ta WHERE x = 0", &["1", "1"]),
        ("SELECT NULLIF(-x, 0e0) IS NULL FROM ta WHERE i = 2 AND s = 'b'", &["true"]),
        ("SELECT round(-0.4e0) = 0, CAST('-0.0' AS DOUBLE) = 0", &["true|true"]),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nulls_count_in_membership() {
    expect(&[
        ("SELECT count(*) FROM ta WHERE 'q' NOT IN (SELECT s FROM tb)", &["0"]),
        ("SELECT count(*) FROM ta WHERE s NOT IN (SELECT s FROM tb)", &["0"]),
        ("SELECT count(*) FROM ta WHERE s NOT IN (SELECT s FROM tb WHERE k > 0)", &["4"]),
        (
            "SELECT i FROM ta WHERE 'q' NOT IN (SELECT s FROM tb WHERE tb.k = ta.k) ORDER BY i",
            &["1", "2", "2"],
        ),
        ("SELECT count(*) FROM tb WHERE s NOT IN (SELECT s FROM ta WHERE ta.k > 5)", &["3"]),
        (
            "SELECT i FROM ta WHERE 'b' NOT IN (SELECT 'b' FROM tb WHERE tb.k = ta.i) ORDER BY i",
            &["2", "2", "5"],
        ),
        ("SELECT i FROM ta WHERE k IN (SELECT count(*) FROM tb WHERE tb.k = ta.i) ORDER BY i", &["1", "5"]),
        ("SELECT k FROM tb WHERE (s NOT IN (SELECT s FROM ta)) IS NULL", &["0"]),
        ("SELECT k FROM tb WHERE k <= ALL (SELECT k FROM tb WHERE k > 0) ORDER BY k", &["0", "1"]),
        ("SELECT k FROM tb WHERE k > ANY (SELECT k FROM tb WHERE k > 0)", &["7"]),
        ("SELECT k FROM tb WHERE k <> ALL (SELECT k FROM tb WHERE k = 1) ORDER BY k", &["0", "7"]),
        ("SELECT k FROM tb WHERE (k IN (SELECT k FROM tb WHERE k > 0)) IS NOT TRUE", &["0"]),
        ("SELECT k FROM tb WHERE (k IN (SELECT NULLIF(k, 7) FROM tb)) IS NULL", &["7"]),
        ("SELECT k FROM tb WHERE NOT (k IN (SELECT NULLIF(k, 7) FROM tb)) OR k = 0", &["0"]),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_with_all_count_rows() {
    expect(&[
        ("SELECT k FROM ta EXCEPT ALL SELECT 1 ORDER BY 1", &["0", "1", "1"]),
        ("SELECT k FROM ta INTERSECT ALL SELECT k FROM ta WHERE i = 2 ORDER BY 1", &["1", "1"]),
        ("SELECT s FROM tb EXCEPT ALL SELECT NULL ORDER BY 1", &["x", "z"]),
        ("SELECT k FROM ta EXCEPT SELECT 1", &["0"]),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_merge_their_columns() {
    expect(&[
        ("SELECT k, i FROM ta FULL JOIN tb USING (k) ORDER BY k, i", &["0|5", "1|1", "1|2", "1|2", "7|"]),
        ("SELECT k FROM ta RIGHT JOIN tb USING (k) WHERE i IS NULL", &["7"]),
        ("SELECT * FROM (SELECT * FROM tb WHERE k = 7) AS b LEFT JOIN ta USING (k)", &["7|z|3.00|||"]),
        ("SELECT * FROM ta RIGHT JOIN (SELECT k, d FROM tb) AS b USING (k) WHERE k > 5", &["7||||3.00"]),
        (
            "SELECT k, count(*) FROM ta FULL JOIN tb USING (k) WHERE k > 0 GROUP BY k HAVING k < 9 ORDER BY k",
            &["1|3", "7|1"],
        ),
        ("SELECT ta.k IS NULL, k + 1 FROM ta FULL JOIN tb USING (k) ORDER BY k DESC LIMIT 1", &["true|8"]),
        // Two columns of one name: a filter has to find its own.
        ("SELECT count(*) FROM ta AS a RIGHT JOIN tb AS b ON a.k = b.k WHERE a.s IS DISTINCT FROM b.s", &["5"]),
        ("SELECT count(*) FROM tb s JOIN (SELECT a.k, b.k FROM ta a JOIN tb b ON a.k = b.k) ON s.k = b.k", &["4"]),
    ])
    .await;
    let again = "merged again";
    refuse(
        &shop(),
        &[
            ("SELECT k FROM ta FULL JOIN tb USING (k) JOIN ta AS c USING (k)", again),
            ("SELECT k FROM ta NATURAL FULL JOIN tb", "name them with USING"),
            ("SELECT k FROM ta FULL JOIN tb USING (k) WHERE 1 IN (SELECT k FROM ta)", "write table.k"),
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aggregate_without_groups_is_one_row_and_a_subquery_may_have_none() {
    expect(&[
        ("SELECT a FROM (SELECT count(*) AS n, FALSE AS a FROM ta) AS t WHERE a", &[]),
        ("SELECT count(*) FROM (SELECT max(k) AS m FROM tb) AS t WHERE (SELECT min(k) FROM ta) IS NULL", &["0"]),
        ("SELECT k FROM tb WHERE EXISTS (SELECT min(1) FROM ta WHERE ta.k = tb.k) ORDER BY 1", &["0", "1", "7"]),
        ("SELECT (SELECT 1 FROM ta WHERE FALSE LIMIT 1) IS NULL, COALESCE((SELECT 5 FROM ta WHERE k = 9), 9)", &["true|9"]),
        ("SELECT k FROM tb WHERE 1 NOT IN (SELECT sum(i) FROM ta WHERE ta.k = tb.k) ORDER BY 1", &["0", "1"]),
        ("SELECT k, count(*) FROM ta GROUP BY ROLLUP (k) ORDER BY 1, 2", &["0|1", "1|3", "|4"]),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aggregates_keep_each_its_order() {
    expect(&[
        (
            "SELECT array_to_string(array_agg(i ORDER BY i DESC), '-'), array_to_string(array_agg(DISTINCT i ORDER BY i), '-') FROM ta",
            &["5-2-2-1|1-2-5"],
        ),
        ("SELECT string_agg(s, '|' ORDER BY k, k, i DESC, s) FROM ta WHERE k = 1", &["b|c|a"]),
        ("SELECT DISTINCT ON (k) k, s FROM ta ORDER BY k, i DESC, i, s", &["0|1", "1|b"]),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_right_or_an_error() {
    expect(&[
        ("SELECT sum(i), sum(k * 3), sum(DISTINCT i), sum(i) FILTER (WHERE i > 4) FROM ta", &["10|9|8|5"]),
        ("SELECT sum(n) FROM (VALUES (9223372036854775807), (1), (-2)) AS t (n)", &["9223372036854775806"]),
        ("SELECT avg(d) FROM tb", &["1.666667"]),
        ("SELECT avg(-d), avg(DISTINCT d) FROM tb", &["-1.666667|2.000000"]),
        ("SELECT sum(DISTINCT d) + sum(d) FROM tb", &["9.00"]),
        ("SELECT CAST(2 AS DECIMAL(10,2)) / CAST(3 AS DECIMAL(10,2))", &["0.666667"]),
        ("SELECT CAST(-2 AS DECIMAL(10,2)) / CAST(3 AS DECIMAL(10,2))", &["-0.666667"]),
        (
            "SELECT sum(i) OVER (ORDER BY i, s ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM ta",
            &["1", "3", "4", "7"],
        ),
        ("SELECT row_number() OVER (ORDER BY i, s) / 2 FROM ta", &["0", "1", "1", "2"]),
        ("SELECT -7 / 2, -7 % 3, 7 - 9, -i FROM ta WHERE i = 5", &["-3|-1|-2|-5"]),
        ("SELECT 1 << 62, -8 >> 1, -1 << 2, 7 >> 63", &["4611686018427387904|-4|-4|0"]),
        (
            "SELECT CAST(1.5 AS REAL), TRY_CAST(1e39 AS REAL) IS NULL, CAST('inf' AS REAL) > 1",
            &["1.5|true|true"],
        ),
        (
            "SELECT 18446744073709551616, -99999999999999999999, -9223372036854775808",
            &["18446744073709551616|-99999999999999999999|-9223372036854775808"],
        ),
        (
            "SELECT -9223372036854775809 = -9223372036854775808, -10000000000000000001, x <= -9223372036854775809 \
             FROM (VALUES (-9223372036854775808)) AS t (x)",
            &["false|-10000000000000000001|false"],
        ),
        (
            "SELECT coalesce(x, 100000000000000000000), x < 100000000000000000000, x IN (100000000000000000000, 0), \
             CASE WHEN x > 1 THEN 100000000000000000000 ELSE x END \
             FROM (VALUES (1e-20), (CAST('NaN' AS DOUBLE))) AS t (x) ORDER BY x",
            &["1e-20|true|false|1e-20", "NaN|false|false|1e20"],
        ),
        ("SELECT lpad(s, n, 'x') || '.' FROM (VALUES ('a', 3), ('d', -1)) AS t (s, n) ORDER BY n", &[".", "xxa."]),
        ("SELECT abs(-i), round(1.25e0, 1), ceil(d) FROM ta, tb WHERE i = 5 AND d = 3", &["5|1.3|3.00"]),
    ])
    .await;
    let more = "is more than BIGINT holds";
    refuse(
        &shop(),
        &[
            ("SELECT CAST(i AS INT) * CAST(2000000000 AS INT) FROM ta", "is more than INT holds"),
            ("SELECT 9223372036854775807 + i FROM ta", more),
            ("SELECT 9223372036854775807 + 1", more),
            ("SELECT -9223372036854775807 - k - k FROM ta", more),
            ("SELECT -(i - 9223372036854775807 - 2) FROM ta WHERE i = 1", more),
            (
                "SELECT sum(n) FROM (VALUES (9223372036854775807), (1)) AS t (n)",
                "sum(t.n)` is more than BIGINT holds",
            ),
            ("SELECT CAST(9e37 AS DECIMAL(38,0)) + CAST(9e37 AS DECIMAL(38,0))", "DECIMAL(38,0)"),
            (
                "SELECT sum(d) FROM (VALUES (CAST(9e37 AS DECIMAL(38,0))), (CAST(9e37 AS DECIMAL(38,0)))) AS t (d)",
                "DECIMAL(38,0)",
            ),
            ("SELECT i / (i - 5) FROM ta", "is a division by zero"),
            ("SELECT i % (i - 5) FROM ta", "is a division by zero"),
            ("SELECT d / (d - d) FROM tb", "is a division by zero"),
            ("SELECT 1 << 64", "is more than BIGINT holds (1 << 64)"),
            ("SELECT i << 63 FROM ta", more),
            ("SELECT i >> -1 FROM ta", more),
            ("SELECT CAST(1e39 AS REAL)", "is more than REAL holds"),
            ("SELECT CAST(x * 1e300 AS REAL) FROM ta", "is more than REAL holds"),
            ("SELECT abs(k - 9223372036854775807 - 1) FROM ta", "`abs("),
            ("SELECT ceil(CAST('9.99' AS DECIMAL(3,2)))", "`ceil("),
            ("SELECT 123456789012345678901234567890123456789", "38 digits"),
            ("SELECT TRUE IS DISTINCT FROM FALSE AND FALSE", "write parentheses"),
            ("SELECT 'abc' SIMILAR TO '%b%'", "write LIKE"),
            ("SELECT k FROM ta WHERE EXISTS (SELECT 1 FROM tb WHERE tb.k = ta.k OFFSET 5)", "OFFSET"),
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_left_a_frame_is_gone() {
    let frame = |function: &str| {
        format!(
            "SELECT {function} OVER (ORDER BY k ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM (VALUES (1, 1e20), (2, 1e0), \
             (3, 1e0), (4, CAST('NaN' AS DOUBLE)), (5, 2e0), (6, NULL), (7, 4e0)) AS t (k, x) ORDER BY k"
        )
    };
    let (sum, avg, spread) = (frame("sum(x)"), frame("avg(x)"), frame("var_pop(x)"));
    expect(&[
        (&sum, &["1e20", "1e20", "2.0", "NaN", "NaN", "2.0", "4.0"]),
        (&avg, &["1e20", "5e19", "1.0", "NaN", "NaN", "2.0", "4.0"]),
        (&spread, &["0.0", "2.5e39", "0.0", "NaN", "NaN", "0.0", "0.0"]),
        (
            "SELECT sum(x) FILTER (WHERE k <> 2) OVER (ORDER BY k ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING) \
             FROM (VALUES (1, 1e0), (2, 1e20), (3, 3e0), (4, 5e0)) AS t (k, x) ORDER BY k",
            &["", "1.0", "1.0", "3.0"],
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subquery_is_a_column_or_told_with_a_join() {
    expect(&[
        ("SELECT k, k IN (SELECT k FROM ta) FROM tb ORDER BY k", &["0|true", "1|true", "7|false"]),
        ("SELECT k, s IN (SELECT s FROM ta) FROM tb ORDER BY k", &["0|", "1|false", "7|false"]),
        ("SELECT k, 'x' NOT IN (SELECT s FROM tb) AS a, 'q' IN (SELECT s FROM tb) AS b FROM tb WHERE k = 1", &["1|false|"]),
        ("SELECT k, EXISTS (SELECT 1 FROM ta WHERE ta.k = tb.k) AS a FROM tb ORDER BY k", &["0|true", "1|true", "7|false"]),
        ("SELECT k, NOT EXISTS (SELECT 1 FROM ta WHERE ta.i = tb.k) AND k > 0 AS a FROM tb ORDER BY k", &["0|false", "1|false", "7|true"]),
        ("SELECT EXISTS (SELECT 1 FROM ta WHERE k = 9), EXISTS (SELECT 1 FROM ta) AS b", &["false|true"]),
        (
            "SELECT k, EXISTS (SELECT i FROM ta WHERE ta.k = tb.k ORDER BY i LIMIT 1) AS a FROM tb ORDER BY k",
            &["0|true", "1|true", "7|false"],
        ),
        ("SELECT k, (SELECT v.a FROM (SELECT 1 AS a) AS v WHERE v.a = tb.k) FROM tb ORDER BY k", &["0|", "1|1", "7|"]),
    ])
    .await;
    expect(&[("SELECT sum(CASE WHEN k IN (SELECT k FROM tb) THEN 1 END) FROM ta", &["4"])]).await;
    refuse(
        &shop(),
        &[
            ("SELECT EXISTS (SELECT 1 FROM tb WHERE tb.k < ta.k) FROM ta", "LEFT JOIN"),
            ("SELECT (SELECT max(d) FROM tb WHERE tb.k < ta.k) FROM ta", "LEFT JOIN"),
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_compared_row_by_row() {
    let sql = "SELECT count(*) FROM ta WHERE k NOT IN (CASE 1 WHEN 1 THEN i WHEN 2 THEN k END, 100)";
    expect(&[(sql, &["3"])]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_statements_run_or_are_refused() {
    let shop = shop();
    let doubled = |levels: usize| -> String {
        (1..=levels).map(|at| format!(", a{at} AS (SELECT p.x FROM a{0} p, a{0} q)", at - 1)).collect()
    };
    let many = |count: usize, part: &str, between: &str| vec![part; count].join(between);
    for (sql, right) in [
        (format!("SELECT count(*) FROM ta WHERE {}", many(3000, "k <> 9", " AND ")), "4"),
        (format!("SELECT count(*) FROM ta WHERE {}", many(3000, "s || '1' = 'b1'", " OR ")), "1"),
        (format!("SELECT {} FROM ta WHERE i = 5", many(3000, "(i > 4 OR k IS NULL)", " AND ")), "true"),
        (format!("SELECT length({})", many(3000, "'a'", " || ")), "3000"),
        (format!("SELECT count(*) FROM ({})", many(1000, "SELECT 1 AS a", " UNION ALL ")), "1000"),
        (format!("SELECT {}", many(400, "1", " + ")), "400"),
        (format!("SELECT {}k{} FROM ta WHERE i = 5", "coalesce(".repeat(40), ", 1)".repeat(40)), "0"),
        (format!("SELECT {}k = 1{} FROM ta WHERE i = 5", "NOT (".repeat(22), ")".repeat(22)), "false"),
        (
            format!(
                "SELECT {}k{} FROM ta WHERE i = 5",
                "CASE WHEN k = 1 THEN 2 ELSE ".repeat(45),
                " END".repeat(45)
            ),
            "0",
        ),
        (format!("WITH a0 AS (SELECT 1 AS x){} SELECT count(*) FROM a5", doubled(5)), "1"),
    ] {
        assert_eq!(shop.rows(&sql).await, [right], "{}", &sql[..60]);
    }
    refuse(
        &shop,
        &[
            (&format!("SELECT {}", many(5000, "1", " + ")), "operators stand side by side"),
            (&format!("SELECT {}1{}", "(".repeat(500), ")".repeat(500)), "stand in each other"),
            (
                &format!("SELECT {}k{} FROM ta", "CAST(".repeat(60), " AS INT)".repeat(60)),
                "stand in each other",
            ),
            ("SELECT 2 ^ 10", "power(a, b)"),
            (&format!("SELECT {}k = 1{} FROM ta", "NOT (".repeat(25), ")".repeat(25)), "stand in each other"),
            (
                &format!(
                    "SELECT {}k{} FROM ta",
                    "CASE WHEN k = 1 THEN 2 ELSE ".repeat(60),
                    " END".repeat(60)
                ),
                "stand in each other",
            ),
            (
                &format!("WITH a0 AS (SELECT 1 AS x){} SELECT count(*) FROM a24", doubled(24)),
                "more than 1000 tables",
            ),
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_condition_keeps_away_is_not_computed() {
    expect(&[
        ("SELECT k, sum(10 / (i - 1)) FILTER (WHERE i <> 1) FROM ta GROUP BY k ORDER BY k", &["0|2", "1|20"]),
        (
            "SELECT ta.i, tb.k FROM ta JOIN tb ON ta.k > tb.k AND 0 / ta.k = tb.k ORDER BY 1",
            &["1|0", "2|0", "2|0"],
        ),
        ("SELECT i FROM ta WHERE k = 0 OR 2 / k IN (SELECT i FROM ta) ORDER BY i", &["1", "2", "2", "5"]),
        ("SELECT DISTINCT k, CASE WHEN k <> 0 THEN (SELECT max(d) FROM tb WHERE tb.k = 7 / ta.k) END FROM ta ORDER BY k", &["0|", "1|3.00"]),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_those_that_are_meant() {
    expect(&[
        ("SELECT -k AS k, i FROM ta ORDER BY k + 0, i", &["0|5", "-1|1", "-1|2", "-1|2"]),
        ("SELECT -k AS k, i FROM ta ORDER BY k, i", &["-1|1", "-1|2", "-1|2", "0|5"]),
        ("SELECT i FROM ta AS s WHERE NOT EXISTS (SELECT 1 FROM tb WHERE tb.s = s.s) ORDER BY i", &["1", "2", "2", "5"]),
        ("SELECT avg(v) FROM (SELECT 9007199254740992 + k AS v FROM ta UNION ALL SELECT -9007199254740993 FROM ta) AS q", &["-0.125"]),
    ])
    .await;
}
