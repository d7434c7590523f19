//! Values are PostgreSQL's, but for the letter T and the offset of a zoned time, which is printed in its own zone.

use arrow::array::RecordBatch;
use datafusion::execution::context::{SessionConfig, SessionContext};

use super::*;

/// The cells of a statement, a row after the other; an error as its message.
async fn cells(sql: &str) -> String {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
    prepare(&context);
    let batches = match context.sql(sql).await {
        Ok(frame) => frame.collect().await,
        Err(error) => Err(error),
    };
    match batches {
        Ok(batches) => {
            let mut cells = Vec::new();
            for batch in batches.iter().filter(|batch: &&RecordBatch| batch.num_rows() > 0) {
                for row in 0..batch.num_rows() {
                    cells.extend(
                        batch
                            .columns()
                            .iter()
                            .map(|column| arrow::util::display::array_value_to_string(column, row).unwrap()),
                    );
                }
            }
            cells.join("|")
        }
        Err(error) => {
            let error = Error::from(error);
            format!("{error}; {}", error.next_step().unwrap_or_default())
        }
    }
}

async fn check(cases: &[(&str, &str)]) {
    for (sql, expected) in cases {
        assert_eq!(cells(&format!("SELECT {sql}")).await, *expected, "{sql}");
    }
}

async fn refused(cases: &[(&str, &str)]) {
    for (sql, part) in cases {
        let error = cells(&format!("SELECT {sql}")).await;
        assert!(error.contains(part), "{sql}: {error}");
    }
}

