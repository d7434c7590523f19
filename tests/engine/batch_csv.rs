//! CSV as people write it: ends of lines, headings, other delimiters and numbers, types found in the cells. What is right
//! here is what DuckDB and pandas read; tests/peers/csv_edges.py has more of it.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::batch_files::shop_of;
use crate::support::texts;

#[tokio::test(flavor = "multi_thread")]
async fn lines_end_as_they_do_and_blank_ones_are_none() {
    for text in [
        "id,val\r1,a\r2,b\r3,c\r",
        "id,val\r1,a\r2,b\r3,c",
        "id,val\n1,a\r\n2,b\r3,c\r\n",
        "\u{feff}id,val\r\n1,a\r\n2,b\r\n3,c",
        "\n\nid,val\n1,a\n\n2,b\n3,c\n\n\n",
        "\u{feff}\r\n  \r\nid,val\r\n\r\n1,a\r\n2,b\r\n3,c",
        "\"id\",\"val\"\r\"1\",a\r\r2,\"b\"\r3,c\r",
    ] {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(text.as_bytes()).unwrap();
        for (name, bytes) in [("a.csv", text.into()), ("a.csv.gz", packed.finish().unwrap())] {
            let shop = shop_of("row_number = \"_row\"", name, bytes);
            shop.run(&[]);
            let rows = shop.rows("SELECT id, val, _row FROM all_rows ORDER BY id").await;
            assert_eq!(rows, ["1|a|1", "2|b|2", "3|c|3"], "{text:?} {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headings_and_cells_hold_line_breaks() {
    for end in ["\n", "\r\n", "\r"] {
        let text = format!("id,\"Unit{end}Price\"{end}1,\"2{end}5\"{end}2,3.5{end}");
        let shop = shop_of("", "a.csv", text);
        shop.write("sql/shop/all_rows.sql", format!("SELECT id, \"Unit{end}Price\" AS price FROM rows_in"));
        shop.run(&[]);
        let rows = shop.rows("SELECT id, price FROM all_rows ORDER BY id").await;
        assert_eq!(rows, [format!("1|2{end}5"), "2|3.5".to_owned()], "{end:?}");
    }
}

/// Settings, text, and what the error must say.
type Refused<'a> = (&'a str, &'a str, &'a [&'a str]);

#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_read_otherwise_than_it_is_meant_is_refused() {
    let typed = "types = { n = \"INT\" }";
    let cases: [Refused<'_>; 15] = [
        (
            "",
            "id;name;price\n1;tea;2\n2;cake;4\n",
            &["a.csv, line 1: one column", "delimiter = \";\" in the job"],
        ),
        ("", "\n\"id\";\"price\"\r\"1\";\"2,5\"\r", &["a.csv, line 2: one column", "delimiter = \";\""]),
        ("", "id\tname\n1\ttea\n", &["one column, whose cells are full of \"\\t\""]),
        ("format = \"tsv\"", "id,name\n1,tea\n", &["one column, whose cells are full of \",\""]),
        ("", "id,id\n1,2\n", &["a.csv, line 1: there are two columns `id`"]),
        // Lines are those of an editor, whatever ends them.
        (typed, "\r\rn,t\r1,\"a\rb\"\r\rx,c\r", &["a.csv, line 7, column n: `x` is no INT"]),
        (typed, "n,t\r\n1,\"a\nb\"\r\n\r\nx,c\r\n", &["a.csv, line 5, column n: `x` is no INT"]),
        (
            "skip_rows = 2\ncomment = \"#\"\ntypes = { n = \"INT\" }",
            "# \"\nx\n\n#\nn,t\n1,2\n#,\",\nx,2",
            &["a.csv, line 8, column n: `x` is no INT"],
        ),
        ("", "a,b\r1,2\r3\r", &["a.csv, line 3: 1 cell where the header has 2"]),
        // Two quotes, and yet one of them is open: the last row would be part of a cell.
        ("", "a,b\n1,x\"y\n\"2,3\n4,5\n", &["a.csv, line 3, column a: a quote is not closed"]),
        ("quote = \"\"", "a,b\n\"1,\"2,3\n", &["a.csv, line 2: 3 cells where the header has 2"]),
        (
            "thousands = \".\"\ndecimal_comma = true\ntypes = { n = \"DOUBLE\" }",
            "n\n1.5\n",
            &["`1.5` is no DOUBLE"],
        ),
        (
            "delimiter = \";;\"",
            "a\n",
            &["[inputs.rows_in]", "`delimiter` is \";;\", where one ASCII character"],
        ),
        ("delimitr = \";\"", "a\n", &["unknown key `delimitr`", "did you mean `delimiter`?"]),
        ("types = \"automatic\"", "a\n", &["`types`: string \"automatic\", where a table", "or \"auto\""]),
    ];
    for (settings, text, parts) in cases {
        let shop = shop_of(settings, "a.csv", text);
        let (code, error) = shop.refused(&[]);
        assert!(code == 1 || code == 2, "{text:?}: {code} {error}");
        for part in parts {
            assert!(error.contains(part), "{settings} {text:?}: `{part}` is not in\n{error}");
        }
        assert!(!shop.lake().root().join("shop/all_rows").exists(), "{text:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_say_how_a_file_is_written() {
    for (settings, text, sql, expected) in [
        ("delimiter = \";\"", "a;b\n1,5;x\n", "a, b", &["1,5|x"][..]),
        ("delimiter = \",\"", "a;b\n1;2\n", "\"a;b\"", &["1;2"]),
        ("delimiter = \"\\u0001\"", "a\u{1}b\n1\u{1}2", "a, b", &["1|2"]),
        ("quote = \"'\"", "a,b\n'x, ''y''',\"\n", "a, b", &["x, 'y'|\""]),
        ("quote = \"\"", "a,b\n\"x,y\"\n", "a, b", &["\"x|y\""]),
        ("escape = \"\\\\\"", "a,b\n\"x \\\"y\\\", \\\\\",\"\"\"z\"\n", "a, b", &["x \"y\", \\|\"z"]),
        ("header = false\ntypes = { _1 = \"INT\" }", "1,x\n2,y\n", "_1 + 1, _2", &["2|x", "3|y"]),
        ("skip_rows = 3", "A title,\"\r\n\r\nof 2026\r\na,b\r\n1,2\r\n", "a, b", &["1|2"]),
        ("header = false\nskip_rows = 1", "title\r1,x\r", "_1, _2", &["1|x"]),
        ("comment = \"#\"", "# \"it's, so\r#\ra,b\r#1,2\r1,#2\r\"#3\",4\r", "a, b", &["#3|4", "1|#2"]),
        (
            "null_values = [\"NA\", \"n/a\"]\ntypes = { a = \"INT\", b = \"DOUBLE\" }",
            "a,b,c\nNA,1.5,NA\n1,n/a,na\n2,,NANA\n",
            "a IS NULL, a, b, c",
            &["false|1||na", "false|2||NANA", "true||1.5|"],
        ),
        (
            "delimiter = \";\"\ndecimal_comma = true\nthousands = \".\"\ntypes = { a = \"INT\", b = \"DOUBLE\", c = \"DECIMAL(10,2)\" }",
            "a;b;c\n1.234;-1.234,5;1.234.567,80\n7;0,25;\n",
            "a, b, c",
            &["1234|-1234.5|1234567.80", "7|0.25|"],
        ),
        ("thousands = \",\"\ntypes = { a = \"BIGINT\" }", "a\n\"1,234,567\"\n12\n", "a", &["12", "1234567"]),
    ] {
        let shop = shop_of(settings, "a.csv", text);
        shop.write("sql/shop/all_rows.sql", format!("SELECT {sql} FROM rows_in"));
        shop.run(&[]);
        let mut rows = shop.rows("SELECT * FROM all_rows").await;
        rows.sort();
        assert_eq!(rows, expected, "{settings} {text:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_rows_are_set_aside_as_they_are_written() {
    let shop = shop_of(
        "delimiter = \";\"\nquote = \"'\"\nnull_values = [\"NA\"]\ndecimal_comma = true\ntypes = { n = \"DOUBLE\" }\non_error = \"dead_letter\"",
        "a.csv",
        "\rn;t\r1,5;'x;y'\r1.5;'a;b'\rNA;c\r2;d;e\r",
    );
    shop.run(&[]);
    assert_eq!(shop.rows("SELECT n, t FROM all_rows ORDER BY n").await, ["1.5|x;y", "|c"]);
    let letters = shop.rows("SELECT \"offset\", CAST(payload AS TEXT) FROM dead_letters ORDER BY 1").await;
    assert_eq!(letters, ["4|1.5;'a;b'", "6|2;d;e"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn types_are_found_in_all_cells_and_told() {
    let mut text = "id,ok,price,day,at,zip,late,none\n".to_owned();
    for id in 0..30_000 {
        let late = if id == 29_999 { "x" } else { "1" };
        text += &format!("{id},true,{}.5,2026-01-31,2026-01-31 12:00:{:02},0{id},{late},\n", id % 7, id % 60);
    }
    let shop = shop_of("types = \"auto\"", "a.csv", &text);
    let output = shop.try_run(&[]);
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{stderr}");
    let told = "types found: id BIGINT, ok BOOLEAN, price DOUBLE, day DATE, at TIMESTAMP, zip TEXT, late TEXT, none TEXT";
    assert!(stdout.contains(told), "{stdout}");
    let sql = "SELECT arrow_typeof(id), arrow_typeof(ok), arrow_typeof(price), arrow_typeof(day), arrow_typeof(at), zip, none \
        FROM all_rows WHERE id = 7";
    assert_eq!(shop.rows(sql).await, ["Int64|Boolean|Float64|Date32|Timestamp(µs)|07|"]);
    // Another content may have other types.
    shop.write("a.csv", "id,ok,price,day,at,zip,late,none\n1.5,1,x,,,,,1\n");
    assert_eq!(shop.run(&[]), ["shop.all_rows built"]);
    let sql =
        "SELECT arrow_typeof(id), arrow_typeof(ok), arrow_typeof(price), arrow_typeof(none) FROM all_rows";
    assert_eq!(shop.rows(sql).await, ["Float64|Int64|Utf8|Int64"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_decides_rows_builds_the_table_again() {
    let shop = shop_of("", "a.csv", "a,b\nNA,1\n");
    assert_eq!(shop.run(&[]), ["shop.all_rows built"]);
    assert_eq!(shop.run(&[]), ["shop.all_rows unchanged"]);
    for key in ["null_values = [\"NA\"]", "types = \"auto\"", "columns = \"union\"", "comment = \"#\""] {
        let path = shop.path().join("a.csv");
        let job = format!("sql = \"sql/shop\"\n[inputs.rows_in]\npath = \"{}\"\n{key}\n", path.display());
        shop.write("jobs/shop.toml", job);
        assert_eq!(shop.run(&[]), ["shop.all_rows built"], "{key}");
        assert_eq!(shop.run(&[]), ["shop.all_rows unchanged"], "{key}");
    }
}

#[test]
fn the_command_line_reads_files_by_their_paths() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("sales.csv", "id,price\n1,2.5\n2,3\n");
    write("german.csv", "id;name\n1;tea\n");
    write("d/a.json", "{\"id\":1,\"n\":[1]}\n");
    write("d/b.json", "{\"id\":2,\"n\":[2]}\n");
    write("d/.b.json.crc", "x");
    let sql = |statement: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tidemill"));
        command.current_dir(folder.path()).env_remove("TIDEMILL_LAKE").env("NO_COLOR", "1");
        let output = command.args(["sql", "--format", "csv", statement]).output().unwrap();
        (output.status.code().unwrap(), texts(&output))
    };
    for (statement, expected) in [
        ("SELECT * FROM 'sales.csv' ORDER BY id", "id,price\n1,2.5\n2,3.0\n"),
        ("SELECT sum(price) AS s FROM './sales.csv'", "s\n5.5\n"),
        ("SELECT name FROM 'german.csv'", "name\ntea\n"),
        ("SELECT sum(id) AS s FROM 'd/*.json'", "s\n3\n"),
        ("SELECT count(*) AS n FROM 'd/' JOIN 'sales.csv' USING (id)", "n\n2\n"),
    ] {
        let (code, (stdout, stderr)) = sql(statement);
        assert_eq!((code, stdout.as_str()), (0, expected), "{statement}: {stderr}");
    }
    let (code, (_, stderr)) = sql("SELECT * FROM 'sale.csv'");
    assert!(code == 2 && stderr.contains("there is no file sale.csv"), "{stderr}");
    assert!(stderr.contains("did you mean './sales.csv'?"), "{stderr}");
    let (code, (_, stderr)) = sql("SELECT * FROM 'sales.csv', shop.days");
    assert!(code == 2 && stderr.contains("there is no lake"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_session_reads_files_by_their_paths() {
    let shop = shop_of("", "a.csv", "a\n1\n");
    shop.write("sql/shop/all_rows.sql", format!("SELECT * FROM '{}'", shop.path().join("a.csv").display()));
    let (code, error) = shop.refused(&[]);
    assert!(code == 2 && error.contains("there is no table or input"), "{error}");
    shop.write("sql/shop/all_rows.sql", "SELECT * FROM rows_in");
    shop.run(&[]);
    let session = tidemill_core::catalog::open_session(&shop.lake()).await.unwrap();
    let path = shop.path().join("a.csv");
    let sql = format!("SELECT * FROM '{}'", path.display());
    let error = tidemill_core::catalog::query(&session, &shop.lake(), &sql).await.unwrap_err();
    assert!(error.to_string().contains("there is no table"), "{error}");
}
