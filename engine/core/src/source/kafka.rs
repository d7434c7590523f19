//! Kafka by `assign` and exact ranges: what is read follows from the plan, never from a consumer group.
//!
//! One consumer lives as long as the stream. A batch reads each partition from `from` until it has seen `to`, or as many messages as are wanted of it;
//! what librdkafka delivered beyond that waits for the next batch. Offsets that hold no message (compaction,
//! transaction markers) are not loss: a range is done when the next message lies past it, when librdkafka has passed
//! over markers up to there, or when the end of the partition was reached from a fresh seek (an end-of-partition event
//! may be older than the plan).
//!
//! What is in memory is bounded by bytes: a batch is read in parts (`parts`), a partition that runs ahead of the others
//! pauses, and librdkafka's queue holds no more than `queue_bytes` of the job.

mod parts;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};

use self::parts::Budget;
pub use self::parts::{Reading, Room};
use super::plan::Watermarks;
use super::pull::{Pull, Reader, Waiting};
use super::questions::{Client, Questions};
use super::security::{self, Listener};
use super::wait::{ANSWER, GRACE, Patience, may_pass, refused};
use super::{RawRows, lag, topic_id};
use crate::error::{Error, ErrorKind, Result};
use crate::project::{FailOnDataLoss, SourceConfig};
use crate::records::{DataLoss, PartitionRange};

/// Longest wait for the consumer to be pointed elsewhere, which asks no broker.
const SEEK: Duration = Duration::from_secs(1);
/// Longest wait without a message while a range is incomplete and the brokers answer.
const SILENCE: Duration = Duration::from_secs(60);
/// After this long without a message the brokers are asked whether they are there; then after twice as long, and so on.
const QUESTION: Duration = Duration::from_secs(1);
/// Waits for a message, milliseconds: none at first, longer ones while none comes.
const POLLS: [u64; 6] = [0, 1, 2, 5, 10, 20];
/// After this long without a message, an end-of-partition event is worth a fresh look.
const DOUBT: Duration = Duration::from_millis(100);

/// A topic, open for reading.
pub struct KafkaSource {
    consumer: Arc<Client>,
    questions: Questions,
    bootstrap_servers: String,
    plaintext: bool,
    topic: String,
    readers: BTreeMap<i32, Reader>,
    /// Bytes that may wait of all partitions together.
    most_waiting_bytes: u64,
    /// What the consumer has in flight may be older than the next plan.
    stale: bool,
    /// A connection was lost, or made for the first time: the log may have been cut off since it was last read.
    reconnected: bool,
}

/// What came of the ranges of a batch.
#[derive(Debug, Default)]
pub struct Read {
    /// Messages; partitions ascending, offsets ascending.
    pub rows: Vec<RawRows>,
    /// What was deleted from the topic after the batch was planned.
    pub lost: Vec<DataLoss>,
    /// Partitions that were cut off within their range: where reading has to go on.
    pub ends: BTreeMap<i32, i64>,
    /// Partitions that had all the messages that are wanted before the end of their range: where it goes on.
    pub filled_up: BTreeMap<i32, i64>,
}

impl KafkaSource {
    /// Connects and checks that the topic is there, without waiting for brokers that are not.
    ///
    /// # Errors
    /// Source: no broker answers, or there is no such topic; User: a property that librdkafka does not know.
    pub fn connect(config: &SourceConfig) -> Result<KafkaSource> {
        KafkaSource::connect_with(config, Patience::default(), true)
    }

