//! One function an API: a decoded request in, a response out. Errors are codes in the response.

mod cluster;
mod fetch;
mod group;
mod list_offsets;
mod produce;
mod topics;

pub(crate) use cluster::{api_versions, describe_cluster, describe_configs, init_producer_id, metadata};
pub(crate) use fetch::fetch;
pub(crate) use group::{find_coordinator, offset_commit, offset_fetch};
pub(crate) use list_offsets::list_offsets;
pub(crate) use produce::produce;
pub(crate) use topics::{create_partitions, create_topics, delete_topics};
