//! Kafka by `assign` and exact ranges: what is read follows from the plan, never from a consumer group.
//!
//! One consumer lives as long as the stream. A batch reads each partition from `from` until it has seen `to`;
//! what librdkafka delivered beyond that waits for the next batch. Offsets that hold no message (compaction,
//! transaction markers) are not loss: a range is done when the next message lies past it, or when the end of the
//! partition was reached from a fresh seek (an end-of-partition event may be older than the plan).

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::plan::Watermarks;
use super::security::{self, Listener};
use super::{RawRows, lag, topic_id};
use crate::checkpoint::{DataLoss, PartitionRange};
use crate::error::{Error, ErrorKind, Result};
use crate::project::{FailOnDataLoss, SourceConfig, nearest};

/// Longest wait for an answer to a question about the topic.
const ANSWER: Duration = Duration::from_secs(10);
/// Longest wait without a message while a range is incomplete.
const SILENCE: Duration = Duration::from_secs(60);
/// After this long without a message, an end-of-partition event is worth a fresh look.
const DOUBT: Duration = Duration::from_millis(100);
/// A partition that runs ahead of the others is paused when this many of its messages wait.
const MOST_WAITING: usize = 100_000;

/// A topic, open for reading.
pub struct KafkaSource {
    consumer: BaseConsumer<Listener>,
    /// A client of its own for questions: a broker answers a connection in order, and on the consumer's a question
    /// would wait behind a fetch that waits for messages (measured: 100 to 390 ms a plan against 1 to 3).
    questions: BaseConsumer<Listener>,
    bootstrap_servers: String,
    plaintext: bool,
    /// The brokers have answered once: what they refuse later may pass.
    answered: bool,
    topic: String,
    readers: BTreeMap<i32, Reader>,
    /// The consumer gave up on a partition that the batch in hand did not need any more.
    stale: bool,
}

/// What came of the ranges of a batch.
#[derive(Debug, Default)]
pub struct Read {
    /// Messages; partitions ascending, offsets ascending.
    pub rows: Vec<RawRows>,
    /// What was deleted from the topic after the batch was planned.
    pub lost: Vec<DataLoss>,
}

/// What is known of a partition's stream of messages.
#[derive(Default)]
struct Reader {
    /// End of the last range that was read: the next one goes on from here, or the consumer is pointed anew.
    position: i64,
    /// The next offset that the broker will deliver.
    next: i64,
    /// Messages delivered beyond `position`.
    waiting: VecDeque<Waiting>,
    /// The end of the partition was told after the last message: it is told once, maybe batches before the one that
    /// waits for it.
    ended: bool,
    paused: bool,
}

struct Waiting {
    offset: i64,
    timestamp: Option<i64>,
    payload: Option<Vec<u8>>,
}

/// Progress of one partition within a batch.
struct Pull {
    range: PartitionRange,
    rows: RawRows,
    /// Offsets below this have been delivered or do not exist.
    seen: i64,
    /// The consumer was pointed at `seen` since the plan was made.
    sought: bool,
}

impl KafkaSource {
    /// Connects and checks that the topic is there.
    ///
    /// # Errors
    /// Source: no broker answers, or there is no such topic; User: a property that librdkafka does not know.
    pub fn connect(config: &SourceConfig) -> Result<KafkaSource> {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", &config.bootstrap_servers)
            .set("group.id", &config.group_id)
            .set("client.id", "tidemill")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", "100")
            // While a batch is written the queue fills up; the default lets a partition rest 1 s before it is
            // fetched again.
            .set("fetch.queue.backoff.ms", "5")
            .set("socket.nagle.disable", "true")
            .set("reconnect.backoff.ms", "50")
            // No group is joined: this is how long the group's offsets wait for its coordinator, at the end too.
            .set("session.timeout.ms", "2000")
            .set("log_level", "0");
        security::set_options(&mut client, &config.options)?;
        let create = || {
            client
                .create_with_context(Listener::default())
                .map_err(|e| security::option_error(&e, &config.options))
        };
        let mut source = KafkaSource {
            consumer: create()?,
            questions: create()?,
            bootstrap_servers: config.bootstrap_servers.clone(),
            plaintext: security::is_plain(&config.options),
            answered: false,
            topic: config.topic.clone(),
            readers: BTreeMap::new(),
            stale: false,
        };
        source.partitions()?;
        source.answered = true;
        // The reading consumer too knows the leaders before it is given something to read: asking only then, librdkafka
        // begins to fetch a second later.
        source.consumer.fetch_metadata(Some(&source.topic), ANSWER).map_err(|e| source.unreachable(&e))?;
        Ok(source)
    }

