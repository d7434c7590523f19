//! What Kafka may do to a stream: partitions added, a topic made anew, another driver, a topic that is not there.

use tidemill_core::ErrorKind;
use tidemill_core::lake::Lake;

use crate::support::{TestBroker, crimes, job, positions, query, stream_all};

#[tokio::test(flavor = "multi_thread")]
async fn batches_follow_each_other_and_stop_where_the_topic_ends() {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 3).await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    let job = job(&broker.address(), 1000, &[]);
    assert_eq!(stream_all(&job, &lake).await.unwrap().batches, 0, "an empty topic makes no batch");
    for round in 1..=3u64 {
        broker.send("crimes", 3, &crimes(100, round));
        let summary = stream_all(&job, &lake).await.unwrap();
        assert_eq!((summary.batches, summary.rows), (1, 100));
        assert_eq!(positions(&lake).await, (100 * round, 100 * round));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_stream_takes_what_comes_later() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tidemill_core::stream::{self, StreamEvent, StreamOptions};

    let broker = Arc::new(TestBroker::start().await);
    broker.create_topic("crimes", 2).await;
    broker.send("crimes", 2, &crimes(50, 1));
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    let job = job(&broker.address(), 1000, &[("trigger.processing_time", "50ms")]);
    let stop = Arc::new(AtomicBool::new(false));
    let (ending, sender) = (stop.clone(), broker.clone());
    let mut batches = 0u64;
    let summary = stream::run(&job, &lake, &StreamOptions::default(), stop, &mut |event| {
        if let StreamEvent::Batch(_) = event {
            batches += 1;
            match batches {
                // The consumer has seen the end of the partitions by now: its stale events must not cut these off.
                1..=4 => sender.send("crimes", 2, &crimes(50, 1 + batches)),
                _ => ending.store(true, Ordering::Relaxed),
            }
        }
    })
    .await
    .unwrap();
    assert!(summary.batches >= 5);
    assert_eq!(positions(&lake).await, (250, 250));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_anew_is_data_loss() {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    broker.send("crimes", 1, &crimes(80, 1));
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    let job = job(&broker.address(), 1000, &[]);
    stream_all(&job, &lake).await.unwrap();
    broker.delete_topic("crimes").await;
    broker.create_topic("crimes", 1).await;
    // As many rows as before: by its offsets alone the topic looks like the old one.
    broker.send("crimes", 1, &crimes(120, 2));
    let error = stream_all(&job, &lake).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DataLoss, "{error}");
    assert!(error.to_string().contains("made anew"), "{error}");
    assert_eq!(positions(&lake).await, (80, 80));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_starts_at_the_end_takes_only_what_follows() {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 2).await;
    broker.send("crimes", 2, &crimes(60, 1));
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    let job = job(&broker.address(), 1000, &[("source.starting_offsets", "latest")]);
    stream_all(&job, &lake).await.unwrap();
    broker.send("crimes", 2, &crimes(40, 2));
    stream_all(&job, &lake).await.unwrap();
    assert_eq!(positions(&lake).await, (40, 40));
    assert_eq!(query(&lake, "SELECT min(_offset) FROM crimes").await[0][0], "30");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_and_a_missing_broker_are_source_errors() {
    let broker = TestBroker::start().await;
    broker.create_topic("crime", 1).await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    let error = stream_all(&job(&broker.address(), 10, &[]), &lake).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source);
    assert!(error.next_step().unwrap().contains("`crime`"), "{error}: {:?}", error.next_step());
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = stream_all(&job(&nobody.to_string(), 10, &[]), &lake).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source);
    assert!(error.to_string().contains(&nobody.to_string()), "{error}");
}
