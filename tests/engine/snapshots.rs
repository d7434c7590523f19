//! Snapshots of the records: who reads begins at the newest, and what it says is never another thing than the records do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tidemill_core::doctor::examine;
use tidemill_core::lake::Lake;
use tidemill_core::project::{Project, Settings, StreamJob};
use tidemill_core::stream::CrashPoint;

use crate::support::{TestBroker, die_after, run, stream_all, texts, tidemill, visible_files};

/// One more batch than the first snapshot is of, and one behind that.
const BATCHES: usize = 102;

/// A job without models, a message a batch.
fn job(folder: &Path, broker: &TestBroker) -> StreamJob {
    std::fs::create_dir_all(folder.join("jobs")).unwrap();
    let toml = "[source]\nkafka = { bootstrap_servers = \"x\", subscribe = \"seen\" }\nformat = \"json\"\n\
        schema = \"schema.sql\"\nmax_offsets_per_trigger = 1\n[table]\npath = \"lake/seen/rows\"\n";
    std::fs::write(folder.join("jobs/seen.toml"), toml).unwrap();
    std::fs::write(folder.join("schema.sql"), "CREATE TABLE seen (n INT)").unwrap();
    let sets = vec![("source.kafka.bootstrap_servers".to_owned(), broker.address())];
    Project::open(folder).stream_job("seen", &Settings { sets, environment: BTreeMap::new() }).unwrap()
}

async fn broker() -> TestBroker {
    let broker = TestBroker::start().await;
    broker.create_topic("seen", 1).await;
    let messages: Vec<_> = (0..BATCHES).map(|n| Some(format!(r#"{{"n":{n}}}"#).into_bytes())).collect();
    broker.send("seen", 1, &messages);
    broker
}

fn snapshots(lake: &Lake) -> Vec<PathBuf> {
    let folder = lake.checkpoint("seen").join("snapshots");
    if folder.is_dir() { visible_files(&folder) } else { Vec::new() }
}

fn rows(lake: &Lake) -> Vec<(String, Vec<u8>)> {
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let files = visible_files(&lake.resolve("seen/rows"));
    files.iter().map(|path| (name(path), std::fs::read(path).unwrap())).collect()
}

/// What a new process says of all rows, and of the system's.
fn answers(lake: &Lake) -> String {
    let sql = "SELECT count(*), sum(n), min(_batch_id), max(_batch_id) FROM rows; SELECT count(*) FROM system.batches";
    let output = run(tidemill(lake.root()).args(["sql", "--format", "csv", sql]));
    let (out, errors) = texts(&output);
    assert!(output.status.success(), "{errors}");
    out.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())).collect::<Vec<_>>().join(" ")
}

fn findings(lake: &Lake) -> Vec<(&'static str, String)> {
    let report = examine(lake, None).unwrap();
    report.findings.into_iter().map(|finding| (finding.about, finding.problem)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_about_a_snapshot_changes_nothing() {
    let (broker, folder) = (broker().await, tempfile::tempdir().unwrap());
    let job = job(folder.path(), &broker);
    let lake = |name: &str| Lake::new(folder.path().join(name));
    let untouched = lake("untouched");
    stream_all(&job, &untouched).await.unwrap();
    let expected = rows(&untouched);
    // And what the first hundred have become, which stay beside it for a while.
    assert_eq!(expected.len(), BATCHES + 1);
    let all = format!("{BATCHES},{},0,{} {BATCHES}", BATCHES * (BATCHES - 1) / 2, BATCHES - 1);
    for point in [CrashPoint::Learn, CrashPoint::PublishLearn, CrashPoint::Snapshot] {
        let lake = lake(&format!("{point:?}"));
        die_after(&job, &lake, 99, point).await;
        assert_eq!(snapshots(&lake).len(), usize::from(point == CrashPoint::Snapshot), "{point:?}");
        assert!(answers(&lake).starts_with("100,4950,0,99 100"), "{point:?}");
        stream_all(&job, &lake).await.unwrap();
        assert!(rows(&lake) == expected, "{point:?}");
        let [snapshot] = &snapshots(&lake)[..] else { panic!("{point:?}: {:?}", snapshots(&lake)) };
        assert!(snapshot.ends_with("99.json"), "{point:?}");
        assert_eq!(findings(&lake), [], "{point:?}");
        assert_eq!(answers(&lake), all, "{point:?}");
    }

    // Whatever becomes of the file, the records are what counts; doctor names it, and the next start writes it anew.
    let path = snapshots(&untouched).remove(0);
    let whole = std::fs::read(&path).unwrap();
    let other = std::fs::read(snapshots(&lake("Snapshot")).remove(0)).unwrap();
    for (what, bytes) in [
        ("is not whole", &whole[..whole.len() - 7]),
        ("is not whole", b"{"),
        ("is of other records than those that are there", &other[..]),
    ] {
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(answers(&untouched), all, "{what}");
        let found = findings(&untouched);
        assert!(
            found.len() == 1 && found[0].0 == "snapshot" && found[0].1.contains(what),
            "{what}: {found:?}"
        );
        let output = run(tidemill(untouched.root()).args(["doctor", "seen"]));
        let (out, errors) = texts(&output);
        assert!(!output.status.success() && (out + &errors).contains("start the job, which writes it anew"));
        stream_all(&job, &untouched).await.unwrap();
        assert!(std::fs::read(&path).unwrap() == whole, "{what}");
        assert_eq!(findings(&untouched), [], "{what}");
    }
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    assert_eq!((answers(&untouched), findings(&untouched)), (all, vec![]));
}
