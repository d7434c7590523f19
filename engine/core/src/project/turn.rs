//! When a model learns, and from what: the key `learn` of a `[[models]]` entry.
//!
//! | `learn` | from rows | from a state |
//! | --- | --- | --- |
//! | none | as `"refit"` | `minibatch_kmeans`, `online_kmeans` as `"online"`, the others as `"every 50"` |
//! | `"refit"` | after every batch, on all rows so far | after every batch, on all keys; clusters: refused |
//! | `"every 50"` | the same after every 50th batch, and after each until there is a model | the same; not those that are `"online"` |
//! | `"online"` | after every batch, on its rows alone, from where the model is; no row is kept | `minibatch_kmeans`, `online_kmeans` |

use serde::Deserialize;
use serde_json::{Map, Value};
use tidemill_ml::{ALGORITHMS, Algorithm, Material, PipelineStep, STEPS, Task};

use super::model::ModelConfig;
use crate::error::Result;

/// When a model learns, and from what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// After every batch: from all rows so far, of a state from the batch's keys and a sample.
    EveryBatch,
    /// After the first batch that it can learn from and after every so many, from all rows so far.
    Every {
        /// Batches from one turn to the next.
        every: u64,
    },
    /// After every batch, from its rows alone.
    Online,
    /// After the first batch that has enough keys and after every so many, from all keys of a state.
    WholeState {
        /// Batches from one turn to the next.
        every: u64,
    },
}

impl Turn {
    /// Whether the model learns after this batch; one that is not trained yet tries after each.
    pub fn is_now(self, batch_id: u64, is_trained: bool) -> bool {
        match self {
            Turn::EveryBatch | Turn::Online => true,
            Turn::Every { every } | Turn::WholeState { every } => {
                !is_trained || (batch_id + 1).is_multiple_of(every)
            }
        }
    }

    /// Whether the model learns from the whole state after this batch.
    pub fn is_whole(self, batch_id: u64, is_trained: bool) -> bool {
        matches!(self, Turn::WholeState { .. }) && self.is_now(batch_id, is_trained)
    }
}

/// The parameter of a `kmeans` over a state that says how often it has a turn, and its default.
pub(super) const EVERY: (&str, u64) = ("every", 50);

/// What `learn` says.
enum Said {
    Refit,
    Every(u64),
    Online,
}

impl ModelConfig {
    /// Whether [`EVERY`] is a parameter.
    pub(super) fn has_turns(&self, material: Material) -> bool {
        material == Material::State && self.algorithm == Algorithm::Kmeans
    }

    /// Whether it keeps no rows.
    pub(crate) fn is_online(&self) -> bool {
        matches!(self.said(), Ok(Some(Said::Online)))
    }

    fn said(&self) -> Result<Option<Said>> {
        let Some(learn) = &self.learn else { return Ok(None) };
        let every = learn.strip_prefix("every ").and_then(|count| count.trim().parse().ok());
        match (learn.as_str(), every) {
            ("refit", _) => Ok(Some(Said::Refit)),
            ("online", _) => Ok(Some(Said::Online)),
            (_, Some(every)) if every > 0 => Ok(Some(Said::Every(every))),
            _ => Err(self.refused(format!("`learn` is {learn:?}")).hint(
                "learn = \"refit\" (on all rows after every batch), \"every 50\" (after every 50th) or \"online\" (on new rows alone)",
            )),
        }
    }

    /// Checks that a model which keeps no rows can do without, and all of its steps.
    ///
    /// # Errors
    /// User: the algorithm cannot, or a step; those are named that can.
    pub(super) fn check_online(&self, turn: Turn, steps: &[PipelineStep]) -> Result<()> {
        if turn != Turn::Online {
            return Ok(());
        }
        let refused = |what: String, known: Vec<&str>| {
            let hint = format!("learn = \"every 50\" learns less often; online learn: {}", known.join(", "));
            self.refused(format!("{what} does not learn from new rows alone")).hint(hint)
        };
        if !self.algorithm.info().learns_online {
            let known = ALGORITHMS.iter().filter(|of| of.learns_online && of.learns_from(Material::Rows));
            return Err(refused(self.algorithm.name().to_owned(), known.map(|of| of.name).collect()));
        }
        match (1..).zip(steps).find(|(_, step)| !step.transform.learns_online()) {
            Some((number, step)) => {
                let known = STEPS.iter().filter(|of| of.learns_online).map(|of| of.name).collect();
                Err(refused(format!("step {number}, {},", step.name()), known))
            }
            None => Ok(()),
        }
    }

