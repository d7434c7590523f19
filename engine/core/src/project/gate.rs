//! The gate of a model: what a newly trained one has to be worth to take the champion's place.

use serde::{Deserialize, Serialize};
use tidemill_ml::{METRICS, Metric, TargetKind, Task};

use crate::error::{Error, Result};

/// The `gate` of a `[[models]]` entry. Without one every model that is trained becomes the champion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateConfig {
    /// The metric that decides.
    pub metric: String,
    /// By how much the new model has to be better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_gain: Option<f64>,
    /// By how much it may be worse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_drop: Option<f64>,
    /// The least ratio of the better-directed values: new / reference, of a metric of which less is better reference / new.
    /// Of a reference below 0 (R², silhouette, BIC) the new value may be as far below it as the ratio is below 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ratio: Option<f64>,
    /// What the new model is compared with.
    #[serde(default)]
    pub over: Over,
    /// Rows that the comparison needs; before there are so many the champion stays.
    #[serde(default = "default_min_rows")]
    pub min_rows: u64,
    /// Of how many accepted models the mean is, with `over = "accepted_mean"`.
    #[serde(default = "default_window")]
    pub window: usize,
    /// After how many rejections in a row a model that learns on from the one before begins again from the champion.
    #[serde(default = "default_patience")]
    pub patience: u32,
}

/// What a new model is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// The champion, on the same rows.
    #[default]
    Champion,
    /// The mean of what accepted models were worth when they were, each on the rows of its time.
    AcceptedMean,
}

fn default_min_rows() -> u64 {
    200
}

fn default_window() -> usize {
    100
}

fn default_patience() -> u32 {
    3
}

/// How far the new model may be from the reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bound {
    MinGain(f64),
    MaxDrop(f64),
    MinRatio(f64),
}

impl GateConfig {
    /// The metric that decides.
    ///
    /// # Errors
    /// User: there is none of this name for models for this task, of classes for so many; the nearest is named.
    pub(crate) fn metric(&self, task: Task, kind: TargetKind) -> Result<&'static Metric> {
        let is_of =
            |metric: &&Metric| metric.task() == task && (task != Task::Classify || metric.is_of(kind));
        let known: Vec<&str> = METRICS.iter().filter(is_of).map(|of| of.name).collect();
        match Metric::named(&self.metric).filter(is_of) {
            Some(metric) => Ok(metric),
            None => Err(Error::unknown("metric", &self.metric, &known).context("gate")),
        }
    }

    /// The one bound that is set.
    ///
    /// # Errors
    /// User: none is, or several, or it is no such number.
    pub(crate) fn bound(&self) -> Result<Bound> {
        let refused = |what: String| Error::user(format!("gate: {what}"));
        match (self.min_gain, self.max_drop, self.min_ratio) {
            (Some(gain), None, None) if gain >= 0.0 && gain.is_finite() => Ok(Bound::MinGain(gain)),
            (None, Some(drop), None) if drop >= 0.0 && drop.is_finite() => Ok(Bound::MaxDrop(drop)),
            (None, None, Some(ratio)) if ratio > 0.0 && ratio.is_finite() => Ok(Bound::MinRatio(ratio)),
            (Some(_), None, None) => Err(refused("min_gain is a number of at least 0".into())),
            (None, Some(_), None) => Err(refused("max_drop is a number of at least 0".into())),
            (None, None, Some(_)) => Err(refused("min_ratio is a number above 0".into())),
            _ => Err(refused("it wants one of min_gain, max_drop and min_ratio".into())
                .hint("gate = { metric = \"auc\", max_drop = 0.01 }")),
        }
    }

    /// Checks all of it for models for this task, of such a target.
    ///
    /// # Errors
    /// User.
    pub(crate) fn check(&self, task: Task, kind: TargetKind) -> Result<()> {
        self.metric(task, kind)?;
        self.bound()?;
        if self.window == 0 || self.patience == 0 {
            return Err(Error::user("gate: window and patience are at least 1"));
        }
        Ok(())
    }
}
