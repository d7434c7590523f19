//! Consumer groups as far as they are only names for offsets: FindCoordinator, OffsetCommit,
//! OffsetFetch. There are no members: who commits must not claim to be one.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestTopic, OffsetFetchRequestTopics};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{
    FindCoordinatorRequest, FindCoordinatorResponse, OffsetCommitRequest, OffsetCommitResponse,
    OffsetFetchRequest, OffsetFetchResponse,
};

use crate::NODE_ID;
use crate::offsets::{Committed, MAX_METADATA_BYTES};
use crate::state::{Shared, text, topic_name};

const KEY_GROUP: i8 = 0;

/// The coordinator of every group is this broker; there is none for transactions.
pub(crate) fn find_coordinator(
    shared: &Shared,
    request: FindCoordinatorRequest,
    version: i16,
) -> FindCoordinatorResponse {
    let refused =
        (request.key_type != KEY_GROUP).then_some(ResponseError::TransactionalIdAuthorizationFailed);
    let why = refused.map(|_| text("this development broker has no transactions"));
    let host = text(&shared.address.ip().to_string());
    let port = i32::from(shared.address.port());
    if version >= 4 {
        let coordinators = request.coordinator_keys.into_iter().map(|key| {
            let coordinator = Coordinator::default().with_key(key);
            match refused {
                Some(e) => coordinator
                    .with_error_code(e.code())
                    .with_error_message(why.clone())
                    .with_node_id((-1).into())
                    .with_port(-1),
                None => coordinator.with_node_id(NODE_ID).with_host(host.clone()).with_port(port),
            }
        });
        return FindCoordinatorResponse::default().with_coordinators(coordinators.collect());
    }
    let response = FindCoordinatorResponse::default();
    match refused {
        Some(e) => {
            response.with_error_code(e.code()).with_error_message(why).with_node_id((-1).into()).with_port(-1)
        }
        None => response.with_node_id(NODE_ID).with_host(host).with_port(port),
    }
}

/// Keeps offsets of a group without members.
pub(crate) fn offset_commit(shared: &Shared, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let is_member = request.generation_id_or_member_epoch >= 0 || !request.member_id.is_empty();
    let topics = shared.catalogue.topics();
    let mut kept = Vec::new();
    let mut results = Vec::new();
    for asked in request.topics {
        let topic = topics.by_name(&asked.name);
        let partitions = asked.partitions.into_iter().map(|partition| {
            let index = partition.partition_index;
            let metadata = partition.committed_metadata.unwrap_or_default();
            let fault = match topic.and_then(|topic| topic.partition(index).map(|_| topic)) {
                _ if is_member => Some(ResponseError::UnknownMemberId),
                Err(e) => Some(e),
                Ok(_) if metadata.len() > MAX_METADATA_BYTES => Some(ResponseError::OffsetMetadataTooLarge),
                Ok(topic) => {
                    let committed = Committed {
                        topic_id: topic.id.to_string(),
                        offset: partition.committed_offset,
                        leader_epoch: partition.committed_leader_epoch,
                        metadata: metadata.to_string(),
                    };
                    kept.push((topic.name.clone(), index, committed));
                    None
                }
            };
            (index, fault)
        });
        let partitions: Vec<(i32, Option<ResponseError>)> = partitions.collect();
        results.push((asked.name, partitions));
    }
    let saved = shared.offsets.commit(&request.group_id, kept).err();
    let topics = results.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(index, fault)| {
            let code = fault.or(saved).map_or(0, |e| e.code());
            OffsetCommitResponsePartition::default().with_partition_index(index).with_error_code(code)
        });
        OffsetCommitResponseTopic::default().with_name(name).with_partitions(partitions.collect())
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

/// Committed offsets of one group (up to version 7) or several; -1 where there is none.
pub(crate) fn offset_fetch(
    shared: &Shared,
    request: OffsetFetchRequest,
    version: i16,
) -> OffsetFetchResponse {
    if version >= 8 {
        let groups = request.groups.into_iter().map(|group| {
            let wanted = group.topics.map(|topics| {
                let pair = |t: OffsetFetchRequestTopics| (t.name.to_string(), t.partition_indexes);
                topics.into_iter().map(pair).collect()
            });
            let topics = lookup(shared, &group.group_id, wanted);
            let topics = topics.into_iter().map(|(name, partitions)| {
                let partitions = partitions.into_iter().map(|(index, committed)| {
                    let partition = OffsetFetchResponsePartitions::default().with_partition_index(index);
                    match committed {
                        Some(c) => partition
                            .with_committed_offset(c.offset)
                            .with_committed_leader_epoch(c.leader_epoch)
                            .with_metadata(Some(text(&c.metadata))),
                        None => partition.with_committed_offset(-1).with_metadata(Some(text(""))),
                    }
                });
                OffsetFetchResponseTopics::default()
                    .with_name(topic_name(&name))
                    .with_partitions(partitions.collect())
            });
            OffsetFetchResponseGroup::default().with_group_id(group.group_id).with_topics(topics.collect())
        });
        return OffsetFetchResponse::default().with_groups(groups.collect());
    }
    let wanted = request.topics.map(|topics| {
        let pair = |t: OffsetFetchRequestTopic| (t.name.to_string(), t.partition_indexes);
        topics.into_iter().map(pair).collect()
    });
    let topics = lookup(shared, &request.group_id, wanted);
    let topics = topics.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(index, committed)| {
            let partition = OffsetFetchResponsePartition::default().with_partition_index(index);
            match committed {
                Some(c) => {
                    let partition =
                        partition.with_committed_offset(c.offset).with_metadata(Some(text(&c.metadata)));
                    if version >= 5 {
                        partition.with_committed_leader_epoch(c.leader_epoch)
                    } else {
                        partition
                    }
                }
                None => partition.with_committed_offset(-1).with_metadata(Some(text(""))),
            }
        });
        OffsetFetchResponseTopic::default().with_name(topic_name(&name)).with_partitions(partitions.collect())
    });
    OffsetFetchResponse::default().with_topics(topics.collect())
}

type Found = Vec<(String, Vec<(i32, Option<Committed>)>)>;

/// What the group committed for the wanted partitions, or for all of them.
fn lookup(shared: &Shared, group: &str, wanted: Option<Vec<(String, Vec<i32>)>>) -> Found {
    let topics = shared.catalogue.topics();
    let mut committed = shared.offsets.of_group(group);
    // An offset of a topic that was deleted, and perhaps made again, is none.
    committed.retain(|name, partitions| {
        let id = topics.by_name(name).map(|t| t.id.to_string());
        partitions.retain(|_, c| id.as_ref().is_ok_and(|id| *id == c.topic_id));
        !partitions.is_empty()
    });
    match wanted {
        Some(wanted) => wanted
            .into_iter()
            .map(|(name, indexes)| {
                let of_topic = committed.get(&name);
                let find = |i| (i, of_topic.and_then(|p| p.get(&i)).cloned());
                let partitions = indexes.into_iter().map(find).collect();
                (name, partitions)
            })
            .collect(),
        None => committed
            .into_iter()
            .map(|(name, partitions)| {
                let some = |(i, c)| (i, Some(c));
                (name, partitions.into_iter().map(some).collect())
            })
            .collect(),
    }
}
