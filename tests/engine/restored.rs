//! Lakes of which a part was put back, removed or changed by others: the driver says so before anything is made of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use tidemill_core::lake::Lake;
use tidemill_core::records::{Commit, FileEntry, RecordList};
use tidemill_core::stream::Driver;
use tidemill_core::{Error, ErrorKind};

use crate::rfm;
use crate::support::{TestBroker, crimes, job, positions, query, run, stream_all, texts, tidemill};

const PER_BATCH: u64 = 50;

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let place = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &place);
        } else {
            std::fs::copy(&path, &place).unwrap();
        }
    }
}

fn assert_corrupt(error: &Error, said: &[&str], what: &str) {
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {text}");
    assert!(said.iter().all(|said| text.contains(said)), "{what}: {text}");
    assert!(error.next_step().is_some(), "{what}: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_checkpoint_over_newer_tables_is_refused() {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    let mut messages = crimes(4 * PER_BATCH as usize, 3);
    messages.iter_mut().step_by(10).for_each(|message| *message = Some(b"{".to_vec()));
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path().join("lake"));
    let checkpoint = lake.checkpoint("chicago_arrests");
    let copy = folder.path().join("copy");
    broker.send("crimes", 1, &messages[..2 * PER_BATCH as usize]);
    let job = job(&broker.address(), PER_BATCH, &[]);
    stream_all(&job, &lake).await.unwrap();
    copy_folder(&checkpoint, &copy);
    broker.send("crimes", 1, &messages[2 * PER_BATCH as usize..]);
    stream_all(&job, &lake).await.unwrap();

    let newer = folder.path().join("newer");
    std::fs::rename(&checkpoint, &newer).unwrap();
    copy_folder(&copy, &checkpoint);
    // Any one of the folders shows it, and all of them together.
    let mut unlisted: Vec<PathBuf> = Vec::new();
    for place in [
        "chicago_arrests/crimes",
        "chicago_arrests/_models/tree",
        "chicago_arrests/_models/forest",
        "chicago_arrests/_models/logistic",
        "chicago_arrests/_models/hotspots",
        "system/dead_letters/chicago_arrests",
        "system/batches/chicago_arrests",
        "system/metrics/chicago_arrests",
        "system/models/chicago_arrests",
        "system/centres/chicago_arrests",
        "system/importances/chicago_arrests",
    ] {
        for path in crate::support::visible_files(&lake.resolve(place)) {
            let name = path.file_name().unwrap().to_str().unwrap();
            if name.starts_with("batch-00000002") || name.starts_with("batch-00000003") {
                unlisted.push(path);
            }
        }
    }
    assert!(unlisted.len() >= 20, "{unlisted:?}");
    let error = stream_all(&job, &lake).await.unwrap_err();
    let count = format!("crimes/batch-00000002.parquet and {} other files", unlisted.len() - 1);
    assert_corrupt(&error, &[&count, "its newest batch is 1"], "all");
    let said = |arguments: &[&str]| {
        let output = run(tidemill(lake.root()).args(arguments).env("NO_COLOR", "1"));
        let (stdout, stderr) = texts(&output);
        (output.status.code().unwrap(), format!("{stdout}{stderr}"))
    };
    let (code, text) = said(&["doctor"]);
    assert!(code == 1 && text.contains("batch-00000003.parquet is in no record"), "{text}");
    for arguments in [&["sql", "SELECT count(*) FROM crimes"][..], &["describe", "chicago_arrests.crimes"]] {
        let (code, text) = said(arguments);
        assert!(code == 0 && text.contains("batch-00000002.parquet is in no record"), "{text}");
        assert_eq!(text.matches("is in no record").count(), 1, "{text}");
    }
    let aside = folder.path().join("aside");
    std::fs::create_dir(&aside).unwrap();
    let kept = |at: usize| aside.join(at.to_string());
    for (at, path) in unlisted.iter().enumerate() {
        std::fs::rename(path, kept(at)).unwrap();
    }
    for (at, path) in unlisted.iter().enumerate() {
        std::fs::rename(kept(at), path).unwrap();
        let error = stream_all(&job, &lake).await.unwrap_err();
        assert_corrupt(&error, &[&format!("{} is in no record", path.display())], "one");
        std::fs::rename(path, kept(at)).unwrap();
    }
    // Without them the stream reads again what they held.
    stream_all(&job, &lake).await.unwrap();
    let rows = 4 * PER_BATCH * 9 / 10;
    assert_eq!(positions(&lake).await, (rows, rows));
    assert_eq!(said(&["doctor"]).0, 0, "{}", said(&["doctor"]).1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_or_checkpoint_that_goes_while_the_stream_runs_is_missed_before_the_next_commit() {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    broker.send("crimes", 1, &crimes(3 * PER_BATCH as usize, 4));
    let job = job(&broker.address(), PER_BATCH, &[]);
    type Harm = fn(&Lake);
    let harms: [(&str, &str, Harm); 5] = [
        ("table removed", "crimes was removed while the stream ran", |lake| {
            std::fs::remove_dir_all(lake.resolve("chicago_arrests/crimes")).unwrap();
        }),
        ("table emptied", "batch-00000000.parquet is listed but is not there", |lake| {
            std::fs::remove_dir_all(lake.resolve("chicago_arrests/crimes")).unwrap();
            std::fs::create_dir(lake.resolve("chicago_arrests/crimes")).unwrap();
        }),
        ("table replaced", "batch-00000000.parquet has 3 bytes", |lake| {
            std::fs::rename(lake.resolve("chicago_arrests/crimes"), lake.resolve("other")).unwrap();
            std::fs::create_dir(lake.resolve("chicago_arrests/crimes")).unwrap();
            std::fs::write(lake.resolve("chicago_arrests/crimes/batch-00000000.parquet"), "abc").unwrap();
        }),
        ("checkpoint removed", "was removed or replaced while the stream ran: commit 0", |lake| {
            std::fs::remove_dir_all(lake.checkpoint("chicago_arrests")).unwrap();
        }),
        ("lake removed", "was removed or replaced while the stream ran", |lake| {
            std::fs::remove_dir_all(lake.root()).unwrap();
        }),
    ];
    for (what, said, harm) in harms {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path().join("lake"));
        let mut driver = Driver::open(&job, &lake).await.unwrap();
        driver.recover(&mut |_| {}).await.unwrap();
        driver.next_batch(None, &mut |_| {}).await.unwrap();
        harm(&lake);
        for _ in 0..2 {
            let error = driver.next_batch(None, &mut |_| {}).await.unwrap_err();
            assert_corrupt(&error, &[said], what);
        }
        for list in ["offsets", "commits"] {
            assert!(!lake.checkpoint("chicago_arrests").join(list).join("1.json").exists(), "{what}");
        }
    }
}

/// One bit of each of 64 places, over all of the file.
fn flips(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..64usize).map(|place| {
        let mut flipped = bytes.to_vec();
        flipped[place * (bytes.len() - 1) / 63] ^= 1 << (place % 8);
        flipped
    })
}

