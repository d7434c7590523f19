//! A broker that loses the end of a log which had been read: what is written there again has offsets that are taken.

use tidemill_core::ErrorKind;
use tidemill_core::lake::Lake;
use tidemill_core::project::Job;
use tidemill_core::stream::{CrashPoint, Driver};

use crate::support::{TestBroker, crimes, positions, query, stream_all};

const RECORD: (&str, &str) = ("source.fail_on_data_loss", "record");

/// A broker with 1,000 messages in batches of at most 50.
async fn broker() -> TestBroker {
    let broker = TestBroker::start().await;
    broker.create_topic(&broker.topic, 1).await;
    for part in 0..20 {
        broker.send(&broker.topic, 1, &crimes(50, part));
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

async fn read_all(job: &Job, lake: &Lake) -> (u64, u64) {
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

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_cut_off_under_a_running_stream_is_read_on_once_it_has_grown() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::time::Duration;
    use tidemill_core::stream::{self, StreamEvent, StreamOptions};

    let mut broker = broker().await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    let job = broker.job(1_000_000, &[RECORD, ("trigger.processing_time", "50ms")]);
    let (stop, rows) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let running = {
        let (lake, stop, rows) = (lake.clone(), stop.clone(), rows.clone());
        tokio::spawn(async move {
            stream::run(&job, &lake, &StreamOptions::default(), stop, &mut |event| {
                if let StreamEvent::Batch(progress) = event {
                    rows.fetch_add(progress.num_input_rows, Ordering::Relaxed);
                }
            })
            .await
        })
    };
    let reached = async |count: u64| {
        for _ in 0..600 {
            if rows.load(Ordering::Relaxed) >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{} rows of {count}", rows.load(Ordering::Relaxed));
    };
    reached(1000).await;
    let high = cut_off(&mut broker).await as u64;
    for part in 0..10 {
        broker.send(&broker.topic, 1, &crimes(30, 100 + part));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    reached(high + 300).await;
    stop.store(true, Ordering::Relaxed);
    running.await.unwrap().unwrap();
    assert_eq!(positions(&lake).await, (high + 300, high + 300));
    assert_eq!(query(&lake, "SELECT max(_offset) FROM crimes").await[0][0], (high + 299).to_string());
    let losses = losses(&lake).await;
    let again: i64 = losses.iter().filter(|loss| loss.2).map(|(from, to, _)| to - from).sum();
    assert_eq!(again, 1000 - high as i64, "{losses:?}");
}
