//! Learning from what is committed: history of features, scoring, training, and the tables that tell of it.
//!
//! ```text
//! committed rows of batch N ─features SQL─> [history] ─rows not held out─> train ─> model N
//!                                              │                             │
//!        model N-1 on all rows of batch N ─────┘ prequential                 │
//!        model N on all hold-out rows up to N ───────────────────────────────┘ hold-out
//! ```
//!
//! The models of a stateful job learn from its state instead: see `state_learner`.
//!
//! Everything here is a function of committed rows and earlier learn records: a driver that restarts rebuilds the
//! history from the table and the champions from their files, and makes the same bytes.

mod history;
mod labels;
mod learner;
mod model;
mod sample;
mod state_clusters;
mod state_learner;
pub mod tables;
mod twins;

pub(crate) use learner::Learned;
pub use learner::{Learner, RowsSeen};
pub use model::{Centre, Importance};
pub(crate) use state_clusters::StateClusters;
pub(crate) use state_learner::{FeatureRows, StateFeatures, StateLearner};
