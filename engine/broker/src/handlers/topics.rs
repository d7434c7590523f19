//! CreateTopics, DeleteTopics, CreatePartitions: each touches only the topics that it names.

use std::collections::HashSet;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::state::{Shared, text, topic_name};
use crate::topics::MAX_PARTITIONS;

/// A sentence for a person where the code alone says too little.
fn explain(error: ResponseError) -> Option<StrBytes> {
    let sentence = match error {
        ResponseError::InvalidPartitions => {
            format!("the number of partitions must grow and be 1 to {MAX_PARTITIONS} here")
        }
        ResponseError::InvalidReplicationFactor => {
            "this development broker keeps one replica: ask for 1 or -1".to_owned()
        }
        _ => error.to_string(),
    };
    Some(text(&sentence))
}

/// Makes topics; settings of a topic are taken and have no effect.
pub(crate) fn create_topics(shared: &Shared, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let mut seen = HashSet::new();
    let mut twice = HashSet::new();
    for topic in &request.topics {
        if !seen.insert(topic.name.clone()) {
            twice.insert(topic.name.clone());
        }
    }
    let results = request.topics.iter().map(|topic| {
        let result = CreatableTopicResult::default().with_name(topic.name.clone());
        let made = if twice.contains(&topic.name) {
            Err(ResponseError::InvalidRequest)
        } else {
            create(shared, topic, request.validate_only)
        };
        match made {
            Ok((id, partitions)) => result
                .with_topic_id(id)
                .with_num_partitions(partitions)
                .with_replication_factor(1)
                .with_configs(Some(Vec::new())),
            Err(e) => result.with_error_code(e.code()).with_error_message(explain(e)),
        }
    });
    CreateTopicsResponse::default().with_topics(results.collect())
}

fn create(
    shared: &Shared,
    topic: &CreatableTopic,
    validate_only: bool,
) -> Result<(Uuid, i32), ResponseError> {
    let by_hand = !topic.assignments.is_empty();
    let partitions = if by_hand {
        i32::try_from(topic.assignments.len()).map_err(|_| ResponseError::InvalidPartitions)?
    } else if topic.num_partitions == -1 {
        shared.default_partitions
    } else {
        topic.num_partitions
    };
    if !by_hand && !matches!(topic.replication_factor, -1 | 1) {
        return Err(ResponseError::InvalidReplicationFactor);
    }
    if validate_only {
        shared.catalogue.check_new(&topic.name, partitions)?;
        return Ok((Uuid::nil(), partitions));
    }
    let made = shared.catalogue.create(&topic.name, partitions)?;
    Ok((made.id, partitions))
}

/// Deletes topics by name or, from version 6 on, also by id.
pub(crate) fn delete_topics(
    shared: &Shared,
    request: DeleteTopicsRequest,
    version: i16,
) -> DeleteTopicsResponse {
    let asked: Vec<DeleteTopicState> = if version >= 6 {
        request.topics
    } else {
        let by_name = |name| DeleteTopicState::default().with_name(Some(name));
        request.topic_names.into_iter().map(by_name).collect()
    };
    let responses = asked.into_iter().map(|topic| {
        let found = match &topic.name {
            Some(name) => shared.catalogue.topics().by_name(name).cloned(),
            None => shared.catalogue.topics().by_id(topic.topic_id).cloned(),
        };
        let deleted = found.and_then(|found| shared.catalogue.delete(&found.name).map(|()| found));
        let result = DeletableTopicResult::default();
        match deleted {
            Ok(found) => {
                let result = result.with_name(Some(topic_name(&found.name)));
                if version >= 6 { result.with_topic_id(found.id) } else { result }
            }
            Err(e) => {
                let result =
                    result.with_name(topic.name).with_topic_id(topic.topic_id).with_error_code(e.code());
                if version >= 5 { result.with_error_message(explain(e)) } else { result }
            }
        }
    });
    let responses = responses.collect();
    shared.changed.notify_waiters();
    DeleteTopicsResponse::default().with_responses(responses)
}

/// Adds partitions, empty ones, behind the ones that are there.
pub(crate) fn create_partitions(
    shared: &Shared,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let results = request.topics.iter().map(|topic| {
        let grown = shared.catalogue.grow(&topic.name, topic.count, request.validate_only);
        let result = CreatePartitionsTopicResult::default().with_name(topic.name.clone());
        match grown {
            Ok(()) => result,
            Err(e) => result.with_error_code(e.code()).with_error_message(explain(e)),
        }
    });
    CreatePartitionsResponse::default().with_results(results.collect())
}
