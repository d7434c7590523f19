//! Requests as bytes: every version of every API, faults, and bytes that are no request at all.

use std::path::Path;
use std::time::Duration;

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::Request;
use proptest::prelude::*;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::*;
use crate::log::batch::tests::batch;
use crate::offsets::Offsets;
use crate::state::{text, topic_name};
use crate::topics::Catalogue;

fn shared(dir: &Path) -> Arc<Shared> {
    Arc::new(Shared {
        address: ([127, 0, 0, 1], 9092).into(),
        default_partitions: 1,
        max_message_bytes: 1 << 20,
        catalogue: Catalogue::open(dir, 1 << 20).unwrap(),
        offsets: Offsets::open(dir).unwrap(),
        changed: Notify::new(),
        stopping: watch::Sender::new(false),
    })
}

fn frame<R: Request>(request: &R, version: i16) -> Bytes {
    let api = ApiKey::try_from(R::KEY).unwrap();
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(77)
        .with_client_id(Some(text("test")));
    let mut out = BytesMut::new();
    header.encode(&mut out, api.request_header_version(version)).unwrap();
    request.encode(&mut out, version).unwrap();
    out.freeze()
}

fn response<A: Decodable + HeaderVersion>(mut frame: Bytes, version: i16) -> A {
    let length = bytes::Buf::get_i32(&mut frame);
    assert_eq!(length as usize, frame.len());
    let header = ResponseHeader::decode(&mut frame, A::header_version(version)).unwrap();
    assert_eq!(header.correlation_id, 77);
    let answer = A::decode(&mut frame, version).unwrap();
    assert!(frame.is_empty(), "{} bytes left over", frame.len());
    answer
}

async fn ask<R: Request>(shared: &Arc<Shared>, request: &R, version: i16) -> R::Response {
    let answered = answer(shared, frame(request, version)).await;
    response(answered.unwrap().unwrap(), version)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn produce_request(topic: &str, records: Vec<u8>) -> ProduceRequest {
    let partition = PartitionProduceData::default().with_records(Some(records.into()));
    let topic = TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![partition]);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(1000).with_topic_data(vec![topic])
}

fn fetch_request(topic: &str, id: Uuid, version: i16, offset: i64) -> FetchRequest {
    let partition = FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
    let mut wanted = FetchTopic::default().with_partitions(vec![partition]);
    let mut forgotten = ForgottenTopic::default().with_partitions(vec![4, 5]);
    if version >= 13 {
        (wanted.topic_id, forgotten.topic_id) = (id, id);
    } else {
        (wanted.topic, forgotten.topic) = (topic_name(topic), topic_name(topic));
    }
    let request = FetchRequest::default().with_max_wait_ms(0).with_min_bytes(1).with_topics(vec![wanted]);
    if version >= 7 { request.with_forgotten_topics_data(vec![forgotten]) } else { request }
}

/// A request of every API in every version served, with every array filled.
fn every_request(topic: &str, id: Uuid) -> Vec<(ApiKey, i16, Bytes)> {
    let mut all = Vec::new();
    for served in SERVED {
        let min = if served.api == ApiKey::Produce { 3 } else { served.min };
        for v in min..=served.max {
            all.push((served.api, v, one_request(served.api, v, topic, id)));
        }
    }
    all
}

