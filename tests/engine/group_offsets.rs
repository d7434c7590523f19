//! How far a stream is behind: in `system.batches`, in the progress, and as offsets of the job's consumer group, which
//! decide nothing.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tidemill_core::lake::Lake;
use tidemill_core::stream::{self, CrashPoint, Driver, StreamEvent, StreamOptions};

use crate::brokers::wait_until;
use crate::support::{TestBroker, crimes, positions, query, stream_all};

/// The offsets that a group has for partitions 0, 1, …, asked for by a consumer that is no part of the engine; -1 where
/// it has none.
fn committed(broker: &TestBroker, group: &str, partitions: i32) -> Vec<i64> {
    let consumer: BaseConsumer = broker.client().set("group.id", group).create().unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition(&broker.topic, partition);
    }
    let list = consumer.committed_offsets(list, Duration::from_secs(30)).unwrap();
    list.elements()
        .iter()
        .map(|element| element.offset().to_raw().filter(|o| *o >= 0).unwrap_or(-1))
        .collect()
}

/// A group of this test's own: the brokers serve other tests too.
fn group(broker: &TestBroker, name: &str) -> String {
    format!("{name}-{}", broker.topic)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_group_is_told_where_the_stream_goes_on_and_the_lag_is_in_tables_and_progress() {
    for broker in TestBroker::all().await {
        broker.create_topic(&broker.topic, 2).await;
        broker.send(&broker.topic, 2, &crimes(100, 1));
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path());
        let group = group(&broker, "told");
        let job = broker.job(40, &[("source.kafka.options.group.id", &group)]);
        let mut sources = Vec::new();
        let options = StreamOptions { available_now: true, max_batches: Some(2), ..StreamOptions::default() };
        stream::run(&job, &lake, &options, Arc::new(AtomicBool::new(false)), &mut |event| {
            if let StreamEvent::Batch(progress) = event {
                sources.push(serde_json::to_value(&progress.sources[0]).unwrap());
            }
        })
        .await
        .unwrap();
        let found = "SELECT batch_id, rows_read, lag, lag_by_partition FROM system.batches ORDER BY batch_id";
        assert_eq!(query(&lake, found).await, [["0", "40", "60", "[30, 30]"], ["1", "40", "20", "[10, 10]"]]);
        // As Spark writes it: the figures are texts.
        let metrics = |least: &str| {
            serde_json::json!({ "avgOffsetsBehindLatest": format!("{least}.0"),
                "maxOffsetsBehindLatest": least, "minOffsetsBehindLatest": least })
        };
        assert_eq!([&sources[0]["metrics"], &sources[1]["metrics"]], [&metrics("30"), &metrics("10")]);
        let ends = serde_json::json!({ broker.topic.as_str(): { "0": 50, "1": 50 } });
        assert_eq!(sources[1]["latestOffset"], ends);
        // The end of the stream has waited for the coordinator's answer.
        assert_eq!(committed(&broker, &group, 2), [40, 40], "{}", broker.name());
        stream_all(&job, &lake).await.unwrap();
        assert_eq!(committed(&broker, &group, 2), [50, 50], "{}", broker.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_group_says_decides_nothing() {
    for broker in TestBroker::all().await {
        broker.create_topic(&broker.topic, 1).await;
        broker.send(&broker.topic, 1, &crimes(60, 1));
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path());
        let group = group(&broker, "others");
        let job = broker.job(1000, &[("source.kafka.options.group.id", &group)]);
        for (sent, offset) in [(60, 37), (110, 3), (160, 900)] {
            // Somebody sets the group's offset, to the future too.
            let other: BaseConsumer = broker.client().set("group.id", &group).create().unwrap();
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(&broker.topic, 0, Offset::Offset(offset)).unwrap();
            other.commit(&list, CommitMode::Sync).unwrap();
            assert_eq!(committed(&broker, &group, 1), [offset]);
            stream_all(&job, &lake).await.unwrap();
            assert_eq!(positions(&lake).await, (sent, sent));
            assert_eq!(committed(&broker, &group, 1), [sent as i64]);
            broker.send(&broker.topic, 1, &crimes(50, sent));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_with_members_refuses_and_no_batch_fails() {
    for broker in TestBroker::all().await {
        broker.create_topic(&broker.topic, 1).await;
        broker.send(&broker.topic, 1, &crimes(90, 1));
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path());
        let group = group(&broker, "members");
        let member: BaseConsumer = broker.client().set("group.id", &group).create().unwrap();
        if broker.name() == "Apache Kafka" {
            // The embedded broker has no members.
            member.subscribe(&[&broker.topic]).unwrap();
            wait_until("the member has its partition", || {
                member.poll(Duration::from_millis(100));
                member.assignment().unwrap().count() == 1
            });
        }
        let job = broker.job(30, &[("source.kafka.options.group.id", &group)]);
        assert_eq!(stream_all(&job, &lake).await.unwrap().batches, 3);
        assert_eq!(positions(&lake).await, (90, 90));
        let expected = if broker.name() == "Apache Kafka" { -1 } else { 90 };
        assert_eq!(committed(&broker, &group, 1), [expected]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_died_before_it_told_the_group_is_made_up_for_at_the_next_start() {
    for broker in TestBroker::all().await {
        broker.create_topic(&broker.topic, 1).await;
        broker.send(&broker.topic, 1, &crimes(50, 1));
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path());
        let group = group(&broker, "died");
        let job = broker.job(50, &[("source.kafka.options.group.id", &group)]);
        let mut driver = Driver::open(&job, &lake).await.unwrap();
        driver.recover(&mut |_| {}).await.unwrap();
        driver.crash_after(0, CrashPoint::Publish);
        driver.next_batch(None, &mut |_| {}).await.unwrap_err();
        drop(driver);
        assert_eq!(committed(&broker, &group, 1), [-1]);
        assert_eq!(stream_all(&job, &lake).await.unwrap().batches, 0);
        assert_eq!(committed(&broker, &group, 1), [50]);
        // Where the partitions ended when it planned, nobody knows any more.
        let found = "SELECT lag IS NULL, lag_by_partition IS NULL FROM system.batches";
        assert_eq!(query(&lake, found).await, [["true", "true"]]);
    }
}

#[test]
fn the_group_is_called_by_the_job() {
    let source = |sets: &[(&str, &str)]| crate::support::job("127.0.0.1:1", 1, sets).source;
    assert_eq!(source(&[]).group_id, "tidemill-chicago-arrests");
    let set = source(&[("source.kafka.options.group.id", "mine")]);
    assert_eq!((set.group_id.as_str(), set.options.len()), ("mine", 0));
}