    /// Tells the job's consumer group that the stream goes on where these ranges end, for those who watch its lag. It
    /// decides nothing, is not waited for, and a broker that does not take it is a line at debug level.
    pub fn tell_group(&self, ranges: &[PartitionRange]) {
        // Told all the same, it would be waited for at the end.
        if !self.consumer.context().group_is_refused() {
            lag::tell(&self.consumer, &self.topic, ranges);
        }
    }

    /// Id of the cluster, where it tells one.
    pub fn cluster_id(&self) -> Option<String> {
        self.questions.client().fetch_cluster_id(ANSWER).filter(|id| !id.is_empty())
    }

    /// Id of the topic as it is now, where the broker tells one.
    pub fn topic_id(&self) -> Option<String> {
        self.plaintext.then(|| topic_id::fetch(&self.bootstrap_servers, &self.topic)).flatten()
    }

    /// The partitions that the topic has now.
    ///
    /// # Errors
    /// Source.
    pub fn partitions(&self) -> Result<Vec<i32>> {
        let refused = || !self.answered && security::is_refused(&self.questions);
        let question = |wait| self.questions.fetch_metadata(Some(&self.topic), wait);
        let metadata = security::ask(ANSWER, refused, question).map_err(|e| self.unreachable(&e))?;
        let topic = metadata.topics().iter().find(|t| t.name() == self.topic);
        let partitions: Vec<i32> =
            topic.map(|t| t.partitions().iter().map(|p| p.id()).collect()).unwrap_or_default();
        if partitions.is_empty() {
            return Err(self.no_topic());
        }
        Ok(partitions)
    }

    /// Oldest and newest offsets of every partition.
    ///
    /// # Errors
    /// Source.
    pub fn watermarks(&self) -> Result<BTreeMap<i32, Watermarks>> {
        self.partitions()?
            .into_iter()
            .map(|partition| {
                let (low, high) = self
                    .questions
                    .fetch_watermarks(&self.topic, partition, ANSWER)
                    .map_err(|e| self.unreachable(&e))?;
                Ok((partition, Watermarks { low, high }))
            })
            .collect()
    }

    /// Reads exactly these ranges. Of what was deleted since they were planned, the loss is told; with
    /// [`FailOnDataLoss::Fail`] it is an error.
    ///
    /// # Errors
    /// Source, if the brokers fall silent; DataLoss, if the topic no longer holds a range.
    pub fn read(&mut self, ranges: &[PartitionRange], on_loss: FailOnDataLoss) -> Result<Read> {
        let mut pulls: BTreeMap<i32, Pull> = BTreeMap::new();
        for &range in ranges.iter().filter(|r| r.to > r.from) {
            let (rows, seen) = (RawRows::new(range.partition), range.from);
            pulls.insert(range.partition, Pull { range, rows, seen, sought: false });
        }
        let fits = pulls.iter().all(|(partition, pull)| {
            self.readers.get(partition).is_some_and(|reader| reader.position == pull.range.from)
        });
        if !fits || self.stale {
            self.point(&pulls)?;
        }
        for (partition, pull) in &mut pulls {
            if let Some(reader) = self.readers.get_mut(partition) {
                pull.take_waiting(reader);
            }
        }
        self.resume(&pulls)?;
        let lost = self.pull(&mut pulls, on_loss)?;
        for (partition, pull) in &pulls {
            if let Some(reader) = self.readers.get_mut(partition) {
                reader.position = pull.range.to;
            }
        }
        Ok(Read { rows: pulls.into_values().map(|pull| pull.rows).collect(), lost })
    }

