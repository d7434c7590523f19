//! The driver dies after every step of every batch, in process: the next start makes up for it.

use tidemill_core::lake::Lake;
use tidemill_core::project::StreamJob;
use tidemill_core::stream::{CrashPoint, Driver};

use crate::support::{Essence, TestBroker, crimes, job, positions, query, stream_all, visible_files};

const BATCHES: u64 = 4;
const PER_BATCH: u64 = 150;

/// Streams until the driver dies at its crash point.
async fn stream_until_crash(job: &StreamJob, lake: &Lake, batch: u64, point: CrashPoint) {
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

/// Boosting and deep forests go on from the model before: after a crash that is the one in its file.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_models_that_go_on_changes_nothing() {
    const FIRST: u64 = 24_000;
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 2).await;
    let messages = crimes((FIRST + 4 * PER_BATCH) as usize, 3);
    broker.send("crimes", 2, &messages[..FIRST as usize]);
    let sets = [
        ("models.forest.max_depth", "14"),
        ("models.tree.algorithm", "gradient_boosting"),
        ("models.tree.trees", "12"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let lake = |name: &str| Lake::new(folder.path().join(name));
    // One large batch, so that the small ones after it are few rows more.
    let first = job(&broker.address(), FIRST, &sets);
    let crashes = [(2, CrashPoint::Commit), (2, CrashPoint::Train), (3, CrashPoint::Learn)];
    let name = |(batch, point): &(u64, CrashPoint)| format!("{batch}-{point:?}");
    for name in crashes.iter().map(name).chain(["untouched".to_owned()]) {
        stream_all(&first, &lake(&name)).await.unwrap();
    }
    broker.send("crimes", 2, &messages[FIRST as usize..]);
    let job = job(&broker.address(), PER_BATCH, &sets);
    stream_all(&job, &lake("untouched")).await.unwrap();
    let expected = Essence::of(&lake("untouched"));
    assert_eq!(expected.batches(), 5);
    for crash in crashes {
        let lake = lake(&name(&crash));
        stream_until_crash(&job, &lake, crash.0, crash.1).await;
        stream_all(&job, &lake).await.unwrap();
        Essence::of(&lake).assert_same(&expected, &name(&crash));
    }
    // And they did go on: the same rows in one batch give other models.
    let at_once = lake("at once");
    stream_all(&self::job(&broker.address(), 100_000, &sets), &at_once).await.unwrap();
    for model in ["forest", "tree"] {
        let newest = |lake: &Lake| {
            let files = visible_files(&lake.resolve(&format!("chicago_arrests/_models/{model}")));
            std::fs::read(files.last().unwrap()).unwrap()
        };
        assert!(newest(&at_once) != newest(&lake("untouched")), "{model}");
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
