//! Arguments of `tidemill compact`.

use clap::Args;

/// `tidemill compact`.
#[derive(Debug, Args)]
pub(crate) struct CompactArgs {
    /// The stream job, as its file in jobs/ is named
    pub(crate) job: String,
    /// Set a key of the job's TOML, as in table.retain_removed=1h; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = super::key_value)]
    pub(crate) sets: Vec<(String, String)>,
}
