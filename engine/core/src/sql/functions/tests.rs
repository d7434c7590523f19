//! Numbers are numpy's (`quantile`, `median`), DuckDB's (`regr_slope`, `strptime`), pandas' (quartiles), Python's
//! (`datetime.strptime`) and the formula's by hand.

use datafusion::execution::context::{SessionConfig, SessionContext};

use super::*;

/// The one cell of a statement, as text; an error as its message.
async fn cell(sql: &str) -> String {
    // Two partitions: aggregates are made in parts and merged.
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
    register(&context);
    let batches = match context.sql(sql).await {
        Ok(frame) => frame.collect().await,
        Err(error) => Err(error),
    };
    match batches {
        Ok(batches) => {
            let batch = batches.iter().find(|batch| batch.num_rows() > 0).unwrap();
            arrow::util::display::array_value_to_string(batch.column(0), 0).unwrap()
        }
        Err(error) => error.strip_backtrace(),
    }
}

async fn number(sql: &str) -> f64 {
    cell(sql).await.parse().unwrap()
}

#[tokio::test]
async fn parse_date_takes_the_first_format_that_fits() {
    for (arguments, expected) in [
        ("'12/1/2010 8:26', '%m/%d/%Y %H:%M'", "2010-12-01T08:26:00"),
        ("'31/12/1969', '%d/%m/%Y'", "1969-12-31T00:00:00"),
        ("'2018-10-17', '%Y-%m-%d %H:%M:%S', '%Y-%m-%d'", "2018-10-17T00:00:00"),
        ("'2018-10-17 17:30:18', '%Y-%m-%d', '%Y-%m-%d %H:%M:%S'", "2018-10-17T17:30:18"),
        ("'02/10/2018 03:50:00 PM', '%m/%d/%Y %I:%M:%S %p'", "2018-02-10T15:50:00"),
        ("NULL, '%Y'", ""),
        ("'2024-06-01T12:00:00Z', '%Y-%m-%dT%H:%M:%S%z'", "2024-06-01T12:00:00"),
        // An offset: the moment in UTC, as DuckDB's strptime and the cast have it.
        ("'2024-06-01T12:00:00+02:00', '%Y-%m-%dT%H:%M:%S%z'", "2024-06-01T10:00:00"),
        ("'2024-06-01 -0130', '%Y-%m-%d %z'", "2024-06-01T01:30:00"),
        // POSIX: 69 to 99 are of the last century.
        ("'1/1/69', '%d/%m/%y'", "1969-01-01T00:00:00"),
        ("'1/1/68', '%d/%m/%y'", "2068-01-01T00:00:00"),
        ("'1/1/99', '%d/%m/%y'", "1999-01-01T00:00:00"),
        ("'1/1/2069', '%d/%m/%y', '%d/%m/%Y'", "2069-01-01T00:00:00"),
        ("'12/1/10 8:26', '%m/%d/%Y %H:%M', '%m/%d/%y %H:%M'", "2010-12-01T08:26:00"),
        ("'20101201', '%Y%m%d'", "2010-12-01T00:00:00"),
        ("'2010-12-01', '%F'", "2010-12-01T00:00:00"),
        ("'2024-01-01 12:00:00.5', '%Y-%m-%d %H:%M:%S.%f'", "2024-01-01T12:00:00.500"),
        ("'2024-01-01 12:00:00.123456', '%Y-%m-%d %H:%M:%S%.f'", "2024-01-01T12:00:00.123456"),
        ("'12:00:00 AM 2024-01-01', '%I:%M:%S %p %Y-%m-%d'", "2024-01-01T00:00:00"),
        ("'1704110400', '%s'", "2024-01-01T12:00:00"),
    ] {
        assert_eq!(cell(&format!("SELECT parse_date({arguments})")).await, expected, "{arguments}");
    }
    let rows = "(VALUES ('1/2/2011'), ('1/2/2011'), (NULL), ('2/2/2011')) AS t (d)";
    let sum = format!("SELECT SUM(EXTRACT(DOY FROM parse_date(d, '%m/%d/%Y'))) FROM {rows}");
    assert_eq!(number(&sum).await, 2.0 + 2.0 + 33.0);
}

