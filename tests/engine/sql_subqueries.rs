//! Subqueries, joins, UNIONs and casts that DataFusion answers wrongly or not at all, and their right answers, which are DuckDB's
//! and PostgreSQL's on the same rows.

use crate::sql_answers::{expect, refuse, shop};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_looked_for_may_be_a_constant() {
    expect(&[
        ("SELECT count(*) FROM ta WHERE COALESCE('1', s) NOT IN (SELECT CAST(NULL AS VARCHAR) FROM tb)", &["0"]),
        ("SELECT count(*) FROM (SELECT 'q' AS c FROM ta) t WHERE c NOT IN (SELECT s FROM tb)", &["0"]),
        ("SELECT count(*) FROM ta WHERE CASE WHEN TRUE THEN 9 ELSE k END NOT IN (SELECT k FROM tb)", &["4"]),
        ("SELECT count(*) FROM ta WHERE k + 1 NOT IN (SELECT k FROM tb) AND k * 7 NOT IN (SELECT k FROM tb)", &["0"]),
        ("SELECT i, k FROM ta WHERE COALESCE(k, 3) + 5 NOT IN (SELECT k FROM tb) ORDER BY 1", &["1|1", "2|1", "2|1", "5|0"]),
        ("SELECT count(*) FROM ta JOIN tb ON ta.k = tb.k AND COALESCE('q', ta.s) NOT IN (SELECT s FROM tb)", &["0"]),
        ("SELECT count(*) FROM ta LEFT SEMI JOIN tb ON CAST(NULL AS INT) NOT IN (SELECT k FROM tb)", &["0"]),
        ("SELECT count(tb.k) FROM tb RIGHT JOIN ta ON (1 NOT IN (SELECT k FROM tb WHERE k > 100))", &["12"]),
        ("SELECT count(tb.k) FROM tb RIGHT JOIN ta ON (1 IN (SELECT k FROM tb WHERE CAST(NULL AS BOOLEAN)))", &["0"]),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subquery_without_a_row_is_null_for_all_that_reads_it() {
    let empty = "(SELECT 'x' FROM tb WHERE k > 100 ORDER BY 1 LIMIT 1)";
    let outside = format!("SELECT count(*) FROM (SELECT {empty} AS c FROM ta) q WHERE q.c IS NULL");
    let beside =
        format!("SELECT DISTINCT q.c IS NULL, COALESCE(q.c, 'none') FROM (SELECT {empty} AS c FROM ta) q");
    expect(&[
        (&outside, &["4"]),
        ("SELECT k FROM ta WHERE 'b' <> ALL (SELECT max(s) FROM tb WHERE tb.k = ta.i)", &["1"]),
        (&beside, &["true|none"]),
        (
            "SELECT count(*) FROM ta LEFT ANTI JOIN (SELECT 1 AS o FROM tb a CROSS JOIN LATERAL \
             (SELECT b.i FROM ta b WHERE b.k = a.k) l GROUP BY ROLLUP (a.k)) r ON CAST(NULL AS BOOLEAN)",
            &["4"],
        ),
        (
            "SELECT count(*) FROM (SELECT 1 AS o FROM tb a CROSS JOIN LATERAL (SELECT b.i FROM ta b WHERE b.k = a.k) l \
             HAVING count(*) > 0) r JOIN ta ON CAST(NULL AS BOOLEAN)",
            &["0"],
        ),
        (
            "SELECT (SELECT a.s FROM tb a CROSS JOIN LATERAL (SELECT b.i FROM ta b WHERE b.k = a.k) l WHERE FALSE \
             ORDER BY 1 LIMIT 1) IS NULL FROM tb",
            &["true", "true", "true"],
        ),
    ])
    .await;
    refuse(
        &shop(),
        &[
            (
                "SELECT k FROM ta WHERE 3 NOT IN (SELECT k FROM tb WHERE tb.k <> ta.k OFFSET 1)",
                "row_number()",
            ),
            (
                "SELECT k, (SELECT count(*) FROM tb WHERE tb.k = ta.i) FROM ta GROUP BY k",
                "reads `ta.i` of rows",
            ),
            (
                "SELECT k, (SELECT count(*) FROM tb WHERE FALSE AND tb.k = ta.i) FROM ta GROUP BY k",
                "reads `ta.i` of rows",
            ),
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subquery_meets_the_outer_row_by_the_columns_that_are_meant() {
    expect(&[
        (
            "SELECT k, (SELECT sum(DISTINCT b.i) FROM ta b, tb c WHERE b.k = a.k AND c.k = a.k) FROM tb a ORDER BY k",
            &["0|5", "1|3", "7|"],
        ),
        ("SELECT k FROM tb a WHERE EXISTS (SELECT 1 FROM ta b, tb c WHERE b.k = a.k AND c.k = a.d) ORDER BY 1", &["0", "1"]),
        ("SELECT k, (SELECT max(b.i) FROM ta b, tb c WHERE b.k = a.k AND c.k = a.d) FROM tb a ORDER BY k", &["0|5", "1|2", "7|"]),
        ("SELECT k, (SELECT count(*) AS k FROM ta b WHERE b.k = a.k) AS n FROM tb a ORDER BY a.k", &["0|1", "1|3", "7|0"]),
        (
            "SELECT c, (SELECT count(*) FROM tb b WHERE b.k = q.c) FROM \
             (SELECT CASE WHEN i > 1 THEN k ELSE CAST(7 AS BIGINT) END AS c FROM ta) q ORDER BY 1",
            &["0|1", "1|1", "1|1", "7|1"],
        ),
        (
            "SELECT count(*) FROM (SELECT CASE WHEN TRUE THEN 'a' ELSE string_agg(s, '|') END AS c FROM ta) q \
             WHERE NOT EXISTS (SELECT 1 FROM tb WHERE tb.s = q.c)",
            &["1"],
        ),
        ("SELECT count(*), max(k) FROM tb a GROUP BY (SELECT max(b.i) FROM ta b WHERE b.k = a.k) ORDER BY 2", &["1|0", "1|1", "1|7"]),
        (
            "SELECT count(*), (SELECT count(*) FROM ta) AS n FROM tb a GROUP BY EXISTS (SELECT 1 FROM ta b WHERE b.k = a.k) ORDER BY 1",
            &["1|4", "2|4"],
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subquery_of_the_table_around_it_reads_the_rows_around_it() {
    let meets = "FROM ta t2 WHERE t2.k = ta.k";
    let none = "FROM ta t2 WHERE t2.k = ta.k AND t2.i > 100";
    expect(&[
        (&format!("SELECT count(*) FROM ta WHERE i >= (SELECT avg(i) {meets})"), &["3"]),
        (&format!("SELECT s, (SELECT count(*) {meets}) FROM ta ORDER BY s"), &["1|1", "a|3", "b|3", "c|3"]),
        (
            "WITH c AS (SELECT k, i FROM ta) SELECT k, i FROM c WHERE i > (SELECT avg(c2.i) FROM c c2 WHERE c2.k = c.k) ORDER BY i",
            &["1|2", "1|2"],
        ),
        (&format!("SELECT count(*) FROM ta WHERE 3 IN (SELECT count(*) {meets})"), &["3"]),
        (&format!("SELECT count(*) FROM ta WHERE 0 IN (SELECT count(*) {none})"), &["4"]),
        (
            &format!("SELECT s, i >= ALL (SELECT t2.i {meets}) FROM ta ORDER BY s"),
            &["1|true", "a|false", "b|true", "c|true"],
        ),
        (&format!("SELECT count(*) FROM ta, LATERAL (SELECT count(*) AS n {none}) q WHERE q.n = 0"), &["4"]),
        (
            &format!("SELECT s, (SELECT max(t2.i) {meets} AND EXISTS (SELECT 1 FROM tb WHERE tb.k = t2.k)) FROM ta ORDER BY s"),
            &["1|5", "a|2", "b|2", "c|2"],
        ),
        (
            &format!("SELECT m FROM (SELECT max(q.n) AS m FROM ta, LATERAL (SELECT count(*) AS n {meets}) q) r WHERE m = 3"),
            &["3"],
        ),
        // One row whatever there is, which no condition on what does not stand in it takes away.
        (
            &format!("SELECT n FROM (SELECT count(*) AS n FROM ta WHERE i > (SELECT avg(t2.i) {meets})) q WHERE 1 = 2"),
            &[],
        ),
    ])
    .await;
    // PostgreSQL's values: over no rows there is a group all the same.
    for having in ["count(*) = 0", "sum(t2.i) IS NULL"] {
        let sql = format!("SELECT count(*) FROM ta WHERE EXISTS (SELECT count(*) {none} HAVING {having})");
        expect(&[(&sql, &["4"])]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subquery_reads_rows_that_stand_further_off() {
    let meets = "HAVING EXISTS (SELECT 1 FROM tb WHERE tb.k = kk) ORDER BY 1";
    expect(&[
        (&format!("SELECT k AS kk, count(*) FROM ta GROUP BY kk {meets}"), &["0|1", "1|3"]),
        (
            "SELECT ta.k, u.m, z.d FROM ta, LATERAL (SELECT max(d) AS m FROM tb WHERE tb.k = ta.k) u JOIN tb z ON z.k = 1 ORDER BY 1",
            &["0|1.00|1.00", "1|1.00|1.00", "1|1.00|1.00", "1|1.00|1.00"],
        ),
        (
            "SELECT ta.i, z.d, u.n FROM ta, tb z LEFT JOIN LATERAL (SELECT tb.k AS n FROM tb WHERE tb.k = ta.k AND tb.d = z.d) u ON true \
             LEFT JOIN tb y ON y.k = u.n WHERE ta.i > 2 ORDER BY z.k",
            &["5|1.00|0", "5|1.00|0", "5|3.00|"],
        ),
        (&format!("SELECT k + 1 AS kk, count(*) FROM ta GROUP BY kk {meets}"), &["1|1"]),
    ])
    .await;
    refuse(
        &shop(),
        &[
            (
                "SELECT max(i) + 1 AS m FROM ta GROUP BY k HAVING EXISTS (SELECT 1 FROM tb WHERE tb.k = m)",
                "write what the name stands for",
            ),
            (
                "SELECT count(*) FROM ta, LATERAL (SELECT max(d) AS m FROM tb WHERE tb.k = ta.k) u FULL JOIN tb z ON z.k = 1",
                "make that join in a WITH before",
            ),
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn null_equals_null_also_beside_another_join() {
    expect(&[
        ("SELECT count(*) FROM tb a JOIN tb b ON a.s IS NOT DISTINCT FROM b.s JOIN ta ON ta.k = a.k", &["4"]),
        ("SELECT count(*) FROM tb a JOIN tb b ON a.s IS NOT DISTINCT FROM b.s CROSS JOIN ta", &["12"]),
        ("SELECT count(*) FROM ta JOIN tb a ON ta.k = a.k JOIN tb b ON a.s IS NOT DISTINCT FROM b.s", &["4"]),
        (
            "SELECT n, count(*) FROM (SELECT a.k AS n FROM tb a JOIN tb b ON a.s IS NOT DISTINCT FROM b.s) q, ta t, tb \
             WHERE t.k = q.n AND tb.k = t.k GROUP BY n ORDER BY 1",
            &["0|1", "1|3"],
        ),
        (
            "SELECT count(*) FROM tb a JOIN (SELECT t.k, tb.s FROM ta t, tb WHERE t.k = tb.k) q \
             ON a.s IS NOT DISTINCT FROM q.s JOIN tb c ON c.k = a.k",
            &["4"],
        ),
        (
            "SELECT count(*) FROM ta t, tb WHERE t.k = tb.k AND t.k IN \
             (SELECT a.k FROM tb a JOIN tb b ON a.s IS NOT DISTINCT FROM b.s CROSS JOIN ta)",
            &["4"],
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_union_has_the_names_and_the_order_of_its_first_select() {
    expect(&[
        ("SELECT c2 FROM ((SELECT i AS c2 FROM ta WHERE FALSE) UNION ALL ((SELECT k AS c7 FROM tb) UNION ALL (SELECT 9))) ORDER BY 1", &["0", "1", "7", "9"]),
        ("(SELECT s AS c2 FROM ta WHERE FALSE) UNION ALL ((SELECT 'b' AS c7 FROM tb) UNION ALL (SELECT '' AS c9 FROM tb LEFT JOIN ta USING (k)))", &["b", "b", "b", "", "", "", "", ""]),
        (
            "(SELECT 1 AS a, CAST(NULL AS DATE) AS b, DATE '2024-01-31' AS c FROM ta FULL JOIN tb USING (k)) UNION ALL \
             (SELECT CAST(NULL AS INT), DATE '2024-01-31', min(CAST(NULL AS DATE)) FROM ta FULL JOIN tb ON ta.k = tb.d GROUP BY ta.i) \
             ORDER BY 1 NULLS FIRST, 2 NULLS FIRST, 3 DESC NULLS LAST LIMIT 1",
            &["|2024-01-31|"],
        ),
        ("SELECT rate FROM shop.rates GROUP BY rate ORDER BY rate DESC NULLS LAST LIMIT 2", &["NaN", "1.0"]),
        ("(SELECT CAST('NaN' AS DOUBLE) AS c FROM ta) UNION (SELECT 1e0 FROM ta LEFT JOIN tb USING (k)) ORDER BY 1 DESC LIMIT 1", &["NaN"]),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn casts_that_lose_something_are_compared_after_they_did() {
    expect(&[
        ("SELECT k FROM (VALUES (1, CAST(4.20 AS DECIMAL(10,2))), (2, 5.20)) v (k, d) WHERE CAST(d AS INT) = 4", &["1"]),
        ("SELECT k FROM (VALUES (1, CAST(4.24 AS DECIMAL(10,2))), (2, 4.26)) v (k, d) WHERE CAST(d AS DECIMAL(10,1)) = 4.2", &["1"]),
        ("SELECT n FROM (SELECT CAST(d AS BIGINT) AS n FROM (VALUES (CAST(4.20 AS DECIMAL(10,2))), (6.10)) v (d)) q WHERE n IN (4, 5)", &["4"]),
        ("SELECT min(CAST(0.01 AS DECIMAL(10,2))) IS NOT NULL, CAST(min(d * 0.01) AS BIGINT) IS DISTINCT FROM 0 FROM tb", &["true|false"]),
        ("SELECT count(*) FROM ta WHERE TRY_CAST(i * 1000 AS TINYINT) <> 3", &["0"]),
        (
            "SELECT CASE WHEN k > 1 THEN round(d, 1) ELSE d END FROM (VALUES (1, CAST(1.55 AS DECIMAL(10,2))), (2, CAST(1.55 AS DECIMAL(10,2)))) v (k, d)",
            &["1.55", "1.60"],
        ),
        ("SELECT k FROM tb WHERE round(d, 1) = d AND d > 2", &["7"]),
        ("SELECT round(d, 1) + 1, round(d, 1) * 2 FROM tb ORDER BY k", &["2.0|2.0", "2.0|2.0", "4.0|6.0"]),
        ("SELECT round(median(d), 1) + count(*) FROM tb", &["4.0"]),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn days_are_counted_compared_and_added_to() {
    let days = "(SELECT k, CAST('2024-01-01' AS DATE) AS day, i FROM ta)";
    let days_between = format!("SELECT count(*) FROM {days} q WHERE q.day - DATE '2023-12-30' = i");
    let hours = format!(
        "WITH w AS (SELECT * FROM {days} d) SELECT DISTINCT CAST(day + INTERVAL '90 minutes' AS TIMESTAMP) \
         FROM w AS a NATURAL LEFT JOIN (SELECT DATE '2024-01-01' AS day) AS b"
    );
    expect(&[
        (&days_between, &["2"]),
        (
            "SELECT date_trunc('minute', max(CAST(s AS TIMESTAMP))) IS NULL FROM ta WHERE k > 100 GROUP BY GROUPING SETS (())",
            &["true"],
        ),
        (&hours, &["2024-01-01T01:30:00"]),
        (
            "SELECT count(*) FROM (SELECT k, max(t) AS last, min(t) AS first FROM (SELECT k, \
             CAST(TIMESTAMP '2024-01-01 23:00:00' AS TIMESTAMP) + i * INTERVAL '1 hour' AS t FROM ta) q GROUP BY k) r \
             WHERE CAST(first AS DATE) >= CAST(last AS DATE)",
            &["2"],
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_keep_what_they_are_of() {
    expect(&[
        (
            "SELECT string_agg(s, '|' ORDER BY s DESC), string_agg(DISTINCT s, '|' ORDER BY s) FROM ta",
            &["c|b|a|1|1|a|b|c"],
        ),
        ("SELECT string_agg(DISTINCT s, '+' ORDER BY s DESC) FILTER (WHERE k < 7) FROM tb", &["x"]),
        ("SELECT string_agg(DISTINCT s, '+' ORDER BY s DESC) IS NULL FROM tb WHERE k = 0", &["true"]),
        ("SELECT string_agg(DISTINCT s, '-' ORDER BY s, s DESC) FROM ta", &["1-a-b-c"]),
        (
            "SELECT string_agg(DISTINCT CAST(i AS VARCHAR), ',' ORDER BY CAST(i AS VARCHAR) DESC) FROM ta",
            &["5,2,1"],
        ),
        // PostgreSQL's; to DuckDB all of it is null.
        (
            "SELECT string_agg(DISTINCT s, NULL ORDER BY s), string_agg(s, NULL ORDER BY s) FROM ta",
            &["1abc|1abc"],
        ),
        ("SELECT array_to_string(array_agg(DISTINCT i ORDER BY i DESC), ',') FROM ta", &["5,2,1"]),
        ("SELECT DISTINCT concat(rtrim('b', 'ab'), COALESCE('', s)) = '' FROM tb", &["true"]),
        (
            "SELECT COALESCE(COALESCE(s, s), max(s)) FROM ta GROUP BY COALESCE(s, s) ORDER BY 1",
            &["1", "a", "b", "c"],
        ),
        ("SELECT DISTINCT ON (ta.k, ta.k) ta.i FROM ta ORDER BY ta.k, ta.k DESC, i", &["5", "1"]),
    ])
    .await;
    refuse(
        &shop(),
        &[
            ("SELECT -regr_count(k, i) FROM ta", "-CAST(x AS BIGINT)"),
            ("SELECT string_agg(s, ',' ORDER BY 2 DESC) FROM ta", "a number is no position there"),
            ("SELECT string_agg(DISTINCT s, ',' ORDER BY length(s)) FROM ta", "write ORDER BY x"),
            ("SELECT string_agg(DISTINCT s, ',' ORDER BY i) FROM ta", "write ORDER BY x"),
            ("SELECT string_agg(DISTINCT CAST(i AS VARCHAR), ',' ORDER BY i) FROM ta", "write ORDER BY x"),
            ("SELECT array_agg(DISTINCT s ORDER BY i) FROM ta", "write ORDER BY x"),
            ("SELECT array_agg(DISTINCT s ORDER BY s, i) FROM ta", "write ORDER BY x"),
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_in_the_order_that_is_asked_for() {
    expect(&[
        // What is constant on one side of an outer join is null beside other rows.
        (
            "SELECT b.i, a.k FROM tb a LEFT JOIN (SELECT * FROM ta WHERE i = 5) b ON a.k = b.k ORDER BY b.i NULLS FIRST, a.k",
            &["|1", "|7", "5|0"],
        ),
        (
            "SELECT q.c, a.k FROM tb a LEFT JOIN (SELECT 1 AS c FROM ta WHERE i = 5) q ON q.c = a.k ORDER BY q.c NULLS FIRST, a.k",
            &["|0", "|7", "1|1"],
        ),
        (
            "SELECT q.c, count(*) FROM (SELECT 1 AS c FROM ta WHERE i = 5) q FULL JOIN tb a ON q.c >= a.k GROUP BY 1 ORDER BY 1 NULLS FIRST",
            &["|1", "1|2"],
        ),
        // A place in ORDER BY is what stands there, also where that is computed of groups.
        ("SELECT k, sum(i) * 2 FROM ta GROUP BY k ORDER BY 2, k", &["0|10", "1|10"]),
        ("SELECT upper(max(s)) FROM ta GROUP BY k ORDER BY 1 DESC", &["C", "1"]),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_several_tables_of_a_subquery_is_not_of_the_rows_around() {
    let (qualified, bare) = (
        "EXISTS (SELECT 1 FROM tb, ta t2 WHERE tb.k = t2.k AND t2.k = ta.k)",
        "ta.k IN (SELECT k FROM tb, (VALUES (1)) AS v (n) WHERE n = d)",
    );
    expect(&[
        (
            "SELECT (SELECT count(*) FROM ta a, ta b WHERE a.i = c.i AND b.i = c.i) FROM ta c ORDER BY 1",
            &["1", "1", "4", "4"],
        ),
        // One that NATURAL merges is of the subquery; no two rows meet there.
        ("SELECT (SELECT max(k) FROM ta NATURAL JOIN tb) FROM tb", &["", "", ""]),
        ("SELECT (SELECT max(n) FROM (SELECT k AS n FROM ta NATURAL JOIN tb) q) FROM tb", &["", "", ""]),
        // A name that is read elsewhere, where one table has it.
        (&format!("SELECT count(*) FROM ta WHERE {qualified} AND {bare}"), &["4"]),
        (&format!("SELECT count(*) FROM ta WHERE {bare} AND {qualified}"), &["4"]),
    ])
    .await;
    refuse(
        &shop(),
        &[
            ("SELECT (SELECT count(*) FROM ta a, ta b WHERE i = 1) FROM ta c", "write table.i"),
            (
                "SELECT count(*) FROM ta WHERE EXISTS (SELECT 1 FROM tb, ta t2 WHERE tb.k = t2.k AND k = 1)",
                "write table.k",
            ),
        ],
    );
}
