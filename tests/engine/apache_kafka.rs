//! What only Apache Kafka has: compaction, transactions, records deleted from under a stream. `tests/kafka/run.sh` runs
//! these, with `TIDEMILL_TEST_KAFKA`; elsewhere they are ignored by name.

use std::collections::BTreeMap;

use tidemill_core::ErrorKind;
use tidemill_core::lake::Lake;
use tidemill_core::project::{FailOnDataLoss, StreamJob};
use tidemill_core::records::PartitionRange;
use tidemill_core::source::Watermarks;
use tidemill_core::source::kafka::KafkaSource;
use tidemill_core::stream::{CrashPoint, Driver};

use crate::brokers::{End, TestBroker, Transactions, wait_until};
use crate::support::{JOB, crimes, positions, query, run, stream_all, texts, tidemill};

const RECORD: (&str, &str) = ("source.fail_on_data_loss", "record");

fn range(partition: i32, from: i64, to: i64) -> PartitionRange {
    PartitionRange { partition, from, to }
}

/// Offsets of the messages of these ranges, by partition.
fn offsets(source: &mut KafkaSource, ranges: &[PartitionRange]) -> Vec<Vec<i64>> {
    let read = source.read(ranges, FailOnDataLoss::Fail).unwrap();
    assert_eq!(read.lost, []);
    read.rows.into_iter().map(|rows| rows.offsets).collect()
}

/// Writes the next plan and dies.
async fn plan_only(job: &StreamJob, lake: &Lake) {
    let mut driver = Driver::open(job, lake).await.unwrap();
    driver.recover(&mut |_| {}).await.unwrap();
    driver.crash_after(driver.latest_batch().map_or(0, |n| n + 1), CrashPoint::Plan);
    let error = driver.next_batch(None, &mut |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("die after"), "{error}");
}

async fn offsets_in_the_table(lake: &Lake) -> Vec<i64> {
    let rows = query(lake, "SELECT _offset FROM crimes ORDER BY _partition, _offset").await;
    rows.iter().map(|row| row[0].parse().unwrap()).collect()
}

