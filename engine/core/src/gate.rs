//! Whether a model that was just trained takes the champion's place.
//!
//! | the model | rows | its value | the reference | verdict |
//! | --- | --- | --- | --- | --- |
//! | the first one, in a batch job also the first of another split, or where the champion cannot answer any more | | | | accepted |
//! | | fewer than `min_rows` | | | waits |
//! | | | undefined | | waits |
//! | | | defined | undefined | accepted |
//! | | | within the bound of it | defined | accepted |
//! | | | else | defined | rejected |
//! | | | | the champion cannot be scored on these rows: it has other features or classes | waits, until a person decides |
//!
//! The reference is the champion's value on the same rows or, with `over = "accepted_mean"`, the mean of the values that the
//! last `window` accepted models had when they were. While a model waits the champion stays, and the next one learns on from
//! it; so it does after a rejection, until there were `patience` in a row: then it begins again from the champion.
//!
//! With b for the bound, v for the value and r for the reference, where more is better (else v and r change places):
//! `min_gain`: v − r ≥ b; `max_drop`: r − v ≤ b; `min_ratio`: v ≥ b · r, and where r is below 0 as much of |r| from it,
//! v ≥ r − (1 − b) · |r|: a ratio of .95 lets a model be worse by a twentieth, whatever the sign.

use serde::{Deserialize, Serialize};
use tidemill_ml::{Better, Metric};

use crate::error::Result;
use crate::project::{Bound, GateConfig, Over};
use crate::records::{Gated, Standing, Verdict};

/// What a model and the one in use are worth on the same rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Compared {
    /// How many rows.
    pub(crate) rows: u64,
    /// The value of the new one; `None` where the rows do not define it.
    pub(crate) challenger: Option<f64>,
    /// The value of the one in use; none where there is no such.
    pub(crate) champion: Option<f64>,
}

/// Decides, and says what it went by; `standing` is what is remembered of the decisions before.
///
/// # Errors
/// User: a gate that was not checked.
pub(crate) fn decide(
    gate: &GateConfig,
    metric: &Metric,
    is_first: bool,
    compared: Compared,
    standing: &Standing,
) -> Result<Gated> {
    let reference = match gate.over {
        Over::Champion => compared.champion,
        Over::AcceptedMean => mean(&standing.accepted),
    };
    let bound = gate.bound()?;
    let verdict = match (compared.challenger, reference) {
        _ if is_first => Verdict::Accepted,
        _ if compared.rows < gate.min_rows => Verdict::Waits,
        (None, _) => Verdict::Waits,
        (Some(_), None) => Verdict::Accepted,
        (Some(value), Some(reference)) if is_within(bound, metric.better, value, reference) => {
            Verdict::Accepted
        }
        (Some(_), Some(_)) => Verdict::Rejected,
    };
    Ok(Gated {
        verdict,
        metric: metric.name.to_owned(),
        rows: compared.rows,
        challenger: compared.challenger,
        reference,
    })
}

/// The verdict on a new version where the one in use cannot be scored on the same rows, and is what it would be compared with.
pub(crate) fn stays(metric: &Metric, compared: Compared) -> Gated {
    Gated {
        verdict: Verdict::Waits,
        metric: metric.name.to_owned(),
        rows: compared.rows,
        challenger: compared.challenger,
        reference: None,
    }
}

