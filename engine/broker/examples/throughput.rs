//! How fast messages of 300 bytes go in and out through librdkafka on loopback:
//! `cargo run --release -p tidemill-broker --example throughput [-- MESSAGES [CODEC]]`.

use std::error::Error;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tidemill_broker::{Broker, BrokerConfig};

const MESSAGE_BYTES: usize = 300;
const TOPIC: &str = "throughput";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let messages: usize = arguments.next().map_or(Ok(3_000_000), |n| n.parse())?;
    let codec = arguments.next().unwrap_or_else(|| "lz4".to_owned());
    let folder = std::env::temp_dir().join(format!("tidemill-throughput-{}", std::process::id()));
    let broker = Broker::start(BrokerConfig::new(([127, 0, 0, 1], 0).into(), &folder)).await?;
    let servers = broker.bootstrap_servers();
    let into = Instant::now();
    produce(&servers, messages, &codec)?;
    report("in", messages, into.elapsed());
    let out = Instant::now();
    consume(&servers, messages)?;
    report("out", messages, out.elapsed());
    broker.shutdown().await?;
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

fn report(way: &str, messages: usize, took: Duration) {
    let seconds = took.as_secs_f64();
    let rate = messages as f64 / seconds;
    let megabytes = rate * MESSAGE_BYTES as f64 / 1e6;
    println!("{way:>3}: {messages} messages in {seconds:.2} s: {rate:.0} msg/s, {megabytes:.0} MB/s");
}

fn produce(servers: &str, messages: usize, codec: &str) -> Result<(), Box<dyn Error>> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("enable.idempotence", "true")
        .set("compression.codec", codec)
        .set("linger.ms", "5")
        .set("queue.buffering.max.messages", "500000")
        .create()?;
    for i in 0..messages {
        // A record as jobs have it: JSON, where numbers change and names repeat.
        let text = format!(
            r#"{{"arrest":{},"beat":{},"district":{},"x_coordinate":{},"month":{}"#,
            i % 2,
            i * 7919 % 2535,
            i % 25,
            1_100_000 + i * 104_729 % 100_000,
            i % 12
        );
        let payload = format!("{text:<MESSAGE_BYTES$}");
        loop {
            let record = BaseRecord::<(), str>::to(TOPIC).payload(&payload);
            match producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    producer.poll(Duration::from_millis(5));
                }
                Err((e, _)) => return Err(e.into()),
            }
        }
    }
    producer.flush(Duration::from_secs(60))?;
    Ok(())
}

fn consume(servers: &str, messages: usize) -> Result<(), Box<dyn Error>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", "throughput")
        .set("enable.auto.commit", "false")
        // With a queue that is full, as after one fetch of well compressed messages, the client waits a second by itself.
        .set("fetch.queue.backoff.ms", "10")
        .create()?;
    let mut all = TopicPartitionList::new();
    all.add_partition_offset(TOPIC, 0, Offset::Beginning)?;
    consumer.assign(&all)?;
    for _ in 0..messages {
        let message = consumer.poll(Duration::from_secs(20));
        message.ok_or("no message in 20 s")??;
    }
    Ok(())
}