#[tokio::test]
async fn parse_date_says_what_it_was_read_with() {
    for (arguments, parts) in [
        ("'13/1/2010 8:26', '%m/%d/%Y %H:%M'", &["`13/1/2010 8:26`", "`%m/%d/%Y %H:%M`"][..]),
        ("'2010-02-30', '%Y-%m-%d', '%d.%m.%Y'", &["`%Y-%m-%d` or `%d.%m.%Y`"]),
        ("'2010-02-03 ', '%Y-%m-%d'", &["`2010-02-03 `"]),
        ("'2011', '%Y'", &["`2011` is not a date of the format `%Y`"]),
        ("'', '%Y-%m-%d'", &["`` is not a date"]),
        ("'2010', '%Q'", &["`%Q` is no date format", "%Y (year)"]),
        ("'2010'", &["needs a format"]),
        ("2010, '%Y'", &["takes a text and formats"]),
        // chrono takes the first for the year 10, and reads over, guesses or cuts off what the others have.
        ("'12/1/10', '%m/%d/%Y'", &["`12/1/10` is not a date"]),
        ("'1/1/+2010', '%d/%m/%Y'", &["is not a date"]),
        ("'1/1/20100', '%d/%m/%Y'", &["is not a date"]),
        ("'0000-01-01', '%Y-%m-%d'", &["is not a date"]),
        ("'2016-12-31 23:59:60', '%Y-%m-%d %H:%M:%S'", &["`2016-12-31 23:59:60` is not a date"]),
        ("'2016-12-31 24:00:00', '%Y-%m-%d %H:%M:%S'", &["is not a date"]),
        ("'2024-01-01 03:00 CET', '%Y-%m-%d %H:%M %Z'", &["%Z", "%z reads one"]),
        ("'2024-01-01 PM', '%Y-%m-%d %p'", &["is not a date"]),
        ("'2024-01-01 3:00', '%Y-%m-%d %I:%M'", &["is not a date"]),
        ("'2024-01-01 15:00 AM', '%Y-%m-%d %H:%M %p'", &["is not a date"]),
        ("'2024-01-01 00:00:00.1234567', '%Y-%m-%d %H:%M:%S%.f'", &["is not a date"]),
        ("'2024-01-01x', '%Y-%m-%d'", &["is not a date"]),
        ("'2010', CASE WHEN random() < 0.5 THEN '%Y' ELSE '%m' END", &["are constants"]),
    ] {
        let error = cell(&format!("SELECT parse_date({arguments})")).await;
        for part in parts {
            assert!(error.contains(part), "{arguments}: {error}");
        }
    }
}

#[tokio::test]
async fn haversine_km_follows_the_great_circle() {
    let between = async |points: &str| cell(&format!("SELECT haversine_km({points})")).await;
    // Sao Paulo to Rio de Janeiro, by the formula in Python.
    let km: f64 = between("-23.5505, -46.6333, -22.9068, -43.1729").await.parse().unwrap();
    assert!((km - 360.749_323_197_399_5).abs() < 1e-9, "{km}");
    assert_eq!(between("1.5, 2.5, 1.5, 2.5").await, "0.0");
    // Half the circumference, also where rounding takes the chord past the diameter.
    let half = std::f64::consts::PI * 6371.0088;
    for points in ["90, 0, -90, 0", "0, 0, 0, 180", "12.3, 45.6, -12.3, -134.4"] {
        let km: f64 = between(points).await.parse().unwrap();
        assert!((km - half).abs() < 1e-3, "{points}: {km}");
    }
    assert_eq!(between("NULL, 0, 0, 0").await, "");
    for points in ["CAST('NaN' AS DOUBLE), 0, 0, 0", "0, 0, 0, CAST('inf' AS DOUBLE)"] {
        assert_eq!(between(points).await, "NaN", "{points}");
    }
}

#[tokio::test]
async fn iqr_bounds_are_tukeys_fences() {
    let rows = "(VALUES (1.0), (2.5), (NULL), (4.0), (4.5), (100.0), (7.0)) AS t (x)";
    for (field, expected) in [("lower", -2.375), ("upper", 11.625)] {
        assert_eq!(number(&format!("SELECT iqr_bounds(x)['{field}'] FROM {rows}")).await, expected);
    }
    // Merged from groups: 0, 3, 6 … in group 0, and so on.
    let grouped = "SELECT b['upper'] FROM (SELECT x % 3 AS g, iqr_bounds(x) AS b FROM generate_series(0, 30000) AS s (x) GROUP BY 1) WHERE g = 1";
    // Group 1 is 1, 4, …, 29998: Q1 = 7500.25, Q3 = 22498.75.
    assert_eq!(number(grouped).await, 22_498.75 + 1.5 * (22_498.75 - 7_500.25));
    assert_eq!(
        cell("SELECT iqr_bounds(x) IS NULL FROM (VALUES (CAST(NULL AS DOUBLE))) AS t (x)").await,
        "true"
    );
    assert_eq!(number("SELECT iqr_bounds(x)['lower'] FROM (VALUES (7)) AS t (x)").await, 7.0);
}

