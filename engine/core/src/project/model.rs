//! One `[[models]]` entry of a job: what learns, from what, and how it is scored.
//!
//! Keys that every model has are fields here. All others are the algorithm's own parameters, which `tidemill-ml` names,
//! explains and checks: a new parameter there is one here.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tidemill_ml::{Algorithm, KMeansParams};

use crate::error::nearest;
use crate::error::{Error, Result};

/// Keys of every model, for the error that names the nearest one.
const COMMON: [&str; 6] = ["name", "algorithm", "features", "label", "seed", "evaluate"];

/// One `[[models]]` entry. It is kept in every plan, since it decides what is learned from the batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
    /// The model's name, as in the metrics.
    pub name: String,
    /// Which algorithm learns.
    pub algorithm: AlgorithmName,
    /// Path of the row-wise SELECT over the committed rows that makes the label and the features.
    pub features: String,
    /// The column of `features` that is to be predicted; a k-means has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Seed of every random choice.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// How the model is scored.
    #[serde(default)]
    pub evaluate: Evaluate,
    /// The algorithm's parameters, those that are not left at their defaults.
    #[serde(flatten)]
    pub parameters: Map<String, Value>,
}

fn default_seed() -> u64 {
    42
}

/// The algorithms that a model may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlgorithmName {
    /// Logistic regression with its encoders.
    LogisticRegression,
    /// The engine's histogram tree.
    DecisionTree,
    /// The engine's histogram forest.
    RandomForest,
    /// The engine's gradient boosting of histogram trees.
    GradientBoosting,
    /// Logistic regression by stochastic gradient descent.
    SgdClassifier,
    /// K-means on standardised numeric features.
    Kmeans,
    /// Mini-batch k-means over a state.
    MinibatchKmeans,
    /// River's sequential k-means over a state.
    OnlineKmeans,
}

impl AlgorithmName {
    /// The name as the job file writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            AlgorithmName::LogisticRegression => "logistic_regression",
            AlgorithmName::DecisionTree => "decision_tree",
            AlgorithmName::RandomForest => "random_forest",
            AlgorithmName::GradientBoosting => "gradient_boosting",
            AlgorithmName::SgdClassifier => "sgd_classifier",
            AlgorithmName::Kmeans => "kmeans",
            AlgorithmName::MinibatchKmeans => "minibatch_kmeans",
            AlgorithmName::OnlineKmeans => "online_kmeans",
        }
    }
}

/// What a model is trained by.
#[derive(Debug, Clone, PartialEq)]
pub enum Training {
    /// Predicts a label.
    Classifier(Algorithm),
    /// Groups rows.
    Clusters(KMeansParams),
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
    /// What the model is trained by, with its parameters, checked.
    ///
    /// # Errors
    /// User: a key that is no parameter of the algorithm (the nearest is named), a value out of range.
    pub fn training(&self) -> Result<Training> {
        let refuse = |message: String| Err(Error::user(format!("model `{}`: {message}", self.name)));
        if let AlgorithmName::MinibatchKmeans | AlgorithmName::OnlineKmeans = self.algorithm {
            return refuse(format!(
                "{} learns from a state, which the job does not keep",
                self.algorithm.as_str()
            ));
        }
        match (self.algorithm == AlgorithmName::Kmeans, &self.label) {
            (true, Some(_)) => return refuse("`label` is not for kmeans, which predicts nothing".into()),
            (false, None) => return refuse("`label` is missing: the column that is to be predicted".into()),
            _ => {}
        }
        if !(0.0..1.0).contains(&self.evaluate.holdout) {
            return refuse(format!("evaluate.holdout is a share in [0, 1), not {}", self.evaluate.holdout));
        }
        if self.evaluate.holdout > 0.0 && self.evaluate.holdout_key.is_empty() {
            return refuse("evaluate.holdout_key names no column".into());
        }
        let classifier =
            |algorithm: Algorithm| algorithm.validate().map(|()| Training::Classifier(algorithm));
        let training = match self.algorithm {
            AlgorithmName::LogisticRegression => {
                classifier(Algorithm::LogisticRegression(self.parameters()?))
            }
            AlgorithmName::DecisionTree => classifier(Algorithm::DecisionTree(self.parameters()?)),
            AlgorithmName::RandomForest => classifier(Algorithm::RandomForest(self.parameters()?)),
            AlgorithmName::GradientBoosting => classifier(Algorithm::GradientBoosting(self.parameters()?)),
            AlgorithmName::SgdClassifier => classifier(Algorithm::SgdClassifier(self.parameters()?)),
            // The others of clusters were refused above.
            AlgorithmName::Kmeans | AlgorithmName::MinibatchKmeans | AlgorithmName::OnlineKmeans => {
                let params: KMeansParams = self.parameters()?;
                params.validate().map(|()| Training::Clusters(params))
            }
        };
        training.or_else(|error| refuse(error.to_string()))
    }

