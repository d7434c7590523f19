//! Audits that keep a version from being published, and unit tests of a job's SQL.

use serde_json::Value;

use crate::batch::Shop;
use crate::support::{run, texts};

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_that_finds_rows_keeps_the_table_and_what_reads_it_as_they_were() {
    let shop = Shop::new();
    shop.write("sql/shop/audits/states.sql", "-- Two letters.\nSELECT * FROM wide WHERE state ~ '[0-9]'");
    let passed = shop.try_run(&[]);
    let report = texts(&passed).0;
    assert!(passed.status.success() && report.contains("states passed"), "{report}");

    shop.edit("orders.csv", "b,RJ", "b,R2");
    let (code, error) = shop.refused(&[]);
    assert_eq!(code, 1);
    for part in
        ["sql/shop/audits/states.sql found 1 bad row: order_id=b, state=R2", "not built: `wide`", "help: "]
    {
        assert!(error.contains(part), "`{part}` is not in {error}");
    }
    assert_eq!(shop.rows("SELECT state FROM wide WHERE order_id = 'b'").await, ["RJ"]);
    assert_eq!(shop.rows("SELECT count(*) FROM by_state WHERE state = 'RJ'").await, ["1"]);
    // An audit is part of what a table is made of.
    shop.edit("sql/shop/audits/states.sql", "[0-9]", "[3-9]");
    assert_eq!(shop.run(&[]), ["shop.wide built", "shop.by_state built"]);
}

#[test]
fn an_audit_of_inputs_is_run_once_and_keeps_back_all_that_read_them() {
    let shop = Shop::new();
    let lines: String = (0..10_000).map(|n| format!("{n},SP,\n")).collect();
    shop.write("orders.csv", format!("order_id,state,ordered_at\n{lines}"));
    for table in ["a", "b", "c"] {
        shop.write(&format!("sql/shop/{table}.sql"), "SELECT count(*) AS n FROM orders");
    }
    // Each time it is run it finds other rows.
    shop.write("sql/shop/audits/chance.sql", "SELECT * FROM orders WHERE random() < 0.5");
    let output = shop.try_run(&["--select", "a,b,c,wide"]);
    let rows: Vec<Value> = serde_json::from_str(&texts(&output).0).unwrap();
    let audits: Vec<&Value> = rows.iter().filter(|row| row["outcome"] == "chance failed").collect();
    assert_eq!(audits.len(), 4, "{rows:?}");
    assert!(audits.iter().all(|audit| audit["rows"] == audits[0]["rows"]), "{audits:?}");
    assert_eq!(
        rows.iter().filter(|row| row["step"] == "build" && row["outcome"] == "failed").count(),
        4,
        "{rows:?}"
    );
}

#[test]
fn the_audits_of_a_table_are_settings() {
    for (audit, says) in [
        ("not_null = [\"item\"]", Some("audit `not_null item` of wide found 1 bad row: order_id=c")),
        ("not_null = [\"order_id\"]", None),
        ("unique = [[\"order_id\"]]", Some("`unique order_id` of wide found 1 bad row: order_id=a, times=2")),
        ("unique = [[\"order_id\", \"item\"]]", None),
        ("accepted_values = { item = [1] }", Some("found 1 bad row: item=2, times=1")),
        ("accepted_values = { state = [\"SP\", \"RJ\", \"S\\\"P\\n\"] }", None),
        (
            "relationships = [{ column = \"order_id\", to = \"items.order_id\" }]",
            Some("found 1 bad row: order_id=c"),
        ),
        ("relationships = [{ column = \"order_id\", to = \"orders.order_id\" }]", None),
        ("row_count = { min = 5 }", Some("`row_count` of wide found 1 bad row: rows=4")),
        ("row_count = { min = 4, max = 4 }", None),
        ("not_null = [\"itm\"]", Some("itm")),
    ] {
        let shop = Shop::new();
        let job = std::fs::read_to_string(shop.path().join("jobs/shop.toml")).unwrap();
        shop.write("jobs/shop.toml", format!("{job}\n[[tables]]\nname = \"wide\"\naudits = {{ {audit} }}\n"));
        let output = shop.try_run(&["--select", "wide"]);
        let error = texts(&output).1;
        match says {
            None => assert!(output.status.success(), "{audit}: {error}"),
            Some(says) => assert!(!output.status.success() && error.contains(says), "{audit}: {error}"),
        }
    }
}

