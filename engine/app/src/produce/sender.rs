//! Sending to Kafka: idempotent, acknowledged by all replicas, and counted by what came back.
//!
//! A full queue is waited for. The producer polls in a thread of its own, and every message gets its answer within
//! [`DELIVERY`], so waiting for the count of answers ends.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, Message as _};
use tidemill_core::source::security::{self, Listener};
use tidemill_core::{Error, Result};

/// Longest time from sending a message to its acknowledgement, retries included.
const DELIVERY: Duration = Duration::from_secs(60);
/// Sleep while the queue is full or answers are outstanding.
const NAP: Duration = Duration::from_millis(5);

/// A topic, open for writing.
pub(crate) struct Sender {
    producer: Arc<ThreadedProducer<Tally>>,
    topic: String,
    partitions: u32,
    created: bool,
    sent: u64,
    /// Longest wait for the answer to a question.
    answer: Duration,
}

/// The answers so far.
#[derive(Default)]
struct Tally {
    delivered: AtomicU64,
    failed: AtomicU64,
    first_failure: Mutex<Option<String>>,
    listener: Listener,
}

impl ClientContext for Tally {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!("librdkafka {facility}: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!("librdkafka: {error}: {reason}");
        self.listener.hear(&error, reason);
    }
}

impl ProducerContext for Tally {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        match result {
            Ok(_) => self.delivered.fetch_add(1, Ordering::AcqRel),
            Err((error, message)) => {
                if let Ok(mut first) = self.first_failure.lock() {
                    first.get_or_insert_with(|| format!("{error} (partition {})", message.partition()));
                }
                self.failed.fetch_add(1, Ordering::AcqRel)
            }
        };
    }
}

impl Sender {
    /// Connects, and creates the topic if it is not there.
    ///
    /// # Errors
    /// Source: no broker answers in time, or it refuses the topic; User: a property that librdkafka does not know.
    pub(crate) async fn connect(
        brokers: &str,
        topic: &str,
        partitions: u32,
        options: &BTreeMap<String, String>,
        answer: Duration,
    ) -> Result<Sender> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", brokers)
            .set("client.id", "tidemill-produce")
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // As Java's clients hash keys, so that both put a key on the same partition.
            .set("partitioner", "murmur2_random")
            .set("compression.type", "lz4")
            .set("linger.ms", "5")
            .set("message.timeout.ms", DELIVERY.as_millis().to_string())
            .set("queue.buffering.max.messages", "100000");
        security::set_options(&mut config, options)?;
        let bad_option = |e: KafkaError| security::option_error(&e, options);
        let producer: ThreadedProducer<Tally> =
            config.create_with_context(Tally::default()).map_err(bad_option)?;
        let (producer, topic) = (Arc::new(producer), topic.to_owned());
        let mut sender = Sender { producer, topic, partitions: 0, created: false, sent: 0, answer };