    /// Connects and checks that the topic is there. At the `first` start of a job the address may be wrong, and is not
    /// waited for; later on `patience` is had with the brokers.
    ///
    /// # Errors
    /// As [`KafkaSource::connect`].
    pub fn connect_with(config: &SourceConfig, mut patience: Patience, first: bool) -> Result<KafkaSource> {
        patience.set_timeout(if first { Duration::ZERO } else { config.broker_timeout });
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
            .set("queued.max.messages.kbytes", (config.queue_bytes >> 10).clamp(1, 65_536).to_string())
            .set("fetch.max.bytes", config.queue_bytes.clamp(1 << 20, 52_428_800).to_string())
            .set("socket.nagle.disable", "true")
            .set("reconnect.backoff.ms", "50")
            // Brokers that come back are noticed within this.
            .set("reconnect.backoff.max.ms", "2000")
            // No group is joined: this is how long the group's offsets wait for its coordinator, at the end too.
            .set("session.timeout.ms", "2000")
            .set("log_level", "0");
        security::set_options(&mut client, &config.options)?;
        let create = || -> Result<Client> {
            client
                .create_with_context(Listener::default())
                .map_err(|e| security::option_error(&e, &config.options))
        };
        let servers = &config.bootstrap_servers;
        let mut source = KafkaSource {
            consumer: Arc::new(create()?),
            questions: Questions::new(create()?, servers, &config.topic, patience),
            bootstrap_servers: servers.clone(),
            plaintext: security::is_plain(&config.options),
            topic: config.topic.clone(),
            readers: BTreeMap::new(),
            most_waiting_bytes: config.queue_bytes,
            stale: false,
            reconnected: true,
        };
        if first && let Some(reason) = refused(servers) {
            return Err(source.questions.no_broker(&reason));
        }
        source.questions.partitions()?;
        // The reading consumer too knows the leaders before it is given something to read: asking only then, librdkafka
        // begins to fetch a second later.
        let topic = config.topic.clone();
        source.questions.ask_with(&source.consumer, move |consumer| {
            consumer.fetch_metadata(Some(&topic), ANSWER).map(drop)
        })?;
        source.questions.patience.set_timeout(config.broker_timeout);
        Ok(source)
    }

    /// Tells the job's consumer group that the stream goes on where these ranges end, for those who watch its lag. It
    /// decides nothing, is not waited for, and a broker that does not take it is a line at debug level.
    pub fn tell_group(&self, ranges: &[PartitionRange]) {
        // Told all the same, it would be waited for at the end.
        if !self.consumer.context().group_is_refused() {
            lag::tell(self.consumer.as_ref(), &self.topic, ranges);
        }
    }

    /// Id of the cluster, where it tells one.
    pub fn cluster_id(&self) -> Option<String> {
        self.questions.cluster_id()
    }

    /// Id of the topic as it is now, where the broker tells one.
    pub fn topic_id(&self) -> Option<String> {
        self.plaintext.then(|| topic_id::fetch(&self.bootstrap_servers, &self.topic)).flatten()
    }

    /// Oldest and newest offsets of every partition, of all partitions at once. Waits for brokers that are away.
    ///
    /// # Errors
    /// Source: no broker answers for as long as the job says, or the stream was asked to stop meanwhile.
    pub fn watermarks(&self) -> Result<BTreeMap<i32, Watermarks>> {
        self.questions.watermarks()
    }

    /// Milliseconds that brokers were waited for since the last call.
    pub fn take_waited_ms(&self) -> u64 {
        self.questions.patience.take_waited_ms()
    }

    /// Whether a connection was made since the last call, and the log may be another one than before.
    pub fn take_reconnected(&mut self) -> bool {
        std::mem::take(&mut self.reconnected) | self.questions.patience.take_asked_again()
    }

    /// What was fetched ahead may be of a log that is no longer what it was: it is fetched anew.
    pub fn forget_what_is_in_flight(&mut self) {
        self.stale = true;
    }

    /// Reads exactly these ranges. Of what was deleted since they were planned, the loss is told; with
    /// [`FailOnDataLoss::Fail`] it is an error.
    ///
    /// # Errors
    /// Source, if the brokers fall silent; DataLoss, if the topic no longer holds a range.
    pub fn read(&mut self, ranges: &[PartitionRange], on_loss: FailOnDataLoss) -> Result<Read> {
        self.read_part(&mut Reading::new(ranges, Room::ENDLESS), on_loss)
    }

