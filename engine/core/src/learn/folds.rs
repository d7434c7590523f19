//! What models of a batch job are worth that are trained on all folds of its rows but one, each on that one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tidemill_ml::{
    BinaryMetrics, ClassMetrics, Error as ModelError, Estimator, NumberMetrics, Prediction, Scores, Target,
};

use super::whole::WholeRows;
use crate::error::{Error, Result};

impl WholeRows {
    /// Checks that each class is in two folds at least: the others of its fold would not know of it.
    ///
    /// # Errors
    /// Data: one is in one fold alone.
    fn check_folds(&self) -> Result<()> {
        let numbers = self.labels.numbers();
        let mut rows: BTreeMap<u32, (u64, BTreeSet<usize>)> = BTreeMap::new();
        for (number, fold) in self.folds.iter().enumerate() {
            for class in fold.iter().filter_map(|&row| numbers.get(row as usize)) {
                let of = rows.entry(*class).or_default();
                of.0 += 1;
                of.1.insert(number);
            }
        }
        match rows.iter().find(|(_, (_, folds))| folds.len() < 2) {
            Some((class, (rows, _))) => {
                let class =
                    self.labels.classes().get(*class as usize).map(Value::to_string).unwrap_or_default();
                let what = format!(
                    "evaluate.folds: class {class} is in one fold alone, with {rows} rows to train on"
                );
                Err(Error::data(what).hint(
                    "folds want two rows of each class that differ in the hold-out key: leave such rows out by the SELECT's WHERE, or \
                     take evaluate.holdout instead",
                ))
            }
            None => Ok(()),
        }
    }

    /// What models are worth that are trained on all folds but one, on that one; over all folds together, and of how many rows
    /// this does not tell, and why: a step may refuse single ones. `None` where they refuse all.
    ///
    /// # Errors
    /// Data: the others of a fold cannot be learned from.
    pub(super) fn cross_validated(
        &self,
        estimator: &Estimator,
        seed: u64,
    ) -> Result<(Option<Scores>, Option<String>)> {
        self.check_folds()?;
        let (mut scored, mut said): (Vec<u32>, Option<Prediction>) = (Vec::new(), None);
        let mut refused: (usize, Option<ModelError>) = (0, None);
        for (number, fold) in self.folds.iter().enumerate() {
            if fold.is_empty() {
                continue;
            }
            // Both ascend.
            let others: Vec<u32> =
                self.training.iter().copied().filter(|row| fold.binary_search(row).is_err()).collect();
            let of_fold = |error: ModelError| {
                Error::data(error.to_string())
                    .context(format!("the rows beside fold {number}"))
                    .hint("fewer folds leave more rows, and more of each class, to each fit")
            };
            let model = estimator.fit(&self.rows_of_training(&others), seed).map_err(of_fold)?;
            let (answered, answers) = match model.predict(&self.features, fold) {
                Err(error @ ModelError::InStep { .. }) => {
                    let answered = model.answerable(&self.features, fold).map_err(of_fold)?;
                    if answered.len() == fold.len() {
                        return Err(of_fold(error));
                    }
                    refused = (refused.0 + fold.len() - answered.len(), refused.1.or(Some(error)));
                    if answered.is_empty() {
                        continue;
                    }
                    let answers = model.predict(&self.features, &answered).map_err(of_fold)?;
                    (answered, answers)
                }
                answers => (fold.clone(), answers.map_err(of_fold)?),
            };
            scored.extend(answered);
            said = Some(match said {
                None => answers,
                Some(before) => joined(before, answers)?,
            });
        }
        let without = refused
            .1
            .map(|why| format!("folds: {} of {} rows are not scored: {why}", refused.0, self.training.len()));
        let Some(said) = said else {
            return match without {
                Some(_) => Ok((None, without)),
                None => Err(Error::data("there is no row in any fold")),
            };
        };
        let of = |row: &u32| *row as usize;
        let scores = match (self.labels.target_of_training(), said) {
            (Target::Binary(labels), Prediction::Probabilities(p)) => {
                let labels: Vec<bool> = scored.iter().map(|row| labels[of(row)]).collect();
                Scores::Binary(BinaryMetrics::compute(&labels, &p)?)
            }
            (Target::Classes { labels, classes }, Prediction::Classes { probabilities, .. }) => {
                let labels: Vec<u32> = scored.iter().map(|row| labels[of(row)]).collect();
                Scores::Classes(ClassMetrics::compute(&labels, &probabilities, classes)?)
            }
            (Target::Numbers(values), Prediction::Numbers(said)) => {
                let values: Vec<f64> = scored.iter().map(|row| values[of(row)]).collect();
                Scores::Numbers(NumberMetrics::compute(&values, &said)?)
            }
            _ => return Err(Error::internal("answers of another kind than the labels")),
        };
        Ok((Some(scores), without))
    }
}

/// The answers of two models, one after the other.
fn joined(first: Prediction, second: Prediction) -> Result<Prediction> {
    Ok(match (first, second) {
        (Prediction::Probabilities(mut all), Prediction::Probabilities(more)) => {
            all.extend(more);
            Prediction::Probabilities(all)
        }
        (Prediction::Numbers(mut all), Prediction::Numbers(more)) => {
            all.extend(more);
            Prediction::Numbers(all)
        }
        (
            Prediction::Classes { classes, probabilities: mut all },
            Prediction::Classes { probabilities: more, .. },
        ) => {
            all.extend(more);
            Prediction::Classes { classes, probabilities: all }
        }
        _ => return Err(Error::internal("answers of two kinds")),
    })
}
