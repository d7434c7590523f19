//! Every algorithm that there is: one list, which job files, help and errors read, and one place that tells their
//! settings apart.

use crate::cluster::{MiniBatchOfState, OnlineOfState, WholeOfState};
use crate::{
    DecisionTreeParams, Error, Estimator, GradientBoostingParams, IsolationForestParams, KMeansParams,
    LinearRegressionParams, LogisticRegressionParams, RandomForestParams, SgdClassifierParams, TargetKind,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a model is for.
///
/// ```
/// use tidemill_ml::{ALGORITHMS, Task};
///
/// let mut clusterings = ALGORITHMS.iter().filter(|of| of.is_for(Task::Cluster)).map(|of| of.name);
/// assert_eq!(clusterings.next(), Some("kmeans"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Task {
    /// Tells which class a row is of.
    Classify,
    /// Tells a number of a row.
    Regress,
    /// Groups rows that are alike.
    Cluster,
    /// Tells how far a row is apart from the others.
    Outlier,
}

/// What a model learns from.
///
/// ```
/// use tidemill_ml::{Algorithm, Material};
///
/// assert!(!Algorithm::OnlineKmeans.info().learns_from(Material::Rows));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Material {
    /// Rows that stay as they are: all of them are at hand at each fit.
    Rows,
    /// Rows that change, of which some are seen at a time.
    State,
}

/// The name of an algorithm, as job files have it.
///
/// ```
/// use tidemill_ml::Algorithm;
///
/// assert_eq!("random_forest".parse(), Ok(Algorithm::RandomForest));
/// assert_eq!(Algorithm::RandomForest.name(), "random_forest");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    // In the order of `ALGORITHMS`.
    /// Logistic regression with its encoders.
    LogisticRegression,
    /// Linear regression with its encoders.
    LinearRegression,
    /// A histogram tree.
    DecisionTree,
    /// A histogram forest.
    RandomForest,
    /// Gradient boosting of histogram trees.
    GradientBoosting,
    /// Logistic regression by stochastic gradient descent.
    SgdClassifier,
    /// K-means on standardised numeric features.
    Kmeans,
    /// Mini-batch k-means over a state.
    MinibatchKmeans,
    /// River's sequential k-means over a state.
    OnlineKmeans,
    /// An isolation forest.
    IsolationForest,
}

/// One line of [`ALGORITHMS`].
///
/// ```
/// let forest = tidemill_ml::Algorithm::RandomForest.info();
/// assert_eq!(forest.name, "random_forest");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct AlgorithmInfo {
    /// Which one it is.
    pub algorithm: Algorithm,
    /// Its name in job files, records and metrics.
    pub name: &'static str,
    /// What it can learn to predict.
    pub targets: &'static [TargetKind],
    /// What it can learn from.
    pub materials: &'static [Material],
    /// Whether it can learn from new rows alone.
    pub learns_online: bool,
    /// What it is, in a few words.
    pub summary: &'static str,
}

impl AlgorithmInfo {
    /// Whether it can learn to predict this.
    pub fn learns(&self, target: TargetKind) -> bool {
        self.targets.contains(&target)
    }

    /// Whether there are models of it for this.
    pub fn is_for(&self, task: Task) -> bool {
        self.targets.iter().any(|target| self.task(*target) == task)
    }

    /// What a model of it is for that learns this.
    pub fn task(&self, target: TargetKind) -> Task {
        match (self.algorithm, target) {
            (Algorithm::IsolationForest, _) => Task::Outlier,
            (_, target) => target.task(),
        }
    }

    /// Whether it can learn from this.
    pub fn learns_from(&self, material: Material) -> bool {
        self.materials.contains(&material)
    }
}

const fn of(
    algorithm: Algorithm,
    name: &'static str,
    targets: &'static [TargetKind],
    materials: &'static [Material],
    summary: &'static str,
) -> AlgorithmInfo {
    AlgorithmInfo { algorithm, name, targets, materials, learns_online: false, summary }
}

const fn online(info: AlgorithmInfo) -> AlgorithmInfo {
    AlgorithmInfo { learns_online: true, ..info }
}

const NONE: &[TargetKind] = &[TargetKind::None];
const BINARY: &[TargetKind] = &[TargetKind::Binary];
const CLASSES: &[TargetKind] = &[TargetKind::Binary, TargetKind::Classes];
const NUMBERS: &[TargetKind] = &[TargetKind::Numbers];
const ALL: &[TargetKind] = &[TargetKind::Binary, TargetKind::Classes, TargetKind::Numbers];

const STATE: &[Material] = &[Material::State];
const BOTH: &[Material] = &[Material::Rows, Material::State];

