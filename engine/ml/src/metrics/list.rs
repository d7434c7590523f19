//! Every metric that there is, as one list: what scores are shown, compared and plotted by.

use super::Scores;
use crate::{BinaryMetrics, ClassMetrics, ClusterMetrics, NumberMetrics, OutlierMetrics, TargetKind, Task};

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
/// let scores = Scores::Binary(BinaryMetrics::compute(&[true, false], &[0.9, 0.2])?);
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
    /// How it is made of rows; the modules of [`BinaryMetrics`], [`ClassMetrics`], [`NumberMetrics`],
    /// [`ClusterMetrics`] and [`OutlierMetrics`] have the letters.
    pub formula: &'static str,
    /// Whose formula it is: scikit-learn's function, or the paper.
    pub source: &'static str,
    /// Whether it is one of the few that are shown where there is no room for all.
    pub is_headline: bool,
    of: Of,
}

/// Where it is in the scores of a model of its task; a task may have two kinds of scores.
#[derive(Debug, Clone, Copy)]
enum Of {
    Binary(fn(&BinaryMetrics) -> Option<f64>),
    Classes(fn(&ClassMetrics) -> Option<f64>),
    BinaryAndClasses(fn(&BinaryMetrics) -> Option<f64>, fn(&ClassMetrics) -> Option<f64>),
    Numbers(fn(&NumberMetrics) -> Option<f64>),
    Clusters(fn(&ClusterMetrics) -> Option<f64>),
    Outliers(fn(&OutlierMetrics) -> Option<f64>),
}

impl Metric {
    /// The metric of this name.
    pub fn named(name: &str) -> Option<&'static Metric> {
        METRICS.iter().find(|metric| metric.name == name)
    }

    /// The models that have it.
    pub fn task(&self) -> Task {
        match self.of {
            Of::Binary(_) | Of::Classes(_) | Of::BinaryAndClasses(..) => Task::Classify,
            Of::Numbers(_) => Task::Regress,
            Of::Clusters(_) => Task::Cluster,
            Of::Outliers(_) => Task::Outlier,
        }
    }

    /// Whether models of such a target have it.
    pub fn is_of(&self, kind: TargetKind) -> bool {
        matches!(
            (self.of, kind),
            (Of::Binary(_) | Of::BinaryAndClasses(..), TargetKind::Binary)
                | (Of::Classes(_) | Of::BinaryAndClasses(..), TargetKind::Classes)
                | (Of::Numbers(_), TargetKind::Numbers)
                | (Of::Clusters(_) | Of::Outliers(_), TargetKind::None)
        )
    }

    /// Its value; `None` where the rows do not define it, and for models of another kind.
    pub fn value(&self, scores: &Scores) -> Option<f64> {
        match (self.of, scores) {
            (Of::Binary(value) | Of::BinaryAndClasses(value, _), Scores::Binary(scores)) => value(scores),
            (Of::Classes(value) | Of::BinaryAndClasses(_, value), Scores::Classes(scores)) => value(scores),
            (Of::Numbers(value), Scores::Numbers(scores)) => value(scores),
            (Of::Clusters(value), Scores::Clusters(scores)) => value(scores),
            (Of::Outliers(value), Scores::Outliers(scores)) => value(scores),
            _ => None,
        }
    }
}

