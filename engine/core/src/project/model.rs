//! One `[[models]]` entry of a job: what learns, from what, and how it is scored.
//!
//! Keys that every model has are fields here. All others are the algorithm's own parameters, which `tidemill-ml` names,
//! explains and checks: a new parameter there is one here.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tidemill_ml::{ALGORITHMS, Algorithm, Estimator, Material, Pipeline, PipelineStep, Task};

use super::gate::GateConfig;
use super::key_error::line_of;
use super::state::SCORED_KEYS;
use super::target::{self, TaskKey};
use super::turn::{EVERY, Turn};
use crate::error::{Error, Result, nearest};

/// Keys of every model, for the error that names the nearest one.
const COMMON: [&str; 13] = [
    "name",
    "algorithm",
    "features",
    "target",
    "task",
    "classes",
    "positive",
    "learn",
    "steps",
    "seed",
    "evaluate",
    "gate",
    "keep",
];

/// One `[[models]]` entry. It is kept in every plan, since it decides what is learned from the batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
    /// The model's name, as in the metrics.
    pub name: String,
    /// Which algorithm learns.
    pub algorithm: Algorithm,
    /// Path of the row-wise SELECT over the committed rows that makes the label and the features.
    pub features: String,
    /// `target`, or `label` as it was called: the column of `features` that is to be predicted; a k-means has none.
    #[serde(rename = "target", alias = "label", skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Whether that is a class or a number, for algorithms that learn both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskKey>,
    /// The classes, or that all values are: more than the two that are met first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Value>,
    /// Of two classes the one that is looked for, as the label has it; without it the greater.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positive: Option<Value>,
    /// What is done to the features before the algorithm: names of steps, or tables of a name, columns and settings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Value>,
    /// When it learns, and from what; without it on all rows, after every batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learn: Option<String>,
    /// Seed of every random choice.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// How the model is scored.
    #[serde(default)]
    pub evaluate: Evaluate,
    /// What a new model has to be worth to be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateConfig>,
    /// Versions whose files are kept, beside those in use and those that have an alias or a tag.
    #[serde(default = "default_keep", skip_serializing_if = "is_default_keep")]
    pub keep: u64,
    /// The algorithm's parameters, those that are not left at their defaults.
    #[serde(flatten)]
    pub parameters: Map<String, Value>,
}

fn default_seed() -> u64 {
    42
}

fn default_keep() -> u64 {
    10
}

fn is_default_keep(keep: &u64) -> bool {
    *keep == default_keep()
}

/// What a model is trained by, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct Training {
    /// The algorithm with its parameters.
    pub estimator: Estimator,
    /// Whether it learns from every batch, or from the whole state every so many batches.
    pub turn: Turn,
}

/// How a model is scored at each batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Evaluate {
    /// Share of the rows that no model ever trains on, in [0, 1).
    pub holdout: f64,
    /// Columns whose hash decides whether a row is held out; the split never moves.
    pub holdout_key: Vec<String>,
    /// Score the last model on the new batch before it learns from it.
    pub prequential: bool,
}

impl Default for Evaluate {
    fn default() -> Self {
        Evaluate {
            holdout: 0.3,
            holdout_key: ["_topic", "_partition", "_offset"].map(String::from).to_vec(),
            prequential: true,
        }
    }
}

impl ModelConfig {
    /// Checks what the model is trained by, of a job with this text.
    ///
    /// # Errors
    /// User: as [`Self::training`], with the line of the key that it names.
    pub(super) fn check_training(&self, material: Material, text: &str) -> Result<()> {
        let named = |error: Error| {
            let message = error.to_string();
            let named = self.parameters.keys().find(|key| message.contains(&format!("`{key}`")));
            match named.and_then(|key| line_of(text, key)) {
                Some(line) => error.context(format!("line {line}")),
                None => error,
            }
        };
        self.training(material).map(drop).map_err(named)
    }

