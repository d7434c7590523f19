//! Dates and times of files and tables: a cell that is none is told, and what a table keeps is the same when it is read.

use crate::batch_files::shop_of;

#[tokio::test(flavor = "multi_thread")]
async fn a_cell_that_its_type_would_cut_is_bad() {
    for (kind, cell, reason) in [
        ("DATE", "2026-03-01 23:59:59", "`2026-03-01 23:59:59` has a time of day, which DATE does not hold"),
        ("DATE", "0000-01-01", "`0000-01-01` is no DATE"),
        ("TIMESTAMP", "2026-03-01 23:59:60", "`2026-03-01 23:59:60` is no TIMESTAMP"),
        ("TIMESTAMP", "2026-03-01 24:00:00", "is no TIMESTAMP"),
        ("TIMESTAMP", "2026-03-01 00:00:00.1234567", "has more decimals than TIMESTAMP"),
        ("TIMESTAMP", "10000-01-01 00:00:00", "is no TIMESTAMP"),
    ] {
        let text = format!("id,n\n1,2026-03-01\n2,{cell}\n3,\n");
        let settings = format!("types = {{ n = \"{kind}\" }}");
        let shop = shop_of(&settings, "a.csv", text.clone());
        let (code, errors) = shop.refused(&[]);
        assert!(
            code == 1 && errors.contains("a.csv, line 3, column n: ") && errors.contains(reason),
            "{errors}"
        );
        let shop = shop_of(&format!("{settings}\non_error = \"dead_letter\""), "a.csv", text);
        shop.run(&[]);
        assert_eq!(shop.rows("SELECT count(*), count(n) FROM all_rows").await, ["2|1"], "{kind} {cell}");
        // The same text in a Parquet file.
        let texts = shop_of("", "a.csv", format!("id,n\n1,2026-03-01\n2,{cell}\n3,\n"));
        texts.run(&[]);
        let file = crate::support::visible_files(&texts.lake().root().join("shop/all_rows")).remove(0);
        let shop = shop_of(&settings, "a.parquet", std::fs::read(file).unwrap());
        let (code, errors) = shop.refused(&[]);
        assert!(code == 1 && errors.contains("row 2, column n: ") && errors.contains(reason), "{errors}");
    }
    let good = "n\n2026-03-01 00:00:00\n2026-03-01\n";
    let shop = shop_of("types = { n = \"DATE\" }", "a.csv", good);
    shop.run(&[]);
    assert_eq!(shop.rows("SELECT DISTINCT n FROM all_rows").await, ["2026-03-01"]);
    let good = "n\n2026-03-01 12:00:00+02:00\n2026-03-01T10:00:00Z\n2026-03-01 10:00:00.000\n";
    let shop = shop_of("types = { n = \"TIMESTAMP\" }", "a.csv", good);
    shop.run(&[]);
    assert_eq!(shop.rows("SELECT DISTINCT n FROM all_rows").await, ["2026-03-01T10:00:00"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_keeps_the_types_of_its_columns() {
    let cases = [
        ("TIMESTAMP '2026-03-10 12:00:00' - TIMESTAMP '2026-01-01'", "Duration(µs)", "PT5918400S"),
        ("arrow_cast('2026-03-10', 'Timestamp(Second, None)')", "Timestamp(s)", "2026-03-10T00:00:00"),
        ("arrow_cast('2026-03-10', 'Timestamp(Nanosecond, None)')", "Timestamp(ns)", "2026-03-10T00:00:00"),
        (
            "TIMESTAMP '2026-03-10' AT TIME ZONE 'America/New_York'",
            "Timestamp(µs, \"America/New_York\")",
            "2026-03-10T00:00:00-04:00",
        ),
        ("TIME '10:20:30.5'", "Time64(ns)", "10:20:30.500"),
        ("arrow_cast(TIME '10:20:30', 'Time32(Second)')", "Time32(s)", "10:20:30"),
        ("CAST(5 AS DECIMAL(38,3))", "Decimal128(38, 3)", "5.000"),
        ("arrow_cast(18446744073709551615, 'UInt64')", "UInt64", "18446744073709551615"),
        ("arrow_cast(7, 'UInt8')", "UInt8", "7"),
        ("arrow_cast(1.5, 'Float16')", "Float16", "1.5"),
        ("arrow_cast(arrow_cast('abc', 'Binary'), 'FixedSizeBinary(3)')", "FixedSizeBinary(3)", "616263"),
    ];
    for format in ["parquet", "csv", "json"] {
        let shop =
            shop_of(&format!("[[tables]]\nname = \"kept\"\nformat = \"{format}\""), "a.csv", "id\n1\n");
        for (at, (expression, kind, value)) in cases.into_iter().enumerate() {
            shop.write("sql/shop/kept.sql", format!("SELECT {expression} AS x, {at} AS at FROM rows_in"));
            shop.run(&[]);
            let found = shop.rows("SELECT arrow_typeof(x), x FROM kept").await;
            assert_eq!(found, [format!("{kind}|{value}")], "{expression} as {format}");
        }
    }
    let shop = shop_of("", "a.csv", "id\n1\n");
    for (expression, part) in [
        ("INTERVAL '1 day' AS span", "column `span`: a table keeps no intervals"),
        ("[INTERVAL '1 day'] AS spans", "column `spans`: a table keeps no intervals"),
    ] {
        shop.write("sql/shop/kept.sql", format!("SELECT {expression} FROM rows_in"));
        let (code, errors) = shop.refused(&[]);
        assert!(code == 2 && errors.contains(part) && errors.contains("EXTRACT(EPOCH"), "{code} {errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_date_in_no_known_format_is_told_with_its_line() {
    let shop = shop_of("", "a.csv", "id,at\n1,12/1/2010\n2,12/1/10\n");
    shop.write("sql/shop/dated.sql", "SELECT parse_date(at, '%m/%d/%Y') AS at FROM rows_in");
    let (code, errors) = shop.refused(&[]);
    assert!(
        code == 1 && errors.contains("a.csv, line 3, column at: ") && errors.contains("`12/1/10`"),
        "{errors}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_a_microsecond_are_no_time_of_any_file() {
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, TimeUnit};
    let nanoseconds = |last: i64| -> Vec<u8> {
        let times = Int64Array::from(vec![Some(1_767_225_600_123_456_000), None, Some(last)]);
        let times = arrow::compute::cast(&times, &DataType::Timestamp(TimeUnit::Nanosecond, None)).unwrap();
        let batch = RecordBatch::try_from_iter([("t", times as ArrayRef)]).unwrap();
        let mut bytes = Vec::new();
        let mut writer = parquet::arrow::ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        bytes
    };
    for (kind, name, bytes, place) in [
        ("TIMESTAMP", "a.parquet", nanoseconds(1_767_225_600_123_456_001), "row 3"),
        (
            "TIMESTAMP(s)",
            "a.json",
            b"{\"t\":1767225600.123456}\n{\"t\":1767225600.1234567}\n".to_vec(),
            "line 2",
        ),
        (
            "TIMESTAMP(ns)",
            "a.json",
            b"{\"t\":1767225600123456000}\n{\"t\":1767225600123456001}\n".to_vec(),
            "line 2",
        ),
        ("TIMESTAMP(ns)", "a.csv", b"t\n1767225600123456000\n1767225600123456001\n".to_vec(), "line 3"),
        (
            "TIMESTAMP",
            "a.json",
            b"{\"t\":\"2026-01-01T00:00:00.123456\"}\n{\"t\":\"2026-01-01T00:00:00.1234567Z\"}\n".to_vec(),
            "line 2",
        ),
    ] {
        let types = format!("types = {{ t = \"{kind}\" }}");
        let (code, error) = shop_of(&types, name, bytes.clone()).refused(&[]);
        let says = format!("{name}, {place}, column t: ");
        assert!(
            code == 1 && error.contains(&says) && error.contains("more decimals than TIMESTAMP"),
            "{error}"
        );
        let shop = shop_of(&format!("{types}\non_error = \"dead_letter\""), name, bytes);
        shop.run(&[]);
        let found = shop.rows("SELECT t FROM all_rows WHERE t IS NOT NULL").await;
        assert_eq!(found, ["2026-01-01T00:00:00.123456"], "{name}");
    }
    let shop = shop_of("types = { t = \"TIMESTAMP\" }", "a.parquet", nanoseconds(1_767_225_601_000_000_000));
    shop.run(&[]);
    assert_eq!(shop.rows("SELECT max(t), count(t) FROM all_rows").await, ["2026-01-01T00:00:01|2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn times_with_an_offset_are_found_as_moments() {
    // As DuckDB 1.5 reads them with its time zone at UTC.
    let text = "t\n2026-01-01 10:00:00+02:00\n2026-01-01 10:00:00\n2026-01-01T10:00:00.5Z\n";
    let shop = shop_of("types = \"auto\"", "a.csv", text);
    shop.run(&[]);
    let found = shop.rows("SELECT arrow_typeof(t), CAST(t AS TEXT) AS at FROM all_rows ORDER BY at").await;
    let kind = "Timestamp(µs, \"UTC\")";
    assert_eq!(
        found,
        [
            format!("{kind}|2026-01-01T08:00:00Z"),
            format!("{kind}|2026-01-01T10:00:00.500Z"),
            format!("{kind}|2026-01-01T10:00:00Z")
        ]
    );
}

#[test]
fn a_sql_test_is_written_as_its_input() {
    let settings =
        "delimiter = \";\"\nnull_values = [\"NA\"]\ndecimal_comma = true\ntypes = { n = \"DOUBLE\" }";
    let shop = shop_of(settings, "a.csv", "id;n\n1;1,5\n");
    shop.write("sql/shop/sums.sql", "SELECT count(*) AS rows, count(n) AS numbers, sum(n) AS n FROM rows_in");
    shop.write("sql/shop/tests/na/rows_in.csv", "id;n\n1;1,5\n\"2;\";NA\n3;2\n");
    shop.write("sql/shop/tests/na/expected_sums.csv", "rows,numbers,n\n3,2,3.5\n");
    let output = crate::support::run(&mut shop.command(&["test", "shop"]));
    assert!(output.status.success(), "{:?}", crate::support::texts(&output));
}

/// DataFusion 55 estimates such filters by midnights that are outside of the footer's times, and gives up.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_a_time_is_compared_whatever_the_footer_says() {
    for times in
        [["2024-01-01 23:00:00", "2024-01-31 00:00:00"], ["1965-12-31 23:00:00", "1968-01-01 05:00:00"]]
    {
        let text = format!("n\n{}\n{}\n", times[0], times[1]);
        let shop = shop_of("types = { n = \"TIMESTAMP\" }", "a.csv", text);
        shop.run(&[]);
        let [first, last] = times.map(|time| &time[..10]);
        for (condition, rows) in [
            (format!("> DATE '{first}'"), "1"),
            (format!(">= DATE '{first}'"), "2"),
            (format!("= DATE '{first}'"), "1"),
            (format!("< DATE '{last}'"), "1"),
            (format!("<= DATE '{last}'"), "2"),
            (format!("<> DATE '{last}'"), "1"),
        ] {
            let sql = format!("SELECT count(n) FROM all_rows WHERE CAST(n AS DATE) {condition}");
            assert_eq!(shop.rows(&sql).await, [rows], "{sql}");
        }
    }
}
