//! A start commits before it has read the history of its models, and learns in order once it has: nothing comes out other
//! than of a driver that was never away.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tidemill_core::lake::Lake;
use tidemill_core::project::StreamJob;
use tidemill_core::stream::{CrashPoint, Driver, StreamEvent};

use crate::support::{Essence, TestBroker, crimes, die_after, job, positions, query, stream_all};

const PER_BATCH: u64 = 150;
/// Batches of all messages.
const BATCHES: u64 = 6;
/// The batch that the first driver commits and does not learn from.
const LEFT: u64 = 2;

/// A lake whose driver died between commit and learning of the batch [`LEFT`].
async fn left_behind(job: &StreamJob, lake: &Lake) {
    die_after(job, lake, LEFT, CrashPoint::Publish).await;
    assert_eq!(records(lake, "commits"), LEFT + 1);
    assert_eq!(records(lake, "learn"), LEFT);
}

fn records(lake: &Lake, kind: &str) -> u64 {
    let names = |folder: &Path| std::fs::read_dir(folder).unwrap().count() as u64;
    names(&lake.checkpoint("chicago_arrests").join(kind))
}

/// What was told of learning: `learned 2` of a batch of before, `batch 3 of 4 models`.
fn told(log: &mut Vec<String>) -> impl FnMut(StreamEvent<'_>) + Send + '_ {
    |event| match event {
        StreamEvent::Learned { batch_id } => log.push(format!("learned {batch_id}")),
        StreamEvent::Batch(progress) => {
            assert_eq!(progress.duration_ms.learn.is_some(), !progress.models.is_empty());
            log.push(format!("batch {} of {} models", progress.batch_id, progress.models.len()));
        }
        StreamEvent::HistoryTakesLong { batches } => log.push(format!("reading {batches}")),
        _ => {}
    }
}

async fn broker_and_job() -> (TestBroker, StreamJob) {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 2).await;
    broker.send("crimes", 2, &crimes((BATCHES * PER_BATCH) as usize, 8));
    let job = job(&broker.address(), PER_BATCH, &[]);
    (broker, job)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_commits_before_its_history_is_read_and_learns_in_order() {
    let (_broker, job) = broker_and_job().await;
    let folder = tempfile::tempdir().unwrap();
    let untouched = Lake::new(folder.path().join("untouched"));
    stream_all(&job, &untouched).await.unwrap();

    let lake = Lake::new(folder.path().join("lake"));
    left_behind(&job, &lake).await;
    let held = Arc::new(AtomicBool::new(true));
    let mut log = Vec::new();
    let mut driver = Driver::open(&job, &lake).await.unwrap();
    driver.hold_history(held.clone());
    driver.recover(&mut told(&mut log)).await.unwrap();
    for batch_id in LEFT + 1..LEFT + 3 {
        assert_eq!(driver.next_batch(None, &mut told(&mut log)).await.unwrap(), Some(batch_id));
        // The rows are there for everybody; the models are those of before.
        let rows = (batch_id + 1) * PER_BATCH;
        assert_eq!(positions(&lake).await, (rows, rows));
        assert_eq!(records(&lake, "learn"), LEFT);
        assert_eq!(query(&lake, "SELECT max(batch_id) FROM models").await[0][0], (LEFT - 1).to_string());
    }
    assert_eq!(driver.waiting(), 3);

    held.store(false, Ordering::Relaxed);
    while !driver.learn_oldest(&mut told(&mut log)).await.unwrap() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!((driver.waiting(), records(&lake, "learn")), (2, LEFT + 1));
    // From now on each commit makes the lag smaller by one.
    driver.next_batch(None, &mut told(&mut log)).await.unwrap().unwrap();
    assert_eq!((driver.waiting(), records(&lake, "learn")), (1, BATCHES - 1));
    assert_eq!(driver.next_batch(None, &mut told(&mut log)).await.unwrap(), None);
    driver.finish(&AtomicBool::new(false), &mut told(&mut log)).await.unwrap();
    let expected =
        ["reading 2", "learned 2", "batch 3 of 4 models", "batch 4 of 4 models", "batch 5 of 4 models"];
    assert_eq!(log, expected);
    Essence::of(&lake).assert_same(&Essence::of(&untouched), "after it was behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_leaves_what_waits_to_the_next_start() {
    let (_broker, job) = broker_and_job().await;
    let folder = tempfile::tempdir().unwrap();
    let untouched = Lake::new(folder.path().join("untouched"));
    stream_all(&job, &untouched).await.unwrap();

    let lake = Lake::new(folder.path().join("lake"));
    left_behind(&job, &lake).await;
    let mut log = Vec::new();
    for _ in 0..2 {
        let mut driver = Driver::open(&job, &lake).await.unwrap();
        driver.hold_history(Arc::new(AtomicBool::new(true)));
        driver.recover(&mut told(&mut log)).await.unwrap();
        driver.next_batch(None, &mut told(&mut log)).await.unwrap().unwrap();
        driver.finish(&AtomicBool::new(true), &mut told(&mut log)).await.unwrap();
    }
    assert_eq!(log, ["reading 2", "batch 3 of 0 models", "reading 2", "batch 4 of 0 models"]);
    assert_eq!((records(&lake, "commits"), records(&lake, "learn")), (LEFT + 3, LEFT));

    // A run with an end of its own learns from everything.
    let summary = stream_all(&job, &lake).await.unwrap();
    assert_eq!((summary.batches, summary.rows), (1, PER_BATCH));
    Essence::of(&lake).assert_same(&Essence::of(&untouched), "after two starts that were stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_any_step_while_learning_is_behind_changes_nothing() {
    let (_broker, job) = broker_and_job().await;
    let folder = tempfile::tempdir().unwrap();
    let untouched = Lake::new(folder.path().join("untouched"));
    stream_all(&job, &untouched).await.unwrap();
    let expected = Essence::of(&untouched);

    for point in CrashPoint::ALL {
        let what = format!("crash after {point:?} of batch 4");
        let lake = Lake::new(folder.path().join(format!("{point:?}")));
        left_behind(&job, &lake).await;
        let held = Arc::new(AtomicBool::new(true));
        let mut driver = Driver::open(&job, &lake).await.unwrap();
        driver.hold_history(held.clone());
        driver.crash_after(LEFT + 2, point);
        driver.recover(&mut |_| {}).await.unwrap();
        driver.next_batch(None, &mut |_| {}).await.unwrap().unwrap();
        let mut end = driver.next_batch(None, &mut |_| {}).await.map(|_| ());
        assert_eq!(end.is_err(), point as u8 <= CrashPoint::Delta as u8, "{what}");
        held.store(false, Ordering::Relaxed);
        if end.is_ok() {
            end = driver.finish(&AtomicBool::new(false), &mut |_| {}).await;
        }
        assert!(end.unwrap_err().to_string().contains("die after"), "{what}");
        drop(driver);
        stream_all(&job, &lake).await.unwrap();
        Essence::of(&lake).assert_same(&expected, &what);
    }
}

/// A batch's file is renamed after its commit. A statement that was planned before that is not run again, nor does it miss
/// the rows.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_reads_on_where_a_file_was_renamed_to() {
    let (_broker, job) = broker_and_job().await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path().join("lake"));
    die_after(&job, &lake, LEFT, CrashPoint::Commit).await;

    let session = tidemill_core::catalog::open_session(&lake).await.unwrap();
    let statement = "SELECT count(*), sum(_offset) FROM crimes WHERE beat > 0";
    let before = tidemill_core::sql::frame(&session, statement).await.unwrap();
    let late = tidemill_core::sql::frame(&session, statement).await.unwrap();
    let expected = tidemill_core::sql::collect(before).await.unwrap();
    Driver::open(&job, &lake).await.unwrap().recover(&mut |_| {}).await.unwrap();
    let file = format!("chicago_arrests/crimes/batch-{LEFT:08}.parquet");
    assert!(lake.resolve(&file).is_file());
    let rows = tidemill_core::sql::collect(late).await.unwrap();
    assert_eq!(rows, expected);
    let counted = rows[0].column(0).to_data().buffers()[0].typed_data::<i64>()[0];
    assert_eq!(counted, ((LEFT + 1) * PER_BATCH) as i64);
}

/// What is committed first stays, also where nothing can be learned from it.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_of_an_old_batch_ends_each_start_behind_its_commit_until_it_is_put_back() {
    let (broker, job) = broker_and_job().await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path().join("lake"));
    let untouched = Lake::new(folder.path().join("untouched"));
    stream_all(&job, &lake).await.unwrap();
    let path = lake.resolve("chicago_arrests/crimes/batch-00000001.parquet");
    let whole = std::fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    damaged[100] ^= 1;
    std::fs::write(&path, &damaged).unwrap();

    for (start, waits) in [
        (0, "batch 6 is committed and not learned from"),
        (1, "batches 6 to 7 are committed and not learned from"),
        (2, "batches 6 to 8 are committed and not learned from"),
    ] {
        broker.send("crimes", 2, &crimes(PER_BATCH as usize, 20 + start));
        let mut told = Vec::new();
        let mut driver = Driver::open(&job, &lake).await.unwrap();
        driver.recover(&mut |_| {}).await.unwrap();
        let mut tell = |event: StreamEvent<'_>| {
            if let StreamEvent::Planned { batch_id, .. } = event {
                told.push(batch_id);
            }
        };
        let text = driver.next_batch(None, &mut tell).await.unwrap_err().to_string();
        for part in [waits, "batch-00000001.parquet is not what its record says: its checksum is"] {
            assert!(text.contains(part), "start {start}: {text}");
        }
        // Its rows are the table's, and no record says that anything was learned.
        assert_eq!(told, [BATCHES + start]);
        assert_eq!((records(&lake, "commits"), records(&lake, "learn")), (BATCHES + start + 1, BATCHES));
    }
    // Without new messages it is the same.
    assert!(stream_all(&job, &lake).await.unwrap_err().to_string().contains("batches 6 to 8"));
    assert_eq!(records(&lake, "commits"), BATCHES + 3);

    std::fs::write(&path, whole).unwrap();
    stream_all(&job, &lake).await.unwrap();
    stream_all(&job, &untouched).await.unwrap();
    assert_eq!(records(&lake, "learn"), BATCHES + 3);
    assert_eq!(positions(&lake).await, ((BATCHES + 3) * PER_BATCH, (BATCHES + 3) * PER_BATCH));
    Essence::of(&lake).assert_same(&Essence::of(&untouched), "after the file was put back");
}