async fn losses(lake: &Lake) -> Vec<Vec<String>> {
    query(lake, "SELECT batch_id, \"partition\", from_offset, to_offset FROM data_loss ORDER BY 1, 2").await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache Kafka: tests/kafka/run.sh"]
async fn gaps_of_compaction_are_not_loss() {
    let broker = TestBroker::apache().expect("TIDEMILL_TEST_KAFKA is to be set");
    let settings =
        [("cleanup.policy", "compact"), ("segment.ms", "500"), ("min.cleanable.dirty.ratio", "0.01")];
    broker.create_topic_with(&broker.topic, 1, &settings).await;
    // Ten keys of their own, then ten keys over and over: of 0..200 compaction leaves 0..10 and 190..200.
    let keys: Vec<String> =
        (0..200).map(|i| if i < 10 { format!("a{i}") } else { format!("b{}", i % 10) }).collect();
    let messages = crimes(200, 1);
    broker.send_as(&broker.topic, &messages, |i, record| record.partition(0).key(keys[i].as_bytes()));

    let folder = tempfile::tempdir().unwrap();
    // A plan that is older than the gaps: 0..40, its messages end with 9.
    let (lake, job) = (Lake::new(folder.path()), broker.job(40, &[]));
    plan_only(&job, &lake).await;

    let tail = crimes(5, 2);
    let mut high = 200;
    let mut source = broker.source();
    let expected = |high: i64| (0..10).chain(190..high).collect::<Vec<i64>>();
    wait_until("the cleaner has been there", || {
        // Whatever is appended after segment.ms closes the segment before it.
        broker.send_as(&broker.topic, &tail[..1], |_, record| {
            record.partition(0).key(format!("c{high}").leak().as_bytes())
        });
        high += 1;
        std::thread::sleep(std::time::Duration::from_millis(300));
        offsets(&mut source, &[range(0, 0, high)]) == [expected(high)]
    });
    // Ranges that begin and end inside of the gap, one after the other and anew.
    for ranges in [range(0, 5, 50), range(0, 50, 120), range(0, 120, 195), range(0, 30, 31), range(0, 9, 190)]
        .map(|r| [r])
    {
        let [PartitionRange { from, to, .. }] = ranges;
        let there: Vec<i64> = expected(high).into_iter().filter(|o| (from..to).contains(o)).collect();
        assert_eq!(offsets(&mut source, &ranges), [there], "{from}..{to}");
    }

    stream_all(&job, &lake).await.unwrap();
    assert_eq!(offsets_in_the_table(&lake).await, expected(high));
    // After 10 messages in 40 offsets the next 40 are looked for in 160.
    let batches = query(&lake, "SELECT batch_id, rows_read FROM batches ORDER BY 1").await;
    let found: Vec<&str> = batches.iter().map(|row| row[1].as_str()).collect();
    assert!(found.len() == 3 && found[..2] == ["10", "10"], "{batches:?}");
    // A wider plan that is run again gives the same.
    let again = Lake::new(folder.path().join("again"));
    let mut driver = Driver::open(&job, &again).await.unwrap();
    driver.recover(&mut |_| {}).await.unwrap();
    driver.crash_after(1, CrashPoint::Stage);
    while driver.next_batch(None, &mut |_| {}).await.is_ok() {}
    drop(driver);
    stream_all(&job, &again).await.unwrap();
    assert_eq!(offsets_in_the_table(&again).await, expected(high));
    assert_eq!(query(&again, "SELECT batch_id, rows_read FROM batches ORDER BY 1").await, batches);
    let lost = query(&lake, "SELECT sum(data_loss), sum(rows_read) FROM batches").await;
    assert_eq!(lost[0], ["0".to_owned(), expected(high).len().to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache Kafka: tests/kafka/run.sh"]
async fn markers_and_aborted_messages_are_neither_rows_nor_loss() {
    let broker = TestBroker::apache().expect("TIDEMILL_TEST_KAFKA is to be set");
    broker.create_topic(&broker.topic, 1).await;
    let transactions = Transactions::new(&broker);
    transactions.send(&crimes(30, 1), End::Commit); // 0..30, marker 30
    transactions.send(&crimes(20, 2), End::Abort); // 31..51, marker 51
    transactions.send(&crimes(10, 3), End::Commit); // 52..62, marker 62
    let expected: Vec<i64> = (0..30).chain(52..62).collect();
    let high = || broker.source().watermarks().unwrap();
    wait_until("the last marker is there", || {
        high() == BTreeMap::from([(0, Watermarks { low: 0, high: 63 })])
    });

    let folder = tempfile::tempdir().unwrap();
    // One batch; ends on markers, inside of the aborted, of nothing but aborted; one offset a batch at the end.
    for limit in [1000, 31, 40, 21, 7] {
        let lake = Lake::new(folder.path().join(limit.to_string()));
        let job = broker.job(limit, &[]);
        let summary = stream_all(&job, &lake).await.unwrap();
        assert_eq!(summary.rows, 40, "limit {limit}");
        // Limits count messages: gaps make no batch small, once one has met them.
        let most = query(&lake, "SELECT max(rows_read) FROM batches").await[0][0].parse::<u64>().unwrap();
        assert!(
            most <= limit && summary.batches <= 63u64.div_ceil(limit),
            "limit {limit}: {most} {summary:?}"
        );
        assert_eq!(offsets_in_the_table(&lake).await, expected, "limit {limit}");
        assert_eq!(stream_all(&job, &lake).await.unwrap().batches, 0, "limit {limit}");
    }

    // A batch that holds no message at all, and then one that does.
    let lake = Lake::new(folder.path().join("1000"));
    transactions.send(&crimes(5, 4), End::Abort); // 63..68, marker 68
    wait_until("the marker is there", || high()[&0].high == 69);
    let summary = stream_all(&broker.job(1000, &[]), &lake).await.unwrap();
    assert_eq!((summary.batches, summary.rows), (1, 0));
    broker.send(&broker.topic, 1, &crimes(3, 5));
    stream_all(&broker.job(1000, &[]), &lake).await.unwrap();
    assert_eq!(offsets_in_the_table(&lake).await, expected.into_iter().chain(69..72).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache Kafka: tests/kafka/run.sh"]
async fn nothing_behind_an_open_transaction_is_planned() {
    let broker = TestBroker::apache().expect("TIDEMILL_TEST_KAFKA is to be set");
    broker.create_topic(&broker.topic, 1).await;
    broker.send(&broker.topic, 1, &crimes(5, 1));
    let transactions = Transactions::new(&broker);
    transactions.begin(&crimes(10, 2)); // 5..15
    broker.send(&broker.topic, 1, &crimes(5, 3)); // 15..20
    let folder = tempfile::tempdir().unwrap();
    let (lake, job) = (Lake::new(folder.path()), broker.job(1000, &[]));
    stream_all(&job, &lake).await.unwrap();
    assert_eq!(offsets_in_the_table(&lake).await, (0..5).collect::<Vec<_>>());
    transactions.end(End::Abort); // marker 20
    wait_until("the marker is there", || broker.source().watermarks().unwrap()[&0].high == 21);
    stream_all(&job, &lake).await.unwrap();
    assert_eq!(offsets_in_the_table(&lake).await, (0..5).chain(15..20).collect::<Vec<_>>());
}

/// The end of a partition is told once. Here it is told while an earlier batch is read, and what the later batch
/// still waits for is a marker.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache Kafka: tests/kafka/run.sh"]
async fn an_end_that_was_told_during_an_earlier_batch_is_not_forgotten() {
    let broker = TestBroker::apache().expect("TIDEMILL_TEST_KAFKA is to be set");
    broker.create_topic(&broker.topic, 2).await;
    Transactions::new(&broker).send(&crimes(100, 1), End::Commit); // 0..100, marker 100
    let messages = crimes(20_000, 2);
    broker.send_as(&broker.topic, &messages, |_, record| record.partition(1));
    let mut source = broker.source();
    wait_until("the marker is there", || source.watermarks().unwrap()[&0].high == 101);
    let first = offsets(&mut source, &[range(0, 0, 50), range(1, 0, 19_000)]);
    assert_eq!(first, [(0..50).collect::<Vec<_>>(), (0..19_000).collect()]);
    let second = offsets(&mut source, &[range(0, 50, 101), range(1, 19_000, 20_000)]);
    assert_eq!(second, [(50..100).collect::<Vec<_>>(), (19_000..20_000).collect()]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache Kafka: tests/kafka/run.sh"]
async fn deleted_records_are_data_loss() {
    let broker = TestBroker::apache().expect("TIDEMILL_TEST_KAFKA is to be set");
    broker.create_topic(&broker.topic, 1).await;
    broker.send(&broker.topic, 1, &crimes(60, 1));
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    stream_all(&broker.job(1000, &[]), &lake).await.unwrap();
    broker.send(&broker.topic, 1, &crimes(60, 2));
    broker.delete_records(&broker.topic, 0, 90).await;

    let output = run(tidemill(lake.root())
        .args(["stream", JOB, "--available-now", "--brokers", &broker.address()])
        .args(["--set", &format!("source.kafka.subscribe={}", broker.topic)]));
    let (_, error) = texts(&output);
    assert_eq!(output.status.code(), Some(3), "{error}");
    assert!(error.contains("60 to 89") && error.contains("fail_on_data_loss"), "{error}");
    assert_eq!(positions(&lake).await, (60, 60));

    let summary = stream_all(&broker.job(1000, &[RECORD]), &lake).await.unwrap();
    assert_eq!((summary.batches, summary.rows), (1, 30));
    assert_eq!(offsets_in_the_table(&lake).await, (0..60).chain(90..120).collect::<Vec<_>>());
    assert_eq!(losses(&lake).await, [["1", "0", "60", "90"]]);
}

/// The plan is written, and then its rows go: it can never be run as it was planned.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache Kafka: tests/kafka/run.sh"]
async fn records_deleted_between_plan_and_read_are_data_loss_of_that_batch() {
    let broker = TestBroker::apache().expect("TIDEMILL_TEST_KAFKA is to be set");
    // Some of the range is left, all of it is gone, and more than it is gone.
    for (below, rows, lost) in [(25, 15, 25), (40, 0, 40), (50, 0, 40)] {
        let topic = format!("{}-{below}", broker.topic);
        broker.create_topic(&topic, 2).await;
        broker.send(&topic, 2, &crimes(120, 1));
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path());
        let subscribe = ("source.kafka.subscribe", topic.as_str());
        let strict = crate::support::job(&broker.address(), 80, &[subscribe]);
        plan_only(&strict, &lake).await;
        broker.delete_records(&topic, 0, below).await;
        let error = stream_all(&strict, &lake).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DataLoss, "{error}");
        assert!(error.to_string().contains("offsets 0 to"), "{error}");

        let lenient = crate::support::job(&broker.address(), 80, &[subscribe, RECORD]);
        stream_all(&lenient, &lake).await.unwrap();
        let kept = 60 - below as u64 + 60;
        assert_eq!(positions(&lake).await, (kept, kept), "{below}");
        let first = query(&lake, "SELECT rows_read, data_loss FROM batches WHERE batch_id = 0").await;
        assert_eq!(first, [[(rows + 40).to_string(), "1".to_owned()]], "{below}");
        let mut expected = vec![vec!["0".to_owned(), "0".into(), "0".into(), lost.to_string()]];
        if below > 40 {
            expected.push(vec!["1".into(), "0".into(), "40".into(), below.to_string()]);
        }
        assert_eq!(losses(&lake).await, expected, "{below}");
    }
}
