//! The files of a lake are what its records say, and nothing but data lies under a table's folder.

use std::path::{Path, PathBuf};

use tidemill_core::ErrorKind;
use tidemill_core::lake::Lake;
use tidemill_core::project::StreamJob;
use tidemill_core::stream::{CrashPoint, Driver};
use tidemill_core::table::read::committed_files;

use crate::batch::Shop;
use crate::support::{
    Essence, TestBroker, crimes, die_after, job, positions, run, stream_all, texts, tidemill, unsealed,
};

const PER_BATCH: u64 = 50;

/// What `**` of DuckDB or Polars finds: all files, whatever they are called. A table's Delta log is left out: it is no data.
fn all_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    let is_apart = |path: &PathBuf| path.ends_with("_delta_log") || path.ends_with("_versions");
    for path in entries.map(|entry| entry.unwrap().path()).filter(|path| !is_apart(path)) {
        if path.is_dir() {
            found.extend(all_below(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The folders of a job's data.
const FOLDERS: [&str; 8] = [
    "chicago_arrests/crimes",
    "chicago_arrests/_models",
    "system/batches",
    "system/metrics",
    "system/models",
    "system/centres",
    "system/importances",
    "system/dead_letters",
];

/// Messages of which some are none.
fn messages(batches: u64) -> Vec<Option<Vec<u8>>> {
    let mut messages = crimes((batches * PER_BATCH) as usize, 11);
    messages.iter_mut().step_by(10).for_each(|message| *message = Some(b"{".to_vec()));
    messages
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_dies_leaves_nothing_under_a_table_and_the_next_start_clears_up() {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    broker.send("crimes", 1, &messages(3));
    let job = job(&broker.address(), PER_BATCH, &[]);
    let folder = tempfile::tempdir().unwrap();
    let whole = Lake::new(folder.path().join("whole"));
    stream_all(&job, &whole).await.unwrap();
    let listed = |lake: &Lake| -> Vec<PathBuf> {
        let tables = ["batches", "metrics", "models", "centres", "importances", "dead_letters"];
        let tables = tables.map(|table| format!("system.{table}"));
        let tables = tables.iter().map(String::as_str).chain(["chicago_arrests.crimes"]);
        let files = tables.flat_map(|table| committed_files(lake, "chicago_arrests", table).unwrap());
        files.map(|file| lake.resolve(&file.path)).collect()
    };
    for point in [CrashPoint::Stage, CrashPoint::Commit, CrashPoint::Train, CrashPoint::Learn] {
        let lake = Lake::new(folder.path().join(format!("{point:?}")));
        die_after(&job, &lake, 1, point).await;
        let listed_now = listed(&lake);
        for path in FOLDERS.iter().flat_map(|folder| all_below(&lake.resolve(folder))) {
            let is_model = path.extension().is_some_and(|extension| extension == "model");
            assert!(is_model || listed_now.contains(&path), "{point:?}: {} is not committed", path.display());
        }
        let checkpoint = lake.checkpoint("chicago_arrests");
        assert!(!all_below(&checkpoint.join("staged")).is_empty(), "{point:?}");
        std::fs::write(checkpoint.join("staged/nobodys+file"), "x").unwrap();
        std::fs::write(checkpoint.join("commits/.1.4711.tmp"), "{").unwrap();
        stream_all(&job, &lake).await.unwrap();
        Essence::of(&lake).assert_same(&Essence::of(&whole), &format!("{point:?}"));
        assert_eq!(all_below(&checkpoint.join("staged")), Vec::<PathBuf>::new(), "{point:?}");
        let hidden = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with('.');
        assert!(!all_below(lake.root()).iter().any(hidden), "{point:?}");
    }
}

/// As a driver of an earlier version left it that died after its commit, before it renamed anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_lake_of_before_with_staged_files_beside_its_tables_goes_on() {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    broker.send("crimes", 1, &messages(3));
    let job = job(&broker.address(), PER_BATCH, &[]);
    let folder = tempfile::tempdir().unwrap();
    let whole = Lake::new(folder.path().join("whole"));
    stream_all(&job, &whole).await.unwrap();
    for point in [CrashPoint::Stage, CrashPoint::Commit, CrashPoint::Learn] {
        let lake = Lake::new(folder.path().join(format!("{point:?}")));
        die_after(&job, &lake, 1, point).await;
        let checkpoint = lake.checkpoint("chicago_arrests");
        for staged in all_below(&checkpoint.join("staged")) {
            let path = lake.resolve(&staged.file_name().unwrap().to_str().unwrap().replace('+', "/"));
            let beside = path.parent().unwrap().join(".staged");
            std::fs::create_dir_all(&beside).unwrap();
            std::fs::rename(&staged, beside.join(path.file_name().unwrap())).unwrap();
        }
        std::fs::remove_dir(checkpoint.join("staged")).unwrap();
        let identity = std::fs::read_to_string(checkpoint.join("query.json")).unwrap();
        let identity: serde_json::Value = serde_json::from_str(&identity).unwrap();
        let identity = format!("{{\n  \"format\": 1,\n  \"query_id\": {}\n}}\n", identity["query_id"]);
        for place in ["_checkpoint/query.json", "crimes/.query.json"] {
            std::fs::write(lake.resolve("chicago_arrests").join(place), &identity).unwrap();
        }
        let committed = if point == CrashPoint::Stage { 1 } else { 2 };
        let rows = committed * PER_BATCH * 9 / 10;
        assert_eq!(positions(&lake).await, (rows, rows), "{point:?}");
        stream_all(&job, &lake).await.unwrap();
        Essence::of(&lake).assert_same(&Essence::of(&whole), &format!("{point:?}"));
        let hidden = |path: &PathBuf| {
            path.strip_prefix(lake.root()).unwrap().iter().any(|part| part.to_str().unwrap().starts_with('.'))
        };
        assert_eq!(
            all_below(lake.root()).into_iter().filter(hidden).collect::<Vec<_>>(),
            Vec::<PathBuf>::new()
        );
    }
}

/// The table's folder may be a disk of its own: a rename does not go there.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_table_on_another_file_system_is_copied_to() {
    let Ok(elsewhere) = tempfile::tempdir_in("/dev/shm") else {
        eprintln!("skipped: a_table_on_another_file_system_is_copied_to: no /dev/shm here");
        return;
    };
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let device = |path: &Path| std::fs::metadata(path).unwrap().dev();
    if device(elsewhere.path()) == device(folder.path()) {
        eprintln!("skipped: a_table_on_another_file_system_is_copied_to: /dev/shm is no other file system");
        return;
    }
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    broker.send("crimes", 1, &crimes(2 * PER_BATCH as usize, 12));
    let job = job(&broker.address(), PER_BATCH, &[]);
    let lake = Lake::new(folder.path());
    std::fs::create_dir_all(lake.resolve("chicago_arrests")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), lake.resolve("chicago_arrests/crimes")).unwrap();
    die_after(&job, &lake, 0, CrashPoint::Commit).await;
    assert_eq!(all_below(elsewhere.path()), Vec::<PathBuf>::new());
    stream_all(&job, &lake).await.unwrap();
    assert_eq!(positions(&lake).await, (2 * PER_BATCH, 2 * PER_BATCH));
    let names: Vec<_> =
        all_below(elsewhere.path()).into_iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["batch-00000000.parquet", "batch-00000001.parquet"]);
}

#[test]
fn a_table_in_another_format_has_its_files_alone_in_its_folder() {
    let shop = Shop::new();
    let job = std::fs::read_to_string(shop.path().join("jobs/shop.toml")).unwrap();
    let tables = "[[tables]]\nname = \"wide\"\nformat = \"csv\"\n[[tables]]\nname = \"by_state\"\nformat = \"json\"\n\
                  partition_by = [\"state\"]\n";
    shop.write("jobs/shop.toml", format!("{job}{tables}"));
    for _ in 0..12 {
        shop.run(&["--force"]);
        for (table, extension, count) in [("wide", "csv", 1), ("by_state", "json", 3)] {
            let found = all_below(&shop.lake().resolve(&format!("shop/{table}")));
            assert_eq!(found.len(), count, "{found:?}");
            assert!(found.iter().all(|path| path.extension().unwrap() == extension), "{found:?}");
        }
    }
    let versions = std::fs::read_dir(shop.lake().resolve("shop/wide/_versions")).unwrap().count();
    assert_eq!(versions, 20, "the last ten, and what SQL reads of each");
    assert_eq!(texts(&run(&mut shop.command(&["doctor"]))).0, "");
}

/// A table of 300 rows in three files, of a stream.
async fn three_files(broker: &TestBroker, folder: &Path) -> (StreamJob, Lake) {
    broker.create_topic("crimes", 1).await;
    broker.send("crimes", 1, &crimes(300, 5));
    let job = job(&broker.address(), 100, &[]);
    let lake = Lake::new(folder);
    stream_all(&job, &lake).await.unwrap();
    (job, lake)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_what_its_record_says_is_named_by_every_reader() {
    let broker = TestBroker::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (job, lake) = three_files(&broker, folder.path()).await;
    let said = |arguments: &[&str]| {
        let output = run(tidemill(lake.root()).args(arguments).env("NO_COLOR", "1"));
        let (stdout, stderr) = texts(&output);
        (output.status.code().unwrap(), format!("{stdout}{stderr}"))
    };
    let count = "SELECT count(*), sum(beat) FROM crimes";
    assert_eq!(said(&["doctor"]).0, 0, "{}", said(&["doctor"]).1);
    assert_eq!(said(&["sql", "--verify", count]).0, 0);
    assert_eq!(said(&["doctor", "chicago-arrests", "--format", "json"]).1.lines().next(), Some("[]"));

    let emptied = |path: &Path, _: &[u8]| std::fs::write(path, b"").unwrap();
    let cut = |path: &Path, bytes: &[u8]| std::fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
    let changed = |path: &Path, bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        let middle = bytes.len() / 3;
        bytes[middle] ^= 0x55;
        std::fs::write(path, bytes).unwrap();
    };
    let gone = |path: &Path, _: &[u8]| std::fs::remove_file(path).unwrap();
    type Harm<'a> = &'a dyn Fn(&Path, &[u8]);
    let harms: [(&str, Harm<'_>); 4] =
        [("emptied", &emptied), ("cut", &cut), ("changed", &changed), ("gone", &gone)];
    let name = "chicago_arrests/crimes/batch-00000001.parquet";
    let path = lake.resolve(name);
    let bytes = std::fs::read(&path).unwrap();
    for (how, harm) in harms {
        harm(&path, &bytes);
        let mut readers = vec![
            said(&["doctor"]),
            said(&["doctor", "chicago-arrests", "--format", "csv"]),
            said(&["sql", "--verify", count]),
        ];
        if how != "changed" {
            readers.push(said(&["sql", count]));
            readers.push(said(&["sql", "--format", "json", "SELECT count(*) FROM crimes"]));
            readers.push(said(&["describe", "chicago_arrests.crimes"]));
        }
        for (code, text) in readers {
            assert!(code == 1 && text.contains("batch-00000001.parquet"), "{how}: {code} {text}");
            assert!(text.contains("restore"), "{how}: {text}");
        }
        // The driver learns from all rows that are committed.
        let error = stream_all(&job, &lake).await.err();
        broker.send("crimes", 1, &crimes(1, 6));
        let error = match error {
            Some(error) => error,
            None => stream_all(&job, &lake).await.unwrap_err(),
        };
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{how}: {error}");
        assert!(error.to_string().contains("batch-00000001.parquet"), "{how}: {error}");
        std::fs::write(&path, &bytes).unwrap();
        stream_all(&job, &lake).await.unwrap();
        assert_eq!(said(&["doctor"]).0, 0, "{}", said(&["doctor"]).1);
    }

    // Metrics, models, and what lies beside.
    let others = [
        ("system/metrics/chicago_arrests/batch-00000001.parquet", "SELECT count(*) FROM system.metrics"),
        ("system/batches/chicago_arrests/batch-00000001.parquet", "SELECT count(*) FROM system.batches"),
    ];
    for (name, query) in others {
        let bytes = std::fs::read(lake.resolve(name)).unwrap();
        std::fs::write(lake.resolve(name), b"").unwrap();
        for (code, text) in [said(&["sql", query]), said(&["doctor"])] {
            assert!(code == 1 && text.contains(name), "{text}");
        }
        std::fs::write(lake.resolve(name), bytes).unwrap();
    }
    assert_eq!(said(&["metrics", "chicago-arrests"]).0, 0);
    let newest = all_below(&lake.resolve("chicago_arrests/_models/forest")).pop().unwrap();
    let bytes = std::fs::read(&newest).unwrap();
    changed(&newest, &bytes);
    let (code, text) = said(&["doctor"]);
    assert!(code == 1 && text.contains(newest.file_name().unwrap().to_str().unwrap()), "{text}");
    std::fs::write(&newest, bytes).unwrap();
    std::fs::write(lake.resolve("chicago_arrests/crimes/mine.parquet"), b"x").unwrap();
    let (code, text) = said(&["doctor"]);
    assert!(code == 1 && text.contains("mine.parquet is in no record"), "{text}");
    assert_eq!(said(&["doctor", "olist"]).0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_ends_with_an_error_is_no_attempt_that_died() {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    broker.send("crimes", 1, &messages(1));
    let job = job(&broker.address(), PER_BATCH, &[]);
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    die_after(&job, &lake, 0, CrashPoint::Plan).await;
    let attempts = lake.checkpoint("chicago_arrests").join("attempts");
    for _ in 0..4 {
        let mut driver = Driver::open(&job, &lake).await.unwrap();
        driver.crash_after(0, CrashPoint::Read);
        driver.recover(&mut |_| {}).await.unwrap_err();
        assert!(!attempts.exists());
    }
    stream_all(&job, &lake).await.unwrap();
    assert!(!attempts.exists());
}

/// Old versions of models may be gone, but for those that have a name.
#[tokio::test(flavor = "multi_thread")]
async fn doctor_reads_the_files_of_named_versions_and_what_names_them() {
    let broker = TestBroker::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (_, lake) = three_files(&broker, folder.path()).await;
    let said = |arguments: &[&str]| {
        let output = run(tidemill(lake.root()).args(arguments));
        (output.status.code().unwrap(), texts(&output))
    };
    let name = |arguments: &[&str]| {
        let mut all = vec!["models"];
        all.extend(arguments);
        assert_eq!(said(&all).0, 0, "{:?}", said(&all).1);
    };
    let file = |version: u64| format!("chicago_arrests/_models/forest/batch-{version:08}.model");
    let flip = |version| {
        let path = lake.resolve(&file(version));
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        std::fs::write(&path, bytes).unwrap();
    };
    flip(0);
    assert_eq!(said(&["doctor"]).0, 0, "an old version that nobody names: {:?}", said(&["doctor"]).1);
    flip(0);
    name(&["tag", "chicago-arrests", "forest@0", "first"]);
    flip(0);
    let (code, (told, _)) = said(&["doctor"]);
    assert!(code == 1 && told.contains(&file(0)) && told.contains("its checksum is"), "{told}");
    flip(0);
    assert_eq!(said(&["doctor"]).0, 0);

    name(&["alias", "chicago-arrests", "forest@1", "live"]);
    std::fs::remove_file(lake.resolve(&file(1))).unwrap();
    let (code, (told, _)) = said(&["doctor"]);
    assert!(code == 1 && told.contains(&file(1)) && told.contains("is listed but is not there"), "{told}");
    // Named no more it may be gone.
    name(&["alias", "chicago-arrests", "forest@0", "live"]);
    assert_eq!(said(&["doctor"]).0, 0);

    let aliases = lake.checkpoint("chicago_arrests").join("aliases");
    let mut other = unsealed(&aliases.join("2.json"));
    (other["number"], other["version"]) = (3.into(), 7.into());
    let other = other.to_string();
    std::fs::write(aliases.join("3.json"), other).unwrap();
    let (code, (told, _)) = said(&["doctor"]);
    assert!(code == 1 && told.contains("3.json names version 7 of the model forest (@live)"), "{told}");
    std::fs::write(aliases.join("3.json"), "{").unwrap();
    let (code, (told, _)) = said(&["doctor"]);
    assert!(code == 1 && told.contains("aliases/3.json"), "{told}");
}