/// The files that these records list in a folder, by their names.
fn listed(lake: &Lake, schema_name: &str, is_it: impl Fn(&FileEntry) -> bool) -> Vec<FileEntry> {
    let commits: RecordList<Commit> = RecordList::read_only(lake.checkpoint(schema_name).join("commits"));
    let all = commits.numbers().unwrap().flat_map(|number| commits.read(number).unwrap().added);
    all.filter(is_it).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bit_that_flips_in_a_state_is_found_before_anything_is_made_of_it() {
    let messages = rfm::order_rows(160, 7);
    let broker = rfm::broker_with(&messages[..messages.len() / 2]).await;
    // A snapshot at batch 49, deltas after it.
    let job = rfm::job(&broker.address(), messages.len() as u64 / 2 / 52, &[]);
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    stream_all(&job, &lake).await.unwrap();
    let state = |kind: &str| {
        let files = listed(&lake, "olist_rfm", |file| file.path.contains(&format!("state/{kind}-")));
        files.last().unwrap().path.clone()
    };
    broker.send("orders", 1, &messages[messages.len() / 2..]);
    let commits = lake.checkpoint("olist_rfm").join("commits");
    let before = std::fs::read_dir(&commits).unwrap().count();
    for file in [state("snapshot"), state("delta")] {
        let path = lake.resolve(&file);
        let bytes = std::fs::read(&path).unwrap();
        for flipped in flips(&bytes) {
            std::fs::write(&path, &flipped).unwrap();
            let error = stream_all(&job, &lake).await.unwrap_err();
            let name = path.file_name().unwrap().to_str().unwrap();
            assert_corrupt(&error, &[name, "is not what its record says: its checksum is"], &file);
        }
        std::fs::write(&path, bytes).unwrap();
    }
    assert_eq!(std::fs::read_dir(&commits).unwrap().count(), before, "nothing was committed");
    stream_all(&job, &lake).await.unwrap();
    rfm::assert_state_is_the_batch_sql(&lake).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bit_that_flips_in_rows_or_a_model_teaches_nothing() {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    broker.send("crimes", 1, &crimes(3 * PER_BATCH as usize, 8));
    let job = job(&broker.address(), PER_BATCH, &[]);
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path().join("lake"));
    stream_all(&job, &lake).await.unwrap();
    let harmed = Lake::new(folder.path().join("harmed"));
    // A batch is committed at most; what it is learned from is not what was.
    broker.send("crimes", 1, &crimes(PER_BATCH as usize, 9));
    for file in [
        "chicago_arrests/crimes/batch-00000001.parquet",
        "chicago_arrests/crimes/batch-00000002.parquet",
        "chicago_arrests/_models/forest/batch-00000002.model",
        "chicago_arrests/_models/logistic/batch-00000002.model",
    ] {
        let bytes = std::fs::read(lake.resolve(file)).unwrap();
        for flipped in flips(&bytes) {
            let _ = std::fs::remove_dir_all(harmed.root());
            copy_folder(lake.root(), harmed.root());
            std::fs::write(harmed.resolve(file), flipped).unwrap();
            let error = stream_all(&job, &harmed).await.unwrap_err();
            let name = Path::new(file).file_name().unwrap().to_str().unwrap();
            assert_corrupt(&error, &[name, "is not what its record says: its checksum is"], file);
            assert!(!harmed.checkpoint("chicago_arrests").join("learn/3.json").exists(), "{file}");
        }
    }
}

/// A file of the same name and size that reads as well, such as an older copy: what the driver and `run` read they check.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_swapped_for_one_that_reads_as_well_is_refused() {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    broker.send("crimes", 1, &crimes(3 * PER_BATCH as usize, 8));
    let job = job(&broker.address(), PER_BATCH, &[]);
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path().join("lake"));
    stream_all(&job, &lake).await.unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("jobs/counts.toml", "sql = \"sql/counts\"\n");
    write("sql/counts/counted.sql", "SELECT count(*) AS n FROM chicago_arrests.crimes");
    let run_counts = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill"));
        command.arg("--lake").arg(lake.root()).arg("--project").arg(folder.path()).args(["run", "counts"]);
        run(command.arg("--force"))
    };
    assert!(run_counts().status.success(), "{:?}", run_counts());

    let path = lake.resolve("chicago_arrests/crimes/batch-00000001.parquet");
    let bytes = std::fs::read(&path).unwrap();
    let mut other = bytes.clone();
    // The name of the writer, in the footer.
    let at = other.windows(8).rposition(|part| part == b"tidemill").unwrap();
    other[at + 7] = b'k';
    std::fs::write(&path, other).unwrap();
    assert_eq!(positions(&lake).await, (3 * PER_BATCH, 3 * PER_BATCH), "it reads as well");
    let said = ["batch-00000001.parquet", "is not what its record says: its checksum is"];
    let (code, (_, text)) = (run_counts().status.code(), texts(&run_counts()));
    assert!(code == Some(1) && said.iter().all(|said| text.contains(said)), "{code:?} {text}");
    broker.send("crimes", 1, &crimes(PER_BATCH as usize, 9));
    assert_corrupt(&stream_all(&job, &lake).await.unwrap_err(), &said, "the driver");

    std::fs::write(&path, bytes).unwrap();
    stream_all(&job, &lake).await.unwrap();
    assert!(run_counts().status.success());
    assert_eq!(query(&lake, "SELECT n FROM counts.counted").await, [[(4 * PER_BATCH).to_string()]]);
}

