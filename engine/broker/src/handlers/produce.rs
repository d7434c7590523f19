//! Produce: check each partition's batch and append it.
//!
//! There is one replica, so acks 1 and all are the same: the batch is in the file (not yet synced)
//! when the answer is given.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};

use crate::log::batch;
use crate::state::Shared;
use crate::topics::Topic;

/// Appends what the request holds; the answer has one result for each partition.
pub(crate) fn produce(shared: &Shared, request: ProduceRequest, version: i16) -> ProduceResponse {
    let refused = if request.transactional_id.is_some() {
        Some(ResponseError::TransactionalIdAuthorizationFailed)
    } else if !(-1..=1).contains(&request.acks) {
        Some(ResponseError::InvalidRequiredAcks)
    } else {
        None
    };
    let topics = shared.catalogue.topics();
    let responses = request.topic_data.into_iter().map(|data| {
        let topic = match refused {
            Some(e) => Err(e),
            None => topics.by_name(&data.name),
        };
        let partitions = data.partition_data.iter().map(|partition| {
            let appended = topic.and_then(|topic| append(shared, topic, partition, version));
            let response = PartitionProduceResponse::default().with_index(partition.index);
            match appended {
                Ok(base_offset) => response
                    .with_base_offset(base_offset)
                    .with_log_append_time_ms(-1)
                    .with_log_start_offset(0),
                Err(e) => response
                    .with_error_code(e.code())
                    .with_base_offset(-1)
                    .with_log_append_time_ms(-1)
                    .with_log_start_offset(-1),
            }
        });
        let partitions = partitions.collect();
        TopicProduceResponse::default().with_name(data.name).with_partition_responses(partitions)
    });
    let responses = responses.collect();
    shared.changed.notify_waiters();
    ProduceResponse::default().with_responses(responses)
}

fn append(
    shared: &Shared,
    topic: &Topic,
    data: &PartitionProduceData,
    version: i16,
) -> Result<i64, ResponseError> {
    let log = topic.partition(data.index)?;
    let records = data.records.as_deref().unwrap_or_default();
    let header = batch::validate(records, version, shared.max_message_bytes)?;
    log.append(&header, records)
}
