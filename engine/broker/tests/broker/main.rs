//! The broker from outside, with librdkafka as the client; `sockets` is about bare bytes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod sockets;

use std::path::Path;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::util::Timeout;
use std::sync::{Arc, Mutex};
use tidemill_broker::{Broker, BrokerConfig, ErrorKind};

const WAIT: Duration = Duration::from_secs(20);

async fn start(dir: &Path) -> Broker {
    Broker::start(BrokerConfig::new(([127, 0, 0, 1], 0).into(), dir)).await.unwrap()
}

fn client(broker: &Broker) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.bootstrap_servers());
    config
}

fn admin(broker: &Broker) -> AdminClient<DefaultClientContext> {
    client(broker).create().unwrap()
}

async fn create(broker: &Broker, topic: &str, partitions: i32) {
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let made = admin(broker).create_topics([&new], &AdminOptions::new()).await.unwrap();
    assert_eq!(made, [Ok(topic.to_owned())]);
}

type Delivered = Arc<Mutex<Vec<Result<(i32, i64), KafkaError>>>>;

struct Reports(Delivered);
impl ClientContext for Reports {}
impl ProducerContext for Reports {
    type DeliveryOpaque = ();
    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let report = match result {
            Ok(m) => Ok((m.partition(), m.offset())),
            Err((e, _)) => Err(e.clone()),
        };
        self.0.lock().unwrap().push(report);
    }
}

/// A producer whose messages carry timestamps 1000, 1001, ... and go to the partition asked for.
struct Sender {
    producer: ThreadedProducer<Reports>,
    delivered: Delivered,
}

impl Sender {
    fn new(broker: &Broker, settings: &[(&str, &str)]) -> Self {
        let mut config = client(broker);
        config.set("message.max.bytes", "4000000").set("message.timeout.ms", "15000");
        // A request that is sent again, as on a machine under load, may not come behind later ones.
        config.set("max.in.flight.requests.per.connection", "1");
        for (key, value) in settings {
            config.set(*key, *value);
        }
        let delivered = Delivered::default();
        let producer = config.create_with_context(Reports(Arc::clone(&delivered))).unwrap();
        Self { producer, delivered }
    }

    fn send(&self, topic: &str, partition: i32, payloads: &[Vec<u8>]) {
        for (i, payload) in payloads.iter().enumerate() {
            let record = BaseRecord::<(), [u8]>::to(topic)
                .partition(partition)
                .timestamp(1000 + i as i64)
                .payload(payload);
            self.producer.send(record).map_err(|(e, _)| e).unwrap();
        }
        self.producer.flush(WAIT).unwrap();
    }

    /// Offsets in order of delivery; panics on a failed one.
    fn offsets(&self) -> Vec<i64> {
        let delivered = self.delivered.lock().unwrap();
        delivered.iter().map(|r| r.clone().unwrap().1).collect()
    }
}

fn payloads(n: usize, bytes: usize) -> Vec<Vec<u8>> {
    (0..n).map(|i| format!("{i:0bytes$}").into_bytes()).collect()
}

fn consumer(broker: &Broker, settings: &[(&str, &str)]) -> BaseConsumer {
    let mut config = client(broker);
    config.set("group.id", "test").set("enable.auto.commit", "false");
    config
        .set("fetch.wait.max.ms", "10")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error");
    for (key, value) in settings {
        config.set(*key, *value);
    }
    config.create().unwrap()
}

/// All (offset, timestamp, payload) of one partition from an offset to its end.
fn read(consumer: &BaseConsumer, topic: &str, partition: i32, from: Offset) -> Vec<(i64, i64, Vec<u8>)> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, from).unwrap();
    consumer.assign(&list).unwrap();
    let mut out = Vec::new();
    loop {
        match consumer.poll(WAIT).expect("no message and no end in time") {
            Ok(m) => {
                let payload = m.payload().unwrap_or_default().to_vec();
                out.push((m.offset(), m.timestamp().to_millis().unwrap(), payload));
            }
            Err(KafkaError::PartitionEOF(p)) if p == partition => return out,
            Err(e) => panic!("{e}"),
        }
    }
}

fn check(got: &[(i64, i64, Vec<u8>)], sent: &[Vec<u8>]) {
    assert_eq!(got.len(), sent.len());
    for (i, (got, sent)) in got.iter().zip(sent).enumerate() {
        assert_eq!((got.0, got.1, &got.2), (i as i64, 1000 + i as i64, sent), "message {i}");
    }
}