const fn of(
    name: &'static str,
    better: Better,
    formula: &'static str,
    source: &'static str,
    of: Of,
) -> Metric {
    Metric { name, better, formula, source, is_headline: false, of }
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
/// assert_eq!(names, ["accuracy", "auc", "log_loss", "macro_f1"]);
/// ```
pub static METRICS: [Metric; 30] = {
    use Better::*;
    use Of::*;
    const CALINSKI: &str = "Caliński, Harabasz 1974; calinski_harabasz_score";
    const DAVIES: &str = "Davies, Bouldin 1979; davies_bouldin_score";
    const RIVER: &str = "River";
    [
        headline(of(
            "accuracy",
            Higher,
            "rows predicted right / rows",
            "accuracy_score",
            BinaryAndClasses(|m| Some(m.accuracy), |m| Some(m.accuracy)),
        )),
        headline(of(
            "auc",
            Higher,
            "P(positive above negative), a tie one half",
            "roc_auc_score",
            Binary(|m| m.auc),
        )),
        headline(of(
            "log_loss",
            Lower,
            "mean of -ln P(true label)",
            "log_loss",
            BinaryAndClasses(|m| Some(m.log_loss), |m| Some(m.log_loss)),
        )),
        of("precision", Higher, "TP / (TP + FP)", "precision_score", Binary(|m| m.precision)),
        of("recall", Higher, "TP / (TP + FN)", "recall_score", Binary(|m| m.recall)),
        of("f1", Higher, "2 TP / (2 TP + FP + FN)", "f1_score", Binary(|m| m.f1)),
        of("brier", Lower, "mean of (P - label)²", "Brier 1950; brier_score_loss", Binary(|m| m.brier)),
        of(
            "pr_auc",
            Higher,
            "Σ (gain of recall) × precision",
            "average_precision_score",
            Binary(|m| m.pr_auc),
        ),
        of(
            "calibration_error",
            Lower,
            "Σ share of bin × |mean P - share of positives|, ten bins",
            "Naeini, Cooper, Hauskrecht 2015",
            Binary(|m| m.calibration_error),
        ),
        headline(of(
            "macro_f1",
            Higher,
            "mean over classes of 2 TP / (2 TP + FP + FN)",
            "f1_score(average=\"macro\")",
            Classes(|m| Some(m.macro_f1)),
        )),
        of(
            "auc_ovr",
            Higher,
            "mean over classes of P(row of it above row of another), a tie one half",
            "roc_auc_score(multi_class=\"ovr\")",
            Classes(|m| m.auc_ovr),
        ),
        headline(of(
            "rmse",
            Lower,
            "√ mean of (said - is)²",
            "root_mean_squared_error",
            Numbers(|m| Some(m.rmse)),
        )),
        headline(of("mae", Lower, "mean of |said - is|", "mean_absolute_error", Numbers(|m| Some(m.mae)))),
        headline(of("r2", Higher, "1 - Σ (said - is)² / Σ (is - mean)²", "r2_score", Numbers(|m| m.r2))),
        of(
            "median_absolute_error",
            Lower,
            "median of |said - is|",
            "median_absolute_error",
            Numbers(|m| Some(m.median_absolute_error)),
        ),
        of("inertia", Lower, "Σ d(row, own)²", "KMeans.inertia_", Clusters(|m| Some(m.inertia))),
        headline(of(
            "silhouette",
            Higher,
            "mean of (b - a) / max(a, b)",
            "Rousseeuw 1987; silhouette_score",
            Clusters(|m| m.silhouette),
        )),
        of("cohesion", Lower, "mean d(row, own)", RIVER, Clusters(|m| m.cohesion)),
        of("separation", Higher, "mean d(row, another centre)", RIVER, Clusters(|m| m.separation)),
        of("ssw", Lower, "inertia / n", RIVER, Clusters(|m| m.ssw)),
        of("ssb", Higher, "Σ nᵢ d(centreᵢ, mean)² / n", RIVER, Clusters(|m| m.ssb)),
        of("bic", Higher, "log likelihood - m (D + 1) / 2 · ln n", "Pelleg, Moore 2000", Clusters(|m| m.bic)),
        of("bic_river", Higher, "bic with σ² / n", RIVER, Clusters(|m| m.bic_river)),
        of(
            "silhouette_river",
            Lower,
            "Σ d(row, own) / Σ d(row, second)",
            RIVER,
            Clusters(|m| m.silhouette_river),
        ),
        of(
            "xie_beni",
            Lower,
            "ssw / least d(centreᵢ, centreⱼ)²",
            "Xie, Beni 1991; River",
            Clusters(|m| m.xie_beni),
        ),
        headline(of(
            "calinski_harabasz",
            Higher,
            "(SSB / (k - 1)) / (SSW / (n - k))",
            CALINSKI,
            Clusters(|m| m.calinski_harabasz),
        )),
        headline(of(
            "davies_bouldin",
            Lower,
            "mean of largest (sᵢ + sⱼ) / d(meanᵢ, meanⱼ)",
            DAVIES,
            Clusters(|m| m.davies_bouldin),
        )),
        headline(of(
            "outlier_share",
            Lower,
            "rows scored above the threshold / rows",
            "IsolationForest.predict",
            Outliers(|m| Some(m.outlier_share)),
        )),
        headline(of(
            "mean_score",
            Lower,
            "mean of 2^(-splits that set a row apart / those of a search tree)",
            "Liu, Ting, Zhou 2008; IsolationForest.score_samples",
            Outliers(|m| Some(m.mean_score)),
        )),
        headline(of(
            "outlier_auc",
            Higher,
            "P(score of a known outlier above another row's), a tie one half",
            "roc_auc_score",
            Outliers(|m| m.outlier_auc),
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
        let binary = BinaryMetrics::compute(&labels, &[0.9, 0.2, 0.4, 0.6, 0.7]).unwrap();
        let classes = ClassMetrics::compute(&[0, 1, 1], &[0.9, 0.1, 0.2, 0.8, 0.6, 0.4], 2).unwrap();
        let numbers = NumberMetrics::compute(&[1.0, 2.0, 4.0], &[1.5, 2.0, 3.0]).unwrap();
        let mut table = crate::FeatureTable::new(vec!["x".into()], vec![]);
        table.push_numeric(0, [1.0, 2.0, 3.5, 90.0, 91.0, 95.0]);
        table.finish_append().unwrap();
        let params = crate::KMeansParams { clusters: 2, ..Default::default() };
        let rows = [0, 1, 2, 3, 4, 5];
        let clusters = crate::KMeans::fit(&params, &table, &rows, 1, None).unwrap();
        let clusters = clusters.metrics(&table, &rows, 1).unwrap();
        let mut found = std::collections::BTreeSet::new();
        for scores in [
            Scores::Binary(binary),
            Scores::Classes(classes),
            Scores::Numbers(numbers),
            Scores::Clusters(clusters),
            Scores::Outliers(OutlierMetrics::compute(&[0.4, 0.7], 0.5, Some(&[false, true])).unwrap()),
        ] {
            let record = serde_json::to_value(&scores).unwrap();
            assert_eq!(serde_json::from_value::<Scores>(record.clone()).unwrap(), scores);
            for (name, value) in record.as_object().unwrap().iter().filter(|(_, value)| value.is_f64()) {
                let metric = Metric::named(name).unwrap_or_else(|| panic!("{name} is not in the list"));
                assert_eq!(metric.value(&scores), value.as_f64(), "{name}");
                let kind = match scores {
                    Scores::Binary(_) => TargetKind::Binary,
                    Scores::Classes(_) => TargetKind::Classes,
                    Scores::Numbers(_) => TargetKind::Numbers,
                    _ => TargetKind::None,
                };
                assert!(metric.is_of(kind), "{name}");
                found.insert(name.clone());
            }
        }
        assert_eq!(found.len(), METRICS.len());
    }
}
