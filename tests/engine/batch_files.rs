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
pub fn shop_of(settings: &str, name: &str, content: impl AsRef<[u8]>) -> Shop {
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
            .filter(|name| !["_versions", "_delta_log"].contains(&name.as_str()))
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
async fn what_a_where_cannot_take_of_a_parquet_file_is_not_read() {
    // Sorted folders of a table of our own, so that each file is a folder's.
    let csv: String = (0..300).map(|n| format!("{n},{}\n", n / 100)).collect();
    let shop = shop_of("types = { n = \"INT\" }", "a.csv", format!("n,part\n{csv}"));
    let job = std::fs::read_to_string(shop.path().join("jobs/shop.toml")).unwrap();
    shop.write(
        "jobs/shop.toml",
        format!("{job}[[tables]]\nname = \"all_rows\"\npartition_by = [\"part\"]\n"),
    );
    shop.run(&[]);
    let table = shop.lake().root().join("shop/all_rows");

    let read = |settings: &str, sql: &str| {
        let reader = Shop::new();
        std::fs::remove_file(reader.path().join("sql/shop/by_state.sql")).unwrap();
        reader.write("sql/shop/wide.sql", sql);
        let path = table.display();
        reader.write(
            "jobs/shop.toml",
            format!("sql = \"sql/shop\"\n[inputs.rows_in]\npath = \"{path}\"\n{settings}\n"),
        );
        let output = reader.try_run(&[]);
        let (stdout, stderr) = texts(&output);
        let rows: Vec<serde_json::Value> = serde_json::from_str(&stdout).unwrap_or_default();
        let sum = |outcome: &str| -> u64 {
            let steps = rows.iter().filter(|row| row["step"] == "read" && row["outcome"] == outcome);
            steps.map(|row| row["rows"].as_u64().unwrap()).sum()
        };
        assert!(!stderr.contains("warning"), "{stderr}");
        (reader, sum("read"), sum("skipped by WHERE"), stderr)
    };
    let (reader, rows, skipped, _) = read("", "SELECT * FROM rows_in WHERE n >= 250");
    assert_eq!((rows, skipped), (100, 200));
    assert_eq!(reader.rows("SELECT count(*), min(n), min(part) FROM wide").await, ["50|250|2"]);
    let (reader, rows, skipped, _) = read("", "SELECT count(*) AS n FROM rows_in WHERE part = '1'");
    assert_eq!((rows, skipped, reader.rows("SELECT n FROM wide").await), (100, 200, vec!["100".to_owned()]));
    let (reader, rows, skipped, _) =
        read("row_number = \"_row\"", "SELECT n, _row FROM rows_in WHERE n > 298 OR n = 5");
    assert_eq!((rows, skipped), (200, 100));
    assert_eq!(reader.rows("SELECT n, _row FROM wide ORDER BY n").await, ["5|6", "299|100"]);
    // Where bad rows are set aside every table sees the same ones.
    let (_, rows, skipped, _) = read("on_error = \"dead_letter\"", "SELECT * FROM rows_in WHERE n >= 250");
    assert_eq!((rows, skipped), (300, 0));
    // Nothing to read is no empty file.
    let (_, rows, skipped, stderr) = read("", "SELECT * FROM rows_in WHERE n > 1000");
    assert!((rows, skipped) == (0, 300), "{stderr}");
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
        (
            "twice.csv",
            good.replace("at,p", "at,at").into(),
            "",
            &["twice.csv, line 1: there are two columns `at`"],
        ),
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
        let versions = shop.lake().root().join("shop/all_rows/_versions");
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

/// Reading it would wait for somebody to write to it.
#[cfg(unix)]
#[test]
fn a_pipe_among_the_inputs_is_told_and_not_waited_for() {
    let shop = shop_of("", "a.csv", "k,v\n1,2\n");
    let pipe = shop.path().join("b.csv");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let job = std::fs::read_to_string(shop.path().join("jobs/shop.toml")).unwrap();
    for pattern in ["*.csv", "b.csv"] {
        shop.write("jobs/shop.toml", job.replace("a.csv", pattern));
        let (code, error) = shop.refused(&[]);
        assert!(
            code == 2 && error.contains("b.csv") && error.contains("a pipe"),
            "{pattern}: {code} {error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_of_utf_8_before_sql_and_settings_is_none_of_them() {
    let shop = shop_of("types = { k = \"BIGINT\" }", "a.csv", "k,v\n1,2\n");
    for name in ["jobs/shop.toml", "sql/shop/all_rows.sql"] {
        let text = std::fs::read_to_string(shop.path().join(name)).unwrap();
        shop.write(name, format!("\u{feff}{text}"));
    }
    shop.run(&[]);
    assert_eq!(shop.rows("\u{feff}SELECT k, v FROM shop.all_rows").await, ["1|2"]);
}