/// Every algorithm that a model may name.
///
/// ```
/// use tidemill_ml::{ALGORITHMS, Material};
///
/// let names: Vec<&str> =
///     ALGORITHMS.iter().filter(|of| of.learns_from(Material::State)).map(|of| of.name).collect();
/// assert!(names.contains(&"online_kmeans") && names.contains(&"random_forest"));
/// ```
pub const ALGORITHMS: [AlgorithmInfo; 10] = {
    use Algorithm::*;
    [
        of(LogisticRegression, "logistic_regression", CLASSES, BOTH, "a linear model of the log-odds"),
        of(LinearRegression, "linear_regression", NUMBERS, BOTH, "a linear model of a number"),
        of(DecisionTree, "decision_tree", ALL, BOTH, "one tree over histograms"),
        of(RandomForest, "random_forest", ALL, BOTH, "trees of drawn rows, which vote"),
        of(GradientBoosting, "gradient_boosting", ALL, BOTH, "trees that mend those before them"),
        online(of(SgdClassifier, "sgd_classifier", BINARY, BOTH, "a linear model that learns row by row")),
        of(Kmeans, "kmeans", NONE, BOTH, "centres of all rows"),
        online(of(MinibatchKmeans, "minibatch_kmeans", NONE, STATE, "centres moved by each batch")),
        online(of(OnlineKmeans, "online_kmeans", NONE, STATE, "centres moved by each row, as River's")),
        of(
            IsolationForest,
            "isolation_forest",
            NONE,
            BOTH,
            "trees of random splits, which outliers leave early",
        ),
    ]
};

/// Runs a body with `$params` standing for the type of an algorithm's settings as a job file writes them: the one place
/// that tells the algorithms apart.
macro_rules! with_params {
    ($algorithm:expr, $material:expr, $params:ident => $body:expr) => {{
        macro_rules! of {
            ($type:ty) => {{
                type $params = $type;
                $body
            }};
        }
        match ($algorithm, $material) {
            (Algorithm::LogisticRegression, _) => of!(LogisticRegressionParams),
            (Algorithm::LinearRegression, _) => of!(LinearRegressionParams),
            (Algorithm::DecisionTree, _) => of!(DecisionTreeParams),
            (Algorithm::RandomForest, _) => of!(RandomForestParams),
            (Algorithm::GradientBoosting, _) => of!(GradientBoostingParams),
            (Algorithm::SgdClassifier, _) => of!(SgdClassifierParams),
            (Algorithm::Kmeans, Material::Rows) => of!(KMeansParams),
            (Algorithm::Kmeans, Material::State) => of!(WholeOfState),
            (Algorithm::MinibatchKmeans, _) => of!(MiniBatchOfState),
            (Algorithm::OnlineKmeans, _) => of!(OnlineOfState),
            (Algorithm::IsolationForest, _) => of!(IsolationForestParams),
        }
    }};
}

impl Algorithm {
    /// Its line of the list.
    pub fn info(self) -> &'static AlgorithmInfo {
        const LIST: &[AlgorithmInfo; 10] = &ALGORITHMS;
        &LIST[self as usize]
    }

    /// Its name in job files, records and metrics.
    pub fn name(self) -> &'static str {
        self.info().name
    }

    /// Reads its settings for what it learns from; what is not there has its default, and other keys are an error.
    /// Values are not checked: that is [`Estimator::validate`]'s.
    ///
    /// # Errors
    ///
    /// The format's: an unknown key, a value of another type.
    pub fn read<'de, D: Deserializer<'de>>(
        self,
        material: Material,
        settings: D,
    ) -> Result<Estimator, D::Error> {
        with_params!(self, material, Params => Params::deserialize(settings).map(Estimator::from))
    }

    /// Writes its settings, all with their defaults: the keys that [`read`](Algorithm::read) knows.
    ///
    /// # Errors
    ///
    /// The format's.
    pub fn write_defaults<S: Serializer>(self, material: Material, to: S) -> Result<S::Ok, S::Error> {
        with_params!(self, material, Params => Params::default().serialize(to))
    }
}

impl std::str::FromStr for Algorithm {
    type Err = Error;

    /// # Errors
    ///
    /// [`Error::NoSuchAlgorithm`].
    fn from_str(name: &str) -> Result<Algorithm, Error> {
        let found = ALGORITHMS.iter().find(|of| of.name == name);
        found.map(|of| of.algorithm).ok_or_else(|| Error::NoSuchAlgorithm { name: name.to_owned() })
    }
}

impl Serialize for Algorithm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Algorithm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Algorithm, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_algorithm_is_its_line_of_the_list_and_reads_what_it_writes() {
        for (at, of) in ALGORITHMS.iter().enumerate() {
            assert_eq!((of.algorithm as usize, of.algorithm.name()), (at, of.name));
            assert_eq!(of.name.parse(), Ok(of.algorithm));
            for &material in of.materials {
                let defaults = of.algorithm.write_defaults(material, serde_json::value::Serializer).unwrap();
                let estimator = of.algorithm.read(material, &defaults).unwrap();
                assert_eq!(estimator, of.algorithm.read(material, serde_json::json!({})).unwrap());
                assert_eq!((estimator.targets(), estimator.validate()), (of.targets, Ok(())), "{}", of.name);
                assert_eq!(
                    (estimator.algorithm(), estimator.learns_online()),
                    (of.algorithm, of.learns_online)
                );
                assert!(of.algorithm.read(material, serde_json::json!({ "tress": 1 })).is_err());
            }
        }
        let error = "random_forst".parse::<Algorithm>().unwrap_err().to_string();
        assert!(error.contains("`random_forst`") && error.contains("random_forest"), "{error}");
    }
}