#[tokio::test]
async fn quantile_and_slope_are_exact() {
    let rows = "(VALUES (1.0), (2.5), (NULL), (4.0), (4.5), (100.0), (7.0)) AS t (x)";
    assert_eq!(number(&format!("SELECT quantile(x, 0.25) FROM {rows}")).await, 2.875);
    assert_eq!(number(&format!("SELECT quantile(x, 0.9) FROM {rows}")).await, 53.5);
    assert_eq!(number(&format!("SELECT median(CAST(x AS DOUBLE)) FROM {rows}")).await, 4.25);
    let slope =
        number("SELECT slope(y, x) FROM (VALUES (1.0, 0.0), (3.5, 1.0), (2.0, 2.0), (8.0, 5.0)) AS t (y, x)")
            .await;
    assert!((slope - 1.321_428_571_428_571_4).abs() < 1e-12, "{slope}");
    assert_eq!(cell("SELECT slope(y, x) FROM (VALUES (1.0, 0.0)) AS t (y, x)").await, "");
}

/// A statement over rows of one column `x`, which are also in groups, windows and two partitions.
async fn of_rows(figure: &str, rows: &str) -> [String; 4] {
    let values = format!("(SELECT * FROM (VALUES {rows}) AS v (x))");
    let grouped = format!(
        "SELECT f FROM (SELECT g, {figure} AS f FROM {values}, (VALUES (1), (2)) AS h (g) GROUP BY g) WHERE g = 2"
    );
    [
        cell(&format!("SELECT {figure} FROM {values}")).await,
        cell(&grouped).await,
        cell(&format!("SELECT {figure} OVER () FROM {values}")).await,
        cell(&format!("SELECT {figure} FROM (SELECT * FROM {values} UNION ALL SELECT NULL)")).await,
    ]
}

#[tokio::test]
async fn quantiles_are_numpys() {
    let nine = "(0.0), (0.0), (0.0), (0.0), (0.0), (0.0), (0.0), (0.0), (0.0), (1e6)";
    for (rows, share, expected) in [
        // numpy.quantile(x, q) of numpy 2.4.
        (nine, "0.9", "99999.99999999965"),
        ("(0), (1000000000)", "0.123456789", "123456789.0"),
        ("(1.0), (2.0), (4.0), (100.0)", "0.9", "71.20000000000002"),
        ("(0.1), (0.7)", "0.3", "0.28"),
        ("(0.1), (0.7)", "0.9", "0.64"),
        ("(3), (1), (2)", "0", "1.0"),
        ("(3), (1), (2)", "1", "3.0"),
        ("(7)", "0.4", "7.0"),
        ("(-1e308), (1e308)", "0.25", "-5e307"),
        ("(CAST('NaN' AS DOUBLE)), (1.0), (2.0)", "0.5", "NaN"),
        // The NaN that a processor makes of 0 / 0 has a sign.
        ("(CAST(0 AS DOUBLE) / CAST(0 AS DOUBLE)), (1.0), (2.0)", "0.0", "NaN"),
        // Where numpy has NaN for inf - inf: the values between which it lies.
        ("(CAST('inf' AS DOUBLE)), (1.0)", "0.75", "inf"),
        ("(CAST('inf' AS DOUBLE)), (CAST('inf' AS DOUBLE))", "0.5", "inf"),
        ("(CAST('inf' AS DOUBLE)), (CAST('-inf' AS DOUBLE))", "0.5", "NaN"),
        ("(CAST(NULL AS DOUBLE))", "0.5", ""),
        ("(CAST(1.10 AS DECIMAL(10,2))), (1.30)", "0.5", "1.2000000000000002"),
    ] {
        for figure in [
            format!("quantile(x, {share})"),
            format!("percentile_cont({share}) WITHIN GROUP (ORDER BY x)"),
            format!("quantile_cont(x, {share})"),
        ] {
            for (at, found) in of_rows(&figure, rows).await.into_iter().enumerate() {
                // A window has no WITHIN GROUP.
                if at != 2 || !figure.contains("WITHIN") {
                    assert_eq!(found, expected, "{figure} of {rows}, way {at}");
                }
            }
        }
    }
    let descending = "percentile_cont(0.9) WITHIN GROUP (ORDER BY x DESC)";
    assert_eq!(
        cell(&format!("SELECT {descending} FROM (VALUES (1), (2), (4), (100)) AS t (x)")).await,
        "1.2999999999999998"
    );
    let rows = "FROM (VALUES (1), (1), (1), (5), (9)) AS t (x)";
    assert_eq!(cell(&format!("SELECT quantile(DISTINCT x, 0.5) {rows}")).await, "5.0");
    assert_eq!(cell(&format!("SELECT quantile(x, 0.5) FILTER (WHERE x > 1) {rows}")).await, "7.0");
    for (call, part) in [
        ("quantile(x, 1.5)", "between 0 and 1, not 1.5"),
        ("quantile(x, CAST(x AS DOUBLE) / 10)", "one number for all rows"),
        ("quantile(CAST(x AS TEXT), 0.5)", "takes a number and a share"),
        ("median(DATE '2026-01-01')", "takes a number, not"),
    ] {
        let error = cell(&format!("SELECT {call} {rows}")).await;
        assert!(error.contains(part), "{call}: {error}");
    }
}

