//! `tidemill doctor`.

use clap::Args;

use super::OutputArgs;

/// Which job of the lake is looked at.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// The job; without one, all of the lake
    pub(crate) job: Option<String>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}