    /// Points the consumer at what the ranges still want, and forgets what is in flight.
    fn point(&mut self, pulls: &mut BTreeMap<i32, Pull>) -> Result<()> {
        let before = self.positions()?;
        for (&partition, pull) in pulls.iter_mut() {
            // An end that is told from now on is newer than the plan.
            pull.sought = true;
            let is_new = !self.readers.contains_key(&partition);
            let reader = self.readers.entry(partition).or_default();
            reader.position = pull.seen;
            reader.gone &= pull.done();
            reader.heard = is_new;
        }
        let mut list = TopicPartitionList::new();
        // A pause outlives an assignment.
        let mut paused = TopicPartitionList::new();
        for (&partition, reader) in self.readers.iter_mut().filter(|(_, reader)| !reader.gone) {
            if reader.paused {
                paused.add_partition(&self.topic, partition);
            }
            let position = reader.position;
            // A position from before that lies past this one would be taken for one that was reached from here.
            let heard = match before.get(&partition) {
                Some(&at) => at <= position,
                None => reader.heard,
            };
            *reader = Reader { position, next: position, heard, ..Reader::default() };
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

    fn pull(
        &mut self,
        pulls: &mut BTreeMap<i32, Pull>,
        on_loss: FailOnDataLoss,
        budget: &mut Budget,
    ) -> Result<Vec<DataLoss>> {
        let mut lost = Vec::new();
        let mut last_message = Instant::now();
        let mut last_error = None;
        // How long it had been silent when the brokers were last asked whether they are there, and until they are next.
        let (mut asked_after, mut until_next) = (Duration::ZERO, QUESTION);
        let mut quiet = 0;
        while !budget.is_spent() && pulls.values().any(|pull| !pull.done()) {
            let polled = self.consumer.poll(Duration::from_millis(POLLS[quiet]));
            quiet = if polled.is_some() { 0 } else { (quiet + 1).min(POLLS.len() - 1) };
            match polled {
                Some(Ok(message)) => {
                    last_message = Instant::now();
                    (asked_after, until_next) = (Duration::ZERO, QUESTION);
                    let Some(reader) = self.readers.get_mut(&message.partition()) else { continue };
                    let offset = message.offset();
                    if offset < reader.next {
                        continue;
                    }
                    reader.next = offset + 1;
                    reader.ended = false;
                    reader.heard = true;
                    let timestamp = message.timestamp().to_millis();
                    match pulls.get_mut(&message.partition()) {
                        Some(pull) if offset < pull.range.to => {
                            budget.take(message.payload());
                            pull.push(offset, timestamp, message.payload());
                        }
                        pull => {
                            if let Some(pull) = pull {
                                pull.seen = pull.range.to;
                            }
                            let payload = message.payload().map(<[u8]>::to_vec);
                            reader.wait(Waiting { offset, timestamp, payload });
                        }
                    }
                    let partition = message.partition();
                    drop(message);
                    if self.is_ahead(partition) {
                        self.pause(partition)?;
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    if let Some(reader) = self.readers.get_mut(&partition) {
                        reader.ended = true;
                        reader.heard = true;
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
                Some(Err(error)) => {
                    tracing::debug!(%error, "kafka");
                    self.reconnected |= may_pass(&error);
                    if let Some(RDKafkaErrorCode::TopicAuthorizationFailed) = error.rdkafka_error_code() {
                        return Err(self.questions.not_let(&error));
                    }
                    last_error = Some(error);
                }
                // A moment without a message is none worth a question.
                None if quiet > 1 => self.pass_over_markers(pulls)?,
                None => {}
            }
            let silent = last_message.elapsed();
            if silent > DOUBT {
                self.look_again(pulls);
            }
            let pause = if self.questions.patience.stopped() { GRACE } else { until_next };
            if silent > asked_after + pause {
                (asked_after, until_next) = (silent, until_next * 2);
                // Brokers that are away are waited for there; those that are back are given time to send.
                let asked = Instant::now();
                self.watermarks()?;
                if asked.elapsed() > QUESTION {
                    last_message = Instant::now();
                    (asked_after, until_next) = (Duration::ZERO, QUESTION);
                }
            }
            if last_message.elapsed() > SILENCE {
                let reason = last_error.map(|error| format!(", the last error was: {error}"));
                return Err(Error::source(format!(
                    "no message of topic {} came for {} s while a batch was incomplete{}",
                    self.topic,
                    SILENCE.as_secs(),
                    reason.unwrap_or_default()
                ))
                .hint("see whether the brokers are up; the batch is read again on the next start"));
            }
        }
        Ok(lost)
    }

    /// librdkafka passes over transaction markers without a word, but its position tells.
    fn pass_over_markers(&mut self, pulls: &mut BTreeMap<i32, Pull>) -> Result<()> {
        let heard = |partition: &i32| self.readers.get(partition).is_some_and(|reader| reader.heard);
        if !pulls.iter().any(|(partition, pull)| !pull.done() && heard(partition)) {
            return Ok(());
        }
        for (partition, at) in self.positions()? {
            let Some(reader) = self.readers.get_mut(&partition).filter(|r| r.heard && at > r.next) else {
                continue;
            };
            reader.next = at;
            if let Some(pull) = pulls.get_mut(&partition).filter(|pull| !pull.done()) {
                pull.seen = at.min(pull.range.to);
            }
        }
        Ok(())
    }

    /// One past the last offset that librdkafka has given out or passed over, by partition.
    fn positions(&self) -> Result<BTreeMap<i32, i64>> {
        let list = self.consumer.position().map_err(|e| Error::internal(format!("no position: {e}")))?;
        let offset = |element: &TopicPartitionListElem<'_>| match element.offset() {
            Offset::Offset(offset) => Some((element.partition(), offset)),
            _ => None,
        };
        Ok(list.elements().iter().filter_map(offset).collect())
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
                continue;
            }
            let (from, to) = (pull.seen, marks.low.min(pull.range.to));
            if from < to {
                lost.push(DataLoss::deleted(partition, from, to));
                pull.seen = to;
            }
        }
        if let (Some(loss), FailOnDataLoss::Fail) = (lost.first(), on_loss) {
            return Err(self.deleted(&loss.reason));
        }
        if !lost.is_empty() {
            tracing::warn!(?lost, topic = self.topic, "planned rows are gone, the stream goes on");
        }
        // Where the range is complete the next plan will tell what is lost; until then there is nothing to ask for.
        for (partition, reader) in &mut self.readers {
            let outside = |m: &Watermarks| reader.next < m.low || reader.next > m.high;
            reader.gone =
                pulls.get(partition).is_none_or(Pull::done) && watermarks.get(partition).is_none_or(outside);
        }
        self.point(pulls)?;
        Ok(lost)
    }

    fn high(&self, partition: i32) -> Result<i64> {
        let marks = self.watermarks()?.get(&partition).copied();
        marks
            .map(|marks| marks.high)
            .ok_or_else(|| Error::source(format!("topic {} no longer has partition {partition}", self.topic)))
    }

    /// A partition that ends before its plan does: it was cut off after the plan was made.
    fn cut_off(&self, pull: &mut Pull, high: i64, on_loss: FailOnDataLoss) -> Result<DataLoss> {
        let PartitionRange { partition, to, .. } = pull.range;
        let reason = format!("partition {partition} ends at offset {high}, {to} was planned");
        if on_loss == FailOnDataLoss::Fail {
            return Err(self.deleted(&reason));
        }
        let from = pull.seen.max(high);
        pull.cut_off = Some(from);
        pull.seen = to;
        Ok(DataLoss { partition, from, to, reason })
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
    fn look_again(&self, pulls: &mut BTreeMap<i32, Pull>) {
        let ended = |partition: &i32| self.readers.get(partition).is_some_and(|reader| reader.ended);
        for (&partition, pull) in
            pulls.iter_mut().filter(|(p, pull)| ended(p) && !pull.sought && !pull.done())
        {
            // What cannot be done while brokers are away is tried again.
            match self.consumer.seek(&self.topic, partition, Offset::Offset(pull.seen), SEEK) {
                Ok(()) => pull.sought = true,
                Err(error) => tracing::debug!(%error, partition, topic = self.topic, "cannot seek"),
            }
        }
    }

    fn pause(&mut self, partition: i32) -> Result<()> {
        let Some(reader) = self.readers.get_mut(&partition).filter(|r| !r.paused) else { return Ok(()) };
        reader.paused = true;
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, partition);
        self.consumer.pause(&list).map_err(|e| Error::source(format!("cannot pause: {e}")))
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