    /// What the model is trained by, with its parameters, checked.
    ///
    /// # Errors
    /// User: an algorithm that does not learn from this, a key that is no parameter of the algorithm (the nearest is named),
    /// a value out of range.
    pub fn training(&self, material: Material) -> Result<Training> {
        let (info, name) = (self.algorithm.info(), self.algorithm.name());
        if !info.learns_from(material) {
            return Err(match material {
                Material::Rows => {
                    self.refused(format!("{name} learns from a state, which the job does not keep"))
                }
                Material::State => self
                    .refused(format!("{name} cannot learn from a state"))
                    .hint(format!("the models of a stateful job are {}", names_for(material).join(", "))),
            });
        }
        self.check_target()?;
        // Clusters and outliers of a state are scored on a sample of it.
        let holds_out = material == Material::Rows || self.label.is_some();
        if holds_out {
            self.check_evaluate()?;
        }
        if let Some(gate) = &self.gate {
            gate.check(self.task(), self.target_kind())
                .map_err(|error| error.context(format!("model `{}`", self.name)))?;
            if holds_out && self.evaluate.holdout == 0.0 {
                return Err(self.refused("a gate compares models on held-out rows: evaluate.holdout is 0"));
            }
            if material == Material::State && gate.min_rows > SCORED_KEYS as u64 {
                let what = format!(
                    "gate.min_rows is {}: models of a state are compared on {SCORED_KEYS} keys",
                    gate.min_rows
                );
                return Err(self.refused(what));
            }
        }
        if self.keep == 0 {
            return Err(self.refused("`keep` is at least 1 version"));
        }
        let mut parameters = self.parameters.clone();
        let turn = self.turn(material, &mut parameters)?;
        let estimator = self.estimator(material, parameters)?;
        let steps = self.pipeline_steps()?;
        if !steps.is_empty() && material == Material::State && self.task() == Task::Cluster {
            return Err(self
                .refused("the clusters of a state take no `steps`")
                .hint("they standardise by themselves; other models of a state take steps"));
        }
        self.check_online(turn, &steps)?;
        let estimator = match steps.is_empty() {
            true => estimator,
            false => Pipeline::new(steps, estimator).into(),
        };
        estimator.validate().map_err(|error| self.refused(error.to_string()))?;
        Ok(Training { estimator, turn })
    }

    /// What is done to the features before the algorithm.
    ///
    /// # Errors
    /// User: a step that there is not, a key or value that is none of its own; the nearest is named.
    pub(crate) fn pipeline_steps(&self) -> Result<Vec<PipelineStep>> {
        PipelineStep::read_all(&self.steps).map_err(|error| self.refused(error))
    }

    pub(super) fn refused(&self, message: impl std::fmt::Display) -> Error {
        Error::user(format!("model `{}`: {message}", self.name))
    }

    fn check_evaluate(&self) -> Result<()> {
        let Evaluate { holdout, holdout_key, .. } = &self.evaluate;
        if !(0.0..1.0).contains(holdout) {
            return Err(self.refused(format!("evaluate.holdout is a share in [0, 1), not {holdout}")));
        }
        if *holdout > 0.0 && holdout_key.is_empty() {
            return Err(self.refused("evaluate.holdout_key names no column"));
        }
        Ok(())
    }

