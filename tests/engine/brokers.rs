//! The brokers that tests run against: the embedded one always, Apache Kafka where `TIDEMILL_TEST_KAFKA=HOST:PORT`
//! says where one is (`tests/kafka/start.sh` starts one). What is left out for want of it is said by name.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tidemill_broker::{Broker, BrokerConfig};
use tidemill_core::project::StreamJob;
use tidemill_core::source::kafka::KafkaSource;

/// Where Apache Kafka is.
const APACHE_KAFKA: &str = "TIDEMILL_TEST_KAFKA";

/// A broker and a topic name of the test's own.
pub struct TestBroker {
    kind: Kind,
    /// The topic that [`TestBroker::job`] reads; the test makes it.
    pub topic: String,
}

enum Kind {
    /// One of its own on a free port, with its data in a temporary folder.
    Embedded { broker: Option<Broker>, address: SocketAddr, folder: tempfile::TempDir },
    /// One that other tests use too.
    Apache { address: String },
}

impl TestBroker {
    /// An embedded broker.
    pub async fn start() -> TestBroker {
        TestBroker::start_over(tempfile::tempdir().unwrap()).await
    }

    /// An embedded broker whose data is in `broker` of this folder, where there is any.
    pub async fn start_over(folder: tempfile::TempDir) -> TestBroker {
        let config = BrokerConfig::new("127.0.0.1:0".parse().unwrap(), folder.path().join("broker"));
        let broker = Broker::start(config).await.unwrap();
        let address = broker.address();
        let kind = Kind::Embedded { broker: Some(broker), address, folder };
        TestBroker { kind, topic: "crimes".to_owned() }
    }

    /// Stops an embedded broker; it can be started again.
    pub async fn stop(&mut self) {
        let Kind::Embedded { broker, .. } = &mut self.kind else { panic!("not the test's own broker") };
        broker.take().unwrap().shutdown().await.unwrap();
    }

    /// Starts an embedded broker again that was stopped, at the same address and with the same data.
    pub async fn start_again(&mut self) {
        let Kind::Embedded { broker, address, folder } = &mut self.kind else {
            panic!("not the test's own broker")
        };
        let config = BrokerConfig::new(*address, folder.path().join("broker"));
        *broker = Some(Broker::start(config).await.unwrap());
    }

