//! A broker that loses the end of a log which had been read: what is written there again has offsets that are taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tidemill_core::ErrorKind;
use tidemill_core::lake::Lake;
use tidemill_core::project::StreamJob;
use tidemill_core::stream::{self, CrashPoint, Driver, StreamEvent, StreamOptions, StreamSummary};
use tokio::task::JoinHandle;

use crate::support::{TestBroker, crimes, positions, query, stream_all};

const RECORD: (&str, &str) = ("source.fail_on_data_loss", "record");

/// A broker with 1,000 messages, the last 100 of them in a batch of their own at least.
async fn broker() -> TestBroker {
    let broker = TestBroker::start().await;
    broker.create_topic(&broker.topic, 1).await;
    for (seed, count) in [(1, 900), (2, 100)] {
        broker.send(&broker.topic, 1, &crimes(count, seed));
    }
    broker
}

async fn cut_off(broker: &mut TestBroker) -> i64 {
    broker.stop().await;
    broker.cut_off(0);
    broker.start_again().await;
    end(broker)
}

fn end(broker: &TestBroker) -> i64 {
    broker.source().watermarks().unwrap()[&0].high
}

/// Ranges in `system.data_loss`, as first, one past the last, and whether they were written again.
async fn losses(lake: &Lake) -> Vec<(i64, i64, bool)> {
    let sql =
        "SELECT from_offset, to_offset, reason LIKE '%written again%' FROM data_loss ORDER BY batch_id, 1";
    let rows = query(lake, sql).await;
    rows.iter().map(|row| (row[0].parse().unwrap(), row[1].parse().unwrap(), row[2] == "true")).collect()
}

async fn read_all(job: &StreamJob, lake: &Lake) -> (u64, u64) {
    let summary = stream_all(job, lake).await.unwrap();
    (summary.batches, summary.rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_where_the_log_now_ends_and_reads_no_offset_twice() {
    let mut broker = broker().await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    let (strict, job) = (broker.job(1_000_000, &[]), broker.job(1_000_000, &[RECORD]));
    assert_eq!(read_all(&strict, &lake).await, (1, 1000));

    let high = cut_off(&mut broker).await;
    assert!((900..1000).contains(&high), "{high}");
    let error = stream_all(&strict, &lake).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DataLoss, "{error}");
    assert!(error.to_string().contains(&format!("ends at offset {high}")), "{error}");
    // It was read from its beginning again: 1,949 rows of 1,000 offsets.
    assert_eq!(read_all(&job, &lake).await, (1, 0));
    assert_eq!(read_all(&job, &lake).await, (0, 0), "what is said once is not said at each trigger");
    assert_eq!(losses(&lake).await, [(high, 1000, false)]);

    // Some of the lost offsets are given out again, then all of them and more.
    broker.send(&broker.topic, 1, &crimes(10, 100));
    assert_eq!(read_all(&job, &lake).await, (1, 0));
    broker.send(&broker.topic, 1, &crimes(200, 101));
    let rows = (high + 210 - 1000) as u64;
    assert_eq!(read_all(&job, &lake).await, (1, rows));
    assert_eq!(losses(&lake).await, [(high, 1000, false), (high, high + 10, true), (high + 10, 1000, true)]);
    broker.send(&broker.topic, 1, &crimes(5, 102));
    assert_eq!(read_all(&strict, &lake).await, (1, 5), "there is nothing to say any more");
    assert_eq!(positions(&lake).await, (1000 + rows + 5, 1000 + rows + 5));
    assert_eq!(query(&lake, "SELECT max(_offset) FROM crimes").await[0][0], (high + 214).to_string());
}

/// By its offsets such a log has lost nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_cut_off_and_has_outgrown_what_was_read_is_told_by_its_last_message() {
    let mut broker = broker().await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    let (strict, job) = (broker.job(1_000_000, &[]), broker.job(1_000_000, &[RECORD]));
    assert_eq!(read_all(&strict, &lake).await, (1, 1000));
    // What is there and is the same is no reason to say anything.
    broker.send(&broker.topic, 1, &crimes(50, 99));
    assert_eq!(read_all(&strict, &lake).await, (1, 50));

    let high = cut_off(&mut broker).await as u64;
    broker.send(&broker.topic, 1, &crimes(200, 100));
    let error = stream_all(&strict, &lake).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DataLoss, "{error}");
    assert!(error.to_string().contains("offset 1049 of partition 0 is not the one that was read"), "{error}");
    assert_eq!(read_all(&job, &lake).await, (1, high + 200 - 1050));
    assert_eq!(losses(&lake).await, [(1049, 1050, true)]);
    broker.send(&broker.topic, 1, &crimes(5, 101));
    assert_eq!(read_all(&strict, &lake).await, (1, 5), "it is said once");
    assert_eq!(positions(&lake).await, (high + 205, high + 205));
}

