//! Values of a file that its columns' types do not hold: told, or set aside, never changed.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use crate::batch_files::shop_of;
use crate::support::visible_files;

#[tokio::test(flavor = "multi_thread")]
async fn values_of_a_parquet_file_that_are_no_such_type_are_told_or_set_aside() {
    // As text and numbers first, so that there is such a file.
    let csv = "id,at,big,part\n7,2020-01-01,1,1\n12x,2020-01-02,2,2\n8,31/12/2020,3,3\n9,2020-01-03,3000000000,4\n10,2020-01-04,5,1.5\n";
    let shop = shop_of("types = { big = \"BIGINT\", part = \"DOUBLE\" }", "a.csv", csv.as_bytes());
    shop.run(&[]);
    let written = visible_files(&shop.lake().root().join("shop/all_rows")).remove(0);
    let bytes = std::fs::read(written).unwrap();
    for (column, kind, reason) in [
        ("id", "INT", "row 2, column id: `12x` is no INT"),
        ("at", "DATE", "row 3, column at: `31/12/2020` is no DATE"),
        ("big", "INT", "row 4, column big: `3000000000` is no INT"),
        ("part", "INT", "row 5, column part: `1.5` is no INT"),
    ] {
        let types = format!("types = {{ {column} = \"{kind}\" }}");
        let shop = shop_of(&types, "b.parquet", bytes.clone());
        let (code, errors) = shop.refused(&[]);
        assert!(code == 1 && errors.contains(reason), "{code} {errors}");
        let shop = shop_of(&format!("{types}\non_error = \"dead_letter\""), "b.parquet", bytes.clone());
        shop.run(&[]);
        assert_eq!(shop.rows("SELECT count(*), count(id) FROM all_rows").await, ["4|4"], "{reason}");
        let letters = shop.rows("SELECT count(*), min(error) FROM system.dead_letters").await;
        assert!(letters[0].starts_with(&format!("1|column {column}: `")), "{letters:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_its_type_does_not_hold_is_a_bad_cell_in_every_format() {
    // Text as it is, for a Parquet file of text.
    let texts = |cell: &str| {
        let shop = shop_of("", "a.csv", format!("id,n\n1,1\n2,{cell}\n3,\n"));
        shop.run(&[]);
        std::fs::read(visible_files(&shop.lake().root().join("shop/all_rows")).remove(0)).unwrap()
    };
    for (kind, cell, reason) in [
        ("DECIMAL(10,2)", "1.005", "`1.005` has more decimals than DECIMAL(10,2) holds"),
        ("DECIMAL(4,2)", "100", "`100` is too great for DECIMAL(4,2)"),
        ("DECIMAL(4,2)", "1e2", "`1e2` is too great for DECIMAL(4,2)"),
        ("INT", "1.5", "`1.5` is no INT"),
        ("BIGINT", "9223372036854775808.5", "`9223372036854775808.5` is no BIGINT"),
        ("DOUBLE", "1e400", "`1e400` is too great for DOUBLE"),
    ] {
        let files = [
            ("a.csv", format!("id,n\n1,1\n2,{cell}\n3,\n").into_bytes(), "line 3"),
            ("a.json", format!("{{\"n\":1}}\n{{\"n\":{cell}}}\n{{\"id\":3}}\n").into_bytes(), "line 2"),
            ("a.parquet", texts(cell), "row 2"),
        ];
        for (name, bytes, line) in files {
            let settings = format!("types = {{ n = \"{kind}\" }}");
            let shop = shop_of(&settings, name, bytes.clone());
            let (code, errors) = shop.refused(&[]);
            assert!(code == 1 && errors.contains(&format!("{name}, {line}, column n: ")), "{code} {errors}");
            assert!(errors.contains(reason), "{name}: {errors}");
            let shop = shop_of(&format!("{settings}\non_error = \"dead_letter\""), name, bytes);
            // Reads no typed column: the same rows count all the same.
            shop.write("sql/shop/counted.sql", "SELECT count(*) AS n FROM rows_in");
            shop.run(&[]);
            assert_eq!(shop.rows("SELECT count(*), count(n) FROM all_rows").await, ["2|1"], "{name} {kind}");
            assert_eq!(shop.rows("SELECT n FROM counted").await, ["2"], "{name} {kind}");
            let letters = shop.rows("SELECT error FROM system.dead_letters").await;
            assert_eq!(letters, [format!("column n: {reason}")], "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_are_held_exactly_are_read_however_they_are_written() {
    let types = "types = { n = \"DECIMAL(10,2)\", d = \"DOUBLE\", t = \"TEXT\" }";
    let csv = "n,d,t\n1.500,inf,1.50\n-.5,nan,true\n1.25e1,-inf,x\n,1e308,\n";
    let json = "{\"n\":1.500,\"d\":\"inf\",\"t\":1.50}\n{\"n\":-0.50,\"d\":\"nan\",\"t\":true}\n\
        {\"n\":1.25e1,\"d\":\"-inf\",\"t\":\"x\"}\n{\"d\":1e308}\n";
    for (name, text) in [("a.csv", csv), ("a.json", json)] {
        for policy in ["fail", "dead_letter"] {
            let shop = shop_of(&format!("{types}\non_error = \"{policy}\""), name, text);
            shop.run(&[]);
            let rows = shop.rows("SELECT n, d, t FROM all_rows ORDER BY n NULLS LAST").await;
            assert_eq!(rows, ["-0.50|NaN|true", "1.50|inf|1.50", "12.50|-inf|x", "|1e308|"], "{name}");
        }
    }
    // A DECIMAL of more digits than a narrower one holds, from Parquet.
    let shop = shop_of("types = { n = \"DECIMAL(10,4)\" }", "a.csv", "n\n1.5\n1.2345\n");
    shop.run(&[]);
    let bytes = std::fs::read(visible_files(&shop.lake().root().join("shop/all_rows")).remove(0)).unwrap();
    let shop = shop_of("types = { n = \"DECIMAL(10,2)\" }", "b.parquet", bytes);
    let (code, errors) = shop.refused(&[]);
    assert!(
        code == 1 && errors.contains("row 2, column n: `1.2345` has more decimals than DECIMAL(10,2)"),
        "{errors}"
    );
}

/// The one Parquet file of a table that a SELECT of these rows makes.
fn parquet_of(csv: &str, types: &str) -> Vec<u8> {
    let shop = shop_of(types, "a.csv", csv.as_bytes());
    shop.run(&[]);
    std::fs::read(visible_files(&shop.lake().root().join("shop/all_rows")).remove(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_whose_types_differ_give_every_table_the_same_rows() {
    let settings = "on_error = \"dead_letter\"";
    let shop = shop_of(settings, "in/1.parquet", parquet_of("v,w\n1,a\n2,b\n", "types = { v = \"BIGINT\" }"));
    shop.write("in/2.parquet", parquet_of("v,w\n3,c\nx,d\n", ""));
    shop.edit("jobs/shop.toml", "/in/1.parquet", "/in/*.parquet");
    shop.write("sql/shop/others.sql", "SELECT w FROM rows_in");
    shop.run(&[]);
    assert_eq!(shop.rows("SELECT v, w FROM all_rows ORDER BY w").await, ["1|a", "2|b", "3|c"]);
    assert_eq!(shop.rows("SELECT w FROM others ORDER BY w").await, ["a", "b", "c"]);
    assert_eq!(shop.rows("SELECT error FROM system.dead_letters").await, ["column v: `x` is no BIGINT"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_where_takes_its_rows_whatever_the_statistics_of_a_file_say() {
    // A row number that is called as a column which only the second file has.
    let shop =
        shop_of("row_number = \"nr\"\ncolumns = \"first\"", "in/1.parquet", parquet_of("v\na\nb\n", ""));
    let second = parquet_of("v,nr\nc,100\nd,101\n", "types = { nr = \"BIGINT\" }");
    shop.write("in/2.parquet", second);
    shop.edit("jobs/shop.toml", "/in/1.parquet", "/in/*.parquet");
    shop.write("sql/shop/all_rows.sql", "SELECT v FROM rows_in WHERE nr = 2");
    shop.run(&[]);
    assert_eq!(shop.rows("SELECT v FROM all_rows ORDER BY v").await, ["b", "d"]);
    // A time of day: 10:00 and 9:00 are the least and the greatest of two days.
    let times = parquet_of(
        "at\n2020-01-01 10:00:00\n2020-01-01 20:00:00\n2020-01-02 09:00:00\n",
        "types = { at = \"TIMESTAMP\" }",
    );
    let shop = shop_of("", "b.parquet", times);
    shop.write("sql/shop/all_rows.sql", "SELECT at FROM rows_in WHERE CAST(at AS TIME) > '18:00:00'");
    shop.write("sql/shop/every.sql", "SELECT at FROM rows_in");
    shop.run(&[]);
    assert_eq!(shop.rows("SELECT at FROM all_rows").await, ["2020-01-01T20:00:00"]);
    assert_eq!(shop.rows("SELECT count(*) FROM every WHERE at::TIME > '18:00:00'").await, ["1"], "of a lake");
}

/// A Parquet file of one column, `n`.
fn parquet(cells: ArrayRef) -> Vec<u8> {
    let rows = RecordBatch::try_from_iter([("n", cells)]).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(Vec::new(), rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.into_inner().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn text_of_a_dictionary_is_as_other_text_and_minus_zero_is_zero() {
    let kind = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    for (type_of, cell, reason) in [
        ("DECIMAL(10,2)", "1.005", "`1.005` has more decimals than DECIMAL(10,2) holds"),
        ("DOUBLE", "1e400", "`1e400` is too great for DOUBLE"),
        ("INT", "1.5", "`1.5` is no INT"),
    ] {
        let cells = cast(&StringArray::from(vec![Some("1"), Some(cell), None, Some("1")]), &kind).unwrap();
        let settings = format!("types = {{ n = \"{type_of}\" }}");
        let shop = shop_of(&settings, "a.parquet", parquet(cells.clone()));
        let (code, error) = shop.refused(&[]);
        assert!(code == 1 && error.contains(&format!("row 2, column n: {reason}")), "{error}");
        let shop = shop_of(&format!("{settings}\non_error = \"dead_letter\""), "a.parquet", parquet(cells));
        shop.run(&[]);
        assert_eq!(
            shop.rows("SELECT count(*), count(n), sum(CAST(n AS INT)) FROM all_rows").await,
            ["3|2|2"]
        );
    }
    let cells = || Arc::new(Float64Array::from(vec![-0.0, 0.0, -7.0]));
    let shop = shop_of("types = { n = \"INT\" }", "a.parquet", parquet(cells()));
    shop.run(&[]);
    assert_eq!(shop.rows("SELECT n FROM all_rows ORDER BY n").await, ["-7", "0", "0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folders_value_that_is_none_of_its_type_is_told_with_its_folder() {
    for (value, kind, reason) in [
        ("abc", "INT", "`abc` is no INT"),
        ("1.5", "INT", "`1.5` is no INT"),
        ("1.005", "DECIMAL(10,2)", "`1.005` has more decimals than DECIMAL(10,2) holds"),
        ("2020-02-30", "DATE", "`2020-02-30` is no DATE"),
    ] {
        for policy in ["fail", "dead_letter"] {
            let settings = format!("types = {{ p = \"{kind}\" }}\non_error = \"{policy}\"");
            let shop = shop_of(&settings, &format!("in/p={value}/x.csv"), "n\n1\n");
            shop.edit("jobs/shop.toml", &format!("/in/p={value}/x.csv"), "/in");
            let (code, error) = shop.refused(&[]);
            let place = format!("in/p={value}/x.csv, folder p={value}: {reason}");
            assert!(code == 1 && error.contains(&place) && error.contains("help: "), "{error}");
        }
    }
    let shop = shop_of(
        "types = { p = \"DECIMAL(10,2)\", d = \"DATE\" }",
        "in/p=1.50/d=2020-02-29/x.csv",
        "n\n1\n2\n",
    );
    shop.write("in/p=__HIVE_DEFAULT_PARTITION__/d=2020-03-01/x.csv", "n\n3\n");
    shop.edit("jobs/shop.toml", "/in/p=1.50/d=2020-02-29/x.csv", "/in");
    shop.run(&[]);
    let rows = shop.rows("SELECT n, p, d FROM all_rows ORDER BY n").await;
    assert_eq!(rows, ["1|1.50|2020-02-29", "2|1.50|2020-02-29", "3||2020-03-01"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_in_lists_and_objects_of_json_are_held_or_bad_too() {
    let first = "{\"k\":[1,null],\"o\":{\"x\":1,\"l\":[[2]],\"t\":\"a\"}}\n{\"k\":null,\"o\":null}\n";
    for (line, column, reason) in [
        ("{\"k\":[1.5]}", "k", "`1.5` is no BIGINT"),
        ("{\"o\":{\"x\":1e30}}", "o", "`1e30` is too great for BIGINT"),
        ("{\"o\":{\"l\":[[],[1,0.5]]}}", "o", "`0.5` is no BIGINT"),
    ] {
        let shop = shop_of("", "in/a.json", first);
        shop.write("in/b.json", format!("{{\"k\":[3]}}\n{line}\n{{\"o\":{{\"l\":[[],null,[4.0]]}}}}\n"));
        shop.edit("jobs/shop.toml", "/in/a.json", "/in/*.json");
        let (code, error) = shop.refused(&[]);
        assert!(
            code == 1 && error.contains(&format!("b.json, line 2, column {column}: {reason}")),
            "{error}"
        );
        let job = std::fs::read_to_string(shop.path().join("jobs/shop.toml")).unwrap();
        shop.write("jobs/shop.toml", format!("{job}on_error = \"dead_letter\"\n"));
        shop.run(&[]);
        let rows =
            shop.rows("SELECT count(*), sum(k[1]), sum(o['x']), sum(o['l'][3][1]) FROM all_rows").await;
        assert_eq!(rows, ["4|4|1|4"], "{line}");
        let letters = shop.rows("SELECT \"offset\", error FROM system.dead_letters").await;
        assert_eq!(letters, [format!("2|column {column}: {reason}")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_json_is_one_object_however_the_file_is_read() {
    let types = "types = { id = \"INT\" }";
    let pairs: String =
        (0..10_000).map(|k| format!("{{\"id\":{}}}{{\"id\":{}}}\n", 2 * k, 2 * k + 1)).collect();
    let lines: String = (0..9_000).map(|k| format!("{{\"id\":{k}}}\n\r\n")).collect();
    let spanned = "{\"id\":\n1}\n".repeat(10_000);
    for (name, text, good, bad) in [
        ("two in a line", format!("{pairs}{{\"id\":\"x\"}}\n"), 0, 10_001),
        // A file that begins so is one of objects, wherever their lines end; one of lines stays one.
        ("one in two lines", spanned.clone(), 10_000, 0),
        ("one in two lines behind a line", format!("{{\"id\":0}}\n{spanned}"), 1, 20_000),
        ("as many lines as objects", "{\"id\":1}{\"id\":2}\n{\"id\":\n3}\n".repeat(5_000), 0, 15_000),
        (
            "two behind many",
            format!("{lines}{{\"id\":1}} {{\"id\":2}}\n{{\"id\":\"x\"}}\n{{\"id\":5}}"),
            9_001,
            2,
        ),
        ("empty lines", lines, 9_000, 0),
    ] {
        let shop = shop_of(types, "in/a.json", "{\"id\":1}\n");
        shop.write("in/b.json", text);
        shop.edit("jobs/shop.toml", "/in/a.json", "/in/*.json");
        if bad > 0 {
            let (code, error) = shop.refused(&[]);
            assert!(code == 1 && error.contains("b.json, line "), "{name}: {code} {error}");
        }
        shop.edit("jobs/shop.toml", types, &format!("{types}\non_error = \"dead_letter\""));
        shop.run(&[]);
        assert_eq!(shop.rows("SELECT count(*) FROM all_rows").await, [format!("{}", good + 1)], "{name}");
        assert_eq!(shop.rows("SELECT count(*) FROM dead_letters").await, [format!("{bad}")], "{name}");
    }
}
