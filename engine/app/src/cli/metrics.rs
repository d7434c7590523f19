//! Arguments of `tidemill metrics`.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use tidemill_core::learn::Metric;
use tidemill_core::learn::tables::with_column;

use super::OutputArgs;

/// `tidemill metrics`.
#[derive(Debug, Args)]
pub(crate) struct MetricsArgs {
    /// The job, as its file in jobs/ is named
    pub(crate) job: String,
    /// Only this model
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// Only this way of scoring
    #[arg(long, value_enum, value_name = "holdout|prequential|sample", hide_possible_values = true)]
    pub(crate) evaluation: Option<Evaluation>,
    /// Only the last N batches
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) last: Option<u64>,
    /// Two models beside each other
    #[arg(long, num_args = 2, value_names = ["MODEL", "MODEL"], conflicts_with_all = ["model", "compare_lake", "best"])]
    pub(crate) compare: Option<Vec<String>>,
    /// The models of this lake beside those of another
    #[arg(long, value_name = "DIR", conflicts_with = "best")]
    pub(crate) compare_lake: Option<PathBuf>,
    /// The best model at the last batch
    #[arg(long, conflicts_with_all = ["model", "last"])]
    pub(crate) best: bool,
    /// What --best goes by; without it the AUC, of a stateful job the silhouette
    #[arg(long, value_parser = a_metric(), requires = "best", value_name = "METRIC")]
    pub(crate) by: Option<&'static Metric>,
    /// The newest clusterings of a stateful job on its whole state: takes seconds, and grows with its square
    #[arg(long, conflicts_with_all = ["compare", "compare_lake", "best", "evaluation", "last"])]
    pub(crate) exact: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// The name of a metric that `system.metrics` has a column of.
fn a_metric() -> impl TypedValueParser<Value = &'static Metric> {
    PossibleValuesParser::new(with_column().map(|metric| metric.name))
        .try_map(|name| Metric::named(&name).ok_or("there is no such metric"))
}

/// The ways in which a model is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Evaluation {
    /// Rows that no model trains on.
    Holdout,
    /// The new batch before it is learned.
    Prequential,
    /// A sample of the state of a stateful job.
    Sample,
}

impl Evaluation {
    /// The value in `system.metrics`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Evaluation::Holdout => "holdout",
            Evaluation::Prequential => "prequential",
            Evaluation::Sample => "sample",
        }
    }
}
