//! Numbers are DuckDB's (`regr_slope`, `quantile_cont`, `strptime`), pandas' (quartiles) and the formula's by hand.

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
