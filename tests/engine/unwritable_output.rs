//! Output that cannot be written: to a full disk, to nobody, to a reader that has gone. No command panics; what is said on
//! stderr decides nothing.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::{JOB, TestBroker, texts};

const PROJECT: [(&str, &str); 9] = [
    ("n.csv", "n\n1\n2\n"),
    ("jobs/shop.toml", "sql = \"sql/shop\"\n[inputs.sales]\npath = \"sales.csv\"\n"),
    ("sql/shop/days.sql", "SELECT id FROM sales"),
    ("sql/shop/tests/one/sales.csv", "id\n1\n"),
    ("sql/shop/tests/one/expected_days.csv", "id\n1\n"),
    ("sales.csv", "id\n1\n2\n"),
    (
        "jobs/s.toml",
        "[source]\nkafka = { bootstrap_servers = \"x\", subscribe = \"t\" }\nformat = \"json\"\n\
         schema = \"sql/s/schema.sql\"\nmax_offsets_per_trigger = 10\n[table]\npath = \"lake/s/seen\"\n\
         [[models]]\nname = \"tree\"\nalgorithm = \"decision_tree\"\nfeatures = \"sql/s/features.sql\"\nlabel = \"y\"\n",
    ),
    ("sql/s/schema.sql", "CREATE TABLE seen (n INT, y BOOLEAN)"),
    ("sql/s/features.sql", "SELECT y, n FROM seen"),
];

/// Runs the command in `folder` with `redirected` behind it, by a shell.
fn shell(folder: &Path, arguments: &[&str], redirected: &str) -> Output {
    let line = format!("\"$@\" {redirected}; exit ${{PIPESTATUS[0]}}");
    Command::new("bash")
        .args(["-c", &line, "bash", env!("CARGO_BIN_EXE_tidemill")])
        .args(arguments)
        .current_dir(folder)
        .env_remove("TIDEMILL_LAKE")
        .env_remove("TIDEMILL_BROKERS")
        .output()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_verb_panics_and_stderr_decides_nothing() {
    if !Path::new("/dev/full").exists() {
        eprintln!("left out: there is no /dev/full here");
        return;
    }
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1).await;
    let message = |n: u32| Some(format!(r#"{{"n":{n},"y":{}}}"#, n.is_multiple_of(3)).into_bytes());
    broker.send("t", 1, &(0..400).map(message).collect::<Vec<_>>());
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in PROJECT {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let address = broker.address();
    let stream = ["stream", "s", "--brokers", &address, "--available-now", "--batches", "1"];
    let first = shell(folder.path(), &stream, "");
    assert!(first.status.success(), "{}", texts(&first).1);
    let crimes = ["data", "generate", "chicago-crimes", "--rows", "20", "--out", "crimes.csv"];
    let made = shell(folder.path(), &crimes, "");
    assert!(made.status.success(), "{}", texts(&made).1);
    let produce = ["produce", JOB, "--brokers", &address, "--topic", "u", "--input", "crimes.csv"];
    // Whether data goes to stdout, and the exit code.
    let verbs: [(&[&str], bool, i32); 28] = [
        (&["--help"], true, 0),
        (&["stream", "--help"], true, 0),
        (&["--version"], true, 0),
        (&[], false, 2),
        (&["sql", "--no-such-flag"], false, 2),
        (&["stream", "nobody"], false, 2),
        (&stream, true, 0),
        (&["-vv", "stream", "s", "--brokers", &address, "--available-now", "--batches", "1"], true, 0),
        (&["run", "shop", "--force", "--format", "csv"], true, 0),
        (&["-v", "run", "shop", "--dry-run"], true, 0),
        (&["run", "shop", "--input", "none.csv"], false, 2),
        (&["test", "shop"], true, 0),
        (&["describe", "s.seen"], true, 0),
        (&["sql", "SELECT n FROM seen", "--format", "json"], true, 0),
        (&["sql", "SELECT * FROM 'sales.csv'"], true, 0),
        (&["sql", "SELECT nobody FROM seen"], false, 2),
        (&["metrics", "s"], true, 0),
        (&["plot", "s", "metrics", "--metric", "accuracy"], true, 0),
        (&["plot", "s", "metrics", "--metric", "accuracy", "--out", "x.svg"], false, 0),
        (&["models", "list"], true, 0),
        (&["models", "show", "s", "tree"], true, 0),
        (&["models", "promote", "s", "tree"], false, 0),
        (&["predict", "s", "tree", "--input", "n.csv"], true, 0),
        (&["doctor", "--format", "csv"], true, 0),
        (&["dlq", "show", "s"], true, 0),
        (&["dlq", "replay", "s", "--brokers", &address], false, 0),
        (&produce, true, 0),
        (&["data", "generate", "chicago-crimes", "--rows", "20000", "--out", "-"], true, 0),
    ];
    for (arguments, has_data, code) in verbs {
        for redirected in ["", "2>/dev/full", "2>&-", "2> >(true)"] {
            let output = shell(folder.path(), arguments, redirected);
            let (out, error) = texts(&output);
            assert_eq!(output.status.code(), Some(code), "{arguments:?} {redirected}: {out}{error}");
            assert!(!error.contains("panicked"), "{arguments:?} {redirected}: {error}");
            assert_eq!(!out.is_empty(), has_data, "{arguments:?} {redirected}: {out}");
        }
        for redirected in [">/dev/full", ">&-", "| true", ">/dev/full 2>/dev/full", ">&- 2>&-"] {
            let output = shell(folder.path(), arguments, redirected);
            let error = texts(&output).1;
            let full = has_data && redirected.contains(">/dev/full");
            // A shell's `>&-` is /dev/null to a Rust program, before it can look.
            assert_eq!(
                output.status.code(),
                Some(if full { 1 } else { code }),
                "{arguments:?} {redirected}: {error}"
            );
            assert!(!error.contains("panicked"), "{arguments:?} {redirected}: {error}");
            if full && !redirected.contains("2>") {
                assert!(error.contains("cannot write"), "{arguments:?} {redirected}: {error}");
            }
        }
    }
    let report =
        tidemill_core::doctor::examine(&tidemill_core::lake::Lake::new(folder.path().join("lake")), None);
    assert_eq!(report.unwrap().findings, []);
}
