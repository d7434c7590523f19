//! Every metric that there is, as one list: what scores are shown, compared and plotted by.

use super::Scores;
use crate::{BinaryMetrics, ClusterMetrics, Task};

/// Which of two values is the better.
///
/// ```
/// use tidemill_ml::{Better, Metric};
///
/// assert_eq!(Metric::named("log_loss").map(|metric| metric.better), Some(Better::Lower));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// The higher.
    Higher,
    /// The lower.
    Lower,
}

/// One line of [`METRICS`].
///
/// ```
/// use tidemill_ml::{BinaryMetrics, Metric, Scores};
///
/// let scores = Scores::Classes(BinaryMetrics::compute(&[true, false], &[0.9, 0.2])?);
/// assert_eq!(Metric::named("accuracy").and_then(|metric| metric.value(&scores)), Some(1.0));
/// assert_eq!(Metric::named("silhouette").and_then(|metric| metric.value(&scores)), None);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name in records, tables and commands.
    pub name: &'static str,
    /// Which of two values is the better.
    pub better: Better,
    /// How it is made of rows; the modules of [`BinaryMetrics`] and [`ClusterMetrics`] have the letters.
    pub formula: &'static str,
    /// Whether it is one of the few that are shown where there is no room for all.
    pub is_headline: bool,
    of: Of,
}

#[derive(Debug, Clone, Copy)]
enum Of {
    Classes(fn(&BinaryMetrics) -> Option<f64>),
    Clusters(fn(&ClusterMetrics) -> Option<f64>),
}

impl Metric {
    /// The metric of this name.
    pub fn named(name: &str) -> Option<&'static Metric> {
        METRICS.iter().find(|metric| metric.name == name)
    }

    /// The models that have it.
    pub fn task(&self) -> Task {
        match self.of {
            Of::Classes(_) => Task::Classify,
            Of::Clusters(_) => Task::Cluster,
        }
    }

    /// Its value; `None` where the rows do not define it, and for models of another task.
    pub fn value(&self, scores: &Scores) -> Option<f64> {
        match (self.of, scores) {
            (Of::Classes(value), Scores::Classes(scores)) => value(scores),
            (Of::Clusters(value), Scores::Clusters(scores)) => value(scores),
            _ => None,
        }
    }
}

const fn classes(
    name: &'static str,
    better: Better,
    formula: &'static str,
    value: fn(&BinaryMetrics) -> Option<f64>,
) -> Metric {
    Metric { name, better, formula, is_headline: false, of: Of::Classes(value) }
}

const fn clusters(
    name: &'static str,
    better: Better,
    formula: &'static str,
    value: fn(&ClusterMetrics) -> Option<f64>,
) -> Metric {
    Metric { name, better, formula, is_headline: false, of: Of::Clusters(value) }
}

const fn headline(metric: Metric) -> Metric {
    Metric { is_headline: true, ..metric }
}

/// Every metric.
///
/// ```
/// use tidemill_ml::{METRICS, Task};
///
/// let names: Vec<&str> =
///     METRICS.iter().filter(|of| of.task() == Task::Classify && of.is_headline).map(|of| of.name).collect();
/// assert_eq!(names, ["accuracy", "auc", "log_loss"]);
/// ```
pub static METRICS: [Metric; 21] = {
    use Better::*;
    [
        headline(classes("accuracy", Higher, "(TP + TN) / rows", |m| Some(m.accuracy))),
        headline(classes("auc", Higher, "P(positive above negative), a tie one half", |m| m.auc)),
        headline(classes("log_loss", Lower, "mean of -ln P(true label)", |m| Some(m.log_loss))),
        classes("precision", Higher, "TP / (TP + FP)", |m| m.precision),
        classes("recall", Higher, "TP / (TP + FN)", |m| m.recall),
        classes("f1", Higher, "2 TP / (2 TP + FP + FN)", |m| m.f1),
        classes("brier", Lower, "mean of (P - label)²", |m| m.brier),
        classes("pr_auc", Higher, "Σ (gain of recall) × precision", |m| m.pr_auc),
        classes("calibration_error", Lower, "Σ share of bin × |mean P - share of positives|", |m| {
            m.calibration_error
        }),
        clusters("inertia", Lower, "Σ d(row, own)²", |m| Some(m.inertia)),
        headline(clusters("silhouette", Higher, "mean of (b - a) / max(a, b)", |m| m.silhouette)),
        clusters("cohesion", Lower, "mean d(row, own)", |m| m.cohesion),
        clusters("separation", Higher, "mean d(row, another centre)", |m| m.separation),
        clusters("ssw", Lower, "inertia / n", |m| m.ssw),
        clusters("ssb", Higher, "Σ nᵢ d(centreᵢ, mean)² / n", |m| m.ssb),
        clusters("bic", Higher, "log likelihood - m (D + 1) / 2 · ln n", |m| m.bic),
        clusters("bic_river", Higher, "bic with σ² / n", |m| m.bic_river),
        clusters("silhouette_river", Lower, "Σ d(row, own) / Σ d(row, second)", |m| m.silhouette_river),
        clusters("xie_beni", Lower, "ssw / least d(centreᵢ, centreⱼ)²", |m| m.xie_beni),
        headline(clusters("calinski_harabasz", Higher, "(SSB / (k - 1)) / (SSW / (n - k))", |m| {
            m.calinski_harabasz
        })),
        headline(clusters(
            "davies_bouldin",
            Lower,
            "mean of largest (sᵢ + sⱼ) / d(meanᵢ, meanⱼ)",
            |m| m.davies_bouldin,
        )),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    /// Every number of a record is a metric by its own name, but for counts.
    #[test]
    fn the_list_has_every_metric_that_is_computed() {
        let labels = [true, false, true, false, true];
        let classes = BinaryMetrics::compute(&labels, &[0.9, 0.2, 0.4, 0.6, 0.7]).unwrap();
        let mut table = crate::FeatureTable::new(vec!["x".into()], vec![]);
        table.push_numeric(0, [1.0, 2.0, 3.5, 90.0, 91.0, 95.0]);
        table.finish_append().unwrap();
        let params = crate::KMeansParams { clusters: 2, ..Default::default() };
        let rows = [0, 1, 2, 3, 4, 5];
        let clusters = crate::KMeans::fit(&params, &table, &rows, 1, None).unwrap();
        let clusters = clusters.metrics(&table, &rows, 1).unwrap();
        let mut found = 0;
        for scores in [Scores::Classes(classes), Scores::Clusters(clusters)] {
            let record = serde_json::to_value(&scores).unwrap();
            for (name, value) in record.as_object().unwrap().iter().filter(|(_, value)| value.is_f64()) {
                let metric = Metric::named(name).unwrap_or_else(|| panic!("{name} is not in the list"));
                assert_eq!(metric.value(&scores), value.as_f64(), "{name}");
                found += 1;
            }
        }
        assert_eq!(found, METRICS.len());
    }
}