    /// Points the consumer at what the ranges still want, and forgets what is in flight.
    fn point(&mut self, pulls: &BTreeMap<i32, Pull>) -> Result<()> {
        for (&partition, pull) in pulls {
            self.readers.entry(partition).or_default().position = pull.seen;
        }
        let mut list = TopicPartitionList::new();
        // A pause outlives an assignment.
        let mut paused = TopicPartitionList::new();
        for (&partition, reader) in &mut self.readers {
            if reader.paused {
                paused.add_partition(&self.topic, partition);
            }
            *reader = Reader { position: reader.position, next: reader.position, ..Reader::default() };
            list.add_partition_offset(&self.topic, partition, Offset::Offset(reader.next))
                .map_err(|e| Error::internal(e.to_string()))?;
        }
        self.stale = false;
        self.consumer
            .assign(&list)
            .map_err(|e| Error::source(format!("cannot assign {}: {e}", self.topic)))?;
        if paused.count() > 0 {
            self.consumer.resume(&paused).map_err(|e| Error::source(format!("cannot resume: {e}")))?;
        }
        Ok(())
    }

    fn resume(&mut self, pulls: &BTreeMap<i32, Pull>) -> Result<()> {
        let mut list = TopicPartitionList::new();
        for (&partition, reader) in &mut self.readers {
            if reader.paused && pulls.get(&partition).is_some_and(|pull| !pull.done()) {
                reader.paused = false;
                list.add_partition(&self.topic, partition);
            }
        }
        if list.count() > 0 {
            self.consumer.resume(&list).map_err(|e| Error::source(format!("cannot resume: {e}")))?;
        }
        Ok(())
    }

    fn pull(&mut self, pulls: &mut BTreeMap<i32, Pull>, on_loss: FailOnDataLoss) -> Result<Vec<DataLoss>> {
        let mut lost = Vec::new();
        let mut last_message = Instant::now();
        while pulls.values().any(|pull| !pull.done()) {
            match self.consumer.poll(Duration::from_millis(20)) {
                Some(Ok(message)) => {
                    last_message = Instant::now();
                    let Some(reader) = self.readers.get_mut(&message.partition()) else { continue };
                    let offset = message.offset();
                    if offset < reader.next {
                        continue;
                    }
                    reader.next = offset + 1;
                    reader.ended = false;
                    let timestamp = message.timestamp().to_millis();
                    match pulls.get_mut(&message.partition()) {
                        Some(pull) if offset < pull.range.to => {
                            pull.rows.push(offset, timestamp, message.payload());
                            pull.seen = offset + 1;
                        }
                        pull => {
                            if let Some(pull) = pull {
                                pull.seen = pull.range.to;
                            }
                            let payload = message.payload().map(<[u8]>::to_vec);
                            reader.waiting.push_back(Waiting { offset, timestamp, payload });
                        }
                    }
                    let (partition, ahead) = (message.partition(), reader.waiting.len() > MOST_WAITING);
                    drop(message);
                    if ahead {
                        self.pause(partition)?;
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    if let Some(reader) = self.readers.get_mut(&partition) {
                        reader.ended = true;
                    }
                    if let Some(pull) = pulls.get_mut(&partition).filter(|pull| pull.sought && !pull.done()) {
                        // Everything from the seek to the end of the partition has come: the rest are gaps, unless
                        // the partition ends before the plan does.
                        let high = self.high(partition)?;
                        if high < pull.range.to {
                            lost.push(self.cut_off(pull, high, on_loss)?);
                        }
                        pull.seen = pull.range.to;
                    }
                }
                Some(Err(
                    KafkaError::MessageConsumption(code) | KafkaError::MessageConsumptionFatal(code),
                )) if is_loss(code) => {
                    tracing::debug!(%code, topic = self.topic, "a fetch was refused");
                    lost.extend(self.pass_over_deleted(pulls, on_loss)?);
                }
                Some(Err(error)) => tracing::debug!(%error, "kafka"),
                None => {}
            }
            let silent = last_message.elapsed();
            if silent > DOUBT {
                self.look_again(pulls)?;
            }
            if silent > SILENCE {
                return Err(Error::source(format!(
                    "no message of topic {} came for {} s while a batch was incomplete",
                    self.topic,
                    SILENCE.as_secs()
                ))
                .hint("see whether the brokers are up; the batch is read again on the next start"));
            }
        }
        Ok(lost)
    }

    /// The broker has not got an offset any more: finds what was deleted of the ranges since they were planned, and
    /// goes on behind it.
    fn pass_over_deleted(
        &mut self,
        pulls: &mut BTreeMap<i32, Pull>,
        on_loss: FailOnDataLoss,
    ) -> Result<Vec<DataLoss>> {
        let watermarks = self.watermarks()?;
        let mut lost = Vec::new();
        for (&partition, pull) in pulls.iter_mut().filter(|(_, pull)| !pull.done()) {
            let Some(marks) = watermarks.get(&partition) else { continue };
            if marks.high < pull.range.to && marks.high <= pull.seen {
                lost.push(self.cut_off(pull, marks.high, on_loss)?);
                pull.seen = pull.range.to;
                continue;
            }
            let (from, to) = (pull.seen, marks.low.min(pull.range.to));
            if from < to {
                lost.push(DataLoss::deleted(partition, from, to));
                pull.seen = to;
            }
        }
        match lost.first() {
            // It is about a partition whose range is complete: the next plan will tell what is lost of it.
            None => self.stale = true,
            Some(loss) if on_loss == FailOnDataLoss::Fail => return Err(self.deleted(&loss.reason)),
            Some(_) => {
                tracing::warn!(?lost, topic = self.topic, "planned rows are gone, the stream goes on");
                self.point(pulls)?;
            }
        }
        Ok(lost)
    }

    fn high(&self, partition: i32) -> Result<i64> {
        let marks = self.questions.fetch_watermarks(&self.topic, partition, ANSWER);
        marks.map(|(_, high)| high).map_err(|e| self.unreachable(&e))
    }

    /// A partition that ends before its plan does: it was cut off after the plan was made.
    fn cut_off(&self, pull: &Pull, high: i64, on_loss: FailOnDataLoss) -> Result<DataLoss> {
        let PartitionRange { partition, to, .. } = pull.range;
        let reason = format!("partition {partition} ends at offset {high}, {to} was planned");
        match on_loss {
            FailOnDataLoss::Fail => Err(self.deleted(&reason)),
            _ => Ok(DataLoss { partition, from: pull.seen.max(high), to, reason }),
        }
    }

    fn deleted(&self, reason: &str) -> Error {
        Error::new(
            ErrorKind::DataLoss,
            format!("topic {} no longer holds what the batch was planned for: {reason}", self.topic),
        )
        .hint("rows are lost: if that is accepted, run with --set source.fail_on_data_loss=record")
    }

    /// Seeks to the next offset of partitions that reported their end before their range was complete. The event
    /// may have been queued before the plan was made; one that follows a seek is newer.
    fn look_again(&self, pulls: &mut BTreeMap<i32, Pull>) -> Result<()> {
        let ended = |partition: &i32| self.readers.get(partition).is_some_and(|reader| reader.ended);
        for (&partition, pull) in
            pulls.iter_mut().filter(|(p, pull)| ended(p) && !pull.sought && !pull.done())
        {
            self.consumer
                .seek(&self.topic, partition, Offset::Offset(pull.seen), ANSWER)
                .map_err(|e| Error::source(format!("cannot seek {}[{partition}]: {e}", self.topic)))?;
            pull.sought = true;
        }
        Ok(())
    }

    fn pause(&mut self, partition: i32) -> Result<()> {
        let Some(reader) = self.readers.get_mut(&partition).filter(|r| !r.paused) else { return Ok(()) };
        reader.paused = true;
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, partition);
        self.consumer.pause(&list).map_err(|e| Error::source(format!("cannot pause: {e}")))
    }