fn code(e: &KafkaError) -> RDKafkaErrorCode {
    e.rdkafka_error_code().unwrap()
}

#[tokio::test]
async fn what_is_produced_is_consumed_in_every_codec_and_acknowledgement() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start(dir.path()).await;
    create(&broker, "t", 7).await;
    let sent = payloads(2000, 300);
    let ways = [
        ("none", "all"),
        ("lz4", "all"),
        ("snappy", "all"),
        ("gzip", "all"),
        ("zstd", "all"),
        ("lz4", "1"),
        ("lz4", "0"),
    ];
    let consumer = consumer(&broker, &[]);
    for (partition, (codec, acks)) in (0..).zip(ways) {
        let sender = Sender::new(&broker, &[("compression.codec", codec), ("acks", acks)]);
        sender.send("t", partition, &sent);
        if acks == "0" {
            wait_for_end(&consumer, "t", partition, 2000);
        } else {
            assert_eq!(sender.offsets(), (0..2000).collect::<Vec<i64>>(), "{codec} {acks}");
        }
        check(&read(&consumer, "t", partition, Offset::Beginning), &sent);
    }
    // A codec really was used, and the bytes were kept as they came.
    let size = |p: i32| {
        let path = dir.path().join(format!("t-{p}")).join("00000000000000000000.log");
        std::fs::metadata(path).unwrap().len()
    };
    for compressed in 1..=6 {
        assert!(size(compressed) * 3 < size(0), "partition {compressed}: {}", size(compressed));
    }
    broker.shutdown().await.unwrap();
}

