//! How long questions and empty ranges take: what a stream does between batches is to be noticed by nobody.

use std::time::{Duration, Instant};

use tidemill_core::project::FailOnDataLoss;
use tidemill_core::records::PartitionRange;

use crate::brokers::{End, TestBroker, Transactions, wait_until};
use crate::support::crimes;

/// The middle one of the times that rounds took.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_on_many_partitions_asks_once_and_not_once_each() {
    for broker in TestBroker::all().await {
        // As many as the broker gives to a topic.
        let partitions = if broker.name() == "embedded broker" { 256 } else { 500 };
        broker.create_topic(&broker.topic, partitions).await;
        broker.send(&broker.topic, partitions as usize, &crimes(partitions as usize * 3 / 2, 1));
        let source = broker.source();
        let mut times = Vec::new();
        for _ in 0..7 {
            let started = Instant::now();
            let marks = source.watermarks().unwrap();
            times.push(started.elapsed());
            assert_eq!(marks.len(), partitions as usize);
            let count = |high| marks.values().filter(|m| m.low == 0 && m.high == high).count();
            assert_eq!((count(2), count(1)), (partitions as usize / 2, partitions as usize / 2));
        }
        let taken = median(times);
        println!("offsets of {partitions} partitions on the {}: {taken:?}", broker.name());
        assert!(taken < Duration::from_millis(100), "{taken:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache Kafka: tests/kafka/run.sh"]
async fn a_range_of_nothing_but_transaction_markers_is_read_at_once() {
    let broker = TestBroker::apache().expect("TIDEMILL_TEST_KAFKA is to be set");
    broker.create_topic(&broker.topic, 1).await;
    let transactions = Transactions::new(&broker);
    transactions.send(&crimes(30, 1), End::Commit); // 0..30, marker 30
    let mut source = broker.source();
    let mut at = 0;
    let mut read = |to: i64, rows: usize| {
        let source = &mut source;
        wait_until("the marker is there", || source.watermarks().unwrap()[&0].high == to);
        let range = PartitionRange { partition: 0, from: at, to };
        // What comes meanwhile is fetched by the client in the background, as it is between two batches.
        std::thread::sleep(Duration::from_millis(400));
        let started = Instant::now();
        let read = source.read(&[range], FailOnDataLoss::Fail).unwrap();
        let taken = started.elapsed();
        assert_eq!((read.rows[0].len(), read.lost.len()), (rows, 0));
        at = to;
        taken
    };
    read(31, 30);
    let mut times = Vec::new();
    for round in 1..=5 {
        transactions.send(&crimes(5, 2), End::Abort);
        times.push(read(31 + 6 * round, 0));
    }
    println!("ranges of aborted messages and a marker: {times:?}");
    let taken = median(times);
    assert!(taken <= Duration::from_millis(20), "{taken:?}");
}