    /// The algorithm with its parameters, as `tidemill-ml` reads them.
    fn estimator(&self, material: Material, parameters: Map<String, Value>) -> Result<Estimator> {
        let defaults = self.algorithm.write_defaults(material, serde_json::value::Serializer);
        let defaults = defaults.map_err(|e| Error::internal(e.to_string()))?;
        let known = defaults.as_object().into_iter().flat_map(Map::keys).map(String::as_str);
        let known: Vec<&str> = known.chain(self.has_turns(material).then_some(EVERY.0)).collect();
        if let Some(key) = parameters.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(self.unknown_key(key, &known));
        }
        let read = |parameters| self.algorithm.read(material, Value::Object(parameters));
        // One key alone: serde does not say whose value has the wrong type.
        for (key, value) in &parameters {
            read(Map::from_iter([(key.clone(), value.clone())]))
                .map_err(|error| self.refused(format!("`{key}`: {error}")))?;
        }
        read(parameters).map_err(|error| self.refused(error))
    }

    fn unknown_key(&self, key: &str, known: &[&str]) -> Error {
        let algorithm = self.algorithm.name();
        let all = format!("{algorithm} has: {}", known.join(", "));
        let hint = match nearest(key, known.iter().chain(&COMMON).copied()) {
            Some(near) => format!("did you mean `{near}`? {all}"),
            None => all,
        };
        self.refused(format!("unknown key `{key}`: it is no parameter of {algorithm}")).hint(hint)
    }
}

/// Names of the algorithms that learn from this.
fn names_for(material: Material) -> Vec<&'static str> {
    ALGORITHMS.iter().filter(|of| of.learns_from(material)).map(|of| of.name).collect()
}