#[tokio::test]
async fn timestamps_reach_the_year_9999() {
    check(&[
        ("CAST('9999-12-31' AS TIMESTAMP)", "9999-12-31T00:00:00"),
        ("TIMESTAMP '0001-01-01 00:00:00'", "0001-01-01T00:00:00"),
        ("TIMESTAMP '9999-12-31' > DATE '9999-12-30'", "true"),
        ("TIMESTAMP '9999-12-31 10:00:00' - DATE '9999-12-31'", "PT36000S"),
        ("EXTRACT(YEAR FROM TIMESTAMP '9999-12-31')", "9999"),
        ("to_timestamp('9999-12-31 01:02:03')", "9999-12-31T01:02:03"),
        ("to_timestamp(253402214400)", "9999-12-31T00:00:00"),
        ("to_timestamp('12/31/2026 7:30', '%m/%d/%Y', '%m/%d/%Y %H:%M')", "2026-12-31T07:30:00"),
        ("to_timestamp(1.5)", "1970-01-01T00:00:01.500"),
        ("date_trunc('year', TIMESTAMP '9999-12-31')", "9999-01-01T00:00:00"),
        ("date_trunc('quarter', x) FROM (VALUES (TIMESTAMP '9999-12-31')) AS t (x)", "9999-10-01T00:00:00"),
        ("date_trunc('week', TIMESTAMP '9999-12-31')", "9999-12-27T00:00:00"),
        ("date_trunc('month', DATE '9999-12-31')", "9999-12-01T00:00:00"),
        ("date_trunc('hour', TIMESTAMP '9999-12-31 10:20:30')", "9999-12-31T10:00:00"),
        ("date_trunc('minute', TIMESTAMP '1969-12-31 23:59:30')", "1969-12-31T23:59:00"),
        (
            "date_trunc('second', x) FROM (VALUES (TIMESTAMP '1969-12-31 23:59:30.5')) AS t (x)",
            "1969-12-31T23:59:30",
        ),
        ("date_bin(INTERVAL '15 minutes', TIMESTAMP '1969-12-31 23:59:30')", "1969-12-31T23:45:00"),
        ("date_bin(INTERVAL '15 minutes', CAST(NULL AS TIMESTAMP))", ""),
        ("TIMESTAMP '9999-12-31' BETWEEN DATE '9999-12-30' AND DATE '9999-12-31'", "true"),
        ("TIMESTAMP '9999-12-31' IN (DATE '9999-12-31')", "true"),
        ("CASE TIMESTAMP '9999-12-31' WHEN DATE '9999-12-31' THEN 1 END", "1"),
        ("count(*) FROM (SELECT TIMESTAMP '9999-12-31' AS x) AS a JOIN (SELECT DATE '9999-12-31' AS x) AS b USING (x)", "1"),
        ("count(*) || arrow_typeof(min(value)) FROM generate_series(TIMESTAMP '2026-01-01', TIMESTAMP '2026-01-31', INTERVAL '1 day')", "31Timestamp(µs)"),
        ("sum(value) FROM range(1, 4)", "6"),
        ("CAST('2026-01-01 10:00:00+02:00' AS TIMESTAMP WITH TIME ZONE)", "2026-01-01T08:00:00Z"),
        ("arrow_typeof(CAST('2026-01-01' AS TIMESTAMP))", "Timestamp(µs)"),
        ("arrow_typeof(CAST('2026-01-01' AS TIMESTAMP(0)))", "Timestamp(s)"),
    ])
    .await;
    // DuckDB's; PostgreSQL has the same.
    check(&[
        ("EXTRACT(DAY FROM x) || ' ' || EXTRACT(HOUR FROM x) || ' ' || EXTRACT(MINUTE FROM x) || ' ' || EXTRACT(SECOND FROM x) FROM (SELECT TIMESTAMP '2026-01-03 10:20:30' - TIMESTAMP '2026-01-01' AS x)", "2 10 20 30"),
        ("EXTRACT(EPOCH FROM x) FROM (SELECT TIMESTAMP '9999-01-03' - TIMESTAMP '2026-01-01' AS x UNION ALL SELECT NULL) ORDER BY 1", "251603712000.0|"),
        ("EXTRACT(DAY FROM TIMESTAMP '9999-01-03' - TIMESTAMP '2026-01-01')", "2912080"),
        ("EXTRACT(HOUR FROM TIMESTAMP '2026-01-01' - TIMESTAMP '2026-01-03 10:20:30')", "-10"),
        ("EXTRACT(EPOCH FROM TIMESTAMP '2026-01-01 00:00:00.25' - TIMESTAMP '2026-01-01')", "0.25"),
        ("EXTRACT(MILLISECOND FROM TIMESTAMP '2026-01-01 00:01:02.25' - TIMESTAMP '2026-01-01')", "2250"),
        ("EXTRACT(EPOCH FROM INTERVAL '1 year')", "31557600.0"),
        ("EXTRACT(EPOCH FROM INTERVAL '13 months')", "34149600.0"),
        ("EXTRACT(EPOCH FROM INTERVAL '1 day 1.5 seconds')", "86401.5"),
        ("EXTRACT(HOUR FROM INTERVAL '36 hours')", "36"),
    ])
    .await;
    refused(&[
        ("CAST(1767225600 AS TIMESTAMP)", "to_timestamp_seconds(x)"),
        ("CAST(5 AS DATE)", "DATE '1970-01-01' + x"),
        ("TRY_CAST(5 AS DATE)", "a number does not say its unit"),
        ("TRY_CAST(1.5 AS TIMESTAMP)", "a number does not say its unit"),
        ("DATE '2026-01-01' > 5", "is a number beside a DATE"),
        ("DATE '2026-01-01' UNION ALL SELECT 5", "is a number beside a DATE"),
        ("CAST('2026-01-01' AS TIMESTAMP(4))", "0, 3 or 6 digits"),
        ("TIMESTAMP '9999-12-31' + INTERVAL '300000 years'", "out of range"),
        ("date_bin(INTERVAL '15 minutes', TIMESTAMP '9999-12-31')", "date_trunc reaches further"),
        (
            "date_bin(INTERVAL '15 minutes', x) FROM (VALUES (TIMESTAMP '9999-12-31'), (NULL)) AS t (x)",
            "date_trunc reaches further",
        ),
    ])
    .await;
}