    /// When the model learns; what says so is taken out of the parameters.
    pub(super) fn turn(&self, material: Material, parameters: &mut Map<String, Value>) -> Result<Turn> {
        let name = self.algorithm.name();
        let said = self.said()?;
        if material == Material::Rows {
            return match said {
                None | Some(Said::Refit) => Ok(Turn::EveryBatch),
                Some(Said::Every(every)) => Ok(Turn::Every { every }),
                Some(Said::Online) => Ok(Turn::Online),
            };
        }
        let (key, default) = EVERY;
        if self.task() != Task::Cluster {
            return match said {
                None => Ok(Turn::WholeState { every: default }),
                Some(Said::Refit) => Ok(Turn::WholeState { every: 1 }),
                Some(Said::Every(every)) => Ok(Turn::WholeState { every }),
                Some(Said::Online) => Err(self
                    .refused("the rows of a state change: what was learned of them cannot be taken back")
                    .hint("learn = \"every 50\" learns from all keys after every 50th batch, \"refit\" after each")),
            };
        }
        if !self.has_turns(material) {
            return match said {
                None | Some(Said::Online) => Ok(Turn::EveryBatch),
                Some(_) => Err(self
                    .refused(format!("{name} learns on from batch to batch"))
                    .hint("leave `learn` out, or take kmeans, which learns from the whole state every so many batches")),
            };
        }
        let parameter = match parameters.remove(key) {
            Some(value) => Some(u64::deserialize(value).map_err(|e| self.refused(format!("`{key}`: {e}")))?),
            None => None,
        };
        let every = match (said, parameter) {
            (Some(Said::Every(_)), Some(_)) => {
                return Err(self.refused(format!("`learn` and `{key}` say the same: leave one out")));
            }
            (Some(Said::Every(every)), None) => every,
            (Some(_), _) => {
                return Err(self
                    .refused("kmeans learns from the whole state every so many batches")
                    .hint("learn = \"every 50\""));
            }
            (None, every) => every.unwrap_or(default),
        };
        match every {
            0 => Err(self.refused(format!("`{key}` is at least 1 batch"))),
            every => Ok(Turn::WholeState { every }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(text: &str, material: Material) -> Result<Turn> {
        let model: ModelConfig =
            toml::from_str(&format!("name = \"m\"\nfeatures = \"f.sql\"\n{text}")).unwrap();
        model.training(material).map(|training| training.turn)
    }

    #[test]
    fn a_model_learns_when_it_is_said() {
        let sgd = |learn: &str| {
            turn(&format!("algorithm = \"sgd_classifier\"\ntarget = \"y\"\n{learn}"), Material::Rows)
        };
        assert_eq!(sgd("").unwrap(), Turn::EveryBatch);
        assert_eq!(sgd("learn = \"refit\"").unwrap(), Turn::EveryBatch);
        assert_eq!(sgd("learn = \"online\"").unwrap(), Turn::Online);
        let every = sgd("learn = \"every 3\"").unwrap();
        // Batches 0 and 1 had nothing to learn from.
        let turns: Vec<u64> = (0..10).filter(|&batch| every.is_now(batch, batch > 2)).collect();
        assert_eq!((every, turns), (Turn::Every { every: 3 }, vec![0, 1, 2, 5, 8]));
        for learn in
            ["learn = \"every 0\"", "learn = \"every\"", "learn = \"sometimes\"", "learn = \"every -1\""]
        {
            assert!(sgd(learn).unwrap_err().next_step().unwrap().contains("\"every 50\""), "{learn}");
        }
        let error = turn("algorithm = \"decision_tree\"\ntarget = \"y\"\nlearn = \"online\"", Material::Rows)
            .unwrap_err();
        assert!(error.next_step().unwrap().contains("sgd_classifier"), "{error:?}");
    }

    #[test]
    fn models_with_a_target_learn_from_the_whole_state() {
        let of = |learn: &str| {
            turn(&format!("algorithm = \"sgd_classifier\"\ntarget = \"y\"\n{learn}"), Material::State)
        };
        assert_eq!(of("").unwrap(), Turn::WholeState { every: 50 });
        assert_eq!(of("learn = \"refit\"").unwrap(), Turn::WholeState { every: 1 });
        assert_eq!(of("learn = \"every 7\"").unwrap(), Turn::WholeState { every: 7 });
        assert!(of("learn = \"online\"").unwrap_err().next_step().unwrap().contains("\"every 50\""));
        let outliers = turn("algorithm = \"isolation_forest\"", Material::State);
        assert_eq!(outliers.unwrap(), Turn::WholeState { every: 50 });
    }

    #[test]
    fn clusters_of_a_state_learn_as_they_do() {
        let of = |text: &str| turn(text, Material::State);
        assert_eq!(of("algorithm = \"kmeans\"\nlearn = \"every 7\"").unwrap(), Turn::WholeState { every: 7 });
        assert_eq!(of("algorithm = \"minibatch_kmeans\"\nlearn = \"online\"").unwrap(), Turn::EveryBatch);
        for text in [
            "algorithm = \"kmeans\"\nlearn = \"every 7\"\nevery = 7",
            "algorithm = \"kmeans\"\nlearn = \"online\"",
            "algorithm = \"minibatch_kmeans\"\nlearn = \"refit\"",
            "algorithm = \"online_kmeans\"\nlearn = \"every 2\"",
        ] {
            assert!(of(text).is_err(), "{text}");
        }
    }
}
