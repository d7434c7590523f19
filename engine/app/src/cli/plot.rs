//! Arguments of `tidemill plot`.

use std::ops::RangeInclusive;
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
    /// The metric (auc if not given, silhouette for clusters alone; any of system.metrics), the feature whose centres are
    /// drawn, inertia or silhouette
    #[arg(long, value_name = "NAME")]
    pub(crate) metric: Option<String>,
    /// The model whose centres or features are looked at; the first clustering of the job if not given
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// The numbers of clusters that the elbow is looked for among; 2..12 if not given
    #[arg(long, value_name = "FROM..TO", value_parser = clusters)]
    pub(crate) k: Option<RangeInclusive<u32>>,
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
    /// Inertia and silhouette by number of clusters, with the elbow, on the state as it is now.
    Elbow,
    /// The centres of a clustering by batch, a line a cluster: a chart a feature, or the one that --metric names.
    Centres,
}

/// `2..12`, both included.
fn clusters(text: &str) -> Result<RangeInclusive<u32>, String> {
    let wrong = || format!("`{text}` is no range of numbers of clusters: write 2..12, from 1 to 100");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let number = |part: &str| part.trim().trim_start_matches('=').parse::<u32>().map_err(|_| wrong());
    let (from, to) = (number(from)?, number(to)?);
    if from == 0 || to > 100 || from > to { Err(wrong()) } else { Ok(from..=to) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_of_numbers_of_clusters() {
        assert_eq!(clusters("2..12"), Ok(2..=12));
        assert_eq!(clusters("3..=3"), Ok(3..=3));
        for wrong in ["", "5", "0..3", "4..3", "2..1000", "a..b"] {
            assert!(clusters(wrong).unwrap_err().contains("2..12"), "{wrong}");
        }
    }
}
