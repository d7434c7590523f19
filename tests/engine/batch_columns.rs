//! Inputs of several files: columns that only some of them have, and files that are none of the input's.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Int32Array, Int64Array, ListArray, NullArray, RecordBatch, StringArray, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::Field;
use parquet::arrow::ArrowWriter;

use crate::batch::Shop;

/// One input `rows_in` of the folder `in`, and the table `all_rows` of it.
fn shop(settings: &str, files: &[(&str, Vec<u8>)]) -> Shop {
    let shop = crate::batch_files::shop_of("", "none.csv", "a\n");
    for (name, bytes) in files {
        shop.write(&format!("in/{name}"), bytes);
    }
    let folder = shop.path().join("in");
    let job = format!("sql = \"sql/shop\"\n[inputs.rows_in]\npath = \"{}\"\n{settings}\n", folder.display());
    shop.write("jobs/shop.toml", job);
    shop
}

fn parquet(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn numbers(values: Vec<i64>) -> ArrayRef {
    Arc::new(Int64Array::from(values))
}

fn words(values: Vec<&str>) -> ArrayRef {
    Arc::new(StringArray::from(values))
}

/// Three files of each format: the second has another column, the third none of the first's but `a`.
fn formats() -> [[(&'static str, Vec<u8>); 3]; 3] {
    [
        [
            ("a.csv", b"a,b\n1,x\n".to_vec()),
            ("b.csv", b"c,b,a\n9,y,2\n".to_vec()),
            ("c.csv", b"a\n3\n".to_vec()),
        ],
        [
            ("a.json", b"{\"a\":1,\"b\":\"x\"}\n".to_vec()),
            ("b.json", b"{\"c\":9,\"b\":\"y\",\"a\":2}\n".to_vec()),
            ("c.json", b"{\"a\":3}\n".to_vec()),
        ],
        [
            ("a.parquet", parquet(vec![("a", numbers(vec![1])), ("b", words(vec!["x"]))])),
            (
                "b.parquet",
                parquet(vec![("c", numbers(vec![9])), ("b", words(vec!["y"])), ("a", numbers(vec![2]))]),
            ),
            ("c.parquet", parquet(vec![("a", numbers(vec![3]))])),
        ],
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_of_a_later_file_is_refused_dropped_or_taken_as_the_job_says() {
    for [a, b, c] in formats() {
        let (first, second) = (a.0, b.0);
        let both = [a.clone(), b.clone()];
        let (code, error) = shop("", &both).refused(&[]);
        assert!(code == 2 && error.contains(&format!("in/{second}")), "{error}");
        assert!(error.contains("there is a column `c`, which ") && error.contains(first), "{error}");
        assert!(error.contains("columns = \"first\"") && error.contains("columns = \"union\""), "{error}");

        let dropped = shop("columns = \"first\"", &both);
        dropped.run(&[]);
        let rows = dropped.rows("SELECT * FROM all_rows ORDER BY a").await;
        assert_eq!(rows, ["1|x", "2|y"], "{second}");

        let all = shop("columns = \"union\"", &[a, b, c]);
        all.run(&[]);
        let rows = all.rows("SELECT a, b, c FROM all_rows ORDER BY a").await;
        assert_eq!(rows, ["1|x|", "2|y|9", "3||"], "{second}");
        // Where no column of a file is read, and where one that it lacks decides.
        all.write("sql/shop/all_rows.sql", "SELECT count(*) AS n, count(c) AS c FROM rows_in");
        all.run(&[]);
        assert_eq!(all.rows("SELECT n, c FROM all_rows").await, ["3|1"], "{second}");
        all.write("sql/shop/all_rows.sql", "SELECT a FROM rows_in WHERE b IS NULL OR c = 9");
        all.run(&[]);
        assert_eq!(all.rows("SELECT a FROM all_rows ORDER BY a").await, ["2", "3"], "{second}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_a_later_file_lacks_is_refused_but_of_json() {
    for [a, _, c] in formats() {
        let later = c.0;
        let both = [a, c];
        let first = shop("columns = \"first\"", &both);
        let shop = shop("", &both);
        if later.ends_with("json") {
            shop.run(&[]);
            assert_eq!(shop.rows("SELECT a, b FROM all_rows ORDER BY a").await, ["1|x", "3|"]);
            continue;
        }
        for shop in [shop, first] {
            let (code, error) = shop.refused(&[]);
            assert!(code == 2 && error.contains(&format!("in/{later}")), "{error}");
            assert!(error.contains("there is no column `b`") && error.contains("\"union\""), "{error}");
            assert!(!error.contains("\"first\""), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_objects_are_columns_too() {
    let files = [
        ("a.json", b"{\"a\":1,\"o\":[{\"x\":1}]}\n".to_vec()),
        ("b.json", b"{\"a\":2,\"o\":[{\"x\":2},{\"y\":3}]}\n".to_vec()),
    ];
    let (code, error) = shop("", &files).refused(&[]);
    assert!(code == 2 && error.contains("in/b.json: there is a column `o.y`, which"), "{error}");
    let all = shop("columns = \"union\"", &files);
    all.run(&[]);
    let sql = "SELECT a, o[1]['x'], o[2]['y'] FROM all_rows ORDER BY a";
    assert_eq!(all.rows(sql).await, ["1|1|", "2|2|3"]);
    let first = shop("columns = \"first\"", &files);
    first.run(&[]);
    assert_eq!(first.rows("SELECT a, o[1]['x'] FROM all_rows ORDER BY a").await, ["1|1", "2|2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_columns_have_the_types_of_the_job_or_those_that_are_found() {
    let files = [("a.csv", b"a,b\n1,x\n".to_vec()), ("b.csv", b"c,a\n2026-01-31,2.5\n".to_vec())];
    let typed = shop("columns = \"union\"\ntypes = { c = \"DATE\" }", &files);
    typed.run(&[]);
    let sql = "SELECT a, b, c + INTERVAL '1 day' FROM all_rows ORDER BY a";
    assert_eq!(typed.rows(sql).await, ["1|x|", "2.5||2026-02-01"]);
    let found = shop("columns = \"union\"\ntypes = \"auto\"", &files);
    found.run(&[]);
    let sql = "SELECT a, arrow_typeof(a), arrow_typeof(b), arrow_typeof(c) FROM all_rows ORDER BY a";
    assert_eq!(found.rows(sql).await, ["1.0|Float64|Utf8|Date32", "2.5|Float64|Utf8|Date32"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_files_are_read_where_they_are_named() {
    let files = [
        ("part-0.csv", b"a\n1\n".to_vec()),
        (".part-0.csv.crc", b"x".to_vec()),
        ("_SUCCESS", Vec::new()),
        ("_old.csv", b"a\n2\n".to_vec()),
    ];
    let shop = shop("", &files);
    for (input, expected) in
        [("", "1"), ("in/*", "1"), ("in/*.csv", "1"), ("in/_old.csv", "2"), ("in/_*.csv", "2")]
    {
        let path = format!("rows_in={}", shop.path().join(input).display());
        let given: &[&str] = if input.is_empty() { &[] } else { &["--input", &path] };
        shop.run(given);
        assert_eq!(shop.rows("SELECT a FROM all_rows").await, [expected], "{input}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_json_column_that_is_null_in_the_first_file_has_the_type_of_the_others() {
    // As DuckDB's read_json types them.
    let files = |first: &str| {
        [
            ("a.json", first.as_bytes().to_vec()),
            ("b.json", b"{\"id\":2,\"n\":5,\"o\":{\"x\":[1]}}\n{\"id\":3,\"n\":null}\n".to_vec()),
            ("c.json", b"{\"id\":4,\"n\":2.5,\"o\":{\"x\":[2,3]}}\n".to_vec()),
        ]
    };
    let sql = "SELECT id, arrow_typeof(n), n, o['x'][1] FROM all_rows ORDER BY id";
    let expected = ["1|Float64||", "2|Float64|5.0|1", "3|Float64||", "4|Float64|2.5|2"];
    for first in ["{\"id\":1,\"n\":null,\"o\":null}\n", "{\"id\":1,\"n\":null,\"o\":{\"x\":[]}}\n"] {
        for settings in ["", "columns = \"first\"", "columns = \"union\"", "on_error = \"dead_letter\""] {
            let shop = shop(settings, &files(first));
            shop.run(&[]);
            assert_eq!(shop.rows(sql).await, expected, "{settings} {first}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_of_values_that_mix_in_a_json_column_are_told_with_both_places() {
    for (first, later, place, says) in [
        (
            "{\"a\":{\"x\":1}}\n{\"a\":5}\n",
            "{}\n",
            "a.json, line 2",
            "`a` is a number here, an object in line 1",
        ),
        (
            "{\"a\":[1]}\n{}\n{\"a\":\"t\"}\n",
            "{}\n",
            "a.json, line 3",
            "`a` is a text here, a list in line 1",
        ),
        (
            "{\"a\":1}\n{\"a\":[{\"x\":2}]}\n",
            "{}\n",
            "a.json, line 2",
            "`a` is a list here, a number in line 1",
        ),
        (
            "{\"a\":[{\"x\":1}]}\n",
            "{}\n{\"a\":[true]}\n",
            "b.json, line 2",
            "`a[]` is a boolean here, an object in ",
        ),
        (
            "{\"a\":{\"x\":1}}\n",
            "{\"a\":{\"x\":{\"y\":1}}}\n",
            "b.json, line 1",
            "`a.x` is an object here, a number in ",
        ),
    ] {
        let files = [("a.json", first.as_bytes().to_vec()), ("b.json", later.as_bytes().to_vec())];
        let (code, error) = shop("", &files).refused(&[]);
        assert!(code == 1 && error.contains(place) && error.contains(says), "{error}");
        assert!(error.contains("on_error = \"dead_letter\"") && !error.contains("Scalar"), "{error}");
        let aside = shop("on_error = \"dead_letter\"", &files);
        aside.run(&[]);
        let letters = aside.rows("SELECT error FROM dead_letters").await;
        assert!(letters.len() == 1 && letters[0].starts_with("column a: `a"), "{letters:?}");
    }
    let typed =
        shop("types = { a = \"TEXT\" }", &[("a.json", b"{\"a\":\"t\"}\n{\"a\":{\"x\":1}}\n".to_vec())]);
    let (code, error) = typed.refused(&[]);
    assert!(
        code == 1 && error.contains("a.json, line 2, column a: `a` is an object, and no TEXT"),
        "{error}"
    );
    let huge = shop("", &[("a.json", b"{\"b\":1}\n{\"a\":1e400}\n".to_vec())]);
    let (code, error) = huge.refused(&[]);
    assert!(code == 1 && error.contains("line 2, column a: `1e400` is too great for DOUBLE"), "{error}");
}

/// A column of objects `{a, b…}`, and one of lists of them.
fn objects(fields: Vec<(&str, ArrayRef)>) -> [ArrayRef; 2] {
    let objects = StructArray::from(
        fields
            .into_iter()
            .map(|(name, cells)| (Arc::new(Field::new(name, cells.data_type().clone(), false)), cells))
            .collect::<Vec<_>>(),
    );
    let item = Arc::new(Field::new("item", objects.data_type().clone(), false));
    let offsets = OffsetBuffer::from_lengths(vec![1; objects.len()]);
    let list = ListArray::new(item, offsets, Arc::new(objects.clone()), None);
    [Arc::new(objects), Arc::new(list)]
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_parquet_files_are_put_together_by_their_names() {
    let file = |id: i64, [object, list]: [ArrayRef; 2]| {
        parquet(vec![("id", numbers(vec![id])), ("o", object), ("l", list)])
    };
    let first = file(1, objects(vec![("x", numbers(vec![1])), ("y", numbers(vec![10]))]));
    let second = file(
        2,
        objects(vec![
            ("z", words(vec!["new"])),
            ("y", numbers(vec![20])),
            ("x", Arc::new(Int32Array::from(vec![2]))),
        ]),
    );
    let none: ArrayRef = Arc::new(NullArray::new(1));
    let third = file(3, [none.clone(), none]);
    let sql = "SELECT id, o['x'], o['y'], o['z'], l[1]['x'], l[1]['z'] FROM all_rows ORDER BY id";
    let expected = ["1|1|10||1|", "2|2|20|new|2|new", "3|||||"];
    for order in [[&first, &second, &third], [&second, &first, &third], [&third, &first, &second]] {
        let names = ["a.parquet", "b.parquet", "c.parquet"];
        let files: Vec<_> = names.into_iter().zip(order.map(Clone::clone)).collect();
        let all = shop("columns = \"union\"", &files);
        all.run(&[]);
        assert_eq!(all.rows(sql).await, expected);
    }
    // What is null in the first file is read as the second has it, whatever it is.
    let two = [("a.parquet", third.clone()), ("b.parquet", second.clone())];
    for settings in ["", "columns = \"first\""] {
        let shop = shop(settings, &two);
        shop.run(&[]);
        assert_eq!(shop.rows(sql).await, [expected[1], expected[2]]);
    }
    let dropped = shop("columns = \"first\"", &[("a.parquet", first.clone()), ("b.parquet", second.clone())]);
    dropped.run(&[]);
    let sql = "SELECT id, o['x'], o['y'], l[1]['y'], arrow_typeof(o) LIKE '%z%' FROM all_rows ORDER BY id";
    assert_eq!(dropped.rows(sql).await, ["1|1|10|10|false", "2|2|20|20|false"]);
    let (code, error) = shop("", &[("a.parquet", first), ("b.parquet", second)]).refused(&[]);
    assert!(code == 2 && error.contains("there is a column `l.z`"), "{error}");
}
