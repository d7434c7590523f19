//! Arguments of `tidemill plot`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `tidemill plot`.
#[derive(Debug, Args)]
pub(crate) struct PlotArgs {
    /// The job, as its file in jobs/ is named
    pub(crate) job: String,
    /// What is drawn
    #[arg(value_enum)]
    pub(crate) what: PlotWhat,
    /// The metric: auc, accuracy, log_loss, precision, recall, f1, train_ms, inertia, silhouette
    #[arg(long, value_name = "NAME", default_value = "auc")]
    pub(crate) metric: String,
    /// Write an .svg drawing or an .html page instead of drawing in the terminal; one that is there is replaced
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// What can be plotted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlotWhat {
    /// A metric by batch, a line a model and evaluation.
    Metrics,
    /// The figures of the Olist job: demand, items and revenue by month, customers and sellers by state and city.
    Eda,
}