#[tokio::test]
async fn medians_are_not_cut() {
    for (rows, expected) in [
        ("(1), (2)", "1.5"),
        ("(1.0), (2.5), (4.0)", "2.5"),
        ("(1e308), (1.5e308)", "1.25e308"),
        ("(CAST(0 AS DOUBLE) / CAST(0 AS DOUBLE)), (1.0), (2.0)", "NaN"),
        ("(CAST('inf' AS DOUBLE)), (1.0)", "inf"),
        ("(CAST('1.00' AS DECIMAL(10,2))), (CAST('1.01' AS DECIMAL(10,2)))", "1.005"),
        ("(CAST('-1.00' AS DECIMAL(10,2))), (CAST('-1.01' AS DECIMAL(10,2)))", "-1.005"),
        ("(CAST('1' AS DECIMAL(38,0))), (CAST('2' AS DECIMAL(38,0)))", "1.5"),
        ("(CAST(NULL AS DECIMAL(10,2)))", ""),
    ] {
        for (at, found) in of_rows("median(x)", rows).await.into_iter().enumerate() {
            assert_eq!(found, expected, "{rows}, way {at}");
        }
    }
    assert_eq!(cell("SELECT median(DISTINCT x) FROM (VALUES (1), (1), (1), (5), (9)) AS t (x)").await, "5.0");
    // A frame that moves gives back what it has taken: DuckDB's medians, added up.
    let moving = "SELECT sum(m) FROM (SELECT median(x) OVER (ORDER BY i ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS m FROM (SELECT i, i * 7 % 10 AS x FROM generate_series(0, 99) AS s (i)))";
    assert_eq!(cell(moving).await, "447.5");
}

#[tokio::test]
async fn bounds_of_what_is_no_number_follow_the_quartiles() {
    for (rows, expected) in [
        ("(1.0), (2.0), (CAST('NaN' AS DOUBLE))", "{lower: NaN, upper: NaN}"),
        ("(1.0), (2.0), (CAST('inf' AS DOUBLE))", "{lower: -inf, upper: inf}"),
        ("(CAST('inf' AS DOUBLE)), (CAST('inf' AS DOUBLE))", "{lower: inf, upper: inf}"),
        ("(1.0), (1.0)", "{lower: 1.0, upper: 1.0}"),
    ] {
        for (at, found) in of_rows("iqr_bounds(x)", rows).await.into_iter().enumerate() {
            assert_eq!(found, expected, "{rows}, way {at}");
        }
    }
}

#[tokio::test]
async fn whole_numbers_beyond_a_double_are_exact_or_an_error() {
    for (sql, expected) in [
        ("array_sum([9007199254740993, 1])", "9007199254740994"),
        ("array_sum([1, NULL])", "1"),
        ("array_sum([1.5, 2.0])", "3.5"),
        ("array_sum([CAST(1 AS DECIMAL(10,2))])", "1.00"),
        ("median(x) FROM (VALUES (1), (2)) AS t (x)", "1.5"),
        ("median(x) FROM (VALUES (9007199254740992), (9007199254740992)) AS t (x)", "9007199254740992.0"),
        (
            "median(CAST(x AS DECIMAL(20,0))) FROM (VALUES (9007199254740993), (9007199254740993)) AS t (x)",
            "9007199254740993.0",
        ),
    ] {
        assert_eq!(cell(&format!("SELECT {sql}")).await, expected, "{sql}");
    }
    for (sql, part) in [
        ("array_sum([9223372036854775807, 1])", "more than BIGINT holds"),
        ("median(x) FROM (VALUES (9007199254740993), (9007199254740993)) AS t (x)", "DECIMAL(20,0)"),
        ("quantile(x, 1.5) FROM (VALUES (1)) AS t (x)", "the share of a quantile is between 0 and 1"),
    ] {
        let error = cell(&format!("SELECT {sql}")).await;
        assert!(error.contains(part), "{sql}: {error}");
    }
}