fn one_request(api: ApiKey, v: i16, topic: &str, id: Uuid) -> Bytes {
    let name = || topic_name(topic);
    match api {
        ApiKey::Produce => frame(&produce_request(topic, batch((-1, -1, -1), &[1, 2])), v),
        ApiKey::Fetch => frame(&fetch_request(topic, id, v, 0), v),
        ApiKey::ListOffsets => {
            let at = |t| ListOffsetsPartition::default().with_timestamp(t);
            let topic = ListOffsetsTopic::default()
                .with_name(name())
                .with_partitions([-3, -2, -1, 0].map(at).to_vec());
            frame(&ListOffsetsRequest::default().with_topics(vec![topic]), v)
        }
        ApiKey::Metadata => {
            let by_name = |n: &str| MetadataRequestTopic::default().with_name(Some(topic_name(n)));
            let mut topics = vec![by_name(topic), by_name("not there"), by_name("a/b")];
            if v >= 12 {
                topics.push(MetadataRequestTopic::default().with_topic_id(id).with_name(None));
                topics.push(MetadataRequestTopic::default().with_topic_id(Uuid::max()).with_name(None));
            }
            frame(&MetadataRequest::default().with_topics(Some(topics)), v)
        }
        ApiKey::OffsetCommit => {
            let partition = OffsetCommitRequestPartition::default().with_committed_offset(5);
            let topic =
                OffsetCommitRequestTopic::default().with_name(name()).with_partitions(vec![partition]);
            let request =
                OffsetCommitRequest::default().with_group_id(GroupId(text("g"))).with_topics(vec![topic]);
            frame(&request, v)
        }
        ApiKey::OffsetFetch if v >= 8 => {
            let topic =
                OffsetFetchRequestTopics::default().with_name(name()).with_partition_indexes(vec![0, 9]);
            let group = |topics| {
                OffsetFetchRequestGroup::default().with_group_id(GroupId(text("g"))).with_topics(topics)
            };
            let groups = vec![group(Some(vec![topic])), group(None)];
            frame(&OffsetFetchRequest::default().with_groups(groups), v)
        }
        ApiKey::OffsetFetch => {
            let topic =
                OffsetFetchRequestTopic::default().with_name(name()).with_partition_indexes(vec![0, 9]);
            let request = OffsetFetchRequest::default()
                .with_group_id(GroupId(text("g")))
                .with_topics(Some(vec![topic]));
            frame(&request, v)
        }
        ApiKey::FindCoordinator if v >= 4 => {
            let keys = vec![text("g"), text("h")];
            frame(&FindCoordinatorRequest::default().with_coordinator_keys(keys), v)
        }
        ApiKey::FindCoordinator => frame(&FindCoordinatorRequest::default().with_key(text("g")), v),
        ApiKey::ApiVersions => frame(&ApiVersionsRequest::default(), v),
        ApiKey::CreateTopics => {
            let assignment = CreatableReplicaAssignment::default().with_broker_ids(vec![BrokerId(1)]);
            let config = CreatableTopicConfig::default().with_name(text("retention.ms"));
            let topic = CreatableTopic::default()
                .with_name(topic_name(&format!("made-{v}")))
                .with_num_partitions(-1)
                .with_replication_factor(-1)
                .with_assignments(vec![assignment])
                .with_configs(vec![config]);
            let bad = CreatableTopic::default().with_name(name()).with_num_partitions(1 << 30);
            frame(&CreateTopicsRequest::default().with_topics(vec![topic, bad]), v)
        }
        ApiKey::DeleteTopics if v >= 6 => {
            let by_id = DeleteTopicState::default().with_topic_id(Uuid::max());
            let by_name = DeleteTopicState::default().with_name(Some(topic_name("made-2")));
            frame(&DeleteTopicsRequest::default().with_topics(vec![by_id, by_name]), v)
        }
        ApiKey::DeleteTopics => {
            let names = vec![topic_name("nothing"), topic_name(&format!("made-{v}"))];
            frame(&DeleteTopicsRequest::default().with_topic_names(names), v)
        }
        ApiKey::InitProducerId => frame(&InitProducerIdRequest::default().with_transactional_id(None), v),
        ApiKey::DescribeConfigs => {
            let resource = |t, n: &str| {
                DescribeConfigsResource::default()
                    .with_resource_type(t)
                    .with_resource_name(text(n))
                    .with_configuration_keys(Some(vec![text("retention.ms")]))
            };
            let resources = vec![resource(2, topic), resource(4, "1"), resource(9, "x")];
            frame(&DescribeConfigsRequest::default().with_resources(resources), v)
        }
        ApiKey::CreatePartitions => {
            let topic = CreatePartitionsTopic::default().with_name(name()).with_count(0);
            frame(&CreatePartitionsRequest::default().with_topics(vec![topic]), v)
        }
        ApiKey::DescribeCluster => frame(&DescribeClusterRequest::default(), v),
        other => panic!("{other:?} is served without a test"),
    }
}

