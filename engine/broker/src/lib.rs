//! # Tidemill's embedded development broker
//!
//! A small broker that speaks Kafka's protocol, so that the demo, the tests and a developer's
//! machine need no Java and nothing installed. **It is for development; use Apache Kafka in
//! production** (the same clients and the same topics: only `bootstrap.servers` changes).
//!
//! ```text
//!  librdkafka, Java, kafka-python          data folder
//!        │ frames over loopback            ├── meta.json     cluster id, topics, their ids
//!        ▼                                 ├── offsets.json  what groups committed
//!  server ──► request ──► handlers ──┬───► ├── crimes-0/00000000000000000000.log
//!  (in order,  (decode,   (one an    │     └── crimes-1/…    record batches as they came
//!  per client)  encode)    API)      │
//!                 topics (catalogue) ┤  producer (idempotence)
//!                  log (segments,    ┘  offsets (groups)
//!                  index, batches)
//! ```
//!
//! What it keeps: record batches byte for byte as the producer sent them, in any codec, with only
//! the offset set; a torn tail is cut off at start; duplicates of idempotent producers are
//! recognised, also over a restart; memory does not grow with the data (14 MB for 600 MB of log).
//! librdkafka 2.x, confluent-kafka and kafka-python 3 work with it.
//!
//! What it does not do: transactions, replication, group rebalancing (`subscribe`; use `assign`),
//! retention and compaction, ACLs, TLS, SASL. It listens on a loopback address only. What was
//! acknowledged survives the end of the process; it survives a power cut if it is older than
//! `fsync_interval`. In compressed batches an offset by timestamp is exact to the batch.
//!
//! ```
//! # async fn example() -> Result<(), tidemill_broker::Error> {
//! use tidemill_broker::{Broker, BrokerConfig};
//!
//! let folder = std::env::temp_dir().join(format!("tidemill-broker-{}", std::process::id()));
//! let broker = Broker::start(BrokerConfig::new(([127, 0, 0, 1], 0).into(), &folder)).await?;
//! println!("bootstrap.servers={}", broker.bootstrap_servers());
//! broker.shutdown().await?;
//! # std::fs::remove_dir_all(folder).ok();
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```

mod broker;
mod error;
mod handlers;
mod log;
mod offsets;
mod producer;
mod request;
mod server;
mod shape;
mod state;
mod storage;
mod topics;

pub use broker::{Broker, BrokerConfig};
pub use error::{Error, ErrorKind};

use kafka_protocol::messages::BrokerId;

/// The id of the one broker of the cluster.
const NODE_ID: BrokerId = BrokerId(1);
/// Leaders never change, so there is one epoch.
const LEADER_EPOCH: i32 = 0;