    /// The algorithm's parameters as its library reads them.
    pub(super) fn parameters<P: DeserializeOwned>(&self) -> Result<P> {
        let read = |parameters: &Map<String, Value>| P::deserialize(Value::Object(parameters.clone()));
        read(&self.parameters).map_err(|error| {
            // One key alone: serde does not say whose value has the wrong type.
            let alone = |(key, value): (&String, &Value)| {
                read(&Map::from_iter([(key.clone(), value.clone())])).err().map(|error| (key.clone(), error))
            };
            match self.parameters.iter().find_map(alone) {
                Some((key, error)) => self.wrong_key(&key, &error.to_string()),
                None => Error::user(format!("model `{}`: {error}", self.name)),
            }
        })
    }

    fn wrong_key(&self, key: &str, message: &str) -> Error {
        let algorithm = self.algorithm.as_str();
        if !message.starts_with("unknown field") {
            return Error::user(format!("model `{}`: `{key}`: {message}", self.name));
        }
        let parameters: Vec<&str> = message.split('`').skip(1).step_by(2).skip(1).collect();
        let known = format!("{algorithm} has: {}", parameters.join(", "));
        let hint = match nearest(key, parameters.iter().chain(&COMMON).copied()) {
            Some(near) => format!("did you mean `{near}`? {known}"),
            None => known,
        };
        Error::user(format!("model `{}`: unknown key `{key}`: it is no parameter of {algorithm}", self.name))
            .hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(text: &str) -> ModelConfig {
        toml::from_str(&format!("name = \"m\"\nfeatures = \"f.sql\"\n{text}")).unwrap()
    }

    #[test]
    fn parameters_are_those_of_the_algorithm() {
        let config = model("algorithm = \"random_forest\"\nlabel = \"y\"\ntrees = 7\nmax_features = 0.25");
        let Training::Classifier(Algorithm::RandomForest(params)) = config.training().unwrap() else {
            panic!("a forest")
        };
        assert_eq!((params.trees, params.max_features), (7, 0.25));
        // A plan keeps them beside the other keys, as the job file does.
        let json = serde_json::to_value(&config).unwrap();
        assert_eq!((&json["trees"], &json["label"]), (&7.into(), &"y".into()));
        assert_eq!(serde_json::from_value::<ModelConfig>(json).unwrap(), config);
    }

    #[test]
    fn a_wrong_parameter_is_named_with_what_would_be_right() {
        let of = |text: &str| model(text).training().unwrap_err();
        let forest = "algorithm = \"random_forest\"\nlabel = \"y\"\n";
        let error = of(&format!("{forest}tress = 3"));
        assert!(error.to_string().contains("unknown key `tress`"), "{error}");
        assert!(error.next_step().unwrap().contains("did you mean `trees`?"), "{error:?}");
        let error = of("algorithm = \"random_forest\"\nlable = \"y\"\nlabel = \"y\"");
        assert!(error.next_step().unwrap().contains("did you mean `label`?"), "{error:?}");
        let error = of(&format!("{forest}trees = \"many\"")).to_string();
        assert!(error.contains("`trees`: invalid type"), "{error}");
        let error = of(&format!("{forest}alpha = 1.0")).to_string();
        assert!(error.contains("no parameter of random_forest"), "{error}");
    }
}