/// DataFusion 55.2 compares with NULL where a year begins outside of nanoseconds. When this holds no more, so does `parts`.
#[tokio::test]
async fn a_year_beyond_nanoseconds_loses_no_row() {
    let rows = "FROM (SELECT arrow_cast(y, 'Timestamp(Nanosecond, None)') AS x FROM (VALUES ('1995-05-05'), ('2020-05-05')) AS t (y))";
    for (condition, count) in [
        ("EXTRACT(YEAR FROM x) < 9999", "2"),
        ("9999 > EXTRACT(YEAR FROM x)", "2"),
        ("date_part('year', x) <> 9999", "2"),
        ("date_part('year', x) > 1000", "2"),
        ("EXTRACT(YEAR FROM x) BETWEEN 2000 AND 9999", "1"),
        ("EXTRACT(YEAR FROM x) IN (2020, 9999)", "1"),
        ("EXTRACT(YEAR FROM x) NOT IN (2020, 9999)", "1"),
        ("EXTRACT(YEAR FROM x) = 2020", "1"),
        ("EXTRACT(YEAR FROM x) = 2262 OR EXTRACT(YEAR FROM x) = 1677", "0"),
        ("EXTRACT(YEAR FROM x) IS DISTINCT FROM 9999", "2"),
    ] {
        assert_eq!(cells(&format!("SELECT count(*) {rows} WHERE {condition}")).await, count, "{condition}");
    }
    let plain = SessionContext::new();
    let sql = format!("SELECT count(*) AS c {rows} WHERE EXTRACT(YEAR FROM x) < 9999");
    let lost = plain.sql(&sql).await.unwrap().collect().await.unwrap();
    assert_eq!(arrow::util::display::array_value_to_string(lost[0].column(0), 0).unwrap(), "0");
}

#[tokio::test]
async fn dates_and_spans() {
    check(&[
        ("DATE '2026-03-01' + INTERVAL '1 hour'", "2026-03-01T01:00:00"),
        ("INTERVAL '1 hour' + DATE '2026-03-01'", "2026-03-01T01:00:00"),
        ("DATE '2026-03-01' - INTERVAL '1 second'", "2026-02-28T23:59:59"),
        ("DATE '2026-01-31' + INTERVAL '1 month'", "2026-02-28"),
        ("DATE '2026-01-31' + CAST('1 month' AS INTERVAL)", "2026-02-28T00:00:00"),
        ("DATE '2024-02-29' - INTERVAL '1 year'", "2023-02-28"),
        ("TIMESTAMP '2026-03-31 10:00:00' - INTERVAL '1 month'", "2026-02-28T10:00:00"),
        ("DATE '2026-03-01' + 1", "2026-03-02"),
        ("DATE '2026-03-01' - DATE '2026-02-01'", "28"),
        (
            "DATE '2026-03-01' + (TIMESTAMP '2026-01-02' - TIMESTAMP '2026-01-01 12:00:00')",
            "2026-03-01T12:00:00",
        ),
    ])
    .await;
}

const SPANS: &str = "FROM (VALUES (TIMESTAMP '2026-01-01', TIMESTAMP '2026-03-10'), (TIMESTAMP '2026-01-01', TIMESTAMP '2026-01-02')) AS t (a, b)";

