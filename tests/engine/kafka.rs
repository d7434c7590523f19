//! What Kafka may do to a stream: partitions added, a topic made anew, another driver, a topic that is not there.
//! Every test runs against each broker that there is.

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tidemill_core::ErrorKind;
use tidemill_core::lake::Lake;

use crate::brokers::wait_until;
use crate::support::{TestBroker, crimes, job, positions, query, stream_all};

#[tokio::test(flavor = "multi_thread")]
async fn batches_follow_each_other_and_stop_where_the_topic_ends() {
    for broker in TestBroker::all().await {
        broker.create_topic(&broker.topic, 3).await;
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path());
        let job = broker.job(1000, &[]);
        assert_eq!(stream_all(&job, &lake).await.unwrap().batches, 0, "an empty topic makes no batch");
        for round in 1..=3u64 {
            broker.send(&broker.topic, 3, &crimes(100, round));
            let summary = stream_all(&job, &lake).await.unwrap();
            assert_eq!((summary.batches, summary.rows), (1, 100));
            assert_eq!(positions(&lake).await, (100 * round, 100 * round));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_stream_takes_what_comes_later() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tidemill_core::stream::{self, StreamEvent, StreamOptions};

    for broker in TestBroker::all().await {
        let broker = Arc::new(broker);
        broker.create_topic(&broker.topic, 2).await;
        broker.send(&broker.topic, 2, &crimes(50, 1));
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path());
        let job = broker.job(1000, &[("trigger.processing_time", "50ms")]);
        let stop = Arc::new(AtomicBool::new(false));
        let (ending, sender) = (stop.clone(), broker.clone());
        let mut batches = 0u64;
        let summary = stream::run(&job, &lake, &StreamOptions::default(), stop, &mut |event| {
            if let StreamEvent::Batch(_) = event {
                batches += 1;
                match batches {
                    // The consumer has seen the end of the partitions by now: its stale events must not cut these off.
                    1..=4 => sender.send(&sender.topic, 2, &crimes(50, 1 + batches)),
                    _ => ending.store(true, Ordering::Relaxed),
                }
            }
        })
        .await
        .unwrap();
        assert!(summary.batches >= 5);
        assert_eq!(positions(&lake).await, (250, 250));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_anew_is_data_loss() {
    for broker in TestBroker::all().await {
        broker.create_topic(&broker.topic, 1).await;
        broker.send(&broker.topic, 1, &crimes(80, 1));
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path());
        let job = broker.job(1000, &[]);
        stream_all(&job, &lake).await.unwrap();
        broker.delete_topic(&broker.topic).await;
        broker.create_topic(&broker.topic, 1).await;
        // As many rows as before: by its offsets alone the topic looks like the old one.
        broker.send(&broker.topic, 1, &crimes(120, 2));
        let error = stream_all(&job, &lake).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DataLoss, "{error}");
        assert!(error.to_string().contains("made anew"), "{error}");
        assert_eq!(positions(&lake).await, (80, 80));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_anew_between_plan_and_read_is_data_loss() {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use tidemill_core::stream::{self, StreamEvent, StreamOptions};

    for broker in TestBroker::all().await {
        broker.create_topic(&broker.topic, 1).await;
        broker.send(&broker.topic, 1, &crimes(60, 1));
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path());
        let job = broker.job(30, &[("source.fail_on_data_loss", "record")]);
        let options = StreamOptions { available_now: true, max_batches: None, ..StreamOptions::default() };
        let error = stream::run(&job, &lake, &options, Arc::new(AtomicBool::new(false)), &mut |event| {
            if let StreamEvent::Planned { batch_id: 1, .. } = event {
                tokio::task::block_in_place(|| {
                    tokio::runtime::Handle::current().block_on(async {
                        broker.delete_topic(&broker.topic).await;
                        broker.create_topic(&broker.topic, 1).await;
                    });
                });
                // The planned offsets are there again, with other rows.
                broker.send(&broker.topic, 1, &crimes(90, 2));
            }
        })
        .await
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DataLoss, "{error}");
        assert_eq!(positions(&lake).await, (30, 30));
        let error = stream_all(&job, &lake).await.unwrap_err();
        assert!(error.to_string().contains("made anew"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_starts_at_the_end_takes_only_what_follows() {
    for broker in TestBroker::all().await {
        broker.create_topic(&broker.topic, 2).await;
        broker.send(&broker.topic, 2, &crimes(60, 1));
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path());
        let job = broker.job(1000, &[("source.starting_offsets", "latest")]);
        stream_all(&job, &lake).await.unwrap();
        broker.send(&broker.topic, 2, &crimes(40, 2));
        stream_all(&job, &lake).await.unwrap();
        assert_eq!(positions(&lake).await, (40, 40));
        assert_eq!(query(&lake, "SELECT min(_offset) FROM crimes").await[0][0], "30");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_and_a_missing_broker_are_source_errors() {
    for broker in TestBroker::all().await {
        let near = &broker.topic[..broker.topic.len() - 1];
        broker.create_topic(near, 1).await;
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path());
        for _ in 0..2 {
            // Also the second time: asking for a topic does not make it.
            let error = stream_all(&broker.job(10, &[]), &lake).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Source);
            let hint = error.next_step().unwrap();
            assert!(hint.contains(&format!("`{near}`")), "{error}: {hint}");
        }
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = stream_all(&job(&nobody.to_string(), 10, &[]), &lake).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Source);
        assert!(error.to_string().contains(&nobody.to_string()), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_are_added_while_the_stream_runs_are_read_from_their_beginning() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tidemill_core::stream::{self, StreamEvent, StreamOptions};

    for broker in TestBroker::all().await {
        broker.create_topic(&broker.topic, 1).await;
        broker.send(&broker.topic, 1, &crimes(30, 1));
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path());
        // `latest` is for the first plan alone: what comes by a new partition was never there to be passed over.
        let job =
            broker.job(1000, &[("trigger.processing_time", "50ms"), ("source.starting_offsets", "latest")]);
        let stop = Arc::new(AtomicBool::new(false));
        let ending = stop.clone();
        let (mut batches, mut rows) = (0, 0);
        stream::run(&job, &lake, &StreamOptions::default(), stop, &mut |event| {
            let StreamEvent::Batch(progress) = event else { return };
            batches += 1;
            rows += progress.num_input_rows;
            if batches == 1 {
                tokio::task::block_in_place(|| {
                    tokio::runtime::Handle::current().block_on(broker.add_partitions(&broker.topic, 3));
                });
                broker.wait_for_partitions(&broker.topic, 3);
                broker.send(&broker.topic, 3, &crimes(90, 2));
            }
            if rows >= 90 {
                ending.store(true, Ordering::Relaxed);
            }
        })
        .await
        .unwrap();
        assert_eq!(positions(&lake).await, (90, 90));
        let by_partition = "SELECT _partition, count(*), min(_offset) FROM crimes GROUP BY 1 ORDER BY 1";
        let expected = [["0", "30", "30"], ["1", "30", "0"], ["2", "30", "0"]];
        assert_eq!(query(&lake, by_partition).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_deleted_under_a_running_stream_ends_it_with_an_error_that_says_so() {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use tidemill_core::stream::{self, StreamEvent, StreamOptions};

    for broker in TestBroker::all().await {
        broker.create_topic(&broker.topic, 1).await;
        broker.send(&broker.topic, 1, &crimes(30, 1));
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path());
        let job = broker.job(1000, &[("trigger.processing_time", "50ms")]);
        let stop = Arc::new(AtomicBool::new(false));
        let error = stream::run(&job, &lake, &StreamOptions::default(), stop, &mut |event| {
            if let StreamEvent::Batch(_) = event {
                tokio::task::block_in_place(|| {
                    tokio::runtime::Handle::current().block_on(broker.delete_topic(&broker.topic));
                });
            }
        })
        .await
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Source, "{error}");
        assert!(error.to_string().contains("there is no topic"), "{error}");
        assert_eq!(positions(&lake).await, (30, 30));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_by_timestamp_are_those_of_the_first_message_from_then_on() {
    const FIRST: i64 = 1_700_000_000_000;
    for broker in TestBroker::all().await {
        // Retention goes by these times too.
        broker.create_topic_with(&broker.topic, 1, &[("retention.ms", "-1")]).await;
        let messages = crimes(50, 1);
        broker.send_as(&broker.topic, &messages, |i, record| {
            record.partition(0).timestamp(FIRST + 1000 * i as i64)
        });
        let consumer: BaseConsumer = broker.client().create().unwrap();
        let at = |time: i64| {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(&broker.topic, 0, Offset::Offset(time)).unwrap();
            let found = consumer.offsets_for_times(list, std::time::Duration::from_secs(10)).unwrap();
            found.elements()[0].offset()
        };
        wait_until("the messages are there", || at(FIRST + 49_000) == Offset::Offset(49));
        assert_eq!(at(FIRST - 1), Offset::Offset(0));
        assert_eq!(at(FIRST + 20_000), Offset::Offset(20));
        assert_eq!(at(FIRST + 20_001), Offset::Offset(21));
        assert_eq!(at(FIRST + 49_001), Offset::End);
        // And the rows carry them.
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path());
        stream_all(&broker.job(1000, &[]), &lake).await.unwrap();
        let times =
            "SELECT min(arrow_cast(_timestamp, 'Int64')), max(arrow_cast(_timestamp, 'Int64')) FROM crimes";
        let expected = [FIRST.to_string(), (FIRST + 49_000).to_string()];
        assert_eq!(query(&lake, times).await[0], expected);
    }
}