    /// Cuts off the end of a partition's log, as a broker loses what had not reached its disk: the batch that it ends
    /// with is not whole any more. The broker is stopped.
    pub fn cut_off(&self, partition: i32) {
        let Kind::Embedded { broker: None, folder, .. } = &self.kind else { panic!("the broker runs") };
        let mut folders = vec![folder.path().join("broker")];
        let mut logs = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "log")
                    && path.parent().unwrap().to_str().unwrap().ends_with(&format!("-{partition}"))
                {
                    logs.push(path);
                }
            }
        }
        let [log] = &logs[..] else { panic!("{logs:?}") };
        let file = std::fs::File::options().write(true).open(log).unwrap();
        file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    }

    /// Apache Kafka, or a line that says which test goes without it. Written past the harness, which hides what a
    /// test that passes prints.
    pub fn apache() -> Option<TestBroker> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let Some(address) = std::env::var(APACHE_KAFKA).ok().filter(|address| !address.is_empty()) else {
            let test = std::thread::current().name().unwrap_or("a test").to_owned();
            let line = format!("skipped: {test} against Apache Kafka ({APACHE_KAFKA} is not set)\n");
            std::io::stderr().write_all(line.as_bytes()).unwrap();
            return None;
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let topic = format!("crimes-{now:x}-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        Some(TestBroker { kind: Kind::Apache { address }, topic })
    }

    /// Every broker that there is.
    pub async fn all() -> Vec<TestBroker> {
        std::iter::once(TestBroker::start().await).chain(TestBroker::apache()).collect()
    }

    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::Embedded { .. } => "embedded broker",
            Kind::Apache { .. } => "Apache Kafka",
        }
    }

    pub fn address(&self) -> String {
        match &self.kind {
            Kind::Embedded { address, .. } => address.to_string(),
            Kind::Apache { address } => address.clone(),
        }
    }

    /// The built-in job on this broker's topic, in batches of `limit`.
    pub fn job(&self, limit: u64, sets: &[(&str, &str)]) -> StreamJob {
        let mut all = vec![("source.kafka.subscribe", self.topic.as_str())];
        all.extend(sets);
        crate::support::job(&self.address(), limit, &all)
    }

    /// The topic as a stream reads it.
    pub fn source(&self) -> KafkaSource {
        KafkaSource::connect(&self.job(1, &[]).source).unwrap()
    }

    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.address()).set("log_level", "0");
        config
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().unwrap()
    }

    pub async fn create_topic(&self, name: &str, partitions: i32) {
        self.create_topic_with(name, partitions, &[]).await;
    }

    /// Makes a topic with settings of its own, and waits until the broker knows it.
    pub async fn create_topic_with(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        // Shown where the test fails: it may run against two brokers.
        println!("topic {name} on the {}", self.name());
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let results = self.admin().create_topics([&topic], &AdminOptions::new()).await.unwrap();
        results.into_iter().for_each(|r| assert_eq!(r.unwrap(), name));
        self.wait_for_partitions(name, partitions as usize);
    }

    pub async fn delete_topic(&self, name: &str) {
        let results = self.admin().delete_topics(&[name], &AdminOptions::new()).await.unwrap();
        results.into_iter().for_each(|r| assert_eq!(r.unwrap(), name));
        self.wait_for_partitions(name, 0);
    }

    /// Gives the topic this many partitions. Does not wait: a stream has to cope with what follows.
    pub async fn add_partitions(&self, name: &str, partitions: usize) {
        let wanted = NewPartitions::new(name, partitions);
        let results = self.admin().create_partitions([&wanted], &AdminOptions::new()).await.unwrap();
        results.into_iter().for_each(|r| assert_eq!(r.unwrap(), name));
    }

    /// Deletes the messages below an offset, as retention would.
    pub async fn delete_records(&self, name: &str, partition: i32, below: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(name, partition, Offset::Offset(below)).unwrap();
        let done = self.admin().delete_records(&list, &AdminOptions::new()).await.unwrap();
        done.elements().iter().for_each(|element| element.error().unwrap());
    }

    pub fn wait_for_partitions(&self, name: &str, partitions: usize) {
        let consumer: BaseConsumer = self.client().create().unwrap();
        wait_until(&format!("topic {name} has {partitions} partitions"), || {
            let metadata = consumer.fetch_metadata(None, Duration::from_secs(10)).unwrap();
            let topic = metadata.topics().iter().find(|t| t.name() == name);
            let ready = topic.map_or(0, |t| t.partitions().iter().filter(|p| p.leader() >= 0).count());
            ready == partitions
        });
    }

    /// Sends messages to the partition of their number; `None` is a message without a value.
    pub fn send(&self, topic: &str, partitions: usize, messages: &[Option<Vec<u8>>]) {
        self.send_as(topic, messages, |i, record| record.partition((i % partitions) as i32));
    }

    /// Sends messages with what else a record may have: partition, key, time.
    pub fn send_as<'a>(
        &self,
        topic: &'a str,
        messages: &'a [Option<Vec<u8>>],
        more: impl Fn(usize, BaseRecord<'a, [u8], [u8]>) -> BaseRecord<'a, [u8], [u8]>,
    ) {
        let producer: ThreadedProducer<_> = self
            .client()
            .set("enable.idempotence", "true")
            .set("message.max.bytes", "4000000")
            .set("queue.buffering.max.messages", "1000000")
            .create()
            .unwrap();
        for (i, message) in messages.iter().enumerate() {
            let mut record = BaseRecord::to(topic);
            record.payload = message.as_deref();
            producer.send(more(i, record)).map_err(|(e, _)| e).unwrap();
        }
        producer.flush(Duration::from_secs(30)).unwrap();
    }
}

/// What becomes of a transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    Commit,
    Abort,
}

/// A transactional producer; what it sent in a transaction that has no end yet nobody may read.
pub struct Transactions {
    producer: ThreadedProducer<DefaultProducerContext>,
    topic: String,
}

impl Transactions {
    pub fn new(broker: &TestBroker) -> Transactions {
        let producer: ThreadedProducer<_> = broker
            .client()
            .set("transactional.id", &broker.topic)
            .set("transaction.timeout.ms", "60000")
            .create()
            .unwrap();
        // The first transaction makes the broker make its topic of transactions.
        producer.init_transactions(Duration::from_secs(60)).unwrap();
        Transactions { producer, topic: broker.topic.clone() }
    }

    /// Begins a transaction and sends messages to partition 0.
    pub fn begin(&self, messages: &[Option<Vec<u8>>]) {
        self.producer.begin_transaction().unwrap();
        for message in messages {
            let mut record: BaseRecord<'_, (), [u8]> = BaseRecord::to(&self.topic).partition(0);
            record.payload = message.as_deref();
            self.producer.send(record).map_err(|(e, _)| e).unwrap();
        }
        self.producer.flush(Duration::from_secs(30)).unwrap();
    }

    pub fn end(&self, end: End) {
        match end {
            End::Commit => self.producer.commit_transaction(Duration::from_secs(30)).unwrap(),
            End::Abort => self.producer.abort_transaction(Duration::from_secs(30)).unwrap(),
        }
    }

    pub fn send(&self, messages: &[Option<Vec<u8>>], end: End) {
        self.begin(messages);
        self.end(end);
    }
}

/// Waits for something that a broker does in its own time.
pub fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let started = Instant::now();
    while !happened() {
        assert!(started.elapsed() < Duration::from_secs(60), "waited 60 s until {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
