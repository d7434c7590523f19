//! ListOffsets: earliest, latest, by timestamp, and the record with the greatest timestamp.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};

use crate::LEADER_EPOCH;
use crate::log::{OffsetAt, PartitionLog};
use crate::state::Shared;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
/// Of what lies on the broker's own disk, which is everything.
const EARLIEST_LOCAL: i64 = -4;

/// One answer for each partition asked for.
pub(crate) fn list_offsets(
    shared: &Shared,
    request: ListOffsetsRequest,
    version: i16,
) -> ListOffsetsResponse {
    let topics = shared.catalogue.topics();
    let responses = request.topics.into_iter().map(|asked| {
        let topic = topics.by_name(&asked.name);
        let partitions = asked.partitions.iter().map(|partition| {
            let found = topic
                .and_then(|topic| topic.partition(partition.partition_index))
                .and_then(|log| find(log, partition.timestamp));
            let response =
                ListOffsetsPartitionResponse::default().with_partition_index(partition.partition_index);
            match found {
                Ok(found) => {
                    let response = response.with_offset(found.offset).with_timestamp(found.timestamp_ms);
                    if version >= 4 { response.with_leader_epoch(LEADER_EPOCH) } else { response }
                }
                Err(e) => response.with_error_code(e.code()).with_offset(-1).with_timestamp(-1),
            }
        });
        let partitions = partitions.collect();
        ListOffsetsTopicResponse::default().with_name(asked.name).with_partitions(partitions)
    });
    ListOffsetsResponse::default().with_topics(responses.collect())
}

fn find(log: &PartitionLog, timestamp: i64) -> Result<OffsetAt, ResponseError> {
    let at = |offset| OffsetAt { offset, timestamp_ms: -1 };
    match timestamp {
        LATEST => Ok(at(log.next_offset())),
        EARLIEST | EARLIEST_LOCAL => Ok(at(0)),
        MAX_TIMESTAMP => log.offset_of_max_time(),
        0.. => log.offset_at_time(timestamp),
        _ => Err(ResponseError::InvalidRequest),
    }
}
