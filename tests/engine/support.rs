//! What the tests share: a broker, messages, a job that fits in seconds, and what a lake comes down to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tidemill_core::lake::Lake;
use tidemill_core::project::{Project, Settings, StreamJob};
use tidemill_core::records::{Learn, Plan, RecordList};
use tidemill_core::stream::{self, CrashPoint, Driver, StreamOptions, StreamSummary};

pub use crate::brokers::TestBroker;

pub const JOB: &str = "chicago-arrests";

/// Crimes with something to learn: theft seldom leads to an arrest, narcotics nearly always.
pub fn crimes(count: usize, seed: u64) -> Vec<Option<Vec<u8>>> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    (0..count)
        .map(|_| {
            let kind = next(4);
            let arrest = next(100) < [5, 20, 60, 95][kind as usize];
            let hour = if next(5) == 0 { "null".to_owned() } else { next(24).to_string() };
            let text = format!(
                r#"{{"arrest":{arrest},"domestic":{},"beat":{},"district":{},"x_coordinate":{}.5,"y_coordinate":{},"iucr":"{:04}","location_description":"PLACE {}","fbi_code":"{:02}","block":"{:03}XX S STATE ST","month":{},"hour":{hour},"noise":[1,{{"a":2}}]}}"#,
                next(2),
                100 + next(200),
                1 + next(22),
                1_100_000 + next(90_000),
                1_800_000 + next(150_000),
                kind * 100 + next(5),
                next(12),
                kind,
                next(300),
                1 + next(12),
            );
            Some(text.into_bytes())
        })
        .collect()
}

/// The built-in job against this broker, in batches of `limit`.
pub fn job(broker: &str, limit: u64, sets: &[(&str, &str)]) -> StreamJob {
    let mut all = vec![
        ("source.kafka.bootstrap_servers".to_owned(), broker.to_owned()),
        ("source.max_offsets_per_trigger".to_owned(), limit.to_string()),
    ];
    all.extend(sets.iter().map(|(k, v)| (k.to_string(), v.to_string())));
    let settings = Settings { sets: all, environment: BTreeMap::new() };
    Project::open(Path::new("/nonexistent")).stream_job(JOB, &settings).unwrap()
}

/// Streams what is there and ends.
pub async fn stream_all(job: &StreamJob, lake: &Lake) -> tidemill_core::Result<StreamSummary> {
    let options = StreamOptions { available_now: true, max_batches: None, ..StreamOptions::default() };
    stream::run(job, lake, &options, Arc::new(AtomicBool::new(false)), &mut |_| {}).await
}

/// Streams until the driver dies after this step of this batch.
pub async fn die_after(job: &StreamJob, lake: &Lake, batch: u64, point: CrashPoint) {
    let mut driver = Driver::open(job, lake).await.unwrap();
    driver.crash_after(batch, point);
    driver.recover(&mut |_| {}).await.unwrap();
    while driver.next_batch(None, &mut |_| {}).await.is_ok() {}
}

/// What two runs over the same plans must agree in: ranges, the bytes of the visible table and model files, and
/// every score. Times and the ids of runs are left out.
#[derive(Debug, PartialEq)]
pub struct Essence {
    ranges: Vec<String>,
    files: BTreeMap<String, Vec<u8>>,
    scores: Vec<String>,
}

impl Essence {
    pub fn of(lake: &Lake) -> Essence {
        let checkpoint = lake.checkpoint("chicago_arrests");
        let plans: RecordList<Plan> = RecordList::read_only(checkpoint.join("offsets"));
        let learn: RecordList<Learn> = RecordList::read_only(checkpoint.join("learn"));
        let plans = plans.numbers().unwrap().map(|n| plans.read(n).unwrap());
        let learn = learn.numbers().unwrap().map(|n| learn.read(n).unwrap());
        let mut files = BTreeMap::new();
        let models =
            ["logistic", "forest", "tree", "hotspots"].map(|m| format!("chicago_arrests/_models/{m}"));
        for folder in std::iter::once("chicago_arrests/crimes".to_owned()).chain(models) {
            for path in visible_files(&lake.resolve(&folder)) {
                let name = format!("{folder}/{}", path.file_name().unwrap().to_str().unwrap());
                files.insert(name, std::fs::read(&path).unwrap());
            }
        }
        Essence {
            ranges: plans.map(|p| format!("{} {:?}", p.batch_id, p.topic.partitions)).collect(),
            files,
            scores: learn
                .flat_map(|record| record.models)
                .map(|mut outcome| {
                    outcome.train_ms = 0.0;
                    format!("{outcome:?}")
                })
                .collect(),
        }
    }

    pub fn batches(&self) -> usize {
        self.ranges.len()
    }

    /// Says which part differs; a comparison of megabytes of debug output would not.
    pub fn assert_same(&self, other: &Essence, what: &str) {
        assert_eq!(self.ranges, other.ranges, "{what}: ranges");
        let names = |e: &Essence| e.files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(self), names(other), "{what}: files");
        for (name, bytes) in &self.files {
            assert!(bytes == &other.files[name], "{what}: {name} differs");
        }
        assert_eq!(self.scores, other.scores, "{what}: scores");
    }
}

/// What `*` would find: files that are not hidden.
pub fn visible_files(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file() && !path.file_name().unwrap().to_str().unwrap().starts_with('.'))
        .collect();
    paths.sort();
    paths
}

/// One text column of a query over the lake.
pub async fn query(lake: &Lake, sql: &str) -> Vec<Vec<String>> {
    let session = tidemill_core::catalog::open_session(lake).await.unwrap();
    let batches = tidemill_core::catalog::query(&session, lake, sql).await.unwrap();
    let mut rows = Vec::new();
    for batch in &batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|c| arrow::util::display::ArrayFormatter::try_new(c, &Default::default()).unwrap())
            .collect();
        rows.extend(
            (0..batch.num_rows()).map(|row| columns.iter().map(|c| c.value(row).to_string()).collect()),
        );
    }
    rows
}

/// Every produced offset is in the table or the dead letters, once: `(rows, distinct positions)`.
pub async fn positions(lake: &Lake) -> (u64, u64) {
    let rows = query(
        lake,
        "SELECT count(*), count(DISTINCT concat(_topic, '/', _partition, '/', _offset)) FROM crimes",
    )
    .await;
    (rows[0][0].parse().unwrap(), rows[0][1].parse().unwrap())
}

/// A record without its checksum, to be changed by a test: one without is not checked.
pub fn unsealed(path: &Path) -> serde_json::Value {
    serde_json::from_str(&unsealed_text(path)).unwrap()
}

/// The same as it is laid out.
pub fn unsealed_text(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().filter(|line| !line.starts_with("  \"crc32c\"")).flat_map(|line| [line, "\n"]).collect()
}

/// The binary under test.
pub fn tidemill(lake: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill"));
    command.arg("--lake").arg(lake).arg("--project").arg("/nonexistent");
    for name in ["TIDEMILL_LAKE", "TIDEMILL_BROKERS"] {
        command.env_remove(name);
    }
    command
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

/// Standard output and error as text.
pub fn texts(output: &Output) -> (String, String) {
    (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}