    fn unreachable(&self, error: &KafkaError) -> Error {
        if matches!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::UnknownTopicOrPartition)) {
            return self.no_topic();
        }
        if let Some(refusal) = security::refusal(&self.questions, &self.bootstrap_servers) {
            return if self.answered { Error::source(refusal.to_string()) } else { refusal };
        }
        Error::source(format!("no Kafka broker answers at {}: {error}", self.bootstrap_servers)).hint(
            "start one (`tidemill broker --listen 127.0.0.1:9092 --data-dir DIR`) or name yours with --brokers HOST:PORT",
        )
    }

    fn no_topic(&self) -> Error {
        let known: Vec<String> = self
            .questions
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

impl Pull {
    fn done(&self) -> bool {
        self.seen >= self.range.to
    }

    fn take_waiting(&mut self, reader: &mut Reader) {
        while let Some(message) = reader.waiting.pop_front() {
            if message.offset >= self.range.to {
                self.seen = self.range.to;
                reader.waiting.push_front(message);
                return;
            }
            self.seen = message.offset + 1;
            self.rows.push(message.offset, message.timestamp, message.payload.as_deref());
        }
    }
}

fn is_loss(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::OffsetOutOfRange
            | RDKafkaErrorCode::AutoOffsetReset
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
    )
}
