//! What is asked about a topic: its partitions, where they begin and end, who it is.
//!
//! One question is for all partitions, whatever their number: a request to each broker that leads some of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::plan::Watermarks;
use super::security::{self, Listener};
use super::wait::{ANSWER, Patience, Unanswered, is_answer, may_pass, refused};
use crate::error::nearest;
use crate::error::{Error, Result};

/// librdkafka's consumer.
pub(super) type Client = BaseConsumer<Listener>;

/// A client for questions about one topic.
///
/// It is none that reads: a broker answers a connection in order, and on a reader's a question would wait behind a fetch
/// that waits for messages (measured: 100 to 390 ms a plan against 1 to 3).
pub(super) struct Questions {
    client: Arc<Client>,
    bootstrap_servers: String,
    topic: String,
    /// The brokers have answered once: what they refuse later may pass.
    answered: AtomicBool,
    /// Of the newest question, the brokers have answered the first part: which partitions there are.
    knows_partitions: Arc<AtomicBool>,
    pub(super) patience: Patience,
}

impl Questions {
    pub(super) fn new(client: Client, bootstrap_servers: &str, topic: &str, patience: Patience) -> Questions {
        Questions {
            client: Arc::new(client),
            bootstrap_servers: bootstrap_servers.to_owned(),
            topic: topic.to_owned(),
            answered: AtomicBool::new(false),
            knows_partitions: Arc::default(),
            patience,
        }
    }

    pub(super) fn cluster_id(&self) -> Option<String> {
        self.client.client().fetch_cluster_id(ANSWER).filter(|id| !id.is_empty())
    }

    /// The partitions that the topic has now, ascending.
    ///
    /// # Errors
    /// Source.
    pub(super) fn partitions(&self) -> Result<Vec<i32>> {
        let (topic, answered) = (self.topic.clone(), self.answered.load(Ordering::Relaxed));
        let partitions = self.ask(move |client| {
            let refused = || !answered && security::is_refused(client);
            let answer = security::ask(ANSWER, refused, |wait| partitions(client, &topic, wait));
            // Who is refused at first would wait in vain.
            answer.map_err(|e| match refused() {
                true => KafkaError::MetadataFetch(RDKafkaErrorCode::Authentication),
                false => e,
            })
        })?;
        self.answered.store(true, Ordering::Relaxed);
        if partitions.is_empty() {
            return Err(self.no_topic());
        }
        Ok(partitions)
    }

    /// Oldest and newest offsets of every partition.
    ///
    /// # Errors
    /// Source.
    pub(super) fn watermarks(&self) -> Result<BTreeMap<i32, Watermarks>> {
        let (topic, known) = (self.topic.clone(), Arc::clone(&self.knows_partitions));
        let marks = self.ask(move |client| {
            known.store(false, Ordering::Relaxed);
            let partitions = partitions(client, &topic, ANSWER)?;
            known.store(true, Ordering::Relaxed);
            if partitions.is_empty() {
                return Ok(BTreeMap::new());
            }
            // The oldest first: what is deleted in between then only makes a range begin with a gap.
            let low = offsets(client, &topic, &partitions, Offset::Beginning)?;
            let high = offsets(client, &topic, &partitions, Offset::End)?;
            let both =
                |p| Some((p, Watermarks { low: *low.get(&p)?.min(high.get(&p)?), high: *high.get(&p)? }));
            Ok(partitions.into_iter().filter_map(both).collect())
        })?;
        if marks.is_empty() {
            return Err(self.no_topic());
        }
        Ok(marks)
    }