fn decodes(api: ApiKey, version: i16, frame: Bytes) {
    macro_rules! check {
        ($($api:ident => $type:ty),*) => {
            match api { $(ApiKey::$api => drop(response::<$type>(frame, version)),)* _ => panic!() }
        };
    }
    check!(Produce => ProduceResponse, Fetch => FetchResponse, ListOffsets => ListOffsetsResponse,
        Metadata => MetadataResponse, OffsetCommit => OffsetCommitResponse,
        OffsetFetch => OffsetFetchResponse, FindCoordinator => FindCoordinatorResponse,
        ApiVersions => ApiVersionsResponse, CreateTopics => CreateTopicsResponse,
        DeleteTopics => DeleteTopicsResponse, InitProducerId => InitProducerIdResponse,
        DescribeConfigs => DescribeConfigsResponse, CreatePartitions => CreatePartitionsResponse,
        DescribeCluster => DescribeClusterResponse)
}

#[tokio::test]
async fn every_version_of_every_api_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let shared = shared(dir.path());
    let id = shared.catalogue.create("t", 1).unwrap().id;
    for (api, version, request) in every_request("t", id) {
        let answered = answer(&shared, request).await;
        let answered = answered.unwrap_or_else(|e| panic!("{api:?} {version}: {e}"));
        decodes(api, version, answered.unwrap());
    }
}

#[tokio::test]
async fn a_count_that_lies_is_refused_before_memory_is_reserved() {
    let dir = tempfile::tempdir().unwrap();
    let shared = shared(dir.path());
    let id = shared.catalogue.create("t", 1).unwrap().id;
    for (_, _, request) in every_request("t", id) {
        for lie in [&[0x7f, 0xff, 0xff, 0xff][..], &[0xff, 0xff, 0xff, 0xff, 0x07]] {
            for at in 8..request.len().saturating_sub(lie.len()) {
                let mut bytes = request.to_vec();
                bytes[at..at + lie.len()].copy_from_slice(lie);
                // A wrong one would end the process: a length of 2^31 structures is 100 GB.
                let _ = quick(&shared, bytes).await;
            }
        }
    }
}

/// The answer, unless a damaged fetch asks for a long wait.
async fn quick(shared: &Arc<Shared>, bytes: Vec<u8>) -> Result<Option<Bytes>, Refused> {
    let answered = tokio::time::timeout(Duration::from_millis(50), answer(shared, bytes.into()));
    answered.await.unwrap_or(Ok(None))
}

#[tokio::test]
async fn newer_clients_can_step_down_and_others_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let shared = shared(dir.path());
    let answered = answer(&shared, frame(&ApiVersionsRequest::default(), 4)).await;
    let versions: ApiVersionsResponse = response(answered.unwrap().unwrap(), 0);
    assert_eq!(versions.error_code, ResponseError::UnsupportedVersion.code());
    assert!(versions.api_keys.iter().any(|k| (k.api_key, k.max_version) == (18, 3)));
    assert!(versions.api_keys.iter().any(|k| (k.api_key, k.min_version) == (0, 0)), "KAFKA-18659");

    let refused = |bytes: Vec<u8>| answer(&shared, bytes.into());
    assert!(matches!(refused(vec![0, 0, 0]).await, Err(Refused::NoHeader)));
    let unknown = refused(vec![0x7f, 0, 0, 0, 0, 0, 0, 1, 0, 0]).await;
    assert!(matches!(unknown, Err(Refused::UnknownApi(0x7f00))));
    let join = answer(&shared, frame(&JoinGroupRequest::default(), 5)).await;
    assert!(matches!(join, Err(Refused::UnsupportedApi { api: ApiKey::JoinGroup, .. })));
    for version in [2, 12] {
        let produce = refused(vec![0, 0, 0, version, 0, 0, 0, 1, 0, 0]).await;
        assert!(matches!(produce, Err(Refused::UnsupportedVersion { min: 3, max: 11, .. })));
    }
}

