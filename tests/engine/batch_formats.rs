//! Files as other programs write them: what is read whole, what is refused, and what it takes of memory and open files.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date64Array, Int32Array, Int64Array, NullArray, RecordBatch, StringArray,
    StructArray, UInt64Array,
};
use arrow::datatypes::{DataType, Field};

use crate::batch::Shop;
use crate::batch_files::shop_of;
use crate::support::{run, texts};

fn parquet(columns: &[(&str, ArrayRef)]) -> Vec<u8> {
    let rows =
        RecordBatch::try_from_iter_with_nullable(columns.iter().map(|(name, c)| (*name, c.clone(), true)));
    let rows = rows.unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(Vec::new(), rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.into_inner().unwrap()
}

fn numbers(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_read_however_its_objects_are_written() {
    for text in [
        "[{\"a\":1},{\"a\":2}]\n",
        "\u{feff}[{\"a\":1},\n{\"a\":2}\n]",
        "[{\"a\":1}]\n[{\"a\":2}]\n",
        "{\n  \"a\": 1\n}\n{\n  \"a\": 2\n}\n",
        "\u{feff}{\"a\":1}\r\n{\"a\":0,\"a\":2}\r\n",
    ] {
        let shop = shop_of("row_number = \"_row\"", "a.json", text);
        shop.run(&[]);
        assert_eq!(shop.rows("SELECT _row, a FROM all_rows ORDER BY 1").await, ["1|1", "2|2"], "{text}");
    }
    for (text, says) in [
        ("{\"a\":1}\n[{\"a\":2}]\n", "line 2: no JSON object"),
        ("[{\"a\":1},{\"a\":2}", "line 1: the file ends within an array"),
        ("[{\"a\":1}\n{\"a\":2}]", "line 2: `{` where `,` or `]` is expected"),
        ("[1]", "no JSON object"),
    ] {
        let (code, error) = shop_of("", "a.json", text).refused(&[]);
        assert!(code == 1 && error.contains(says), "{text}: {error}");
    }
    let utf_16: Vec<u8> =
        [0xfeff].into_iter().chain("{\"a\":1}".encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let (code, error) = shop_of("", "a.json", &utf_16).refused(&[]);
    assert!(code == 1 && error.contains("is UTF-16") && error.contains("encoding = \"utf-16le\""), "{error}");
    let shop = shop_of("encoding = \"utf-16le\"", "a.json", &utf_16);
    shop.run(&[]);
    assert_eq!(shop.rows("SELECT a FROM all_rows").await, ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_objects_are_set_aside_and_no_column_of_theirs_is_lost() {
    let deep = |levels: usize| format!("{{\"a\":{}{},\"b\":1}}", "[".repeat(levels), "]".repeat(levels));
    let (deep, deeper, deepest) = (deep(60), deep(400), deep(100_000));
    let lines = [
        "{\"b\":2}",
        &deep,
        &deeper,
        &deepest,
        "{\"b\":[3]}",
        "{\"b\":4,}",
        "[{\"b\":5}]",
        "{\"b\":6}",
        "{\"b\":\"\u{0}\"}",
    ];
    let text = lines.join("\n").into_bytes();
    let text = [text, b"\n{\"b\":\"\xff\"}\n{\"b\":\"7\"}\n".to_vec()].concat();
    let shop = shop_of("types = { b = \"INT\" }\non_error = \"dead_letter\"", "a.jsonl", &text);
    shop.run(&[]);
    assert_eq!(shop.rows("SELECT b, a FROM all_rows ORDER BY b").await, ["2|", "6|", "7|"]);
    let letters = shop.rows("SELECT \"offset\" FROM system.dead_letters ORDER BY 1").await;
    assert_eq!(letters, ["2", "3", "4", "5", "6", "7", "9", "10"]);
    // One element of an array is a letter too.
    let shop = shop_of("on_error = \"dead_letter\"", "a.json", "[{\"a\":1},\n2,\n{\"a\":3}]");
    shop.run(&[]);
    let letters = shop.rows("SELECT \"offset\", error FROM system.dead_letters").await;
    assert_eq!(
        (shop.rows("SELECT sum(a) FROM all_rows").await[0].as_str(), letters),
        ("4", vec!["2|not a JSON object".to_owned()])
    );
}

/// Only the first file is looked through for its columns. In the others too nothing is JSON that only Arrow takes for it.
#[tokio::test(flavor = "multi_thread")]
async fn every_file_of_json_is_read_strictly() {
    let bad = [
        r#"{"a":1 "b":"x"}"#,
        r#"{"a":1,"b":555-1234}"#,
        r#"{"a":01}"#,
        r#"{"a":1,}"#,
        r#"{"a":1,"c":[1 2]}"#,
        "{\"a\":1,\"b\":\"x\ty\"}",
        r#"{"a":1,"b":"\ud800"}"#,
        "\u{c}",
        r#"{"a":1,"d":1}"#,
    ];
    let shop = |settings: &str, lines: &[&str]| {
        let shop = shop_of("", "a.jsonl", "{\"a\":9007199254740993,\"b\":\"x\",\"d\":true}\n");
        shop.write("b.jsonl", lines.join("\n"));
        let path = shop.path().join("*.jsonl").display().to_string();
        shop.write(
            "jobs/shop.toml",
            format!("sql = \"sql/shop\"\n[inputs.rows_in]\npath = \"{path}\"\n{settings}\n"),
        );
        shop
    };
    for line in bad {
        let (code, error) = shop("", &["{\"a\":2}", line]).refused(&[]);
        assert!(code == 1 && error.contains("b.jsonl, line 2: "), "{line}: {error}");
    }
    let shop = shop("on_error = \"dead_letter\"", &[&bad[..], &["{\"a\":3,\"b\":4.50}"]].concat());
    shop.run(&[]);
    assert_eq!(shop.rows("SELECT a, b FROM all_rows ORDER BY a").await, ["3|4.50", "9007199254740993|x"]);
    let letters = shop.rows("SELECT count(*), max(\"offset\") FROM system.dead_letters").await;
    assert_eq!(letters, ["9|9"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_json_that_differ_stay_different() {
    for text in [
        "{\"id\":18446744073709551615}\n{\"id\":18446744073709551614}\n{\"id\":1}\n",
        "{\"id\":9007199254740993}\n{\"id\":1.5}\n",
        "{\"id\":9007199254740993.0}\n",
        "{\"id\":{\"n\":[18446744073709551615]}}\n",
    ] {
        let (code, error) = shop_of("", "a.jsonl", text).refused(&[]);
        assert!(
            code == 1 && error.contains("line 1, column id: ") && error.contains("is not exactly a DOUBLE"),
            "{error}"
        );
    }
    let (_, error) = shop_of("", "a.jsonl", "{\"id\":1e400}\n{\"id\":1.5}\n").refused(&[]);
    assert!(error.contains("column id: `1e400` is too great for DOUBLE"), "{error}");
    for (kind, expected) in [
        ("TEXT", ["18446744073709551614", "18446744073709551615"]),
        ("DECIMAL(20,0)", ["18446744073709551614", "18446744073709551615"]),
    ] {
        let text = "{\"id\":18446744073709551615}\n{\"id\":18446744073709551614}\n";
        let shop = shop_of(&format!("types = {{ id = \"{kind}\" }}"), "a.jsonl", text);
        shop.run(&[]);
        assert_eq!(shop.rows("SELECT id FROM all_rows ORDER BY 1").await, expected, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_a_time_where_its_unit_is_said() {
    let json = "{\"t\":1767225600}\n{\"t\":\"2026-01-01 00:00:01\"}\n{\"t\":null}\n{\"t\":1767225602.5}\n";
    let csv = "t,x\n1767225600,a\n2026-01-01 00:00:01,b\n,c\n1767225602.5,d\n";
    let texts: ArrayRef = Arc::new(StringArray::from(vec![
        Some("1767225600"),
        Some("2026-01-01 00:00:01"),
        None,
        Some("1767225602.5"),
    ]));
    let files = [("a.jsonl", json.into()), ("a.csv", csv.into()), ("a.parquet", parquet(&[("t", texts)]))];
    for (name, bytes) in &files {
        let shop = shop_of("types = { t = \"TIMESTAMP(s)\" }", name, bytes);
        shop.run(&[]);
        let found = shop.rows("SELECT t FROM all_rows ORDER BY t NULLS FIRST").await;
        assert_eq!(
            found,
            ["", "2026-01-01T00:00:00", "2026-01-01T00:00:01", "2026-01-01T00:00:02.500"],
            "{name}"
        );
        let (code, error) = shop_of("types = { t = \"TIMESTAMP\" }", name, bytes).refused(&[]);
        assert!(
            code == 1 && error.contains("`1767225600` is a number") && error.contains("TIMESTAMP(s)"),
            "{name}: {error}"
        );
        // Of another unit the times are none.
        let thousand = String::from_utf8_lossy(bytes).replace("1767225600", "1767225600000");
        if !name.ends_with(".parquet") {
            let (code, error) = shop_of("types = { t = \"TIMESTAMP(s)\" }", name, thousand).refused(&[]);
            assert!(code == 1 && error.contains("beyond the years"), "{name}: {error}");
        }
    }
    // Numbers of Parquet, and what else a type would make another value of.
    let at = numbers(&[1_767_225_600_123]);
    let shop = shop_of("types = { t = \"TIMESTAMP(ms)\" }", "a.parquet", parquet(&[("t", at.clone())]));
    shop.run(&[]);
    assert_eq!(shop.rows("SELECT t FROM all_rows").await, ["2026-01-01T00:00:00.123"]);
    let moment =
        arrow::compute::cast(&at, &DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, None))
            .unwrap();
    for (kind, column, says) in [
        ("TIMESTAMP", at.clone(), "is a number, and TIMESTAMP does not say of what"),
        ("DATE", numbers(&[20_454]), "`20454` is no DATE"),
        ("DATE", moment, "has a time of day"),
        ("BOOLEAN", numbers(&[2]), "`2` is no BOOLEAN"),
    ] {
        let settings = format!("types = {{ t = \"{kind}\" }}");
        let (code, error) = shop_of(&settings, "a.parquet", parquet(&[("t", column)])).refused(&[]);
        assert!(code == 1 && error.contains(says), "{kind}: {error}");
    }
    let (code, error) =
        shop_of("types = { t = \"DATE\" }", "a.jsonl", "{\"t\":\"2026-01-01T05:00:00\"}\n").refused(&[]);
    assert!(code == 1 && error.contains("has a time of day"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet_columns_that_are_null_everywhere_have_a_type() {
    let nothing: ArrayRef = Arc::new(NullArray::new(1));
    let inner = |kind: ArrayRef| -> ArrayRef {
        let field = Arc::new(Field::new("a", kind.data_type().clone(), true));
        Arc::new(StructArray::from(vec![(field, kind)]))
    };
    let null = parquet(&[("i", numbers(&[1])), ("d", nothing.clone()), ("s", inner(nothing))]);
    let full = parquet(&[("i", numbers(&[2])), ("d", numbers(&[7])), ("s", inner(numbers(&[8])))]);
    for (settings, kind) in [("", "Utf8"), ("types = { d = \"DATE\" }", "Date32")] {
        let shop = shop_of(settings, "a.parquet", &null);
        shop.write("sql/shop/again.sql", "SELECT * FROM all_rows");
        shop.run(&[]);
        let rows = shop.rows("SELECT i, d, s['a'], arrow_typeof(d) FROM again").await;
        assert_eq!(rows, [format!("1|||{kind}")]);
    }
    // Whichever file comes first: the type is that of the one that has one.
    for order in [["1.parquet", "2.parquet"], ["2.parquet", "1.parquet"]] {
        let shop = shop_of("", order[0], &null);
        shop.write(order[1], &full);
        shop.edit("jobs/shop.toml", order[0], "*.parquet");
        shop.run(&[]);
        let rows = shop.rows("SELECT i, d + 1, s['a'] + 1 FROM all_rows ORDER BY i").await;
        assert_eq!(rows, ["1||", "2|8|9"], "{order:?}");
    }
    // Types that a table is read with again.
    let large: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX]));
    let day: ArrayRef = Arc::new(Date64Array::from(vec![1_767_225_600_000]));
    let shop = shop_of("", "a.parquet", parquet(&[("u", large), ("d", day)]));
    shop.write("sql/shop/again.sql", "SELECT * FROM all_rows");
    shop.run(&[]);
    let rows = shop.rows("SELECT u, d, arrow_typeof(d) FROM again").await;
    assert_eq!(rows, ["18446744073709551615|2026-01-01|Date32"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_folders_need_few_open_files() {
    let rows: String = (0..1_500).map(|n| format!("c{n},{n},{}\n", n % 7)).collect();
    let settings = "types = { v = \"INT\" }\n[[tables]]\nname = \"all_rows\"\npartition_by = [\"k\"]\nFORMAT";
    for format in ["parquet", "csv"] {
        let settings = settings.replace("FORMAT", &format!("format = \"{format}\""));
        // Each folder gets rows at the beginning and at the end.
        let shop = shop_of(&settings, "a.csv", format!("k,v,x\n{rows}{rows}"));
        shop.write("sql/shop/sums.sql", "SELECT k, sum(v) AS v, count(*) AS n FROM all_rows GROUP BY k");
        let limited = |arguments: &[&str]| {
            let command = shop.command(arguments);
            let mut shell = std::process::Command::new("bash");
            shell.args(["-c", "ulimit -n 256; exec \"$0\" \"$@\""]).arg(command.get_program());
            run(shell.args(command.get_args()))
        };
        let output = limited(&["run", "shop", "--memory-limit", "64MB"]);
        assert!(output.status.success(), "{}", texts(&output).1);
        let sql = "SELECT count(*) AS n, sum(v) AS v, min(n) AS least FROM shop.sums";
        let (found, error) = texts(&limited(&["sql", "--format", "csv", sql]));
        assert_eq!(found, "n,v,least\n1500,2248500,2\n", "{error}");
        let (found, error) =
            texts(&limited(&["sql", "--format", "csv", "SELECT count(*) AS n FROM shop.all_rows"]));
        assert_eq!(found, "n\n3000\n", "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_read_as_the_value_that_it_was_written_for() {
    let cells: [(&str, ArrayRef); 5] = [
        ("t", Arc::new(StringArray::from(vec![Some(""), None, Some("."), Some("a/b=%c é")]))),
        (
            "d",
            Arc::new(arrow::array::Float64Array::from(vec![
                Some(f64::NAN),
                None,
                Some(-0.5),
                Some(f64::INFINITY),
            ])),
        ),
        ("b", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), None]))),
        ("day", Arc::new(arrow::array::Date32Array::from(vec![Some(0), None, Some(20_454), Some(-1)]))),
        ("n", Arc::new(Int32Array::from(vec![1, 2, 3, 4]))),
    ];
    let settings = "[[tables]]\nname = \"all_rows\"\npartition_by = [\"t\", \"d\", \"b\", \"day\"]\n";
    let shop = shop_of(settings, "a.parquet", parquet(&cells));
    shop.run(&[]);
    let sql = "SELECT n, t, t IS NULL, d, d IS NULL, b, day FROM all_rows ORDER BY n";
    let rows = [
        "1||false|NaN|false|true|1970-01-01",
        "2||true||true||",
        "3|.|false|-0.5|false|false|2026-01-01",
        "4|a/b=%c é|false|inf|false||1969-12-31",
    ];
    assert_eq!(shop.rows(sql).await, rows);

    let settings = "[[tables]]\nname = \"all_rows\"\npartition_by = [\"k\"]\n";
    let null: ArrayRef = Arc::new(StringArray::from(vec!["a", "__HIVE_DEFAULT_PARTITION__"]));
    let bytes: ArrayRef = Arc::new(arrow::array::BinaryArray::from(vec![&b"a"[..], &b"\xff"[..]]));
    for (keys, kind, says) in
        [(null, 1, "the name of the folder of nulls"), (bytes, 2, "the name of a folder does not keep")]
    {
        let columns = [("k", keys), ("n", numbers(&[1, 2]))];
        let (code, error) = shop_of(settings, "a.parquet", parquet(&columns)).refused(&[]);
        assert!(code == kind && error.contains(says), "{error}");
    }
}

/// The most memory that the process of a run had.
fn peak_bytes(shop: &Shop, arguments: &[&str]) -> u64 {
    let output = shop.try_run(arguments);
    assert!(output.status.success(), "{}", texts(&output).1);
    let report: Vec<serde_json::Value> = serde_json::from_str(&texts(&output).0).unwrap();
    report.last().unwrap()["bytes"].as_u64().unwrap()
}

#[test]
fn wide_files_take_what_is_in_them() {
    let line = |cell: &str| vec![cell; 2_000].join(",") + "\n";
    let header: String = (0..2_000).map(|n| format!("c{n},")).collect();
    let text = format!("{}\n{}{}", header.trim_end_matches(','), line("1"), line("2"));
    let narrow = peak_bytes(&shop_of("", "a.csv", "a,b\n1,2\n"), &[]);
    let wide = peak_bytes(&shop_of("", "a.csv", &text), &["--memory-limit", "100MB"]);
    // It was 250 MB more.
    assert!(wide < narrow + 100_000_000, "{narrow} and {wide}");
}

#[test]
fn a_later_parquet_file_of_a_type_that_the_first_does_not_hold_is_refused() {
    use arrow::array::{Float32Array, Float64Array, TimestampMicrosecondArray, TimestampMillisecondArray};
    let files: [(ArrayRef, ArrayRef, &str); 2] = [
        (
            Arc::new(Float32Array::from(vec![1.5])),
            Arc::new(Float64Array::from(vec![1e300])),
            "is Float64 here",
        ),
        (
            Arc::new(TimestampMillisecondArray::from(vec![1])),
            Arc::new(TimestampMicrosecondArray::from(vec![1])),
            "is Timestamp(µs) here, Timestamp(ms) in",
        ),
    ];
    for (first, later, says) in files {
        let shop = shop_of("", "d/a.parquet", parquet(&[("x", first)]));
        shop.write("d/b.parquet", parquet(&[("x", later)]));
        shop.edit("jobs/shop.toml", "a.parquet", "*.parquet");
        let (code, error) = shop.refused(&[]);
        assert!(code == 2 && error.contains(says), "{code} {error}");
    }
}