#[test]
fn relationships_compare_as_equals_does_and_columns_have_any_name() {
    let audit = |column: &str, to: &str| {
        let shop = Shop::new();
        let job = std::fs::read_to_string(shop.path().join("jobs/shop.toml")).unwrap();
        shop.write(
            "sql/shop/wide.sql",
            "SELECT '01' AS text, 'x' AS word, '1' AS whole, 2 AS here, 3 AS there, 4 AS times, 4 AS times_ UNION ALL \
             SELECT '7', 'x', '1', 2, 3, 4, 4 UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL",
        );
        shop.write(
            "sql/shop/others.sql",
            "SELECT 1 AS number, CAST(1 AS DECIMAL(10,2)) AS price, 2 AS here, 9 AS there, 4 AS times \
             UNION ALL SELECT NULL, NULL, NULL, NULL, NULL",
        );
        shop.write(
            "jobs/shop.toml",
            format!(
                "{job}\n[[tables]]\nname = \"wide\"\naudits = {{ relationships = [{{ column = \"{column}\", to = \
                 \"others.{to}\" }}] }}\n"
            ),
        );
        let output = shop.try_run(&["--select", "+wide,others"]);
        (output.status.success(), texts(&output).1)
    };
    for (column, to, says) in [
        ("text", "number", Some("found 1 bad row: text=7, times=1")),
        ("whole", "price", None),
        ("word", "number", Some("help: text beside a number is compared as a number")),
        ("here", "here", None),
        ("there", "here", Some("found 1 bad row: there=3, times=2")),
        ("times", "times", None),
        ("times", "there", Some("found 1 bad row: times=4, times_=2")),
    ] {
        let (passed, error) = audit(column, to);
        match says {
            None => assert!(passed, "{column} {to}: {error}"),
            Some(says) => assert!(!passed && error.contains(says), "{column} {to}: {error}"),
        }
    }
}

#[test]
fn a_test_is_rows_in_and_rows_out() {
    let shop = Shop::new();
    let folder = "sql/shop/tests/sums";
    shop.write(
        &format!("{folder}/orders.csv"),
        "order_id,state,ordered_at\na,SP,2017-10-02 10:56:33\nb,RJ,\n",
    );
    shop.write(&format!("{folder}/items.csv"), "order_id,item,price\na,1,1.5\na,2,2\n");
    shop.write(&format!("{folder}/expected_by_state.csv"), "revenue,state\n3.50,SP\n,RJ\n");
    let test = |arguments: &[&str]| {
        let output = run(&mut shop.command(&[&["test", "shop", "--format", "csv"], arguments].concat()));
        let (stdout, stderr) = texts(&output);
        (output.status.code(), stdout, stderr)
    };
    let header = "test,table,outcome,expected_rows,rows\n";
    assert_eq!(test(&[]), (Some(0), format!("{header}sums,by_state,passed,2,2\n"), String::new()));

    // A table in the place of what its SELECT makes; its cells say their type.
    shop.write("sql/shop/tests/given/wide.csv", "state,price::DOUBLE\nSP,0.1\nSP,0.2\n");
    shop.write("sql/shop/tests/given/expected_by_state.csv", "state,revenue\nSP,0.3\n");
    shop.edit(&format!("{folder}/expected_by_state.csv"), "3.50", "3.75");
    let (code, stdout, stderr) = test(&[]);
    assert_eq!(
        (code, stdout),
        (Some(1), format!("{header}given,by_state,passed,1,1\nsums,by_state,failed,2,2\n"))
    );
    assert!(stderr.contains("    revenue,state\n  + 3.50,SP\n  - 3.75,SP\n"), "{stderr}");
    assert!(stderr.contains("1 of 2 tests has failed"), "{stderr}");
    assert_eq!(test(&["--select", "given"]).0, Some(0));

    std::fs::remove_file(shop.path().join(folder).join("items.csv")).unwrap();
    let (code, _, stderr) = test(&["--select", "sums"]);
    assert!(code == Some(2) && stderr.contains("there is no items.csv, which wide reads"), "{stderr}");
}

