//! The models of a batch job: trained as a step of the run, published in one commit with the tables of what they say.
//!
//! ```text
//! features SELECT ──> rows, by key ──> version trained, scored, gated ──> NAME_rows, NAME_profile ──audits──> commit
//! ```
//!
//! `NAME_rows` has what the version in use says of each row, `NAME_profile` what its clusters are like. Where a gate keeps a
//! new version out, both are of the one that stays, over the rows as they are now.

mod cell_types;
mod outputs;
mod rows;
mod step;
mod trained_again;

pub use cell_types::input_types;
pub(super) use step::{ModelStep, forget, must_step, report_of};
pub use trained_again::{categories, reproduce};
