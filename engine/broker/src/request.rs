//! One request: header, version check, decode, dispatch, encode.
//!
//! What cannot be answered ends the connection, as Apache Kafka does it, with a line in the log
//! that says why. The one exception is ApiVersions of an unknown version, which is answered in
//! version 0 with the versions that are served, so that a newer client can step down.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    ApiKey, DescribeClusterRequest, ProduceRequest, RequestHeader, ResponseHeader,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message};

use crate::handlers;
use crate::shape;
use crate::state::Shared;

/// Why a connection has to end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the request has no whole header")]
    NoHeader,
    #[error("unknown API key {0}")]
    UnknownApi(i16),
    #[error("{api:?} version {version} is not served (it serves {min} to {max})")]
    UnsupportedVersion { api: ApiKey, version: i16, min: i16, max: i16 },
    #[error("{api:?} version {version} is not served at all: {why}")]
    UnsupportedApi { api: ApiKey, version: i16, why: &'static str },
    #[error("{api:?} version {version}: malformed request")]
    Malformed { api: ApiKey, version: i16 },
    #[error("{api:?} version {version}: the response cannot be encoded: {reason}")]
    Encode { api: ApiKey, version: i16, reason: String },
    #[error("a handler failed: {0}")]
    Handler(String),
}

const NOT_SERVED: &str = "the development broker has no transactions, group rebalancing or ACLs";

/// What is known of a request before its body is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub api: ApiKey,
    pub version: i16,
    pub correlation_id: i32,
}

/// An API that the broker serves, with the versions that it says it serves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Served {
    pub api: ApiKey,
    pub min: i16,
    pub max: i16,
}

const fn served(api: ApiKey, min: i16, max: i16) -> Served {
    Served { api, min, max }
}

/// Every API served. Produce says 0 as Apache Kafka 4 does: older librdkafka silently turns
/// compression off for a broker that does not name Produce v0 (KAFKA-18659). Versions below 3 (old
/// message formats) are refused all the same.
pub(crate) const SERVED: [Served; 14] = [
    served(ApiKey::Produce, 0, 11),
    served(ApiKey::Fetch, 4, 16),
    served(ApiKey::ListOffsets, 1, 8),
    served(ApiKey::Metadata, 0, 12),
    served(ApiKey::OffsetCommit, 2, 9),
    served(ApiKey::OffsetFetch, 1, 9),
    served(ApiKey::FindCoordinator, 0, 5),
    served(ApiKey::ApiVersions, 0, 3),
    served(ApiKey::CreateTopics, 2, 7),
    served(ApiKey::DeleteTopics, 1, 6),
    served(ApiKey::InitProducerId, 0, 5),
    served(ApiKey::DescribeConfigs, 1, 4),
    served(ApiKey::CreatePartitions, 0, 3),
    served(ApiKey::DescribeCluster, 0, 1),
];

/// Answers one frame (without its length). `None`: the client wants no answer (acks 0).
///
/// # Errors
/// The reason to end the connection.
pub(crate) async fn answer(shared: &Arc<Shared>, frame: Bytes) -> Result<Option<Bytes>, Refused> {
    let (head, body) = match parse_head(frame)? {
        Parsed::Request(head, body) => (head, body),
        Parsed::StepDown(correlation_id) => {
            let head = Head { api: ApiKey::ApiVersions, version: 0, correlation_id };
            let code = ResponseError::UnsupportedVersion.code();
            return encode(head, &handlers::api_versions(code)).map(Some);
        }
    };
    if head.api == ApiKey::Fetch {
        let request = decode(head, body)?;
        let response = handlers::fetch(shared, request, head.version).await?;
        return encode(head, &response).map(Some);
    }
    // The rest touches the disk: off the threads that serve the sockets. A fault in a handler ends
    // this connection and nothing else.
    let shared = Arc::clone(shared);
    tokio::task::spawn_blocking(move || answer_blocking(&shared, head, body))
        .await
        .map_err(|e| Refused::Handler(e.to_string()))?
}

