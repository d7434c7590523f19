//! What all connections share.

use std::net::SocketAddr;

use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;
use tokio::sync::{Notify, watch};

use crate::offsets::Offsets;
use crate::topics::Catalogue;

/// The shared state of a broker.
#[derive(Debug)]
pub(crate) struct Shared {
    pub address: SocketAddr,
    pub default_partitions: i32,
    pub max_message_bytes: usize,
    pub catalogue: Catalogue,
    pub offsets: Offsets,
    /// Wakes waiting fetches: something was appended, or a topic was deleted.
    pub changed: Notify,
    /// True when the broker stops.
    pub stopping: watch::Sender<bool>,
}

/// A string of the protocol.
pub(crate) fn text(s: &str) -> StrBytes {
    StrBytes::from_string(s.to_owned())
}

/// A topic name of the protocol.
pub(crate) fn topic_name(s: &str) -> TopicName {
    TopicName(text(s))
}
