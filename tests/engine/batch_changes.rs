//! What makes a batch table's version no more the right one: audits that ask the time, states and views of stream jobs,
//! files that are gone. And which names and numbers it has.

use std::path::Path;

use serde_json::Value;
use tidemill_core::project::{Project, Settings};

use crate::batch::Shop;
use crate::batch_files::shop_of;
use crate::support::{TestBroker, run, stream_all, texts, unsealed, visible_files};

const UNCHANGED: [&str; 2] = ["shop.wide unchanged", "shop.by_state unchanged"];

/// The audits that a run has run, and what they found.
fn audits(shop: &Shop) -> Vec<String> {
    let output = shop.try_run(&[]);
    let rows: Vec<Value> = serde_json::from_str(&texts(&output).0).unwrap();
    let audits = rows.iter().filter(|row| row["step"] == "audit");
    audits.map(|row| row["outcome"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_that_asks_the_time_is_run_again() {
    let shop = Shop::new();
    let late = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(6);
    let late = late.strftime("%Y-%m-%d %H:%M:%S");
    let sql = format!("SELECT * FROM wide WHERE current_timestamp > TIMESTAMP '{late}'");
    shop.write("sql/shop/audits/late.sql", sql);
    assert_eq!(shop.run(&[]), ["shop.wide built", "shop.by_state built"]);
    assert_eq!(shop.run(&[]), UNCHANGED);
    assert_eq!(audits(&shop), ["late passed"]);
    std::thread::sleep(std::time::Duration::from_secs(7));
    let output = shop.try_run(&[]);
    assert_eq!(shop.outcomes(&output), ["shop.wide failed", "shop.by_state not built"]);
    let error = texts(&output).1;
    assert!(output.status.code() == Some(1) && error.contains("does not hold any more"), "{error}");
    // It stands as it was.
    assert_eq!(shop.rows("SELECT count(*) FROM wide").await, ["4"]);
}

#[test]
fn what_an_audit_reads_is_part_of_what_a_table_is_made_of() {
    let shop = Shop::new();
    let other = shop.write("limits.csv", "most\n100\n");
    let job = std::fs::read_to_string(shop.path().join("jobs/shop.toml")).unwrap();
    shop.write("jobs/shop.toml", format!("{job}\n[inputs.limits]\npath = \"{}\"\n", other.display()));
    shop.write(
        "sql/shop/audits/dear.sql",
        "SELECT * FROM wide, limits WHERE price > CAST(most AS DECIMAL(10,2))",
    );
    shop.run(&[]);
    assert_eq!(shop.run(&[]), UNCHANGED);
    shop.write("limits.csv", "most\n5\n");
    let (code, error) = shop.refused(&[]);
    assert!(code == 1 && error.contains("dear.sql found 1 bad row"), "{error}");
}

/// A stream job `s` with a view over a view and a state, in the shop's project.
fn stream_job(shop: &Path, broker: &TestBroker) -> tidemill_core::project::StreamJob {
    let write = |name: &str, text: &str| {
        let path = shop.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write(
        "jobs/s.toml",
        "stateful = true\n[source]\nkafka = { bootstrap_servers = \"x\", subscribe = \"crimes\" }\nformat = \"json\"\n\
         schema = \"sql/s/schema.sql\"\n[trigger]\navailable_now = true\n[table]\npath = \"lake/s/seen\"\n\
         [views]\nbeats = \"sql/s/beats.sql\"\nmany = \"sql/s/many.sql\"\nnames = \"sql/s/names.sql\"\n\
         [state]\ntable = \"by_block\"\nkey = \"block\"\nselect = \"sql/s/by_block.sql\"\n\
         [state.columns]\nhighest = { max = \"beat\" }\n",
    );
    write("sql/s/schema.sql", "CREATE TABLE seen (beat INT, block TEXT)");
    write("sql/s/beats.sql", "SELECT beat, count(*) AS times FROM seen GROUP BY beat");
    write("sql/s/many.sql", "SELECT sum(times) AS times FROM s.beats");
    write("sql/s/names.sql", "SELECT table_name FROM information_schema.tables");
    write("sql/s/by_block.sql", "SELECT block, highest FROM by_block");
    let sets = vec![("source.kafka.bootstrap_servers".to_owned(), broker.address())];
    Project::open(shop).stream_job("s", &Settings { sets, environment: Default::default() }).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_over_the_state_or_anothers_table_is_looked_at_before_the_first_batch() {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    broker.send("crimes", 1, &[Some(br#"{"beat":1,"block":"b"}"#.to_vec())]);
    let shop = shop_of("", "a.csv", "n\n1\n");
    shop.run(&[]);
    let job = stream_job(shop.path(), &broker);
    for (view, first) in [
        ("SELECT a.block, b.block FROM by_block AS a JOIN s.by_block AS b ON a.block = b.block", "`a.block`"),
        ("SELECT a.n, b.n FROM all_rows AS a CROSS JOIN all_rows AS b", "`a.n`"),
        ("SELECT a.job, b.job FROM batches AS a CROSS JOIN system.batches AS b", "`a.job`"),
    ] {
        let mut job = job.clone();
        job.program.views.insert("twice".into(), view.into());
        let error = stream_all(&job, &shop.lake()).await.unwrap_err();
        assert!(error.to_string().contains("view s.twice") && error.to_string().contains(first), "{error}");
        let plans = shop.lake().checkpoint("s").join("offsets");
        assert!(!plans.exists() || crate::support::visible_files(&plans).is_empty(), "{view}");
    }
    let mut job = job.clone();
    job.program
        .views
        .insert("once".into(), "SELECT block, highest, n FROM by_block CROSS JOIN all_rows".into());
    stream_all(&job, &shop.lake()).await.unwrap();
    assert_eq!(shop.rows("SELECT * FROM s.once").await, ["b|1|1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn views_and_states_of_a_stream_are_looked_at() {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    let send = |beats: std::ops::Range<u32>| {
        let messages: Vec<_> =
            beats.map(|n| Some(format!(r#"{{"beat":{n},"block":"b{}"}}"#, n % 7).into_bytes())).collect();
        broker.send("crimes", 1, &messages);
    };
    send(0..50);
    let shop = shop_of("", "a.csv", "n\n1\n");
    let job = stream_job(shop.path(), &broker);
    stream_all(&job, &shop.lake()).await.unwrap();
    shop.write("sql/shop/viewed.sql", "SELECT times FROM s.many");
    shop.write(
        "sql/shop/kept.sql",
        "WITH k AS (SELECT * FROM s.by_block) SELECT max(highest) AS highest FROM k",
    );
    shop.write(
        "sql/shop/batches.sql",
        "SELECT sum(rows_out) AS rows_out FROM system.batches WHERE job = 's'",
    );
    shop.write("sql/shop/named.sql", "SELECT count(*) AS n FROM s.names");
    let names = ["all_rows", "batches", "kept", "viewed", "named"];
    let built: Vec<String> = shop.run(&[]);
    assert!(built.iter().all(|line| line.ends_with(" built")) && built.len() == names.len(), "{built:?}");
    let again = shop.run(&[]);
    // What the catalogue has is not to be told apart: built each time.
    assert_eq!(
        again.iter().filter(|line| line.ends_with(" built")).collect::<Vec<_>>(),
        ["shop.named built"]
    );
    let rows = |table: &'static str| shop.rows(table);
    let all = "SELECT times, highest, rows_out FROM shop.viewed, shop.kept, shop.batches";
    assert_eq!(rows(all).await, ["50|49|50"]);
    send(50..60);
    stream_all(&job, &shop.lake()).await.unwrap();
    let unchanged: Vec<String> =
        shop.run(&[]).into_iter().filter(|line| line.ends_with("unchanged")).collect();
    assert_eq!(unchanged, ["shop.all_rows unchanged"]);
    assert_eq!(rows(all).await, ["60|59|60"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_of_another_jobs_table_that_is_called_otherwise_is_seen() {
    let shop = Shop::new();
    shop.write("jobs/parts.toml", "sql = \"sql/parts\"\n[[tables]]\nname = \"p\"\npartition_by = [\"k\"]\n");
    shop.write("sql/parts/p.sql", "SELECT 1 AS v, 'a' AS k");
    let parts = || assert!(run(&mut shop.command(&["run", "parts"])).status.success());
    parts();
    shop.write("sql/shop/of_parts.sql", "SELECT k FROM parts.p");
    let chosen = ["--select", "of_parts"];
    assert_eq!(shop.run(&chosen), ["shop.of_parts built"]);
    assert_eq!(shop.run(&chosen), ["shop.of_parts unchanged"]);
    // The file's bytes are the same, its folder is not.
    shop.edit("sql/parts/p.sql", "'a'", "'b'");
    parts();
    assert_eq!(shop.run(&chosen), ["shop.of_parts built"]);
    assert_eq!(shop.rows("SELECT k FROM shop.of_parts").await, ["b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_version_that_are_gone_are_missed() {
    let shop = Shop::new();
    let wide = shop.lake().root().join("shop/wide");
    let shown = || visible_files(&wide).remove(0);
    let file = || {
        let name = shown().file_name().unwrap().to_owned();
        let version = Path::new(&name).file_stem().unwrap().to_str().unwrap().replace("batch-", "");
        wide.join("_versions").join(version).join(name)
    };
    shop.run(&[]);
    // What others read of it is made again; SQL does not miss it.
    let second_name = shown();
    std::fs::remove_file(&second_name).unwrap();
    assert_eq!(shop.rows("SELECT count(*) FROM wide").await, ["4"]);
    assert_eq!(shop.run(&[]), UNCHANGED);
    assert_eq!(shown(), second_name);
    for damage in [
        (|path: &Path| std::fs::remove_file(path).unwrap()) as fn(&Path),
        |path| std::fs::write(path, &std::fs::read(path).unwrap()[1..]).unwrap(),
        |path| std::fs::remove_dir_all(path.parent().unwrap()).unwrap(),
    ] {
        assert_eq!(shop.run(&[]), UNCHANGED);
        damage(&file());
        // Never as if it had no rows, or fewer.
        let read = run(&mut shop.command(&["sql", "SELECT count(*) FROM shop.wide"]));
        let error = texts(&read).1;
        assert!(!read.status.success() && error.contains("batch-0000000"), "{error}");
        let (code, error) = shop.refused(&["--force", "--select", "by_state"]);
        assert!(code == 1 && error.contains("batch-0000000"), "{error}");
        assert_eq!(shop.run(&[]), ["shop.wide built", "shop.by_state built"]);
        assert_eq!(shop.rows("SELECT count(*) FROM wide").await, ["4"]);
    }
}

/// The versions that a run tells of `wide` and `by_state`.
fn versions(shop: &Shop, arguments: &[&str]) -> Vec<String> {
    let error = texts(&shop.try_run(arguments)).1;
    let version = |line: &str| {
        let rest = line.split_once(", version ")?.1;
        Some(rest.split(' ').next().unwrap_or_default().to_owned())
    };
    error.lines().filter_map(version).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_count_the_builds_of_their_table() {
    let shop = Shop::new();
    assert_eq!(versions(&shop, &[]), ["0", "0"]);
    assert_eq!(versions(&shop, &["--force"]), ["1", "1"]);
    assert_eq!(versions(&shop, &["--force", "--select", "by_state"]), ["2"]);
    assert_eq!(versions(&shop, &["--force", "--select", "wide"]), ["2"]);
    assert!(shop.lake().root().join("shop/wide/_versions/00000002/batch-00000002.parquet").is_file());
    assert_eq!(shop.rows("SELECT count(*) FROM wide").await, ["4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_a_lake_that_counted_commits_go_on_from_there() {
    let shop = Shop::new();
    shop.run(&[]);
    // As it was written when a version had the number of its commit.
    let root = shop.lake().root().to_owned();
    let record = root.join("shop/_checkpoint/commits/1.json");
    let mut commit = unsealed(&record);
    commit["build"].as_object_mut().unwrap().remove("version");
    let path = "shop/by_state/_versions/00000001/batch-00000001.parquet";
    let file = &mut commit["added"][0];
    let now = root.join(file["path"].as_str().unwrap());
    file["path"] = path.into();
    std::fs::write(&record, serde_json::to_vec(&commit).unwrap()).unwrap();
    std::fs::rename(&now, now.with_file_name("batch-00000001.parquet")).unwrap();
    std::fs::rename(now.parent().unwrap(), root.join("shop/by_state/_versions/00000001")).unwrap();
    assert_eq!(versions(&shop, &[]), ["0", "1"]);
    assert_eq!(shop.rows("SELECT count(*) FROM by_state").await, ["3"]);
    assert_eq!(visible_files(&root.join("shop/by_state")).len(), 1);
    assert_eq!(versions(&shop, &["--force"]), ["1", "2"]);
    assert_eq!(shop.rows("SELECT count(*) FROM by_state").await, ["3"]);
}

#[test]
fn a_file_that_is_given_twice_is_refused() {
    let shop = Shop::new();
    let (a, b) = (shop.path().join("orders.csv"), shop.path().join("./sql/../orders.csv"));
    let (a, b) = (format!("orders={}", a.display()), format!("orders={}", b.display()));
    for words in [vec!["--input", &a, &b[7..]], vec!["--input", &a, "--input", &b]] {
        let (code, error) = shop.refused(&words);
        assert!(code == 2 && error.contains("orders.csv is given twice"), "{words:?}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_one_number_are_told_apart_by_their_file() {
    let shop = shop_of("row_number = \"_row\"", "a.csv", "n\n1\n2\n");
    let b = shop.write("b.csv", "n\n3\n");
    let job = std::fs::read_to_string(shop.path().join("jobs/shop.toml")).unwrap();
    let unique = |by: &str| format!("[[tables]]\nname = \"all_rows\"\naudits = {{ unique = [[{by}]] }}\n");
    shop.write("jobs/shop.toml", format!("{job}{}", unique("\"_row\"")));
    let a = shop.path().join("a.csv");
    let both = ["--input", a.to_str().unwrap(), "--input", b.to_str().unwrap()];
    let (code, error) = shop.refused(&both);
    assert!(code == 1 && error.contains("unique _row") && error.contains("`file_name`"), "{error}");
    shop.write("jobs/shop.toml", format!("{job}file_name = \"_file\"\n{}", unique("\"_file\", \"_row\"")));
    assert_eq!(shop.run(&both), ["shop.all_rows built"]);
    let rows = "SELECT n, _row, split_part(_file, '/', -1) AS file FROM all_rows ORDER BY n";
    assert_eq!(shop.rows(rows).await, ["1|1|a.csv", "2|2|a.csv", "3|1|b.csv"]);
    assert_eq!(shop.run(&both), ["shop.all_rows unchanged"]);
    // What is in the rows has changed.
    let c = shop.write("c.csv", "n\n3\n");
    assert_eq!(shop.run(&["--input", both[1], "--input", c.to_str().unwrap()]), ["shop.all_rows built"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_columns_of_one_name_are_refused_where_they_would_be_written() {
    let shop = Shop::new();
    for (sql, says) in [
        (
            "SELECT o.order_id, i.order_id FROM orders o JOIN items i ON o.order_id = i.order_id",
            "`o.order_id`, the 1st",
        ),
        ("SELECT o.*, i.* FROM orders o JOIN items i ON o.order_id = i.order_id", "`i.order_id`, the 4th"),
        ("SELECT state, item AS state FROM orders, items", "state"),
        ("SELECT order_id AS a, 1 AS a FROM orders", "a"),
    ] {
        shop.write("sql/shop/wide.sql", sql);
        let (code, error) = shop.refused(&["--select", "wide"]);
        assert!(code == 2 && error.contains(says) && error.contains("wide.sql"), "{sql}: {code} {error}");
    }
    // Names that differ by case are two, and can be read.
    shop.write("sql/shop/wide.sql", "SELECT order_id AS \"A\", state AS a FROM orders");
    shop.run(&["--select", "wide"]);
    assert_eq!(shop.rows("SELECT \"A\", a FROM wide WHERE a = 'SP'").await, ["a|SP"]);
}

#[test]
fn lists_structs_and_bytes_are_counted() {
    let json = r#"{"id":1,"tags":["a"],"who":{"name":"x","at":[1,2]}}
{"id":2,"tags":null,"who":null}
"#;
    let shop = shop_of("", "a.jsonl", json);
    shop.write(
        "sql/shop/all_rows.sql",
        "SELECT *, MAP {'a': id} AS pairs, arrow_cast('x', 'Binary') AS bytes, NULL AS nothing FROM rows_in",
    );
    shop.run(&[]);
    let output = run(&mut shop.command(&["describe", "shop.all_rows", "--format", "json"]));
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{stderr}");
    let rows: Vec<Value> = serde_json::from_str(&stdout).unwrap();
    let figures: Vec<String> = rows
        .iter()
        .map(|row| {
            format!(
                "{} {} {} {}",
                row["column"].as_str().unwrap(),
                row["count"],
                row["nulls"],
                row["distinct"]
            )
        })
        .collect();
    let expected =
        ["id 2 0 2", "tags 1 1 null", "who 1 1 null", "pairs 2 0 null", "bytes 2 0 null", "nothing 0 2 0"];
    assert_eq!(figures, expected);
    assert!(rows[1]["min"].is_null() && rows[1]["max"].is_null() && rows[1]["mean"].is_null(), "{stdout}");
}

#[test]
fn sql_tests_compare_cells() {
    let shop = Shop::new();
    let case = |select: &str, expected: &str| {
        shop.write("sql/shop/wide.sql", format!("SELECT {select} FROM orders"));
        shop.write("sql/shop/tests/t/orders.csv", "order_id,state\n\"\",\n");
        shop.write("sql/shop/tests/t/expected_wide.csv", expected);
        let output = run(&mut shop.command(&["test", "shop", "--format", "csv"]));
        (output.status.code(), texts(&output).1)
    };
    for (select, expected, passes) in [
        ("'a,b' AS x, 'c' AS y", "x,y\na,\"b,c\"\n", false),
        ("'a,b' AS x, 'c' AS y", "x,y\n\"a,b\",c\n", true),
        ("CAST(0.1 AS DOUBLE) + 0.2 - 0.3 AS x", "x\n0\n", true),
        ("CAST('NaN' AS DOUBLE) AS x, CAST('-inf' AS DOUBLE) AS y", "x,y\nNaN,-inf\n", true),
        ("CAST('NaN' AS DOUBLE) AS x, CAST('inf' AS DOUBLE) AS y", "x,y\nNaN,-inf\n", false),
        ("CAST(-0.0 AS DOUBLE) AS x", "x\n0\n", true),
        ("order_id, state", "order_id,state\n\"\",\n", true),
        ("order_id, state", "order_id,state\n,\"\"\n", false),
        ("order_id IS NULL AS a, state IS NULL AS b", "a,b\nfalse,true\n", true),
        ("1 AS x", "x\n1\n1\n", false),
        ("state AS x", "x\n\n", true),
        ("state AS x", "x\n\"\"\n", false),
    ] {
        let (code, error) = case(select, expected);
        assert_eq!(code, Some(if passes { 0 } else { 1 }), "{select} {expected:?}: {error}");
    }
    let (_, error) = case("'a,b' AS x, 'c' AS y", "x,y\na,\"b,c\"\n");
    assert!(error.contains("  + \"a,b\",c\n  - a,\"b,c\"\n"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_have_the_name_of_the_job() {
    let shop = shop_of("types = { n = \"INT\" }\non_error = \"dead_letter\"", "a.csv", "n\n1\nx\n");
    std::fs::rename(shop.path().join("jobs/shop.toml"), shop.path().join("jobs/my-shop.toml")).unwrap();
    let call = |words: &[&str]| {
        let output = run(&mut shop.command(words));
        assert!(output.status.success(), "{words:?}: {}", texts(&output).1);
        texts(&output).0
    };
    call(&["run", "my-shop", "--force"]);
    call(&["run", "my-shop", "--force"]);
    assert_eq!(shop.rows("SELECT job, \"offset\" FROM system.dead_letters").await, ["my-shop|3"]);
    let shown = call(&["dlq", "show", "my-shop", "--format", "csv"]);
    assert!(shown.starts_with("version,file,line,error,payload\n1,"), "{shown}");
    assert_eq!(call(&["dlq", "show", "my-shop", "--batch", "0", "--format", "csv"]).lines().count(), 1);
    assert_eq!(call(&["dlq", "show", "my-shop", "--batch", "1", "--format", "csv"]).lines().count(), 2);
}
