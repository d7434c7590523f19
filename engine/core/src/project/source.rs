//! The source section of a job: where its messages are, and how many of them are a batch.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::datatypes::SchemaRef;

use super::{FailOnDataLoss, Project, StartingOffsets, config, kafka_options, parse_schema};
use crate::error::{Error, Result};
use crate::memory;

/// The source section of a job.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// `host:port,host:port`.
    pub bootstrap_servers: String,
    /// The topic.
    pub topic: String,
    /// The consumer group that is told how far the stream is; it decides nothing.
    pub group_id: String,
    /// Further librdkafka properties: none that decides what is read.
    pub options: BTreeMap<String, String>,
    /// How long brokers that do not answer are waited for.
    pub broker_timeout: Duration,
    /// How long decoding and transforming a message may take where its batch has ended the process again and again.
    pub message_timeout: Duration,
    /// The fields that a message has.
    pub schema: SchemaRef,
    /// Where a partition without a committed offset begins.
    pub starting_offsets: StartingOffsets,
    /// Most messages of one batch, over all partitions.
    pub max_offsets_per_trigger: Option<u64>,
    /// Bytes of messages that a batch is planned for.
    pub max_bytes_per_trigger: u64,
    /// Most bytes of messages that wait to be read, in the queue of librdkafka and again in ours.
    pub queue_bytes: u64,
    /// What happens when promised rows are gone.
    pub fail_on_data_loss: FailOnDataLoss,
}

impl Project {
    /// The section, read and checked. `schema_sql` is the text of the schema that it names.
    pub(super) fn source(
        &self,
        job: &str,
        file: config::SourceFile,
        schema_sql: &str,
        memory_limit: u64,
    ) -> Result<SourceConfig> {
        let config::Format::Json = file.format;
        let schema = parse_schema(schema_sql).map_err(|e| e.context(file.schema.clone()))?;
        if file.max_offsets_per_trigger == Some(0) {
            return Err(Error::user("source.max_offsets_per_trigger is at least 1"));
        }
        if file.kafka.subscribe.is_empty() || file.kafka.subscribe.contains(',') {
            return Err(Error::user("source.kafka.subscribe is the name of one topic"));
        }
        if file.kafka.bootstrap_servers.contains('@') {
            return Err(Error::user("source.kafka.bootstrap_servers holds a user name or a password (`…@host`)").hint(
                "it is host:port,host:port; who connects stands under source.kafka.options: \"sasl.username\" and \
                 \"sasl.password\" = \"${NAME_OF_A_VARIABLE}\"",
            ));
        }
        kafka_options::check(&file.kafka.options)?;
        let mut options = file.kafka.options;
        let group_id = options.remove("group.id").unwrap_or_else(|| format!("tidemill-{job}"));
        if group_id.is_empty() {
            return Err(Error::user("source.kafka.options: group.id is empty")
                .hint("without it the group is called tidemill-JOB"));
        }
        Ok(SourceConfig {
            broker_timeout: broker_timeout(file.kafka.broker_timeout.as_deref())?,
            message_timeout: message_timeout(file.message_timeout.as_deref())?,
            bootstrap_servers: file.kafka.bootstrap_servers,
            topic: file.kafka.subscribe,
            group_id,
            options,
            schema,
            starting_offsets: file.starting_offsets,
            max_offsets_per_trigger: file.max_offsets_per_trigger,
            max_bytes_per_trigger: size("source.max_bytes_per_trigger", file.max_bytes_per_trigger)?
                .unwrap_or((memory_limit / BATCH_SHARE).min(MOST_BATCH_BYTES)),
            queue_bytes: (memory_limit / QUEUE_SHARE).clamp(1 << 20, MOST_QUEUE_BYTES),
            fail_on_data_loss: file.fail_on_data_loss,
        })
    }
}

/// Spark's source gives up after 3 (offsets) to 8 minutes (messages): an outage that a Spark job outlives is outlived here.
const BROKER_TIMEOUT: Duration = Duration::from_secs(600);

fn broker_timeout(text: Option<&str>) -> Result<Duration> {
    let Some(text) = text else { return Ok(BROKER_TIMEOUT) };
    humantime::parse_duration(text).map_err(|e| {
        Error::user(format!("source.kafka.broker_timeout: `{text}`: {e}"))
            .hint("write \"10m\" or \"90s\"; \"0s\" waits for no broker")
    })
}

/// A message is decoded and transformed in microseconds: one that takes so long is not going to end.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(120);

fn message_timeout(text: Option<&str>) -> Result<Duration> {
    let Some(text) = text else { return Ok(MESSAGE_TIMEOUT) };
    let example = "write \"2m\" or \"1h\"";
    let timeout = humantime::parse_duration(text)
        .map_err(|e| Error::user(format!("source.message_timeout: `{text}`: {e}")).hint(example))?;
    match timeout.is_zero() {
        true => Err(Error::user("source.message_timeout: no message takes no time").hint(example)),
        false => Ok(timeout),
    }
}

/// Share of the memory that a batch's messages may be where the job does not say it, and the most.
const BATCH_SHARE: u64 = 8;
const MOST_BATCH_BYTES: u64 = 256_000_000;
/// Share of the memory for messages that wait, and the most.
const QUEUE_SHARE: u64 = 16;
const MOST_QUEUE_BYTES: u64 = 64 << 20;

/// A size in bytes: a number, or a text such as "512MB" and "2GiB".
pub(super) fn size(key: &str, written: Option<config::Size>) -> Result<Option<u64>> {
    let Some(written) = written else { return Ok(None) };
    let bytes = match &written {
        config::Size::Bytes(bytes) => Some(*bytes),
        config::Size::Text(text) => memory::size_bytes(text),
    };
    match bytes.filter(|bytes| *bytes > 0) {
        Some(bytes) => Ok(Some(bytes)),
        None => Err(Error::user(format!("{key} = {written} is no size")).hint("write \"512MB\" or \"2GiB\"")),
    }
}