fn wait_for_end(consumer: &BaseConsumer, topic: &str, partition: i32, end: i64) {
    for _ in 0..500 {
        if consumer.fetch_watermarks(topic, partition, WAIT).unwrap().1 == end {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{topic}-{partition} never reached {end}");
}

#[tokio::test]
async fn large_messages_pass_and_too_large_ones_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = BrokerConfig::new(([127, 0, 0, 1], 0).into(), dir.path());
    config.max_message_bytes = 2_000_000;
    let broker = Broker::start(config).await.unwrap();
    create(&broker, "t", 1).await;
    let sender = Sender::new(&broker, &[]);
    let sent = vec![b"small".to_vec(), vec![7; 1_048_576], b"after".to_vec()];
    sender.send("t", 0, &sent);
    check(&read(&consumer(&broker, &[]), "t", 0, Offset::Beginning), &sent);
    // At least one batch comes back, whatever limit the client set.
    let modest = consumer(&broker, &[("max.partition.fetch.bytes", "1000")]);
    check(&read(&modest, "t", 0, Offset::Beginning), &sent);
    sender.send("t", 0, &[vec![7; 3_000_000]]);
    let last = sender.delivered.lock().unwrap().last().cloned().unwrap();
    assert_eq!(code(&last.unwrap_err()), RDKafkaErrorCode::MessageSizeTooLarge);
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_restart_keeps_data_cluster_id_and_producer_ids() {
    let dir = tempfile::tempdir().unwrap();
    let sent = payloads(3000, 100);
    let broker = start(dir.path()).await;
    let cluster = broker.cluster_id().to_owned();
    create(&broker, "t", 2).await;
    let settings = [("enable.idempotence", "true"), ("compression.codec", "lz4")];
    Sender::new(&broker, &settings).send("t", 1, &sent[..1000]);
    broker.shutdown().await.unwrap();
    for part in 1..3 {
        let broker = start(dir.path()).await;
        assert_eq!(broker.cluster_id(), cluster);
        let sender = Sender::new(&broker, &settings);
        for payload in &sent[part * 1000..(part + 1) * 1000] {
            let record = BaseRecord::<(), [u8]>::to("t").partition(1).payload(payload);
            sender.producer.send(record).map_err(|(e, _)| e).unwrap();
        }
        sender.producer.flush(WAIT).unwrap();
        let from = part as i64 * 1000;
        assert_eq!(sender.offsets(), (from..from + 1000).collect::<Vec<_>>());
        let got = read(&consumer(&broker, &[]), "t", 1, Offset::Beginning);
        assert!(got.iter().map(|m| &m.2).eq(&sent[..(part + 1) * 1000]));
        assert_eq!(read(&consumer(&broker, &[]), "t", 0, Offset::Beginning), []);
        broker.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn an_idempotent_producer_goes_on_over_a_restart_of_the_broker() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start(dir.path()).await;
    create(&broker, "t", 1).await;
    let address = broker.address();
    let sender = Sender::new(&broker, &[("enable.idempotence", "true"), ("linger.ms", "1")]);
    let sent = payloads(2000, 50);
    sender.send("t", 0, &sent[..1000]);
    broker.shutdown().await.unwrap();
    let broker = Broker::start(BrokerConfig::new(address, dir.path())).await.unwrap();
    sender.send("t", 0, &sent[1000..]);
    assert_eq!(sender.offsets(), (0..2000).collect::<Vec<_>>());
    let got = read(&consumer(&broker, &[]), "t", 0, Offset::Beginning);
    assert!(got.iter().map(|m| &m.2).eq(&sent));
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_torn_tail_is_cut_off_and_the_topic_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start(dir.path()).await;
    create(&broker, "t", 1).await;
    let sent = payloads(20, 50);
    let sender = Sender::new(&broker, &[("linger.ms", "0")]);
    for payload in &sent {
        sender.send("t", 0, std::slice::from_ref(payload));
    }
    broker.shutdown().await.unwrap();
    let path = dir.path().join("t-0").join("00000000000000000000.log");
    let size = std::fs::metadata(&path).unwrap().len();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(size - 10).unwrap();
    let broker = start(dir.path()).await;
    let sender = Sender::new(&broker, &[]);
    sender.send("t", 0, &sent[19..]);
    assert_eq!(sender.offsets(), [19]);
    let got = read(&consumer(&broker, &[]), "t", 0, Offset::Beginning);
    assert!(got.iter().map(|m| &m.2).eq(&sent));
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_deleted_topic_is_gone_and_the_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start(dir.path()).await;
    create(&broker, "one", 2).await;
    create(&broker, "two", 1).await;
    let sent = payloads(10, 50);
    Sender::new(&broker, &[]).send("one", 1, &sent);
    Sender::new(&broker, &[]).send("two", 0, &sent);
    let admin = admin(&broker);
    let options = AdminOptions::new();
    let deleted = admin.delete_topics(&["one", "three"], &options).await.unwrap();
    let unknown = RDKafkaErrorCode::UnknownTopicOrPartition;
    assert_eq!(deleted, [Ok("one".to_owned()), Err(("three".to_owned(), unknown))]);
    create(&broker, "one", 1).await;
    assert_eq!(read(&consumer(&broker, &[]), "one", 0, Offset::Beginning), []);
    check(&read(&consumer(&broker, &[]), "two", 0, Offset::Beginning), &sent);
    let again = NewTopic::new("two", 1, TopicReplication::Fixed(1));
    let again = admin.create_topics([&again], &options).await.unwrap();
    assert_eq!(again, [Err(("two".to_owned(), RDKafkaErrorCode::TopicAlreadyExists))]);
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn partitions_are_added() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start(dir.path()).await;
    create(&broker, "t", 1).await;
    let sent = payloads(10, 50);
    Sender::new(&broker, &[]).send("t", 0, &sent);
    let admin = admin(&broker);
    let options = AdminOptions::new();
    let three = NewPartitions::new("t", 3);
    let more = admin.create_partitions([&three], &options).await.unwrap();
    assert_eq!(more, [Ok("t".to_owned())]);
    let two = NewPartitions::new("t", 2);
    let fewer = admin.create_partitions([&two], &options).await.unwrap();
    let refused = RDKafkaErrorCode::InvalidPartitions;
    assert_eq!(fewer, [Err(("t".to_owned(), refused))]);
    let metadata = consumer(&broker, &[]).fetch_metadata(Some("t"), WAIT).unwrap();
    assert_eq!(metadata.topics()[0].partitions().len(), 3);
    Sender::new(&broker, &[]).send("t", 2, &sent);
    for partition in [0, 2] {
        check(&read(&consumer(&broker, &[]), "t", partition, Offset::Beginning), &sent);
    }
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_group_finds_its_committed_offset_again() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start(dir.path()).await;
    create(&broker, "t", 2).await;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("t", 1, Offset::Offset(42)).unwrap();
    let first = consumer(&broker, &[("group.id", "g")]);
    first.assign(&list).unwrap();
    first.commit(&list, CommitMode::Sync).unwrap();
    broker.shutdown().await.unwrap();
    let broker = start(dir.path()).await;
    let committed = |group: &str| {
        let mut asked = TopicPartitionList::new();
        asked.add_partition("t", 0);
        asked.add_partition("t", 1);
        let found = consumer(&broker, &[("group.id", group)]);
        let found = found.committed_offsets(asked, Timeout::After(WAIT)).unwrap();
        found.elements().iter().map(|e| e.offset()).collect::<Vec<_>>()
    };
    assert_eq!(committed("g"), [Offset::Invalid, Offset::Offset(42)]);
    assert_eq!(committed("other"), [Offset::Invalid, Offset::Invalid]);
    admin(&broker).delete_topics(&["t"], &AdminOptions::new()).await.unwrap();
    create(&broker, "t", 2).await;
    assert_eq!(committed("g"), [Offset::Invalid, Offset::Invalid], "of another topic id");
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn offsets_are_found_by_timestamp() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start(dir.path()).await;
    create(&broker, "t", 1).await;
    Sender::new(&broker, &[]).send("t", 0, &payloads(500, 50));
    let consumer = consumer(&broker, &[]);
    let at = |ms: i64| {
        let mut asked = TopicPartitionList::new();
        asked.add_partition_offset("t", 0, Offset::Offset(ms)).unwrap();
        let found = consumer.offsets_for_times(asked, WAIT).unwrap();
        found.elements()[0].offset()
    };
    assert_eq!(at(0), Offset::Offset(0));
    assert_eq!(at(1250), Offset::Offset(250));
    assert_eq!(at(1499), Offset::Offset(499));
    assert_eq!(at(1500), Offset::End);
    assert_eq!(consumer.fetch_watermarks("t", 0, WAIT).unwrap(), (0, 500));
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_offset_outside_the_log_is_out_of_range() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start(dir.path()).await;
    create(&broker, "t", 1).await;
    Sender::new(&broker, &[]).send("t", 0, &payloads(5, 50));
    let consumer = consumer(&broker, &[]);
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("t", 0, Offset::Offset(6)).unwrap();
    consumer.assign(&list).unwrap();
    let error = consumer.poll(WAIT).unwrap().unwrap_err();
    assert_eq!(code(&error), RDKafkaErrorCode::AutoOffsetReset, "{error}");
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_topic_is_made_for_a_producer_but_not_for_a_question() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start(dir.path()).await;
    let consumer = consumer(&broker, &[]);
    let metadata = consumer.fetch_metadata(Some("t"), WAIT).unwrap();
    let error = RDKafkaErrorCode::from(metadata.topics()[0].error().unwrap());
    assert_eq!(error, RDKafkaErrorCode::UnknownTopicOrPartition);
    assert_eq!(consumer.fetch_metadata(None, WAIT).unwrap().topics().len(), 0);
    Sender::new(&broker, &[]).send("t", 0, &payloads(3, 50));
    let metadata = consumer.fetch_metadata(Some("t"), WAIT).unwrap();
    assert_eq!(metadata.topics()[0].partitions().len(), 1);
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_waiting_consumer_gets_a_message_and_holds_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start(dir.path()).await;
    create(&broker, "t", 1).await;
    // An answer of the long poll by its timeout alone would take longer than the test waits.
    let waiting = consumer(
        &broker,
        &[("fetch.wait.max.ms", "50000"), ("enable.partition.eof", "false"), ("socket.timeout.ms", "60000")],
    );
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("t", 0, Offset::Beginning).unwrap();
    waiting.assign(&list).unwrap();
    assert!(waiting.poll(Duration::from_millis(500)).is_none());
    Sender::new(&broker, &[]).send("t", 0, &payloads(1, 50));
    assert_eq!(waiting.poll(WAIT).unwrap().unwrap().offset(), 0);
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn it_refuses_other_addresses_and_a_folder_in_use() {
    let dir = tempfile::tempdir().unwrap();
    for address in ["0.0.0.0:0", "192.168.1.1:9092", "[::]:0"] {
        let config = BrokerConfig::new(address.parse().unwrap(), dir.path());
        let error = Broker::start(config).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::User);
        assert!(error.to_string().contains("does not listen on"), "{error}");
    }
    let broker = start(dir.path()).await;
    let second = BrokerConfig::new(([127, 0, 0, 1], 0).into(), dir.path());
    let error = Broker::start(second).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::User);
    assert!(error.to_string().contains("another broker"), "{error}");
    let taken = BrokerConfig::new(broker.address(), dir.path().join("other"));
    assert_eq!(Broker::start(taken).await.unwrap_err().kind(), ErrorKind::Storage);
    broker.shutdown().await.unwrap();
    start(dir.path()).await.shutdown().await.unwrap();
}