/// What is to be remembered after a verdict.
pub(crate) fn remember(gate: &GateConfig, gated: &Gated, mut standing: Standing) -> Standing {
    match gated.verdict {
        Verdict::Accepted => {
            (standing.rejected, standing.begun_again) = (0, false);
            if gate.over == Over::AcceptedMean {
                standing.accepted.extend(gated.challenger);
                let beyond = standing.accepted.len().saturating_sub(gate.window);
                standing.accepted.drain(..beyond);
            }
        }
        Verdict::Rejected => {
            standing.rejected += 1;
            standing.begun_again = false;
        }
        Verdict::Waits => standing.begun_again = standing.begins_again(gate.patience) || standing.begun_again,
    }
    standing
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn is_within(bound: Bound, better: Better, value: f64, reference: f64) -> bool {
    let (higher, lower) = match better {
        Better::Higher => (value, reference),
        Better::Lower => (reference, value),
    };
    match bound {
        Bound::MinGain(least) => higher - lower >= least,
        Bound::MaxDrop(most) => lower - higher <= most,
        Bound::MinRatio(least) if lower < 0.0 => higher >= (2.0 - least) * lower,
        Bound::MinRatio(least) => higher >= least * lower,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(text: &str) -> GateConfig {
        toml::from_str(text).unwrap()
    }

    fn verdict(
        text: &str,
        metric: &str,
        is_first: bool,
        compared: (u64, Option<f64>, Option<f64>),
    ) -> Verdict {
        let gate = gate(&format!("metric = \"{metric}\"\n{text}"));
        let (rows, challenger, champion) = compared;
        let compared = Compared { rows, challenger, champion };
        let metric = Metric::named(metric).unwrap();
        decide(&gate, metric, is_first, compared, &Standing::default()).unwrap().verdict
    }

    /// The table of the module, row by row.
    #[test]
    fn the_verdict_is_that_of_the_table() {
        let of = |is_first, compared| verdict("min_gain = 0.0", "auc", is_first, compared);
        assert_eq!(of(true, (0, None, None)), Verdict::Accepted);
        assert_eq!(of(false, (199, Some(0.9), Some(0.1))), Verdict::Waits);
        assert_eq!(of(false, (200, None, Some(0.1))), Verdict::Waits);
        assert_eq!(of(false, (200, Some(0.9), None)), Verdict::Accepted);
        assert_eq!(of(false, (200, Some(0.8), Some(0.8))), Verdict::Accepted);
        assert_eq!(of(false, (200, Some(0.79), Some(0.8))), Verdict::Rejected);
    }

    #[test]
    fn a_bound_is_that_of_the_better_direction() {
        let of = |text: &str, metric: &str, value, reference| {
            verdict(text, metric, false, (1_000, Some(value), Some(reference))) == Verdict::Accepted
        };
        assert!(of("min_gain = 0.25", "auc", 0.75, 0.5) && !of("min_gain = 0.25", "auc", 0.74, 0.5));
        assert!(
            of("min_gain = 0.25", "log_loss", 0.5, 0.75) && !of("min_gain = 0.25", "log_loss", 0.75, 0.5)
        );
        assert!(of("max_drop = 0.25", "auc", 0.5, 0.75) && !of("max_drop = 0.25", "auc", 0.49, 0.75));
        assert!(
            of("max_drop = 0.25", "log_loss", 0.75, 0.5) && !of("max_drop = 0.25", "log_loss", 0.76, 0.5)
        );
        assert!(of("min_ratio = 0.5", "auc", 0.4, 0.8) && !of("min_ratio = 0.5", "auc", 0.39, 0.8));
        assert!(of("min_ratio = 0.5", "log_loss", 0.8, 0.4) && !of("min_ratio = 0.5", "log_loss", 0.81, 0.4));
        // Below 0 it is as far in the same direction: no model has to be better than the champion to be within a ratio.
        assert!(of("min_ratio = 0.5", "r2", -0.8, -0.8) && of("min_ratio = 0.5", "r2", -1.2, -0.8));
        assert!(!of("min_ratio = 0.5", "r2", -1.21, -0.8) && of("min_ratio = 0.5", "r2", 0.1, -0.8));
        assert!(of("min_ratio = 1.5", "r2", -0.4, -0.8) && !of("min_ratio = 1.5", "r2", -0.41, -0.8));
    }

    #[test]
    fn the_mean_is_of_the_last_accepted_and_rejections_are_counted() {
        let gate =
            gate("metric = \"f1\"\nmin_ratio = 0.95\nover = \"accepted_mean\"\nmin_rows = 1\nwindow = 2");
        let metric = Metric::named("f1").unwrap();
        let mut standing = Standing::default();
        let mut verdicts = Vec::new();
        for value in [0.5, 0.6, 0.2, 0.1, 0.9, 0.7] {
            let compared = Compared { rows: 20, challenger: Some(value), champion: Some(0.0) };
            let gated = decide(&gate, metric, false, compared, &standing).unwrap();
            verdicts.push((gated.verdict, gated.reference.map(|of| (of * 1e6).round() / 1e6)));
            standing = remember(&gate, &gated, standing);
        }
        use Verdict::{Accepted, Rejected};
        let expected = [
            (Accepted, None),
            (Accepted, Some(0.5)),
            (Rejected, Some(0.55)),
            (Rejected, Some(0.55)),
            (Accepted, Some(0.55)),
            (Rejected, Some(0.75)),
        ];
        assert_eq!(verdicts, expected);
        assert_eq!(standing, Standing { accepted: vec![0.6, 0.9], rejected: 1, begun_again: false });
    }

    #[test]
    fn a_gate_without_one_bound_or_with_an_unknown_metric_is_refused() {
        use tidemill_ml::TargetKind::{Binary, Classes, None, Numbers};
        use tidemill_ml::Task;
        for text in
            ["", "min_gain = 0.1\nmax_drop = 0.1", "min_gain = -1.0", "min_ratio = 0.0", "max_drop = nan"]
        {
            assert!(
                gate(&format!("metric = \"auc\"\n{text}")).check(Task::Classify, Binary).is_err(),
                "{text}"
            );
        }
        let error = gate("metric = \"acuracy\"\nmin_gain = 0.0").check(Task::Classify, Binary).unwrap_err();
        assert!(error.next_step().unwrap().contains("did you mean `accuracy`?"), "{error:?}");
        assert!(gate("metric = \"auc\"\nmin_gain = 0.0").check(Task::Cluster, None).is_err());
        // Each kind of target has its own.
        let log_loss = gate("metric = \"log_loss\"\nmax_drop = 0.0");
        assert!(
            log_loss.check(Task::Classify, Binary).is_ok() && log_loss.check(Task::Classify, Classes).is_ok()
        );
        assert!(gate("metric = \"auc\"\nmin_gain = 0.0").check(Task::Classify, Classes).is_err());
        assert!(gate("metric = \"macro_f1\"\nmin_gain = 0.0").check(Task::Classify, Classes).is_ok());
        assert!(gate("metric = \"macro_f1\"\nmin_gain = 0.0").check(Task::Classify, Binary).is_err());
        assert!(gate("metric = \"r2\"\nmin_gain = 0.0").check(Task::Regress, Numbers).is_ok());
        assert!(
            gate("metric = \"auc\"\nmin_gain = 0.0\npatience = 0").check(Task::Classify, Binary).is_err()
        );
        assert!(toml::from_str::<GateConfig>("metric = \"auc\"\nmin_gian = 0.0").is_err());
    }
}