#[tokio::test]
async fn differences_of_times_and_intervals_compare_by_length() {
    for (condition, count) in [
        ("b - a > INTERVAL '30 days'", "1"),
        ("b - a >= INTERVAL '24 hours'", "2"),
        ("b - a < INTERVAL '30 days'", "1"),
        ("b - a = INTERVAL '68 days'", "1"),
        ("b - a <> INTERVAL '1 day'", "1"),
        ("INTERVAL '30 days' <= b - a", "1"),
        ("b - a BETWEEN INTERVAL '1 hour' AND INTERVAL '2 days'", "1"),
        ("b - a NOT BETWEEN INTERVAL '1 hour' AND INTERVAL '2 days'", "1"),
        ("b - a IN (INTERVAL '24 hours', INTERVAL '67 days')", "1"),
        ("CASE b - a WHEN INTERVAL '24 hours' THEN TRUE ELSE FALSE END", "1"),
        ("b - a IS DISTINCT FROM INTERVAL '68 days'", "1"),
        ("b - a > NULL", "0"),
        ("b - a > arrow_cast(86400, 'Duration(Second)')", "1"),
        ("INTERVAL '1 day' = INTERVAL '24 hours'", "2"),
        ("INTERVAL '1 month' = INTERVAL '30 days'", "2"),
        ("INTERVAL '1 year' > INTERVAL '359 days'", "2"),
        ("INTERVAL '25 hours' > INTERVAL '1 day'", "2"),
        ("INTERVAL '-1 day' < INTERVAL '0 days'", "2"),
    ] {
        assert_eq!(cells(&format!("SELECT count(*) {SPANS} WHERE {condition}")).await, count, "{condition}");
        let filtered = format!("SELECT count(*) FILTER (WHERE {condition}) {SPANS}");
        assert_eq!(cells(&filtered).await, count, "{filtered}");
    }
    let intervals = "(VALUES (INTERVAL '25 hours'), (INTERVAL '1 day'), (INTERVAL '1 month'), (INTERVAL '29 days')) AS t (i)";
    assert_eq!(
        cells(&format!("SELECT i FROM {intervals} ORDER BY i DESC")).await,
        "1 mons|29 days|25 hours|1 days"
    );
    assert_eq!(cells(&format!("SELECT first_value(i ORDER BY i DESC) FROM {intervals}")).await, "1 mons");
    let numbered = format!("SELECT i, row_number() OVER (ORDER BY i) AS n FROM {intervals}");
    assert_eq!(cells(&format!("SELECT i FROM ({numbered}) WHERE n = 2")).await, "25 hours");
    for join in ["ON t.i = u.i", "USING (i)", "ON t.i >= u.i AND t.i <= u.i"] {
        let sql = format!(
            "SELECT count(*) FROM {intervals} JOIN (VALUES (INTERVAL '24 hours'), (INTERVAL '30 days')) AS u (i) {join}"
        );
        assert_eq!(cells(&sql).await, "2", "{join}");
    }
    refused(&[
        (&format!("count(*) {SPANS} WHERE b - a > INTERVAL '1 month'"), "b > a + INTERVAL '1 month'"),
        (&format!("min(i) FROM {intervals}"), "EXTRACT(EPOCH FROM x)"),
        (&format!("max(i) OVER () FROM {intervals}"), "EXTRACT(EPOCH FROM x)"),
        (&format!("count(DISTINCT i) FROM {intervals}"), "EXTRACT(EPOCH FROM x)"),
        (&format!("i, count(*) FROM {intervals} GROUP BY i"), "EXTRACT(EPOCH FROM x)"),
        (&format!("DISTINCT i FROM {intervals}"), "EXTRACT(EPOCH FROM x)"),
        (&format!("i FROM {intervals} UNION SELECT INTERVAL '1 day'"), "EXTRACT(EPOCH FROM x)"),
        (&format!("row_number() OVER (PARTITION BY i) FROM {intervals}"), "EXTRACT(EPOCH FROM x)"),
        (&format!("greatest(i, INTERVAL '1 day') FROM {intervals}"), "EXTRACT(EPOCH FROM x)"),
    ])
    .await;
}