    /// Asks with this client; the wait for brokers is in it.
    fn ask<T: Send + 'static>(
        &self,
        question: impl Fn(&Client) -> KafkaResult<T> + Send + Sync + 'static,
    ) -> Result<T> {
        self.ask_with(&self.client, question)
    }

    /// Asks with another client.
    ///
    /// # Errors
    /// Source.
    pub(super) fn ask_with<T: Send + 'static>(
        &self,
        client: &Arc<Client>,
        question: impl Fn(&Client) -> KafkaResult<T> + Send + Sync + 'static,
    ) -> Result<T> {
        let client = Arc::clone(client);
        let lacks = |error: &KafkaError| self.lacks(error);
        let answer = self.patience.ask(&self.bootstrap_servers, &lacks, move || question(&client));
        if answer.is_ok() {
            // What was refused on the way to an answer is over.
            self.client.context().forget_refusal();
        }
        answer.map_err(|unanswered| match unanswered {
            Unanswered::Failed(error) => self.unreachable(&error),
            Unanswered::Stopped => {
                Error::source(format!("stopped while no Kafka broker answered at {}", self.bootstrap_servers))
            }
        })
    }

    fn unreachable(&self, error: &KafkaError) -> Error {
        if error.rdkafka_error_code().is_some_and(is_no_topic) {
            return self.no_topic();
        }
        if let Some(refusal) = security::refusal(&self.client, &self.bootstrap_servers) {
            return match self.answered.load(Ordering::Relaxed) {
                true => Error::source(refusal.to_string()),
                false => refusal,
            };
        }
        if !may_pass(error) {
            return self.not_let(error);
        }
        match refused(&self.bootstrap_servers) {
            None if self.is_served_in_part(error) => {
                Error::source(format!("{}: {error}", self.lacks(error))).hint(
                    "a broker that leads partitions of the topic is away, or another is being chosen: see whether all brokers \
                     of the cluster are up; the batch is run again by the next start",
                )
            }
            Some(reason) => self.no_broker(&reason),
            None => self.no_broker(&error.to_string()),
        }
    }

    /// The brokers know who asks, and say no.
    pub(super) fn not_let(&self, error: &KafkaError) -> Error {
        let (topic, servers) = (&self.topic, &self.bootstrap_servers);
        Error::source(format!("the brokers at {servers} do not let topic {topic} be read: {error}"))
    }

    fn is_served_in_part(&self, error: &KafkaError) -> bool {
        is_answer(error) || self.knows_partitions.load(Ordering::Relaxed)
    }

    /// What is wrong with the brokers while they are waited for.
    fn lacks(&self, error: &KafkaError) -> String {
        let servers = &self.bootstrap_servers;
        security::is_refused(&self.client);
        match self.client.context().refusal_reason() {
            Some(reason) => format!("the brokers at {servers} refuse the connection, {reason},"),
            None => lack(servers, &self.topic, self.is_served_in_part(error)),
        }
    }

    pub(super) fn no_broker(&self, reason: &str) -> Error {
        Error::source(format!("no Kafka broker answers at {}: {reason}", self.bootstrap_servers)).hint(
            "start one (`tidemill broker --listen 127.0.0.1:9092 --data-dir DIR`) or name yours with --brokers HOST:PORT",
        )
    }

    fn no_topic(&self) -> Error {
        let known: Vec<String> = self
            .client
            .fetch_metadata(None, ANSWER)
            .map(|m| m.topics().iter().map(|t| t.name().to_owned()).collect())
            .unwrap_or_default();
        let near = nearest(&self.topic, known.iter().map(String::as_str))
            .map(|name| format!("did you mean `{name}`? Otherwise "))
            .unwrap_or_default();
        Error::source(format!("there is no topic `{}` at {}", self.topic, self.bootstrap_servers))
            .hint(format!("{near}produce to it first, e.g. `tidemill produce JOB --input FILE`"))
    }
}

/// What brokers lack that give no answer, or only a part of one.
fn lack(servers: &str, topic: &str, is_served_in_part: bool) -> String {
    match is_served_in_part {
        true => format!("the brokers at {servers} answer, but cannot serve all partitions of topic {topic}"),
        false => format!("no Kafka broker answers at {servers}"),
    }
}

/// The partitions of a topic; none where there is no such topic.
fn partitions(client: &Client, topic: &str, wait: Duration) -> KafkaResult<Vec<i32>> {
    let metadata = client.fetch_metadata(Some(topic), wait)?;
    let Some(topic) = metadata.topics().iter().find(|t| t.name() == topic) else { return Ok(Vec::new()) };
    if let Some(error) = topic.error().map(RDKafkaErrorCode::from).filter(|&code| !is_no_topic(code)) {
        return Err(KafkaError::MetadataFetch(error));
    }
    let mut partitions: Vec<i32> = topic.partitions().iter().map(|p| p.id()).collect();
    partitions.sort_unstable();
    Ok(partitions)
}

/// The offset of each partition at one of its ends.
///
/// librdkafka's question for offsets by time is the one that takes many partitions at once: the ends are times with
/// numbers of their own (-1 and -2) in the protocol, which it passes on.
fn offsets(client: &Client, topic: &str, partitions: &[i32], end: Offset) -> KafkaResult<BTreeMap<i32, i64>> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for &partition in partitions {
        list.add_partition_offset(topic, partition, end)?;
    }
    let mut found = BTreeMap::new();
    for element in client.offsets_for_times(list, ANSWER)?.elements() {
        element.error()?;
        match element.offset() {
            Offset::Offset(offset) => found.insert(element.partition(), offset),
            // Not an offset: asked again.
            _ => return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::OffsetNotAvailable)),
        };
    }
    Ok(found)
}

fn is_no_topic(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as C;
    matches!(code, C::UnknownTopicOrPartition | C::UnknownTopic | C::InvalidTopic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_answers_is_not_said_to_be_away() {
        use RDKafkaErrorCode as C;
        for code in
            [C::NotLeaderForPartition, C::LeaderNotAvailable, C::KafkaStorageError, C::UnknownPartition]
        {
            let error = KafkaError::MetadataFetch(code);
            assert!(may_pass(&error) && is_answer(&error), "{error}");
        }
        for code in [C::BrokerTransportFailure, C::AllBrokersDown, C::OperationTimedOut, C::Resolve] {
            let error = KafkaError::MetadataFetch(code);
            assert!(may_pass(&error) && !is_answer(&error), "{error}");
        }
        assert_eq!(lack("a:1", "t", false), "no Kafka broker answers at a:1");
        assert!(lack("a:1", "t", true).contains("a:1 answer, but cannot serve all partitions of topic t"));
    }
}