#[tokio::test]
async fn idempotent_batches_are_appended_once_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let shared = shared(dir.path());
    shared.catalogue.create("t", 1).unwrap();
    let init = InitProducerIdRequest::default().with_transactional_id(None);
    let init = ask(&shared, &init, 4).await;
    assert_eq!(init.error_code, 0);
    let id = init.producer_id.0;
    let mut got = Vec::new();
    for sequence in [0, 2, 0, 2, 6, 4] {
        let request = produce_request("t", batch((id, 0, sequence), &[1, 2]));
        let answered = ask(&shared, &request, 9).await;
        let result = &answered.responses[0].partition_responses[0];
        got.push((result.error_code, result.base_offset));
    }
    let out_of_order = (ResponseError::OutOfOrderSequenceNumber.code(), -1);
    assert_eq!(got, [(0, 0), (0, 2), (0, 0), (0, 2), out_of_order, (0, 4)]);
}

#[tokio::test]
async fn produce_faults_have_their_codes() {
    let dir = tempfile::tempdir().unwrap();
    let shared = shared(dir.path());
    shared.catalogue.create("t", 1).unwrap();
    let code = |request: ProduceRequest| {
        let shared = &shared;
        async move { ask(shared, &request, 9).await.responses[0].partition_responses[0].error_code }
    };
    let good = || batch((-1, -1, -1), &[1]);
    assert_eq!(code(produce_request("t", good())).await, 0);
    let unknown = ResponseError::UnknownTopicOrPartition.code();
    assert_eq!(code(produce_request("other", good())).await, unknown);
    let mut damaged = good();
    damaged[62] ^= 1;
    assert_eq!(code(produce_request("t", damaged)).await, ResponseError::CorruptMessage.code());
    let acks = produce_request("t", good()).with_acks(7);
    assert_eq!(code(acks).await, ResponseError::InvalidRequiredAcks.code());
    let large = code(produce_request("t", vec![0; (1 << 20) + 1])).await;
    assert_eq!(large, ResponseError::MessageTooLarge.code());
    let silent = frame(&produce_request("t", good()).with_acks(0), 9);
    assert!(answer(&shared, silent).await.unwrap().is_none());
    let log = shared.catalogue.topics().by_name("t").unwrap().partitions[0].clone();
    assert_eq!(log.next_offset(), 2, "the good one and the one without an answer");
}

#[tokio::test]
async fn fetch_gives_what_was_produced_and_codes_for_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let shared = shared(dir.path());
    let id = shared.catalogue.create("t", 1).unwrap().id;
    let sent = batch((-1, -1, -1), &[5, 6, 7]);
    ask(&shared, &produce_request("t", sent.clone()), 9).await;
    for version in [4, 12, 13, 16] {
        let fetch = |id, offset| {
            let shared = &shared;
            async move {
                let request = fetch_request("t", id, version, offset);
                let answered = ask(shared, &request, version).await;
                assert_eq!(answered.session_id, 0);
                answered.responses[0].partitions[0].clone()
            }
        };
        let data = fetch(id, 1).await;
        assert_eq!((data.error_code, data.high_watermark, data.log_start_offset.max(0)), (0, 3, 0));
        let records = data.records.unwrap();
        assert_eq!(records[16..], sent[16..], "as it came");
        let out_of_range = ResponseError::OffsetOutOfRange.code();
        assert_eq!(fetch(id, 4).await.error_code, out_of_range);
        assert_eq!(fetch(id, 3).await.records.unwrap().len(), 0);
        if version >= 13 {
            let unknown = ResponseError::UnknownTopicId.code();
            assert_eq!(fetch(Uuid::max(), 0).await.error_code, unknown);
        }
    }
}

