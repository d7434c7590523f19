//! The id of a topic, which librdkafka's safe interface does not tell: one Metadata request of our own.
//!
//! Only brokers that speak plain text are asked; for others there is no id, and a topic that was deleted and
//! made anew is then noticed by its offsets alone.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{ApiKey, MetadataRequest, MetadataResponse, RequestHeader, TopicName};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes, encode_request_header_into_buffer};

/// Metadata from version 10 on carries topic ids; 12 is what Kafka 3 and 4 both have.
const VERSION: i16 = 12;
const TIMEOUT: Duration = Duration::from_secs(3);
const LARGEST_RESPONSE: usize = 16 << 20;

/// The topic's id as text, if the first broker that answers knows one.
pub(super) fn fetch(bootstrap_servers: &str, topic: &str) -> Option<String> {
    bootstrap_servers.split(',').find_map(|server| ask(server.trim(), topic))
}

fn ask(server: &str, topic: &str) -> Option<String> {
    // `localhost` may be ::1 first where the broker listens on 127.0.0.1: every address is tried.
    let mut stream = server
        .to_socket_addrs()
        .ok()?
        .find_map(|address| TcpStream::connect_timeout(&address, TIMEOUT).ok())?;
    stream.set_read_timeout(Some(TIMEOUT)).ok()?;
    stream.set_nodelay(true).ok()?;

    let header = RequestHeader::default()
        .with_request_api_key(ApiKey::Metadata as i16)
        .with_request_api_version(VERSION)
        .with_correlation_id(1)
        .with_client_id(Some(StrBytes::from_static_str("tidemill")));
    let name = TopicName(StrBytes::from_string(topic.to_owned()));
    let request = MetadataRequest::default()
        .with_topics(Some(vec![MetadataRequestTopic::default().with_name(Some(name))]))
        .with_allow_auto_topic_creation(false);
    let mut body = BytesMut::new();
    encode_request_header_into_buffer(&mut body, &header).ok()?;
    request.encode(&mut body, VERSION).ok()?;
    stream.write_all(&u32::try_from(body.len()).ok()?.to_be_bytes()).ok()?;
    stream.write_all(&body).ok()?;

    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let length = usize::try_from(u32::from_be_bytes(length)).ok().filter(|&n| n <= LARGEST_RESPONSE)?;
    let mut response = vec![0; length];
    stream.read_exact(&mut response).ok()?;
    let mut response = BytesMut::from(response.as_slice());
    // The flexible response header: correlation id and an empty list of tagged fields.
    (response.len() > 5 && response.get_i32() == 1 && response.get_u8() == 0).then_some(())?;
    let response = MetadataResponse::decode(&mut response.freeze(), VERSION).ok()?;
    let found = response.topics.first().filter(|t| t.error_code == 0)?;
    (!found.topic_id.is_nil()).then(|| found.topic_id.to_string())
}