#[tokio::test]
async fn zones_are_postgresqls() {
    check(&[
        // A clock shows this hour twice, and leaves that one out.
        ("TIMESTAMP '2024-11-03 01:30:00' AT TIME ZONE 'America/New_York'", "2024-11-03T01:30:00-05:00"),
        ("CAST(TIMESTAMP '2024-11-03 01:30:00' AT TIME ZONE 'America/New_York' AS TEXT)", "2024-11-03T01:30:00-05:00"),
        ("TIMESTAMP '2024-03-10 02:30:00' AT TIME ZONE 'America/New_York' AT TIME ZONE 'UTC'", "2024-03-10T07:30:00"),
        ("TIMESTAMP '2024-06-01 12:00:00' AT TIME ZONE 'UTC' AT TIME ZONE 'America/New_York'", "2024-06-01T08:00:00"),
        ("CAST((TIMESTAMP '2024-06-01 12:00:00' AT TIME ZONE 'UTC') AT TIME ZONE 'America/New_York' AS TIMESTAMP)", "2024-06-01T08:00:00"),
        ("TIMESTAMP '2024-06-01 12:00:00' AT TIME ZONE '+05:30' AT TIME ZONE 'UTC'", "2024-06-01T06:30:00"),
        ("TIMESTAMP '9999-12-31 12:00:00' AT TIME ZONE 'America/New_York'", "9999-12-31T12:00:00-05:00"),
        ("CAST(z AS TIMESTAMP) FROM (SELECT TIMESTAMP '2024-06-01 22:30:00' AT TIME ZONE 'America/New_York' AS z)", "2024-06-01T22:30:00"),
        ("CAST(z AS DATE) FROM (SELECT TIMESTAMP '2024-06-01 22:30:00' AT TIME ZONE 'America/New_York' AS z)", "2024-06-01"),
        ("CAST(z AS TIME) FROM (SELECT TIMESTAMP '2024-06-01 22:30:00' AT TIME ZONE 'America/New_York' AS z)", "22:30:00"),
        ("EXTRACT(HOUR FROM z) FROM (SELECT TIMESTAMP '2024-06-01 22:30:00' AT TIME ZONE 'America/New_York' AS z)", "22"),
        ("date_trunc('day', z) FROM (SELECT TIMESTAMP '2024-06-01 22:30:00' AT TIME ZONE 'America/New_York' AS z)", "2024-06-01T00:00:00-04:00"),
        ("z = TIMESTAMP '2024-06-01 22:30:00' FROM (SELECT TIMESTAMP '2024-06-01 22:30:00' AT TIME ZONE 'America/New_York' AS z)", "true"),
        ("(TIMESTAMP '2024-06-01 12:00:00' AT TIME ZONE 'UTC') = (TIMESTAMP '2024-06-01 08:00:00' AT TIME ZONE 'America/New_York')", "true"),
        ("x FROM (VALUES (TIMESTAMP '2024-06-01 12:00:00' AT TIME ZONE 'UTC' AT TIME ZONE 'America/New_York')) AS t (x)", "2024-06-01T08:00:00"),
        ("x FROM (SELECT TIMESTAMP '2024-06-01 12:00:00' AT TIME ZONE 'UTC' AT TIME ZONE 'America/New_York' AS x UNION ALL SELECT NULL) WHERE x > TIMESTAMP '2024-01-01'", "2024-06-01T08:00:00"),
        ("arrow_typeof(now())", "Timestamp(µs, \"UTC\")"),
        ("now() = (CAST(now() AS TIMESTAMP) AT TIME ZONE 'UTC') AND now() > TIMESTAMP '2026-01-01'", "true"),
        ("(now() AT TIME ZONE 'America/New_York') AT TIME ZONE 'America/New_York' = current_timestamp", "true"),
        ("now() AT TIME ZONE '-05:00' + INTERVAL '5 hours' = CAST(now() AS TIMESTAMP)", "true"),
    ])
    .await;
    refused(&[
        ("DATE '2024-06-01' AT TIME ZONE 'UTC'", "AS TIMESTAMP) AT TIME ZONE"),
        ("'2024-06-01' AT TIME ZONE 'UTC'", "AS TIMESTAMP) AT TIME ZONE"),
        ("now() AT TIME ZONE 'New York'", "there is no such zone"),
    ])
    .await;
}

#[tokio::test]
async fn dates_are_of_the_years_1_to_9999() {
    check(&[
        ("make_date(9999, 12, 31)", "9999-12-31"),
        ("DATE '0001-01-02' - INTERVAL '1 day'", "0001-01-01"),
        ("DATE '2026-01-01' + 5", "2026-01-06"),
        ("TRY_CAST(x AS DATE) FROM (VALUES ('0000-01-01'), ('2026-01-01'), (NULL)) AS t (x)", "|2026-01-01|"),
        ("TRY_CAST('0000-12-31 23:59:59' AS TIMESTAMP)", ""),
    ])
    .await;
    let beyond = "is of the years 1 to 9999";
    refused(&[
        ("make_date(10000, 1, 1)", beyond),
        ("make_date(0, 1, 1)", beyond),
        ("CAST('0000-01-01' AS DATE)", beyond),
        ("CAST('+10000-01-01' AS DATE)", beyond),
        ("CAST('0001-01-01 00:00:00+05:00' AS TIMESTAMP)", beyond),
        ("d + INTERVAL '1 day' FROM (VALUES (DATE '9999-12-31')) AS t (d)", "`t.d + "),
        ("DATE '9999-12-31' + 1", beyond),
        ("DATE '0001-01-01' - INTERVAL '1 month'", beyond),
        ("TIMESTAMP '9999-12-31 23:59:59.999999' + INTERVAL '1 microsecond'", beyond),
        ("t - INTERVAL '1 second' FROM (VALUES (TIMESTAMP '0001-01-01'), (NULL)) AS v (t)", "`v.t - "),
        ("to_timestamp_seconds(253402300800)", beyond),
        ("to_timestamp(253402300800)", beyond),
        ("TIMESTAMP '9999-12-31 23:00:00' AT TIME ZONE 'UTC' AT TIME ZONE 'Asia/Tokyo'", beyond),
    ])
    .await;
}

