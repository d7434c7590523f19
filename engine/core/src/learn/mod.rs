//! Learning from what is committed: history of features, scoring, training, and the tables that tell of it.
//!
//! ```text
//! committed rows of batch N ─features SQL─> [history] ─rows not held out─> train ─> model N
//!                                              │                             │
//!        model N-1 on all rows of batch N ─────┘ prequential                 │
//!        model N on all hold-out rows up to N ───────────────────────────────┘ hold-out
//! ```
//!
//! The models of a stateful job learn from its state instead: see `state_rows` and `state_targets`; those of a batch job from all
//! rows of a SELECT: see `whole`.
//!
//! Everything here is a function of committed rows and earlier learn records: a driver that restarts rebuilds the
//! history from the table and the champions from their files, and makes the same bytes.

mod champions;
mod classes;
mod folds;
mod histories;
mod history;
mod labels;
mod learner;
mod lesson;
mod reproduce;
mod sample;
mod score;
mod split;
mod state_features;
mod state_rows;
mod state_targets;
mod steps;
pub mod tables;
mod twins;
mod whole;

pub(crate) use learner::Learned;
pub use learner::{Learner, RowsSeen};
pub use reproduce::{Reproduced, reproduce};
pub(crate) use state_features::{FeatureRows, StateFeatures};
pub(crate) use state_rows::outliers_of;
pub use tables::{Centre, Importance};
pub use tidemill_ml::{Better, METRICS, Metric, Task};
pub(crate) use whole::{Side, Whole, WholeRows};