/// The plan is older than the cut: its batch ends where the log does, and what comes there later is new.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_cut_off_within_a_plan_is_read_on_from_there() {
    let mut broker = broker().await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    let (strict, job) = (broker.job(1_000_000, &[]), broker.job(1_000_000, &[RECORD]));
    let mut driver = Driver::open(&strict, &lake).await.unwrap();
    driver.crash_after(0, CrashPoint::Plan);
    driver.next_batch(None, &mut |_| {}).await.unwrap_err();
    drop(driver);

    let high = cut_off(&mut broker).await;
    let error = stream_all(&strict, &lake).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DataLoss, "{error}");
    assert_eq!(read_all(&job, &lake).await, (1, high as u64));
    assert_eq!(losses(&lake).await, [(high, 1000, false)]);
    broker.send(&broker.topic, 1, &crimes(10, 100));
    assert_eq!(read_all(&strict, &lake).await, (1, 10));
    broker.send(&broker.topic, 1, &crimes(200, 101));
    assert_eq!(read_all(&strict, &lake).await, (1, 200));
    assert_eq!(positions(&lake).await, (high as u64 + 210, high as u64 + 210));
    assert_eq!(losses(&lake).await, [(high, 1000, false)]);
}

/// A stream in the background; its rows are counted.
struct Running {
    stop: Arc<AtomicBool>,
    rows: Arc<AtomicU64>,
    task: JoinHandle<tidemill_core::Result<StreamSummary>>,
}

impl Running {
    fn start(job: StreamJob, lake: &Lake) -> Running {
        let (stop, rows) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (lake, ending, counted) = (lake.clone(), stop.clone(), rows.clone());
        let task = tokio::spawn(async move {
            stream::run(&job, &lake, &StreamOptions::default(), ending, &mut |event| {
                if let StreamEvent::Batch(progress) = event {
                    counted.fetch_add(progress.num_input_rows, Ordering::Relaxed);
                }
            })
            .await
        });
        Running { stop, rows, task }
    }

    async fn reaches(&self, count: u64) {
        for _ in 0..600 {
            if self.rows.load(Ordering::Relaxed) >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{} rows of {count}", self.rows.load(Ordering::Relaxed));
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_cut_off_under_a_running_stream_is_read_on_once_it_has_grown() {
    let mut broker = broker().await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    let job = broker.job(1_000_000, &[RECORD, ("trigger.processing_time", "50ms")]);
    let running = Running::start(job, &lake);
    running.reaches(1000).await;
    let high = cut_off(&mut broker).await as u64;
    for part in 0..5 {
        broker.send(&broker.topic, 1, &crimes(60, 100 + part));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    running.reaches(high + 300).await;
    running.end().await;
    assert_eq!(positions(&lake).await, (high + 300, high + 300));
    assert_eq!(query(&lake, "SELECT max(_offset) FROM crimes").await[0][0], (high + 299).to_string());
    let losses = losses(&lake).await;
    let again: i64 = losses.iter().filter(|loss| loss.2).map(|(from, to, _)| to - from).sum();
    assert_eq!(again, 1000 - high as i64, "{losses:?}");
}

/// Between two triggers the broker goes, comes back without the end of its log, and gets more than it had.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_cut_off_and_outgrown_between_two_triggers_is_told_too() {
    let mut broker = broker().await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    let job = broker.job(1_000_000, &[RECORD, ("trigger.processing_time", "8s")]);
    let running = Running::start(job, &lake);
    running.reaches(1000).await;
    let high = cut_off(&mut broker).await as u64;
    broker.send(&broker.topic, 1, &crimes(200, 100));
    running.reaches(high + 200).await;
    running.end().await;
    assert_eq!(positions(&lake).await, (high + 200, high + 200));
    assert_eq!(losses(&lake).await, [(999, 1000, true)]);
}
