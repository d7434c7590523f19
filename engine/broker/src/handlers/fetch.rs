//! Fetch: read from several partitions, and wait for more if there is too little (long poll).
//!
//! The position of each partition is found once; while waiting only the logs' sizes are looked
//! at, and the records are read from the files once, at the end. Fetch sessions are not kept:
//! session id 0 in the answer tells the client to send its whole list each time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::FetchTopic;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::{FetchRequest, FetchResponse};
use tokio::time::Instant;

use crate::log::PartitionLog;
use crate::request::Refused;
use crate::state::Shared;

/// Most bytes of records in one response, whatever the client asks for; a first batch that is
/// larger is still returned whole.
const MAX_RESPONSE_BYTES: u64 = 16 * 1024 * 1024;
/// Longest wait, whatever the client asks for.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// The wanted partitions, and how far each one's log was when the position was found.
struct Plan {
    waits: Vec<(Arc<PartitionLog>, u64)>,
    has_error: bool,
}

impl Plan {
    fn new(shared: &Shared, request: &FetchRequest, version: i16) -> Self {
        let mut plan = Self { waits: Vec::new(), has_error: false };
        for topic in &request.topics {
            for partition in &topic.partitions {
                let log = find(shared, topic, partition.partition, version);
                let before = log.clone().and_then(|log| log.bytes_before(partition.fetch_offset));
                match (log, before) {
                    (Ok(log), Ok(before)) => plan.waits.push((log, before)),
                    _ => plan.has_error = true,
                }
            }
        }
        plan
    }

    /// Whether the answer is due: enough bytes, or something to report.
    fn is_due(&self, min_bytes: u64) -> bool {
        let available = |(log, before): &(Arc<PartitionLog>, u64)| log.total_bytes().saturating_sub(*before);
        self.has_error
            || self.waits.iter().map(available).sum::<u64>() >= min_bytes
            || self.waits.iter().any(|(log, _)| log.is_closed())
    }
}

/// Answers when `min_bytes` are there, `max_wait_ms` has passed, or a partition has an error.
///
/// # Errors
/// A handler's fault.
pub(crate) async fn fetch(
    shared: &Arc<Shared>,
    request: FetchRequest,
    version: i16,
) -> Result<FetchResponse, Refused> {
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let deadline = Instant::now() + wait.min(MAX_WAIT);
    let min_bytes = u64::try_from(request.min_bytes).unwrap_or(0);
    let request = Arc::new(request);
    let (plan, due) = blocking(shared, &request, move |shared, request| {
        let plan = Plan::new(shared, request, version);
        // Mostly the data is there: then one hop to a blocking thread is enough.
        let due = plan.is_due(min_bytes).then(|| read(shared, request, version));
        (plan, due)
    })
    .await?;
    if let Some(response) = due {
        return Ok(response);
    }
    let mut stopping = shared.stopping.subscribe();
    loop {
        let changed = shared.changed.notified();
        tokio::pin!(changed);
        // Registered before the look, so that no append is missed in between.
        changed.as_mut().enable();
        if plan.is_due(min_bytes) {
            break;
        }
        tokio::select! {
            () = changed => {}
            () = tokio::time::sleep_until(deadline) => break,
            _ = stopping.wait_for(|stop| *stop) => break,
        }
    }
    blocking(shared, &request, move |shared, request| read(shared, request, version)).await
}

async fn blocking<T: Send + 'static>(
    shared: &Arc<Shared>,
    request: &Arc<FetchRequest>,
    work: impl FnOnce(&Shared, &FetchRequest) -> T + Send + 'static,
) -> Result<T, Refused> {
    let (shared, request) = (Arc::clone(shared), Arc::clone(request));
    tokio::task::spawn_blocking(move || work(&shared, &request))
        .await
        .map_err(|e| Refused::Handler(e.to_string()))
}

fn find(
    shared: &Shared,
    topic: &FetchTopic,
    partition: i32,
    version: i16,
) -> Result<Arc<PartitionLog>, ResponseError> {
    let topics = shared.catalogue.topics();
    let topic = if version >= 13 { topics.by_id(topic.topic_id)? } else { topics.by_name(&topic.topic)? };
    topic.partition(partition).cloned()
}

fn read(shared: &Shared, request: &FetchRequest, version: i16) -> FetchResponse {
    let asked = u64::try_from(request.max_bytes).unwrap_or(0);
    let mut left = asked.min(MAX_RESPONSE_BYTES);
    let mut is_first = true;
    let responses = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let data = PartitionData::default().with_partition_index(partition.partition);
            let limit = left.min(u64::try_from(partition.partition_max_bytes).unwrap_or(0));
            let records = find(shared, topic, partition.partition, version)
                .and_then(|log| log.read(partition.fetch_offset, limit, is_first));
            match records {
                Ok(read) => {
                    let bytes = read.records.len() as u64;
                    left = left.saturating_sub(bytes);
                    is_first &= bytes == 0;
                    data.with_high_watermark(read.high_watermark)
                        .with_last_stable_offset(read.high_watermark)
                        .with_log_start_offset(0)
                        .with_aborted_transactions(Some(Vec::new()))
                        .with_records(Some(read.records))
                }
                Err(e) => data
                    .with_error_code(e.code())
                    .with_high_watermark(-1)
                    .with_last_stable_offset(-1)
                    .with_log_start_offset(-1)
                    .with_aborted_transactions(Some(Vec::new()))
                    .with_records(Some(Bytes::new())),
            }
        });
        let partitions = partitions.collect();
        FetchableTopicResponse::default()
            .with_topic(topic.topic.clone())
            .with_topic_id(topic.topic_id)
            .with_partitions(partitions)
    });
    let responses = responses.collect();
    FetchResponse::default().with_responses(responses)
}