/// Checks that the models of a job file name algorithms that there are, and each its target once.
///
/// # Errors
/// User: one does not; the nearest is named.
pub(super) fn check_algorithms(file: &toml::Table) -> Result<()> {
    let models = file.get("models").and_then(toml::Value::as_array).into_iter().flatten();
    for model in models {
        target::check_names(model)?;
        let text = |key: &str| model.get(key).and_then(toml::Value::as_str);
        let Some(name) = text("algorithm").filter(|name| name.parse::<Algorithm>().is_err()) else {
            continue;
        };
        let error = Error::unknown("algorithm", name, &ALGORITHMS.map(|of| of.name));
        return Err(error.context(format!("model `{}`", text("name").unwrap_or_default())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tidemill_ml::{ClusterStreamParams, OnlineKMeansParams, RandomForestParams, StreamLearner};

    use super::*;

    fn model(text: &str) -> ModelConfig {
        toml::from_str(&format!("name = \"m\"\nfeatures = \"f.sql\"\n{text}")).unwrap()
    }

    #[test]
    fn parameters_are_those_of_the_algorithm() {
        let config = model("algorithm = \"random_forest\"\nlabel = \"y\"\ntrees = 7\nmax_features = 0.25");
        let forest = RandomForestParams { trees: 7, max_features: 0.25, ..RandomForestParams::default() };
        let found = config.training(Material::Rows).unwrap();
        assert_eq!((found.estimator, found.turn), (forest.into(), Turn::EveryBatch));
        // A plan keeps them beside the other keys, as the job file does.
        let json = serde_json::to_value(&config).unwrap();
        assert_eq!((&json["trees"], &json["target"]), (&7.into(), &"y".into()));
        assert_eq!(serde_json::from_value::<ModelConfig>(json.clone()).unwrap(), config);
        // Plans of earlier versions call the target its label.
        let mut earlier = json;
        let target = earlier.as_object_mut().unwrap().remove("target").unwrap();
        earlier["label"] = target;
        assert_eq!(serde_json::from_value::<ModelConfig>(earlier).unwrap(), config);
    }

    #[test]
    fn steps_are_done_before_the_algorithm_and_kept_in_the_plan() {
        let tree = "algorithm = \"sgd_classifier\"\ntarget = \"y\"\n";
        let of = |steps: &str| model(&format!("{tree}{steps}"));
        let config =
            of("steps = [\"standard\", { step = \"impute\", columns = [\"a\"], strategy = \"median\" }]");
        assert!(matches!(config.training(Material::Rows).unwrap().estimator, Estimator::Pipeline(_)));
        let json = serde_json::to_value(&config).unwrap();
        assert_eq!(serde_json::from_value::<ModelConfig>(json).unwrap(), config);
        for (steps, expected) in [
            ("steps = [\"standard\", \"standrad\"]", "did you mean `standard`?"),
            ("steps = [{ step = \"impute\", column = [\"a\"] }]", "`column`"),
            ("steps = [{ step = \"cap\", reach = -1.0 }]", "step 1"),
            (
                "steps = [\"one_hot\"]\nlearn = \"online\"",
                "step 1, one_hot, does not learn from new rows alone",
            ),
        ] {
            let error = of(steps).training(Material::Rows).unwrap_err().to_string();
            assert!(error.contains("model `m`") && error.contains(expected), "{steps}: {error}");
        }
        let online = of("steps = [\"standard\", \"cap\"]\nlearn = \"online\"");
        assert_eq!(online.training(Material::Rows).unwrap().turn, Turn::Online);
        assert!(
            model("algorithm = \"minibatch_kmeans\"\nsteps = [\"standard\"]")
                .training(Material::State)
                .is_err()
        );
    }

    #[test]
    fn a_wrong_parameter_is_named_with_what_would_be_right() {
        let of = |text: &str| model(text).training(Material::Rows).unwrap_err();
        let forest = "algorithm = \"random_forest\"\nlabel = \"y\"\n";
        let error = of(&format!("{forest}tress = 3"));
        assert!(error.to_string().contains("unknown key `tress`"), "{error}");
        assert!(error.next_step().unwrap().contains("did you mean `trees`?"), "{error:?}");
        let error = of("algorithm = \"random_forest\"\ntargt = \"y\"\nlabel = \"y\"");
        assert!(error.next_step().unwrap().contains("did you mean `target`?"), "{error:?}");
        let error = of(&format!("{forest}trees = \"many\"")).to_string();
        assert!(error.contains("`trees`: invalid type"), "{error}");
        let error = of(&format!("{forest}alpha = 1.0")).to_string();
        assert!(error.contains("no parameter of random_forest"), "{error}");
    }

    #[test]
    fn an_unknown_algorithm_is_answered_with_the_nearest() {
        let file = |name: &str| {
            toml::from_str(&format!("[[models]]\nname = \"m\"\nalgorithm = \"{name}\"")).unwrap()
        };
        assert!(check_algorithms(&file("kmeans")).is_ok());
        let error = check_algorithms(&file("random_forst")).unwrap_err();
        assert!(error.to_string().contains("model `m`: there is no algorithm `random_forst`"), "{error}");
        let hint = error.next_step().unwrap();
        assert!(hint.contains("did you mean `random_forest`?") && hint.contains("online_kmeans"), "{hint}");
    }

    fn of_state(text: &str) -> Result<Training> {
        model(text).training(Material::State)
    }

    fn stream(training: Training) -> ClusterStreamParams {
        let Estimator::ClusterStream(params) = training.estimator else { panic!("clusters of a state") };
        params
    }

    #[test]
    fn parameters_reach_the_clusters_of_a_state() {
        let found =
            of_state("algorithm = \"online_kmeans\"\nclusters = 4\nhalflife = 0.4\nhalf_life_batches = 9");
        let found = found.unwrap();
        assert_eq!(found.turn, Turn::EveryBatch);
        let params = stream(found);
        let learner = OnlineKMeansParams { clusters: 4, halflife: 0.4 };
        assert_eq!(params.learner, StreamLearner::OnlineKmeans(learner));
        assert_eq!(params.half_life_batches, Some(9.0));
        let found = of_state("algorithm = \"kmeans\"\nclusters = 3\nevery = 20").unwrap();
        let turn = found.turn;
        assert_eq!((stream(found).clusters(), turn), (3, Turn::WholeState { every: 20 }));
        for (algorithm, backend, weights) in
            [("minibatch_kmeans", "linfa", true), ("kmeans", "linfa", false), ("kmeans", "tidemill", true)]
        {
            let text = format!("algorithm = \"{algorithm}\"\nbackend = \"{backend}\"");
            assert_eq!(stream(of_state(&text).unwrap()).takes_weights(), weights, "{text}");
        }
        // Batches 0 to 2 have too few keys.
        let turns: Vec<u64> = (0..45).filter(|&batch| turn.is_whole(batch, batch > 3)).collect();
        assert_eq!(turns, [0, 1, 2, 3, 19, 39]);
        assert!(!Turn::EveryBatch.is_whole(0, false));
    }

    #[test]
    fn what_a_state_cannot_teach_is_refused() {
        for text in [
            "algorithm = \"random_forest\"",
            "algorithm = \"random_forest\"\nlabel = \"y\"\nevery = 3",
            "algorithm = \"random_forest\"\nlabel = \"y\"\nevaluate = { holdout = 1.0 }",
            "algorithm = \"sgd_classifier\"\nlabel = \"y\"\nlearn = \"online\"",
            "algorithm = \"minibatch_kmeans\"\nlabel = \"y\"",
            "algorithm = \"minibatch_kmeans\"\nclusters = 0",
            "algorithm = \"minibatch_kmeans\"\nhalf_life_batches = 0",
            "algorithm = \"minibatch_kmeans\"\nevery = 3",
            "algorithm = \"online_kmeans\"\nhalflife = 2",
            "algorithm = \"kmeans\"\nevery = 0",
        ] {
            assert!(of_state(text).is_err(), "{text}");
        }
        let error = of_state("algorithm = \"minibatch_kmeans\"\nhalf_life_batch = 3").unwrap_err();
        assert!(error.next_step().unwrap().contains("`half_life_batches`"), "{error:?}");
        let error = of_state("algorithm = \"kmeans\"\nevry = 3").unwrap_err();
        assert!(error.next_step().unwrap().contains("did you mean `every`?"), "{error:?}");
        assert!(model("algorithm = \"kmeans\"\nevery = 3").training(Material::Rows).is_err());
    }

    /// The rows of the table of algorithms in jobs/README.md: an algorithm and all that is said of it.
    fn documented() -> Vec<(&'static str, String)> {
        let text = include_str!("../../../../jobs/README.md");
        let table = text.lines().skip_while(|line| !line.starts_with("| algorithm | parameters")).skip(2);
        let mut rows: Vec<(&str, String)> = Vec::new();
        for line in table.take_while(|line| line.starts_with('|')) {
            let cells: Vec<&str> = line.splitn(3, '|').map(str::trim).collect();
            match cells[1] {
                "" => rows.last_mut().unwrap().1.push_str(cells[2]),
                name => rows.push((name.trim_matches('`'), cells[2].to_owned())),
            }
        }
        rows
    }

    #[test]
    fn the_table_of_algorithms_is_that_of_the_list() {
        let rows = documented();
        let names: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ALGORITHMS.map(|of| of.name));
        for ((name, text), of) in rows.iter().zip(&ALGORITHMS) {
            let mut known = Map::from_iter([(EVERY.0.to_owned(), Value::from(EVERY.1))]);
            for &material in of.materials {
                let defaults = of.algorithm.write_defaults(material, serde_json::value::Serializer).unwrap();
                known.extend(defaults.as_object().unwrap().clone());
            }
            let settings =
                text.split('`').skip(1).step_by(2).filter(|code| {
                    code.contains(" = ") && code.starts_with(|c: char| c.is_ascii_lowercase())
                });
            let mut found = 0;
            for setting in settings {
                let setting: Map<String, Value> = toml::from_str(setting).unwrap();
                for (key, value) in setting {
                    assert_eq!(known.get(&key), Some(&value), "{name}: {key}");
                    found += 1;
                }
            }
            assert!(found > 0, "{name}");
            let has_all = known.keys().all(|key| text.contains(&format!("`{key}")) || key == EVERY.0);
            assert!(has_all || text.contains("those "), "{name}: {known:?}");
        }
    }
}