        let found = sender.count_partitions().await.map_err(|e| sender.no_answer(brokers, &e))?;
        sender.partitions = match found {
            Some(n) => n,
            None => {
                let admin: AdminClient<DefaultClientContext> = config.create().map_err(bad_option)?;
                sender.create_topic(&admin, partitions).await?;
                sender.created = true;
                sender.wait_for_topic(brokers).await?
            }
        };
        Ok(sender)
    }

    /// Sends a message to the partition of its key, or without one to the next in turn, waiting while the queue is full. False if it was not sent because
    /// `stop` is set or an earlier one was not delivered, which [`Sender::finish`] tells.
    ///
    /// # Errors
    /// Source: it cannot be sent.
    pub(crate) async fn send(
        &mut self,
        payload: &[u8],
        key: Option<&str>,
        stop: &AtomicBool,
    ) -> Result<bool> {
        let mut record = BaseRecord::<[u8], [u8]>::to(&self.topic).payload(payload);
        record = match key {
            Some(key) => record.key(key.as_bytes()),
            None => record.partition((self.sent % u64::from(self.partitions)) as i32),
        };
        loop {
            // Behind a row that is missing there is no point in more.
            if stop.load(Ordering::Acquire) || self.tally().failed.load(Ordering::Acquire) > 0 {
                return Ok(false);
            }
            match self.producer.send(record) {
                Ok(()) => {
                    self.sent += 1;
                    return Ok(true);
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => record = back,
                Err((error, _)) => {
                    return Err(Error::source(format!(
                        "cannot send row {} of {}: {error}",
                        self.sent + 1,
                        self.topic
                    )));
                }
            }
            tokio::time::sleep(NAP).await;
        }
    }

    /// Waits for the answers to all that was sent.
    ///
    /// # Errors
    /// Source: not all was delivered; says how many were and why the first was not.
    pub(crate) async fn finish(&mut self, on_progress: &mut (dyn FnMut(u64) + Send)) -> Result<()> {
        let deadline = Instant::now() + DELIVERY + self.answer;
        while self.delivered() + self.tally().failed.load(Ordering::Acquire) < self.sent
            && Instant::now() < deadline
        {
            on_progress(self.delivered());
            tokio::time::sleep(NAP).await;
        }
        on_progress(self.delivered());
        if self.delivered() == self.sent { Ok(()) } else { Err(self.undelivered()) }
    }

    /// Messages handed to librdkafka.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Messages that the broker has acknowledged.
    pub(crate) fn delivered(&self) -> u64 {
        self.tally().delivered.load(Ordering::Acquire)
    }

    /// Partitions of the topic.
    pub(crate) fn partitions(&self) -> u32 {
        self.partitions
    }

    /// Whether the topic was created here.
    pub(crate) fn created(&self) -> bool {
        self.created
    }

    fn tally(&self) -> &Tally {
        self.producer.context()
    }

    fn undelivered(&self) -> Error {
        let reason = self.tally().first_failure.lock().ok().and_then(|first| first.clone());
        Error::source(format!(
            "{} of the {} rows sent to {} were delivered; the first that was not: {}",
            self.delivered(),
            self.sent,
            self.topic,
            reason.as_deref().unwrap_or("no answer in time"),
        ))
        .hint("the topic keeps what was delivered, and a new run begins with the first row: give it a new topic (--topic)")
    }

    /// Partitions of the topic; `None` if there is no such topic. Asks for all topics, since a question about one may
    /// create it, with the broker's number of partitions.
    async fn count_partitions(&self) -> Result<Option<u32>, KafkaError> {
        let (producer, topic, timeout) = (Arc::clone(&self.producer), self.topic.clone(), self.answer);
        let asked = tokio::task::spawn_blocking(move || {
            let refused = || producer.context().listener.is_refused();
            let metadata =
                security::ask(timeout, refused, |wait| producer.client().fetch_metadata(None, wait))?;
            let found = metadata.topics().iter().find(|known| known.name() == topic);
            Ok(found
                .filter(|known| known.error().is_none() && !known.partitions().is_empty())
                .map(|t| t.partitions().len() as u32))
        });
        asked.await.unwrap_or(Err(KafkaError::Canceled))
    }

    async fn create_topic(&self, admin: &AdminClient<DefaultClientContext>, partitions: u32) -> Result<()> {
        let refused =
            |reason: String| Error::source(format!("cannot create the topic {}: {reason}", self.topic));
        let count = i32::try_from(partitions).ok().filter(|n| *n > 0);
        let count =
            count.ok_or_else(|| Error::user(format!("a topic cannot have {partitions} partitions")))?;
        // -1: as many replicas as the broker is set to.
        let topic = NewTopic::new(&self.topic, count, TopicReplication::Fixed(-1));
        let options =
            AdminOptions::new().operation_timeout(Some(self.answer)).request_timeout(Some(self.answer));
        for result in admin.create_topics([&topic], &options).await.map_err(|e| refused(e.to_string()))? {
            match result {
                // Another producer may have been quicker.
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => (),
                Err((_, code)) => {
                    return Err(refused(code.to_string())
                        .hint("create it with Kafka's tools, or use another one (--topic)"));
                }
            }
        }
        Ok(())
    }

    /// The partitions of the topic that has just been created, as soon as the broker knows of it.
    async fn wait_for_topic(&self, brokers: &str) -> Result<u32> {
        let deadline = Instant::now() + self.answer;
        loop {
            if let Some(n) = self.count_partitions().await.map_err(|e| self.no_answer(brokers, &e))? {
                return Ok(n);
            }
            if Instant::now() > deadline {
                return Err(Error::source(format!(
                    "the topic {} was created but does not appear",
                    self.topic
                )));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn no_answer(&self, brokers: &str, error: &KafkaError) -> Error {
        self.tally().listener.take_refusal(brokers).unwrap_or_else(|| {
            Error::source(format!("no Kafka broker answers at {brokers}: {error}"))
                .hint("start one with `tidemill broker`, or name another with --brokers HOST:PORT")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: Duration = Duration::from_millis(300);

    #[tokio::test]
    async fn a_broker_that_is_not_there_is_named_with_the_next_step() {
        // Bound and dropped: nothing listens there.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let brokers = format!("127.0.0.1:{port}");
        let error = Sender::connect(&brokers, "crimes", 1, &BTreeMap::new(), ANSWER).await.err().unwrap();
        assert_eq!(error.kind(), tidemill_core::ErrorKind::Source);
        assert!(error.to_string().contains(&brokers), "{error}");
        assert!(error.next_step().unwrap().contains("tidemill broker"));
    }

    #[tokio::test]
    async fn a_wrong_property_is_the_callers_to_mend() {
        let options = BTreeMap::from([("no.such.property".to_owned(), "1".to_owned())]);
        let error = Sender::connect("127.0.0.1:1", "crimes", 1, &options, ANSWER).await.err().unwrap();
        assert_eq!(error.kind(), tidemill_core::ErrorKind::User);
        assert!(error.to_string().contains("no.such.property"), "{error}");
    }
}