/// The newest file is the table's, the others are not: a folder that was put in its place.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_with_the_newest_file_alone_is_not_the_table() {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    broker.send("crimes", 1, &crimes(4 * PER_BATCH as usize, 8));
    let job = job(&broker.address(), PER_BATCH, &[]);
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path().join("lake"));
    stream_all(&job, &lake).await.unwrap();
    let table = lake.resolve("chicago_arrests/crimes");
    let whole = lake.resolve("whole");
    std::fs::rename(&table, &whole).unwrap();
    std::fs::create_dir(&table).unwrap();
    let name = |number: usize| format!("batch-{number:08}.parquet");
    std::fs::copy(whole.join(name(3)), table.join(name(3))).unwrap();
    broker.send("crimes", 1, &crimes(PER_BATCH as usize, 9));
    for there in [3, 1] {
        let error = stream_all(&job, &lake).await.unwrap_err();
        let gone = if there == 3 { 2 } else { 0 };
        assert_corrupt(&error, &[&name(gone), "is listed but is not there"], "replaced");
        for number in [1, 2] {
            std::fs::copy(whole.join(name(number)), table.join(name(number))).unwrap();
        }
    }
    assert!(!lake.checkpoint("chicago_arrests").join("offsets/4.json").exists());
    std::fs::copy(whole.join(name(0)), table.join(name(0))).unwrap();
    std::fs::remove_dir_all(&whole).unwrap();
    stream_all(&job, &lake).await.unwrap();
    assert_eq!(positions(&lake).await, (5 * PER_BATCH, 5 * PER_BATCH));
}

