//! The job file as written: every key it may have, and nothing else.

use serde::{Deserialize, Serialize};

/// A stream job's TOML.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobFile {
    /// One line that says what the job is.
    #[serde(default)]
    pub description: String,
    pub source: SourceFile,
    #[serde(default)]
    pub trigger: TriggerFile,
    pub table: TableFile,
    #[serde(default)]
    pub models: Vec<ModelConfig>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceFile {
    pub kafka: KafkaFile,
    pub format: Format,
    pub schema: String,
    #[serde(default)]
    pub starting_offsets: StartingOffsets,
    pub max_offsets_per_trigger: Option<u64>,
    #[serde(default)]
    pub fail_on_data_loss: FailOnDataLoss,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KafkaFile {
    pub bootstrap_servers: String,
    pub subscribe: String,
    /// librdkafka properties (security and tuning), passed on as they are.
    #[serde(default)]
    pub options: std::collections::BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    Json,
}

/// Where a partition without a committed offset begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartingOffsets {
    /// At the oldest message there is.
    #[default]
    Earliest,
    /// At the end, as it is when the job first starts; partitions that appear later begin at their oldest message.
    Latest,
}

/// What happens when rows between the last commit and now are gone from the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailOnDataLoss {
    /// The stream stops with an error.
    #[default]
    Fail,
    /// The stream goes on and says nothing in the tables (a warning in the log).
    Ignore,
    /// The stream goes on and the lost range is a row of `system.data_loss`.
    Record,
}

impl<'de> Deserialize<'de> for FailOnDataLoss {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Flag(bool),
            Word(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Flag(true) => Ok(FailOnDataLoss::Fail),
            Written::Flag(false) => Ok(FailOnDataLoss::Ignore),
            Written::Word(word) => match word.as_str() {
                "record" => Ok(FailOnDataLoss::Record),
                "fail" => Ok(FailOnDataLoss::Fail),
                "ignore" => Ok(FailOnDataLoss::Ignore),
                other => Err(serde::de::Error::custom(format!(
                    "fail_on_data_loss is true, false or \"record\", not \"{other}\""
                ))),
            },
        }
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TriggerFile {
    pub processing_time: Option<String>,
    pub available_now: Option<bool>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TableFile {
    pub path: String,
    pub transform: Option<String>,
}

/// One `[[models]]` entry. It is kept in every plan, since it decides what is learned from the batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    /// random_forest: number of trees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trees: Option<u32>,
    /// random_forest, decision_tree: greatest depth of a tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_depth: Option<u32>,
    /// random_forest, decision_tree: share of the features tried at a split, in (0, 1].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_features: Option<f64>,
    /// random_forest, decision_tree: fewest rows in a leaf.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_samples_leaf: Option<u32>,
    /// logistic_regression: strength of the L2 penalty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// logistic_regression, kmeans: most iterations of the solver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_iterations: Option<u64>,
    /// kmeans: number of clusters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clusters: Option<u32>,
    /// kmeans: runs from other first centres, of which the best is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarts: Option<u32>,
}

fn default_seed() -> u64 {
    42
}

/// The algorithms that a model may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlgorithmName {
    /// linfa-logistic on densely encoded features.
    LogisticRegression,
    /// The engine's histogram tree.
    DecisionTree,
    /// The engine's histogram forest.
    RandomForest,
    /// linfa-clustering on standardised numeric features.
    Kmeans,
}

impl AlgorithmName {
    /// The name as the job file writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            AlgorithmName::LogisticRegression => "logistic_regression",
            AlgorithmName::DecisionTree => "decision_tree",
            AlgorithmName::RandomForest => "random_forest",
            AlgorithmName::Kmeans => "kmeans",
        }
    }
}

/// What a model is trained by.
#[derive(Debug, Clone, PartialEq)]
pub enum Training {
    /// Predicts a label.
    Classifier(tidemill_ml::Algorithm),
    /// Groups rows.
    Clusters(tidemill_ml::KMeansParams),
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
    /// A sentence that names the wrong key: a parameter of another algorithm, or a value out of range.
    pub fn training(&self) -> Result<Training, String> {
        use AlgorithmName::{DecisionTree, Kmeans, LogisticRegression, RandomForest};
        let refuse = |message: String| Err(format!("model `{}`: {message}", self.name));
        let parameters: [(&str, bool, &[AlgorithmName]); 8] = [
            ("trees", self.trees.is_some(), &[RandomForest]),
            ("max_depth", self.max_depth.is_some(), &[RandomForest, DecisionTree]),
            ("max_features", self.max_features.is_some(), &[RandomForest, DecisionTree]),
            ("min_samples_leaf", self.min_samples_leaf.is_some(), &[RandomForest, DecisionTree]),
            ("alpha", self.alpha.is_some(), &[LogisticRegression]),
            ("max_iterations", self.max_iterations.is_some(), &[LogisticRegression, Kmeans]),
            ("clusters", self.clusters.is_some(), &[Kmeans]),
            ("restarts", self.restarts.is_some(), &[Kmeans]),
        ];
        if let Some((key, ..)) = parameters.iter().find(|(_, set, of)| *set && !of.contains(&self.algorithm))
        {
            return refuse(format!("`{key}` is not a parameter of {}", self.algorithm.as_str()));
        }
        match (self.algorithm == Kmeans, &self.label) {
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
        let (training, valid) = self.parameters();
        valid.map_err(|e| format!("model `{}`: {e}", self.name))?;
        Ok(training)
    }

    fn parameters(&self) -> (Training, Result<(), tidemill_ml::Error>) {
        use tidemill_ml::{
            Algorithm, DecisionTreeParams, KMeansParams, LogisticRegressionParams, RandomForestParams,
        };
        match self.algorithm {
            AlgorithmName::LogisticRegression => {
                let mut params = LogisticRegressionParams::default();
                params.alpha = self.alpha.unwrap_or(params.alpha);
                params.max_iterations = self.max_iterations.unwrap_or(params.max_iterations);
                let valid = params.validate();
                (Training::Classifier(Algorithm::LogisticRegression(params)), valid)
            }
            AlgorithmName::DecisionTree => {
                let mut params = DecisionTreeParams::default();
                params.max_depth = self.max_depth.unwrap_or(params.max_depth);
                params.max_features = self.max_features.unwrap_or(params.max_features);
                params.min_samples_leaf = self.min_samples_leaf.unwrap_or(params.min_samples_leaf);
                let valid = params.validate();
                (Training::Classifier(Algorithm::DecisionTree(params)), valid)
            }
            AlgorithmName::RandomForest => {
                let mut params = RandomForestParams::default();
                params.trees = self.trees.unwrap_or(params.trees);
                params.max_depth = self.max_depth.unwrap_or(params.max_depth);
                params.max_features = self.max_features.unwrap_or(params.max_features);
                params.min_samples_leaf = self.min_samples_leaf.unwrap_or(params.min_samples_leaf);
                let valid = params.validate();
                (Training::Classifier(Algorithm::RandomForest(params)), valid)
            }
            AlgorithmName::Kmeans => {
                let mut params = KMeansParams::default();
                params.clusters = self.clusters.unwrap_or(params.clusters);
                params.restarts = self.restarts.unwrap_or(params.restarts);
                if let Some(most) = self.max_iterations {
                    params.max_iterations = u32::try_from(most).unwrap_or(u32::MAX);
                }
                let valid = params.validate();
                (Training::Clusters(params), valid)
            }
        }
    }
}