/// A time's microseconds.
fn micros(text: &str) -> Option<i64> {
    let moment = text.parse::<jiff::civil::DateTime>().ok();
    let moment = moment.or_else(|| Some(text.parse::<jiff::civil::Date>().ok()?.at(0, 0, 0, 0)))?;
    Some(moment.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_microsecond())
}

/// Whether two figures are the same: floats but for the last bits, times but for a microsecond.
fn same(ours: &str, theirs: &str) -> bool {
    let times = micros(ours).zip(micros(theirs)).map(|(a, b)| (a - b).abs() <= 1);
    let numbers = || Some((ours.parse::<f64>().ok()?, theirs.parse::<f64>().ok()?));
    let close = |(a, b): (f64, f64)| (a - b).abs() <= 1e-12 * b.abs();
    times.or_else(|| numbers().map(close)).unwrap_or(ours == theirs)
}

#[test]
fn describe_gives_the_figures_of_pandas() {
    let golden: Value = serde_json::from_str(include_str!("golden/describe.json")).unwrap();
    let shop = Shop::new();
    let path = shop.write("all.csv", include_str!("golden/describe.csv"));
    let types = golden["types"].as_object().unwrap();
    let types: Vec<String> = types.iter().map(|(column, kind)| format!("{column} = {kind}")).collect();
    shop.write(
        "jobs/shop.toml",
        format!(
            "sql = \"sql/shop\"\n[inputs.all_rows]\npath = \"{}\"\n[inputs.all_rows.types]\n{}\n",
            path.display(),
            types.join("\n")
        ),
    );
    shop.write("sql/shop/wide.sql", "SELECT * FROM all_rows");
    std::fs::remove_file(shop.path().join("sql/shop/by_state.sql")).unwrap();
    shop.run(&[]);
    let output = run(&mut shop.command(&["describe", "shop.wide", "--format", "json"]));
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{stderr}");
    let rows: Vec<Value> = serde_json::from_str(&stdout).unwrap();
    let columns = golden["columns"].as_object().unwrap();
    assert_eq!(rows.len(), columns.len(), "{stdout}");
    let names = ["count", "nulls", "distinct", "mean", "std", "min", "25%", "50%", "75%", "max"];
    let text = |figure: &Value| match figure {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    for row in &rows {
        let column = row["column"].as_str().unwrap();
        for name in names {
            let (ours, theirs) = (text(&row[name]), text(&columns[column][name]));
            assert!(same(&ours, &theirs), "{name} of {column}: {ours}, pandas has {theirs}");
        }
    }
}

#[test]
fn describe_tells_times_with_a_zone_in_that_zone() {
    let shop = Shop::new();
    let zone = "Timestamp(Microsecond, Some(\"UTC\"))";
    shop.write("sql/shop/wide.sql", format!("SELECT arrow_cast('2020-01-01T12:00:00Z', '{zone}') AS at"));
    std::fs::remove_file(shop.path().join("sql/shop/by_state.sql")).unwrap();
    shop.run(&[]);
    let output = run(&mut shop.command(&["describe", "shop.wide", "--format", "json"]));
    let rows: Vec<Value> = serde_json::from_str(&texts(&output).0).unwrap();
    for figure in ["min", "mean", "25%", "50%", "75%", "max"] {
        assert_eq!(rows[0][figure], "2020-01-01T12:00:00Z", "{figure}");
    }
}