/// A statement over more files than a process may have open, and all else that reads them.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn few_files_are_open_at_once_however_many_batches_there_are() {
    const BATCHES: usize = 260;
    /// Of these some are the process's own: its streams, the runtime's, the prompt's.
    const MAY_BE_OPEN: usize = 128;
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    let mut messages = crimes(2 * BATCHES, 5);
    messages.iter_mut().step_by(2).for_each(|message| *message = Some(b"{".to_vec()));
    broker.send("crimes", 1, &messages);
    let folder = tempfile::tempdir().unwrap();
    let sets = [("models.forest.trees", "2")];
    stream_all(&job(&broker.address(), 2, &sets), &Lake::new(folder.path())).await.unwrap();
    broker.send("crimes", 1, &crimes(2, 6));
    let address = broker.address();
    let read = ["--brokers", &address, "--set", "source.max_offsets_per_trigger=2"];
    let commands: [(&[&str], &str); 8] = [
        (&["sql", "SELECT count(*) FROM crimes"], "260"),
        (&["sql", "SELECT count(*) FROM system.models JOIN system.batches USING (batch_id)"], "1040"),
        (&["describe", "system.dead_letters"], "260"),
        (&["metrics", "chicago-arrests", "--last", "1"], "259"),
        (&["plot", "chicago-arrests", "metrics", "--metric", "auc"], ""),
        (&["doctor"], "are as their records say"),
        (&["stream", "chicago-arrests", "--available-now"], "2 rows"),
        (&["dlq", "replay", "chicago-arrests"], "260"),
    ];
    for (arguments, said) in commands {
        let reads = matches!(arguments[0], "stream" | "dlq");
        let mut limited = Command::new("bash");
        limited.args(["-c", &format!("ulimit -n {MAY_BE_OPEN} && exec \"$@\""), "bash"]);
        let command = tidemill(folder.path());
        limited.arg(command.get_program()).args(command.get_args()).args(arguments);
        let output = run(limited.args(if reads { &read[..] } else { &[] }).env("NO_COLOR", "1"));
        let (stdout, stderr) = texts(&output);
        assert!(output.status.success(), "{arguments:?}: {stderr}");
        assert!(format!("{stdout}{stderr}").contains(said), "{arguments:?}: {stdout}{stderr}");
    }
}