#[tokio::test]
async fn a_text_is_a_time_as_it_is_written() {
    check(&[
        ("TIMESTAMP '2026-06-01 12:00'", "2026-06-01T12:00:00"),
        ("CAST('2026-06-01T12:00+02:00' AS TIMESTAMP)", "2026-06-01T10:00:00"),
        (
            "CAST(x AS TIMESTAMP) FROM (VALUES ('2026-06-01 9:05'), ('2026-06-01'), (NULL)) AS t (x)",
            "2026-06-01T09:05:00|2026-06-01T00:00:00|",
        ),
        (
            "count(*) FROM (VALUES (TIMESTAMP '2026-06-01 12:30:00')) AS t (x) WHERE x > '2026-06-01 12:00'",
            "1",
        ),
        // As in PostgreSQL and DuckDB, a cast to a date leaves the time of day out.
        ("CAST('2026-01-01 23:59:59' AS DATE)", "2026-01-01"),
        ("CAST('2026-01-01 12:00' AS DATE)", "2026-01-01"),
        ("TRY_CAST('2026-01-01 23:59:60' AS TIMESTAMP)", ""),
    ])
    .await;
    refused(&[
        ("TIMESTAMP '2026-01-01 23:59:60'", "a second 60"),
        ("CAST('23:59:60' AS TIME)", "a second 60"),
        ("CAST('2026-01-01 23:59:60' AS DATE)", "a second 60"),
        ("to_timestamp('2026-01-01 23:59:60')", "a second 60"),
        ("to_timestamp('2026-01-01 23:59:60', '%Y-%m-%d %H:%M:%S')", "a second 60"),
        ("to_timestamp_millis('2026-01-01 23:59:60')", "a second 60"),
    ])
    .await;
}

#[tokio::test]
async fn spans_are_multiplied_by_whole_numbers() {
    check(&[
        ("INTERVAL '1 day' * 2", "2 days"),
        ("3 * INTERVAL '1 month 2 hours'", "3 mons 6 hours"),
        ("DATE '2026-01-01' + INTERVAL '1 day' * 2", "2026-01-03"),
        (
            "TIMESTAMP '2026-01-01' - k * INTERVAL '1 hour' FROM (VALUES (36), (NULL)) AS t (k)",
            "2025-12-30T12:00:00|",
        ),
        ("(TIMESTAMP '2026-01-02' - TIMESTAMP '2026-01-01') * 2", "PT172800S"),
    ])
    .await;
    refused(&[
        ("INTERVAL '1 day' / 2", "EXTRACT(EPOCH FROM x)"),
        ("INTERVAL '1 month' * 1.5", "by whole numbers alone"),
        ("INTERVAL '1 day' * 3000000000", "more than an interval holds"),
    ])
    .await;
}

#[tokio::test]
async fn a_date_beside_a_time_is_its_midnight() {
    let (date, time) = ("DATE '9999-12-31'", "TIMESTAMP '9999-12-30 12:00:00'");
    let midnight = "9999-12-31T00:00:00";
    for sql in [
        format!("CASE WHEN true THEN {date} ELSE {time} END"),
        format!("COALESCE(NULL, {date}, {time})"),
        format!("greatest({date}, {time})"),
        format!("max(x) FROM (SELECT {date} AS x UNION ALL SELECT {time})"),
        format!("x FROM (SELECT {time} AS x UNION SELECT {date}) ORDER BY 1 DESC LIMIT 1"),
    ] {
        assert_eq!(cells(&format!("SELECT {sql}")).await, midnight, "{sql}");
    }
    check(&[(&format!("[{date}, {time}]"), "[9999-12-31T00:00:00, 9999-12-30T12:00:00]")]).await;
}