fn answer_blocking(shared: &Shared, head: Head, body: Bytes) -> Result<Option<Bytes>, Refused> {
    let version = head.version;
    match head.api {
        ApiKey::Produce => {
            let request: ProduceRequest = decode(head, body)?;
            let wants_answer = request.acks != 0;
            let response = handlers::produce(shared, request, version);
            return if wants_answer { encode(head, &response).map(Some) } else { Ok(None) };
        }
        ApiKey::ListOffsets => encode(head, &handlers::list_offsets(shared, decode(head, body)?, version)),
        ApiKey::Metadata => encode(head, &handlers::metadata(shared, decode(head, body)?, version)),
        ApiKey::OffsetCommit => encode(head, &handlers::offset_commit(shared, decode(head, body)?)),
        ApiKey::OffsetFetch => encode(head, &handlers::offset_fetch(shared, decode(head, body)?, version)),
        ApiKey::FindCoordinator => {
            encode(head, &handlers::find_coordinator(shared, decode(head, body)?, version))
        }
        ApiKey::ApiVersions => encode(head, &handlers::api_versions(0)),
        ApiKey::CreateTopics => encode(head, &handlers::create_topics(shared, decode(head, body)?)),
        ApiKey::DeleteTopics => encode(head, &handlers::delete_topics(shared, decode(head, body)?, version)),
        ApiKey::InitProducerId => encode(head, &handlers::init_producer_id(shared, decode(head, body)?)),
        ApiKey::DescribeConfigs => encode(head, &handlers::describe_configs(shared, decode(head, body)?)),
        ApiKey::CreatePartitions => encode(head, &handlers::create_partitions(shared, decode(head, body)?)),
        ApiKey::DescribeCluster => {
            decode::<DescribeClusterRequest>(head, body)?;
            encode(head, &handlers::describe_cluster(shared))
        }
        api => Err(Refused::UnsupportedApi { api, version, why: NOT_SERVED }),
    }
    .map(Some)
}

enum Parsed {
    Request(Head, Bytes),
    /// ApiVersions of a version that is not served.
    StepDown(i32),
}

fn parse_head(mut frame: Bytes) -> Result<Parsed, Refused> {
    let (Some(key), Some(version), Some(correlation)) = (
        frame.first_chunk::<2>(),
        frame.get(2..).and_then(|b| b.first_chunk::<2>()),
        frame.get(4..).and_then(|b| b.first_chunk::<4>()),
    ) else {
        return Err(Refused::NoHeader);
    };
    let key = i16::from_be_bytes(*key);
    let version = i16::from_be_bytes(*version);
    let correlation_id = i32::from_be_bytes(*correlation);
    let api = ApiKey::try_from(key).map_err(|()| Refused::UnknownApi(key))?;
    let Some(served) = SERVED.iter().find(|s| s.api == api) else {
        return Err(Refused::UnsupportedApi { api, version, why: NOT_SERVED });
    };
    let min = served.min.max(if api == ApiKey::Produce { ProduceRequest::VERSIONS.min } else { 0 });
    if !(min..=served.max).contains(&version) {
        if api == ApiKey::ApiVersions {
            return Ok(Parsed::StepDown(correlation_id));
        }
        return Err(Refused::UnsupportedVersion { api, version, min, max: served.max });
    }
    let header_version = api.request_header_version(version);
    RequestHeader::decode(&mut frame, header_version).map_err(|_| Refused::NoHeader)?;
    let head = Head { api, version, correlation_id };
    Ok(Parsed::Request(head, frame))
}

fn decode<T: Decodable>(head: Head, mut body: Bytes) -> Result<T, Refused> {
    let Head { api, version, .. } = head;
    shape::check(api, version, &body).map_err(|_| Refused::Malformed { api, version })?;
    T::decode(&mut body, version).map_err(|_| Refused::Malformed { api, version })
}

/// The whole response frame, length first.
fn encode<T: Encodable + HeaderVersion>(head: Head, response: &T) -> Result<Bytes, Refused> {
    let Head { api, version, .. } = head;
    let header_version = T::header_version(version);
    let header = ResponseHeader::default().with_correlation_id(head.correlation_id);
    let write = || -> Result<Bytes, String> {
        let header_bytes = header.compute_size(header_version);
        let body_bytes = response.compute_size(version);
        let size = header_bytes.map_err(|e| e.to_string())? + body_bytes.map_err(|e| e.to_string())?;
        let length = i32::try_from(size).map_err(|e| e.to_string())?;
        let mut frame = BytesMut::with_capacity(4 + size);
        frame.put_i32(length);
        let encoded =
            header.encode(&mut frame, header_version).and_then(|()| response.encode(&mut frame, version));
        encoded.map_err(|e| e.to_string())?;
        Ok(frame.freeze())
    };
    write().map_err(|reason| Refused::Encode { api, version, reason })
}

#[cfg(test)]
mod tests;
