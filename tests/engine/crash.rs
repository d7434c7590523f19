//! The driver dies after every step of every batch, in process: the next start makes up for it.

use tidemill_core::lake::Lake;
use tidemill_core::project::Job;
use tidemill_core::stream::{CrashPoint, Driver};

use crate::support::{Essence, TestBroker, crimes, job, positions, query, stream_all, visible_files};

const BATCHES: u64 = 4;
const PER_BATCH: u64 = 150;

/// Streams until the driver dies at its crash point.
async fn stream_until_crash(job: &Job, lake: &Lake, batch: u64, point: CrashPoint) {
    let mut driver = Driver::open(job, lake).await.unwrap();
    driver.crash_after(batch, point);
    driver.recover(&mut |_| {}).await.unwrap();
    loop {
        match driver.next_batch(None, &mut |_| {}).await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the driver did not die after {point:?} of batch {batch}"),
            Err(error) => return assert!(error.to_string().contains("die after"), "{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_any_step_of_any_batch_changes_nothing() {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 2).await;
    broker.send("crimes", 2, &crimes((BATCHES * PER_BATCH) as usize, 1));
    let job = job(&broker.address(), PER_BATCH, &[]);

    let folder = tempfile::tempdir().unwrap();
    let untouched = Lake::new(folder.path().join("untouched"));
    stream_all(&job, &untouched).await.unwrap();
    let expected = Essence::of(&untouched);
    assert_eq!(expected.batches() as u64, BATCHES);

    for batch in 0..BATCHES {
        for point in CrashPoint::ALL {
            let what = format!("crash after {point:?} of batch {batch}");
            let lake = Lake::new(folder.path().join(format!("{batch}-{point:?}")));
            stream_until_crash(&job, &lake, batch, point).await;

            // What a plain glob shows is committed, and what is committed our reader sees, also right after death.
            let committed = batch + u64::from(point as u8 >= CrashPoint::Commit as u8);
            let visible = visible_files(&lake.resolve("chicago_arrests/crimes")).len() as u64;
            assert!(visible <= committed, "{what}: {visible} files visible, {committed} committed");
            if committed > 0 {
                assert_eq!(positions(&lake).await, (committed * PER_BATCH, committed * PER_BATCH), "{what}");
            }

            stream_all(&job, &lake).await.unwrap();
            Essence::of(&lake).assert_same(&expected, &what);
            let metrics = query(&lake, "SELECT count(*) FROM metrics").await;
            // Four models, hold-out for every batch and prequential for all but the first.
            assert_eq!(metrics[0][0], (4 * BATCHES + 4 * (BATCHES - 1)).to_string(), "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_or_a_checkpoint_alone_is_refused() {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    broker.send("crimes", 1, &crimes(100, 2));
    let job = job(&broker.address(), 50, &[]);
    let folder = tempfile::tempdir().unwrap();
    for gone in ["chicago_arrests/crimes", "chicago_arrests/_checkpoint"] {
        let lake = Lake::new(folder.path().join(gone.replace('/', "-")));
        stream_all(&job, &lake).await.unwrap();
        std::fs::remove_dir_all(lake.resolve(gone)).unwrap();
        let error = stream_all(&job, &lake).await.unwrap_err();
        assert_eq!(error.kind(), tidemill_core::ErrorKind::Corrupt, "{gone}: {error}");
        assert!(error.next_step().is_some());
    }
}