#[tokio::test]
async fn a_fetch_waits_for_min_bytes_or_its_time_or_a_deletion() {
    let dir = tempfile::tempdir().unwrap();
    let shared = shared(dir.path());
    let id = shared.catalogue.create("t", 1).unwrap().id;
    let one = batch((-1, -1, -1), &[1]);
    let fetch = |min_batches: usize, wait_ms| {
        let request = fetch_request("t", id, 13, 0)
            .with_min_bytes((one.len() * min_batches) as i32)
            .with_max_wait_ms(wait_ms);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let answered = ask(&shared, &request, 13).await;
            let data = &answered.responses[0].partitions[0];
            (data.error_code, data.records.as_ref().unwrap().len())
        })
    };
    let two = fetch(2, 50_000);
    ask(&shared, &produce_request("t", one.clone()), 9).await;
    assert!(!two.is_finished());
    ask(&shared, &produce_request("t", one.clone()), 9).await;
    assert_eq!(two.await.unwrap(), (0, one.len() * 2));
    assert_eq!(fetch(9, 100).await.unwrap(), (0, one.len() * 2), "its time is over");
    let waiting = fetch(9, 50_000);
    tokio::task::yield_now().await;
    let delete = DeleteTopicsRequest::default().with_topic_names(vec![topic_name("t")]);
    ask(&shared, &delete, 5).await;
    assert_eq!(waiting.await.unwrap().0, ResponseError::UnknownTopicId.code());
}

#[tokio::test]
async fn transactions_and_members_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let shared = shared(dir.path());
    shared.catalogue.create("t", 1).unwrap();
    let init = InitProducerIdRequest::default().with_transactional_id(Some(text("x").into()));
    assert_ne!(ask(&shared, &init, 4).await.error_code, 0);
    let find = FindCoordinatorRequest::default().with_key(text("x")).with_key_type(1);
    assert_ne!(ask(&shared, &find, 3).await.error_code, 0);
    let partition = OffsetCommitRequestPartition::default();
    let topic =
        OffsetCommitRequestTopic::default().with_name(topic_name("t")).with_partitions(vec![partition]);
    let member = OffsetCommitRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_member_id(text("m"))
        .with_topics(vec![topic]);
    let answered = ask(&shared, &member, 8).await;
    let code = answered.topics[0].partitions[0].error_code;
    assert_eq!(code, ResponseError::UnknownMemberId.code());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_make_it_panic(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 8)
    ) {
        let dir = tempfile::tempdir().unwrap();
        let shared = shared(dir.path());
        let runtime = runtime();
        for served in SERVED {
            for body in &bodies {
                let version = served.max - i16::from(body.first().copied().unwrap_or(0) % 4);
                let mut bytes = vec![0, served.api as u8];
                bytes.extend(version.to_be_bytes());
                bytes.extend([0, 0, 0, 1, 0xff, 0xff]);
                bytes.extend(body);
                let fault = runtime.block_on(quick(&shared, bytes));
                prop_assert!(!matches!(fault, Err(Refused::Handler(_))), "{fault:?}");
            }
        }
        for body in bodies {
            let _ = runtime.block_on(quick(&shared, body));
        }
    }

    #[test]
    fn a_damaged_request_makes_no_panic(
        pick: prop::sample::Index,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        keep in 0.5f64..1.0,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let shared = shared(dir.path());
        let id = shared.catalogue.create("t", 1).unwrap().id;
        let all = every_request("t", id);
        let mut bytes = all[pick.index(all.len())].2.to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if keep < 0.9 {
            bytes.truncate((bytes.len() as f64 * keep) as usize);
        }
        let fault = runtime().block_on(quick(&shared, bytes));
        prop_assert!(!matches!(fault, Err(Refused::Handler(_))), "{fault:?}");
    }
}
