//! TLS and SASL in a build that may not have them, and secrets in what the command prints. What a build that has them does
//! with brokers that want them: tests/kafka/secure.sh.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::TestBroker;

const SECRET: &str = "hunter2-of-the-test";

fn run(broker: &str, folder: &Path, options: &[(&str, &str)], command: &[&str]) -> Output {
    let mut tidemill = Command::new(env!("CARGO_BIN_EXE_tidemill"));
    tidemill.current_dir(folder).args(["--lake", "lake", "-vv"]).args(command);
    tidemill.args(["chicago-arrests", "--brokers", broker]);
    for (key, value) in options {
        match command[0] {
            "stream" => tidemill.arg("--set").arg(format!("source.kafka.options.{key}={value}")),
            // The same from the environment: what a job's file need not even mention.
            _ => {
                let key = key.to_uppercase().replace('.', "__");
                tidemill.env(format!("TIDEMILL__SOURCE__KAFKA__OPTIONS__{key}"), value)
            }
        };
    }
    tidemill.output().unwrap()
}

fn assert_no_secret(output: &Output, lake: &Path) {
    for text in [&output.stdout, &output.stderr] {
        assert!(!String::from_utf8_lossy(text).contains(SECRET), "{output:?}");
    }
    let mut folders = vec![lake.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                let found = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
                assert!(!found, "{}", path.display());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_this_build_has_not_got_is_one_error_that_names_the_feature_and_no_secret() {
    if cfg!(feature = "kafka-tls") {
        return;
    }
    let broker = TestBroker::start().await;
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    let rows = ["data", "generate", "chicago-crimes", "--rows", "10", "--seed", "1", "--out", "rows.csv"];
    let made = Command::new(env!("CARGO_BIN_EXE_tidemill")).current_dir(folder.path()).args(rows).output();
    assert!(made.unwrap().status.success());
    let log_in = [("sasl.username", "reader"), ("sasl.password", SECRET), ("ssl.key.password", SECRET)];
    let cases: [&[(&str, &str)]; 4] = [
        &[("security.protocol", "SSL")],
        &[("security.protocol", "SASL_SSL"), ("sasl.mechanism", "PLAIN")],
        &[("security.protocol", "SASL_SSL"), ("sasl.mechanism", "SCRAM-SHA-256")],
        &[("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanism", "SCRAM-SHA-512")],
    ];
    for case in cases {
        for command in [&["stream", "--available-now"][..], &["produce", "--input", "rows.csv"]] {
            let output = run(&broker.address(), folder.path(), &[case, &log_in].concat(), command);
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{case:?}: {error}");
            assert!(error.contains("needs the feature kafka-tls"), "{case:?}: {error}");
            assert!(error.contains("cargo build --release --features kafka-tls"), "{error}");
            assert_no_secret(&output, &lake);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn options_that_are_wrong_are_named_and_their_values_are_not() {
    let broker = TestBroker::start().await;
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    for (key, value) in [
        ("sasl.passwort", SECRET),
        ("security.protocol", SECRET),
        ("fetch.wait.max.ms", SECRET),
        ("sasl.password", SECRET),
        ("sasl.password", "[\"hunter2-of-the-test\"]"),
    ] {
        let output = run(&broker.address(), folder.path(), &[(key, value)], &["stream", "--available-now"]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{key}: {error}");
        assert!(error.contains(key), "{key}: {error}");
        assert_no_secret(&output, &lake);
    }
}

/// The settings that one file keeps for a broker that wants them do not hinder one that does not; nothing keeps them.
#[tokio::test(flavor = "multi_thread")]
async fn a_plain_connection_is_asked_for_by_name_and_no_secret_gets_into_the_lake() {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    broker.send("crimes", 1, &crate::support::crimes(300, 1));
    let folder = tempfile::tempdir().unwrap();
    let options = [
        ("security.protocol", "PLAINTEXT"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.username", "reader"),
        ("sasl.password", SECRET),
        ("ssl.ca.location", "/nonexistent"),
        ("ssl.key.password", SECRET),
    ];
    let output =
        run(&broker.address(), folder.path(), &options, &["stream", "--available-now", "--progress", "json"]);
    assert!(output.status.success(), "{output:?}");
    assert!(folder.path().join("lake/chicago_arrests/crimes").is_dir());
    assert_no_secret(&output, &folder.path().join("lake"));
}
