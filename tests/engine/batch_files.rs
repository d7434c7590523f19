//! Files of a batch job: every format in and out, and what a bad one is answered with.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::batch::Shop;
use crate::support::{texts, visible_files};

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// One input `rows` of this file, and the table `all` of it.
fn shop_of(settings: &str, name: &str, content: impl AsRef<[u8]>) -> Shop {
    let shop = Shop::new();
    let path = shop.write(name, content);
    for old in ["wide", "by_state"] {
        std::fs::remove_file(shop.path().join(format!("sql/shop/{old}.sql"))).unwrap();
    }
    shop.write("sql/shop/all_rows.sql", "SELECT * FROM rows_in");
    let job = format!("sql = \"sql/shop\"\n[inputs.rows_in]\npath = \"{}\"\n{settings}\n", path.display());
    shop.write("jobs/shop.toml", job);
    shop
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_gives_the_same_rows() {
    let csv = "id,name,day\n1,\"a, b\",2020-01-31\n2,,\n";
    let types = "types = { id = \"BIGINT\", day = \"DATE\" }";
    let json = "{\"id\":1,\"name\":\"a, b\",\"day\":\"2020-01-31\"}\n\n{\"id\":2,\"name\":null}\n";
    let cases = [
        ("a.csv", csv.as_bytes().to_vec()),
        ("a.csv.gz", gzip(csv)),
        ("a.tsv", csv.replace("\"a, b\"", "a; b").replace(',', "\t").replace(';', ",").into_bytes()),
        ("a.csv", format!("\u{feff}{}", csv.replace('\n', "\r\n")).into_bytes()),
        ("a.jsonl", json.as_bytes().to_vec()),
        ("a.json.gz", gzip(json)),
    ];
    for (name, bytes) in cases {
        let shop = shop_of(types, name, bytes);
        shop.run(&[]);
        let rows = shop.rows("SELECT id, name, day FROM all_rows ORDER BY id").await;
        assert_eq!(rows, ["1|a, b|2020-01-31", "2||"], "{name}");
        // What has been written is read again as an input.
        let written = visible_files(&shop.lake().root().join("shop/all_rows")).remove(0);
        let again = shop_of("", "again.parquet", std::fs::read(written).unwrap());
        again.run(&[]);
        assert_eq!(again.rows("SELECT id, name, day FROM all_rows ORDER BY id").await, rows, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn globs_folders_row_numbers_and_encodings() {
    let shop = shop_of(
        "row_number = \"_row\"\nencoding = \"windows-1252\"",
        "in/y=2019/m=a%20b/x.csv",
        b"id,t\n1,caf\xe9\n2,\x80\n",
    );
    shop.write("in/y=2020/m=c/x.csv", b"t,id\n\xfc,3\n");
    let folder = shop.path().join("in");
    shop.edit("jobs/shop.toml", "/in/y=2019/m=a%20b/x.csv", "/in");
    shop.edit("jobs/shop.toml", "encoding", "types = { y = \"INT\" }\nencoding");
    shop.run(&[]);
    let sql = "SELECT id, t, _row, y + 1, m FROM all_rows ORDER BY id";
    let rows = ["1|café|1|2020|a b", "2|€|2|2020|a b", "3|ü|1|2021|c"];
    assert_eq!(shop.rows(sql).await, rows);
    // A glob has no columns of folders.
    shop.edit("jobs/shop.toml", "types = { y = \"INT\" }\n", "");
    let glob = format!("rows_in={}/*/*/x.csv", folder.display());
    shop.run(&["--input", &glob]);
    assert_eq!(shop.rows("SELECT id, _row FROM all_rows ORDER BY id").await, ["1|1", "2|2", "3|1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_written_as_parquet_csv_or_json_in_folders_of_values() {
    let shop = shop_of("types = { n = \"INT\" }", "a.csv", "s,n,t\nSP,1,x\na/b=c,2,\"y, z\"\nSP,3,\n,4,w\n");
    let job = std::fs::read_to_string(shop.path().join("jobs/shop.toml")).unwrap();
    let table = shop.lake().root().join("shop/all_rows");
    let sql = "SELECT n, t, s FROM all_rows ORDER BY n";
    let rows = ["1|x|SP", "2|y, z|a/b=c", "3||SP", "4|w|"];
    for (format, content) in [
        ("csv", "s,n,t\nSP,1,x\na/b=c,2,\"y, z\"\nSP,3,\n,4,w\n"),
        (
            "json",
            "{\"s\":\"SP\",\"n\":1,\"t\":\"x\"}\n{\"s\":\"a/b=c\",\"n\":2,\"t\":\"y, z\"}\n{\"s\":\"SP\",\"n\":3}\n{\"n\":4,\"t\":\"w\"}\n",
        ),
    ] {
        shop.write(
            "jobs/shop.toml",
            format!("{job}[[tables]]\nname = \"all_rows\"\nformat = \"{format}\"\n"),
        );
        shop.run(&[]);
        let files = visible_files(&table);
        assert_eq!(std::fs::read_to_string(&files[0]).unwrap(), content);
        assert_eq!((files.len(), shop.rows(sql).await), (1, rows.map(String::from).to_vec()));
    }
    for format in ["parquet", "csv"] {
        let settings = format!(
            "[[tables]]\nname = \"all_rows\"\nformat = \"{format}\"\npartition_by = [\"s\"]\naudits = {{ not_null = [\"n\"], row_count = {{ min = 4 }} }}\n"
        );
        shop.write("jobs/shop.toml", format!("{job}{settings}"));
        shop.write("sql/shop/sums.sql", "SELECT s, sum(n) AS n FROM all_rows GROUP BY s");
        shop.run(&[]);
        let mut folders: Vec<String> = std::fs::read_dir(&table)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with('.'))
            .collect();
        folders.sort();
        assert_eq!(folders, ["s=SP", "s=__HIVE_DEFAULT_PARTITION__", "s=a%2Fb%3Dc"]);
        assert_eq!(shop.rows(sql).await, rows);
        assert_eq!(shop.rows("SELECT * FROM sums ORDER BY n, s").await, ["a/b=c|2", "SP|4", "|4"]);
    }
}

#[test]
fn a_column_that_is_called_otherwise_is_named_with_its_heading() {
    let shop = shop_of("", "towns.csv", "n,customer_cty\n1,x\n");
    shop.edit("sql/shop/all_rows.sql", "SELECT *", "SELECT customer_city");
    let (code, errors) = shop.refused(&[]);
    assert!(code == 2 && errors.contains("No field named customer_city"), "{code} {errors}");
    assert!(errors.contains("towns.csv, line 1, has a column customer_cty"), "{errors}");
    // And a table of another job.
    shop.edit("sql/shop/all_rows.sql", "SELECT customer_city FROM rows_in", "SELECT * FROM system.metricz");
    let (code, errors) = shop.refused(&[]);
    assert!(code == 2 && errors.contains("did you mean `system.metrics`?"), "{code} {errors}");
    // Before anything is built, too.
    let (code, dry) = shop.refused(&["--dry-run"]);
    assert!(code == 2 && dry.contains("all_rows.sql: there is no table `system.metricz`"), "{code} {dry}");
    assert!(dry.contains("did you mean `system.metrics`?"), "{dry}");
    shop.edit("sql/shop/all_rows.sql", "system.metricz", "rows_in");
    shop.write("sql/shop/audits/few.sql", "SELECT * FROM rows_in WHERE n IN (SELECT town FROM othr.towns)");
    let (code, dry) = shop.refused(&["--dry-run"]);
    assert!(code == 2 && dry.contains("audits/few.sql: there is no table `othr.towns`"), "{code} {dry}");
}

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
            shop.run(&[]);
            assert_eq!(shop.rows("SELECT count(*), count(n) FROM all_rows").await, ["2|1"], "{name} {kind}");
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

/// Name, content, what the job says of it, and what the error must say.
type Bad<'a> = (&'a str, Vec<u8>, &'a str, &'a [&'a str]);

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_is_named_with_line_and_column_and_nothing_is_left() {
    let typed = "types = { n = \"INT\", at = \"TIMESTAMP\", p = \"DECIMAL(4,2)\" }";
    let good = "n,at,p,t\n1,2020-01-01 00:00:00,1.25,x\n";
    let many = good.to_owned() + &"2,2020-01-01 00:00:00,1.25,\"a\nb\"\n".repeat(9_000);
    let mut cut = gzip(
        &(0..40_000).map(|n| format!("{n},,{},\n", n % 7)).collect::<String>().replacen("0,,0,\n", good, 1),
    );
    cut.truncate(cut.len() / 2);
    let cases: [Bad<'_>; 15] = [
        (
            "few.csv",
            format!("{many}3,,\n").into(),
            typed,
            &["few.csv, line 18003: 3 cells where the header has 4: column t is missing"],
        ),
        (
            "much.csv",
            format!("{good}3,,,,\n").into(),
            typed,
            &["much.csv, line 3: 5 cells where the header has 4"],
        ),
        (
            "number.csv",
            format!("{many}3x,,,\n").into(),
            typed,
            &["number.csv, line 18003, column n: `3x` is no INT"],
        ),
        (
            "date.csv",
            format!("{good}3,2020-02-30 00:00:00,,\n").into(),
            typed,
            &["date.csv, line 3, column at: `2020-02-30 00:00:00` is no TIMESTAMP"],
        ),
        (
            "price.csv",
            format!("{good}3,,1.2.5,\n").into(),
            typed,
            &["price.csv, line 3, column p: `1.2.5` is no DECIMAL(4,2)"],
        ),
        (
            "byte.csv",
            [good.as_bytes(), b"3,,,caf\xe9\n"].concat(),
            typed,
            &["byte.csv, line 3, column t: the cell is not UTF-8", "encoding"],
        ),
        (
            "quote.csv",
            format!("{good}3,,,\"open\n4,,,x\n").into(),
            typed,
            &["quote.csv, line 3, column t: a quote is not closed"],
        ),
        ("empty.csv", Vec::new(), typed, &["empty.csv is empty"]),
        ("cut.csv.gz", cut, typed, &["cut.csv.gz after line ", "gzip -t"]),
        (
            "renamed.csv",
            good.replace("at,", "att,").into(),
            typed,
            &["renamed.csv, line 1: there is no column `at`", "did you mean `att`?"],
        ),
        ("twice.csv", good.replace("at,p", "at,at").into(), "", &["twice.csv: there are two columns `at`"]),
        ("odd.txt", good.into(), typed, &["odd.txt does not say how it is written", "format ="]),
        ("a.csv", good.into(), "encoding = \"utf-9\"", &["there is no encoding `utf-9`"]),
        ("no.parquet", good.into(), "", &["no.parquet: not a whole Parquet file"]),
        (
            "bad.json",
            b"{\"n\":1}\n{\"n\":2}\n{\"n\": \n".to_vec(),
            "types = { n = \"INT\" }",
            &["bad.json, line 3: no JSON object"],
        ),
    ];
    for (name, bytes, settings, parts) in cases {
        let shop = shop_of(settings, name, bytes);
        let (code, error) = shop.refused(&[]);
        assert!(code == 1 || code == 2, "{name}: {code} {error}");
        for part in parts.iter().chain(&["help: "]) {
            assert!(error.contains(part), "{name}: `{part}` is not in\n{error}");
        }
        assert!(!shop.lake().root().join("shop/all_rows").exists(), "{name}");
        let versions = shop.lake().root().join("shop/_versions/all_rows");
        let left: Vec<_> = std::fs::read_dir(versions).map(|e| e.flatten().collect()).unwrap_or_default();
        assert!(left.iter().all(|entry: &std::fs::DirEntry| !entry.path().is_dir()), "{name}: {left:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_rows_are_set_aside_where_the_job_says_so() {
    let settings =
        "types = { n = \"INT\", p = \"DOUBLE\" }\nrow_number = \"_row\"\non_error = \"dead_letter\"";
    let mut text = String::from("n,p,t\n");
    (0..9_000).for_each(|n| text.push_str(&format!("{n},0.5,x\n")));
    text.push_str("9000,oops,x\n9001,1,\"y\nz\"\n9002,1\n9003x,also,x\n9004,2,z\n");
    let mut bytes = text.into_bytes();
    bytes.extend(b"9005,1,\xff\n9006,1,last\n");
    let shop = shop_of(settings, "a.csv", &bytes);
    // Reads no typed column: the same rows count all the same.
    shop.write("sql/shop/count_rows.sql", "SELECT count(t) AS n FROM rows_in");
    let output = shop.try_run(&[]);
    assert!(output.status.success(), "{}", texts(&output).1);
    let (stdout, _) = texts(&output);
    assert!(stdout.contains("\"outcome\":\"dead letter\",\"rows\":4"), "{stdout}");
    assert_eq!(shop.rows("SELECT count(*), max(_row), sum(p) FROM all_rows").await, ["9003|9007|4504.0"]);
    assert_eq!(shop.rows("SELECT n FROM count_rows").await, ["9003"]);
    assert_eq!(
        shop.rows("SELECT n, _row FROM all_rows WHERE n > 8999 ORDER BY n").await,
        ["9001|9002", "9004|9005", "9006|9007"]
    );
    let letters = shop.rows("SELECT \"offset\", error, arrow_cast(payload, 'Utf8') FROM dead_letters WHERE \"offset\" < 9008 ORDER BY 1").await;
    assert_eq!(
        letters,
        [
            "9002|column p: `oops` is no DOUBLE|9000,oops,x",
            "9005|2 cells where the header has 3: column t is missing|9002,1",
            "9006|column n: `9003x` is no INT|9003x,also,x",
        ]
    );
    assert_eq!(shop.rows("SELECT count(*) FROM dead_letters").await, ["4"], "kept by one of the two tables");
    let show = |arguments: &[&str]| {
        let arguments = [&["dlq", "show", "shop", "--format", "csv"], arguments].concat();
        texts(&crate::support::run(&mut shop.command(&arguments)))
    };
    let (shown, stderr) = show(&[]);
    let path = shop.path().join("a.csv");
    let lines: Vec<&str> = shown.lines().map(|line| line.split_once(',').unwrap().1).collect();
    assert_eq!(lines.len(), 5, "{shown} {stderr}");
    assert_eq!(lines[0], "file,line,error,payload");
    assert_eq!(lines[1], format!("{},9002,column p: `oops` is no DOUBLE,\"9000,oops,x\"", path.display()));
    assert!(lines[4].ends_with(",0x393030352c312cff"), "{shown}");
    assert_eq!(show(&["--limit", "1"]).0.lines().count(), 2);

    // Mended, and built again: the letters are of the version before.
    let mended: Vec<u8> = String::from_utf8_lossy(&bytes)
        .replace("oops", "7")
        .replace("9002,1\n", "")
        .replace("9003x,also", "9003,1")
        .replace('\u{fffd}', "w")
        .into();
    shop.write("a.csv", mended);
    shop.run(&[]);
    assert_eq!(shop.rows("SELECT count(*) FROM dead_letters").await, ["0"]);
    assert_eq!(shop.rows("SELECT count(*) FROM all_rows").await, ["9006"]);

    let json = "{\"n\":1}\n{\"n\":\"one\"}\n{\"n\":3}\n{\"n\":\n";
    let shop =
        shop_of("types = { n = \"INT\" }\non_error = \"dead_letter\"\nrow_number = \"_row\"", "a.json", json);
    shop.run(&[]);
    assert_eq!(shop.rows("SELECT n, _row FROM all_rows ORDER BY n").await, ["1|1", "3|3"]);
    assert_eq!(shop.rows("SELECT \"offset\" FROM dead_letters ORDER BY 1").await, ["2", "4"]);
}

#[test]
fn a_file_of_a_header_alone_is_warned_of() {
    let shop = shop_of("", "a.csv", "id,n\n");
    shop.write("sql/shop/counted.sql", "SELECT count(*) AS n FROM rows_in");
    let output = shop.try_run(&[]);
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{stderr}");
    let warning = format!("warning: {}: the file has no rows\n", shop.path().join("a.csv").display());
    assert_eq!(stderr.matches(&warning).count(), 1, "{stderr}");
    let rows: Vec<serde_json::Value> = serde_json::from_str(&stdout).unwrap();
    let read = rows.iter().filter(|row| row["step"] == "read");
    assert!(
        read.clone().count() == 2 && read.clone().all(|row| row["reason"] == "the file has no rows"),
        "{stdout}"
    );
    shop.write("a.csv", "id,n\n1,2\n");
    let (_, stderr) = texts(&shop.try_run(&[]));
    assert!(!stderr.contains("warning"), "{stderr}");
}

#[test]
fn a_built_in_job_without_data_names_the_command_that_makes_a_sample() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |job: &str| {
        let mut command = crate::support::tidemill(&folder.path().join("lake"));
        let output = crate::support::run(command.args(["run", job]).env("TIDEMILL_DATA", folder.path()));
        assert_eq!(output.status.code(), Some(2));
        texts(&output).1
    };
    for (job, rows, set) in [("olist", 5000, "olist"), ("online-retail", 50_000, "online_retail")] {
        let error = refused(job);
        let out = folder.path().join(set);
        let command = format!("data generate {job} --rows {rows} --out {}; or --input", out.display());
        assert!(error.contains(&command), "{error}");
        // Files that are there are not to be replaced by a sample.
        std::fs::create_dir(out).unwrap();
        assert!(!refused(job).contains("data generate"));
    }
    assert!(
        refused("chicago-crimes")
            .contains("data generate chicago-crimes --rows 100000 --out crimes.csv; or ")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_into_memory_spills_or_is_joined_otherwise() {
    let mut text = String::from("k,v\n");
    (0..120_000).for_each(|n| text.push_str(&format!("{},value number {n}\n", (n * 7919) % 120_000)));
    let shop = shop_of("types = { k = \"BIGINT\" }", "a.csv", text);
    shop.write(
        "sql/shop/all_rows.sql",
        "SELECT a.k, a.v, b.v AS w FROM rows_in AS a JOIN rows_in AS b ON a.k = b.k ORDER BY a.v",
    );
    // Built at the same time: each would do with what there is, but not with what the other leaves.
    shop.write("sql/shop/sorted.sql", "SELECT * FROM rows_in ORDER BY v");
    let output = shop.try_run(&["--memory-limit", "8MB"]);
    assert!(output.status.success(), "{}", texts(&output).1);
    let report: Vec<serde_json::Value> = serde_json::from_str(&texts(&output).0).unwrap();
    let peak = report.last().unwrap()["peak_memory_bytes"].as_u64().unwrap();
    assert!(peak > 0 && peak <= 8_000_000, "{peak}");
    assert_eq!(
        shop.rows("SELECT count(*), count(DISTINCT k), sum(CASE WHEN v = w THEN 1 ELSE 0 END) FROM all_rows")
            .await,
        ["120000|120000|120000"]
    );
    let (code, error) = shop.refused(&["--force", "--memory-limit", "10kB"]);
    assert!(code == 1 && error.contains("--memory-limit"), "{error}");
    assert!(!error.contains("Resources exhausted") && !error.contains("datafusion"), "{error}");
}

#[test]
fn audits_spill_and_an_aggregate_that_cannot_says_what_to_do() {
    let mut text = String::from("k,v\n");
    (0..120_000).for_each(|n| text.push_str(&format!("{},value number {n}\n", (n * 7919) % 120_000)));
    let shop = shop_of("types = { k = \"BIGINT\" }", "a.csv", text);
    let job = std::fs::read_to_string(shop.path().join("jobs/shop.toml")).unwrap();
    shop.write("sql/shop/others.sql", "SELECT v FROM rows_in WHERE k <> 7");
    shop.write(
        "jobs/shop.toml",
        format!(
            "{job}[[tables]]\nname = \"all_rows\"\naudits = {{ unique = [[\"v\"], [\"v\", \"k\"]], \
             relationships = [{{ column = \"v\", to = \"others.v\" }}] }}\n"
        ),
    );
    let joined = "SELECT a.* FROM all_rows AS a JOIN all_rows AS b ON a.v = b.v WHERE a.k < 0 AND a.v <> b.v";
    shop.write("sql/shop/audits/joined.sql", joined);
    let limit = ["--memory-limit", "3MB", "--force"];
    let (code, error) = shop.refused(&limit);
    assert!(code == 1 && error.contains("`relationships v` of all_rows found 1 bad row"), "{error}");
    shop.edit("sql/shop/others.sql", " WHERE k <> 7", "");
    let output = shop.try_run(&limit);
    assert!(output.status.success(), "{}", texts(&output).1);

    // Each of two lists of distinct values is to be in memory.
    shop.edit("sql/shop/others.sql", "v FROM", "v, 1 AS n FROM");
    shop.write("sql/shop/counted.sql", "SELECT count(DISTINCT v) AS a, count(DISTINCT k) AS b FROM rows_in");
    let (code, error) = shop.refused(&["--memory-limit", "3MB", "--select", "counted"]);
    let says = "sql/shop/counted.sql: 3 MB of memory do not suffice for an aggregate: count(DISTINCT)";
    assert!(code == 1 && error.contains(says) && error.contains("--memory-limit"), "{error}");
    assert!(!error.contains("Resources exhausted"), "{error}");
}
