//! The broker about itself: ApiVersions, Metadata, DescribeCluster, DescribeConfigs,
//! InitProducerId.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult,
};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    ApiVersionsResponse, DescribeClusterResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    InitProducerIdRequest, InitProducerIdResponse, MetadataRequest, MetadataResponse,
};
use tracing::info;

use crate::request::SERVED;
use crate::state::{Shared, text, topic_name};
use crate::topics::Topic;
use crate::{LEADER_EPOCH, NODE_ID};

/// The versions served, also beside an error.
pub(crate) fn api_versions(error_code: i16) -> ApiVersionsResponse {
    let api_keys = SERVED.iter().map(|served| {
        ApiVersion::default()
            .with_api_key(served.api as i16)
            .with_min_version(served.min)
            .with_max_version(served.max)
    });
    ApiVersionsResponse::default().with_error_code(error_code).with_api_keys(api_keys.collect())
}

/// Brokers and topics. A topic asked for by name is made if the request allows it.
pub(crate) fn metadata(shared: &Shared, request: MetadataRequest, version: i16) -> MetadataResponse {
    let broker = MetadataResponseBroker::default()
        .with_node_id(NODE_ID)
        .with_host(text(&shared.address.ip().to_string()))
        .with_port(i32::from(shared.address.port()));
    // Before version 1 an empty list means all topics, from then on null does.
    let asked = request.topics.filter(|t| version > 0 || !t.is_empty());
    let topics = match asked {
        None => shared.catalogue.topics().iter().map(|t| describe(t)).collect(),
        Some(asked) => {
            // Before version 4 there is no such flag and brokers always made topics.
            let may_create = version < 4 || request.allow_auto_topic_creation;
            asked
                .into_iter()
                .map(|topic| {
                    let found = match &topic.name {
                        Some(name) => named(shared, name, may_create),
                        None => shared.catalogue.topics().by_id(topic.topic_id).cloned(),
                    };
                    match found {
                        Ok(found) => describe(&found),
                        Err(e) => MetadataResponseTopic::default()
                            .with_error_code(e.code())
                            .with_name(topic.name.or_else(|| {
                                // Only from version 12 on the name may be null.
                                (version < 12).then(Default::default)
                            }))
                            .with_topic_id(topic.topic_id),
                    }
                })
                .collect()
        }
    };
    MetadataResponse::default()
        .with_brokers(vec![broker])
        .with_cluster_id(Some(text(shared.catalogue.cluster_id())))
        .with_controller_id(NODE_ID)
        .with_topics(topics)
}

fn named(shared: &Shared, name: &str, may_create: bool) -> Result<std::sync::Arc<Topic>, ResponseError> {
    let found = shared.catalogue.topics().by_name(name).cloned();
    if found.is_ok() || !may_create {
        return found;
    }
    match shared.catalogue.create(name, shared.default_partitions) {
        // Another connection was faster.
        Err(ResponseError::TopicAlreadyExists) => shared.catalogue.topics().by_name(name).cloned(),
        Ok(topic) => {
            info!(topic = name, "made because a client asked for it");
            Ok(topic)
        }
        Err(e) => Err(e),
    }
}

fn describe(topic: &Topic) -> MetadataResponseTopic {
    let partitions = (0..topic.partitions.len() as i32).map(|index| {
        MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(NODE_ID)
            .with_leader_epoch(LEADER_EPOCH)
            .with_replica_nodes(vec![NODE_ID])
            .with_isr_nodes(vec![NODE_ID])
    });
    MetadataResponseTopic::default()
        .with_name(Some(topic_name(&topic.name)))
        .with_topic_id(topic.id)
        .with_partitions(partitions.collect())
}

/// The one broker.
pub(crate) fn describe_cluster(shared: &Shared) -> DescribeClusterResponse {
    let broker = DescribeClusterBroker::default()
        .with_broker_id(NODE_ID)
        .with_host(text(&shared.address.ip().to_string()))
        .with_port(i32::from(shared.address.port()));
    DescribeClusterResponse::default()
        .with_cluster_id(text(shared.catalogue.cluster_id()))
        .with_controller_id(NODE_ID)
        .with_brokers(vec![broker])
}

/// Kafka's numbers for the kinds of resources.
const RESOURCE_TOPIC: i8 = 2;
const RESOURCE_BROKER: i8 = 4;
/// Kafka's number for a value that is the default.
const SOURCE_DEFAULT: i8 = 5;

/// The few settings that a client may look for; none can be changed.
pub(crate) fn describe_configs(shared: &Shared, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let max_bytes = shared.max_message_bytes.to_string();
    let partitions = shared.default_partitions.to_string();
    let results = request.resources.into_iter().map(|resource| {
        let settings = match resource.resource_type {
            RESOURCE_TOPIC => match shared.catalogue.topics().by_name(&resource.resource_name) {
                Ok(_) => Ok(vec![
                    ("cleanup.policy", "delete"),
                    ("compression.type", "producer"),
                    ("max.message.bytes", max_bytes.as_str()),
                    ("message.timestamp.type", "CreateTime"),
                    ("retention.bytes", "-1"),
                    ("retention.ms", "-1"),
                ]),
                Err(e) => Err(e),
            },
            RESOURCE_BROKER => Ok(vec![
                ("auto.create.topics.enable", "true"),
                ("message.max.bytes", max_bytes.as_str()),
                ("num.partitions", partitions.as_str()),
            ]),
            _ => Err(ResponseError::InvalidRequest),
        };
        let result = DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name);
        let wanted = |name: &str| {
            let keys = resource.configuration_keys.as_ref();
            keys.is_none_or(|keys| keys.iter().any(|key| key.as_str() == name))
        };
        match settings {
            Err(e) => result.with_error_code(e.code()),
            Ok(settings) => result.with_configs(
                settings
                    .into_iter()
                    .filter(|(name, _)| wanted(name))
                    .map(|(name, value)| {
                        DescribeConfigsResourceResult::default()
                            .with_name(text(name))
                            .with_value(Some(text(value)))
                            .with_read_only(true)
                            .with_config_source(SOURCE_DEFAULT)
                    })
                    .collect(),
            ),
        }
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

/// A new producer id for an idempotent producer; transactions are refused.
pub(crate) fn init_producer_id(shared: &Shared, request: InitProducerIdRequest) -> InitProducerIdResponse {
    let response = InitProducerIdResponse::default();
    let refuse = |e: ResponseError| {
        InitProducerIdResponse::default()
            .with_error_code(e.code())
            .with_producer_id((-1).into())
            .with_producer_epoch(-1)
    };
    if request.transactional_id.is_some() {
        return refuse(ResponseError::TransactionalIdAuthorizationFailed);
    }
    match shared.catalogue.new_producer_id() {
        Ok(id) => response.with_producer_id(id.into()).with_producer_epoch(0),
        Err(e) => refuse(e),
    }
}
