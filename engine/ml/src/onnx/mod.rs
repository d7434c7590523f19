//! A fitted model as a file of ONNX, which onnxruntime scores rows by.
//!
//! ```text
//! feature ──input──> [steps] ──columns──> scores | TreeEnsemble | distances ──link──> label, probabilities | variable | scores
//! ```
//!
//! | model | inputs | outputs |
//! | --- | --- | --- |
//! | classifier | one a feature, by its name: doubles rows × 1, or strings rows × 1 | `label`, rows: the number of the class, or its name; `probabilities`, doubles rows × classes |
//! | regression | the same | `variable`, doubles rows × 1 |
//! | clustering | the same | `label`, rows: the number of the cluster, -1 for a row with a missing value; `scores`, doubles rows × clusters: the distance to each centre |
//! | isolation forest | the same | `label`, rows: -1 for an outlier, 1 for others; `scores`, doubles rows × 1: how far apart a row is, 0 to 1 |
//!
//! The names are those of skl2onnx. A missing number is NaN, as is an infinity; a missing text is the empty one. Of two
//! classes the label is 1 where the probability is above one half. Where a step or a model refuses a row (PCA one with a
//! missing value), a graph cannot: its columns are NaN then.
//!
//! Everything is computed in doubles: numbers by the core operators, trees by `TreeEnsemble` of `ai.onnx.ml` 5, which
//! compares doubles with doubles. Its predecessors give float32, which is 24 bits: an x of 1.9 million feet is then known
//! to an eighth of a foot, and rows near an edge go the other way.
//!
//! What has no form in ONNX is [`Error::NotInOnnx`]: categories that are told apart by a hash alone, of `sgd_classifier`
//! and of trees where the caller does not know their names ([`Export::categories`]), smartcore's trees, an encoder that
//! refuses unseen categories, and the step of a forest's leaves.

mod clusters;
mod columns;
mod graph;
mod isolation;
mod linear;
mod models;
mod proto;
mod steps;
mod trees;

#[cfg(test)]
mod tests;

use crate::{Error, Fitted};
use std::collections::BTreeMap;

/// The version of the file's format: that of ONNX 1.16, which brought `TreeEnsemble`.
const IR_VERSION: i64 = 10;
/// The version of the core operators.
const OPSET: i64 = 18;
/// The version of the operators of `ai.onnx.ml`.
const ML_OPSET: i64 = 5;

/// What is said beside a model in its file, and what is known that the model does not know.
///
/// ```
/// use tidemill_ml::onnx::Export;
/// use tidemill_ml::{DecisionTreeParams, Estimator, FeatureTable, Rows, Target};
///
/// let mut table = FeatureTable::new(vec!["hour".into()], vec![]);
/// table.push_numeric(0, (0..48).map(|i| f64::from(i % 24)));
/// table.finish_append()?;
/// let (arrests, rows): (Vec<bool>, Vec<u32>) = ((0..48).map(|i| i % 24 > 17).collect(), (0..48).collect());
/// let tree = Estimator::from(DecisionTreeParams::default());
/// let fitted = tree.fit(&Rows::new(&table, Target::Binary(&arrests), &rows), 42)?;
/// let export = Export { name: "arrests".into(), ..Export::default() };
/// assert_eq!(export.file(&fitted)?, export.file(&fitted)?, "the same model is the same bytes");
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Export {
    /// The name of the graph.
    pub name: String,
    /// What is said of the model, in `doc_string`.
    pub doc: String,
    /// The names of the classes of a classifier, in the order of their numbers, which are then its labels. None: numbers,
    /// and of two classes 0 and 1.
    pub classes: Vec<String>,
    /// By text column, texts that it had when the model learned, and any others. Trees keep no more than hashes of
    /// categories that are rarer than 254 others; these are looked up here.
    pub categories: BTreeMap<String, Vec<String>>,
}

impl Export {
    /// A fitted model as a file; the same for the same.
    ///
    /// # Errors
    ///
    /// [`Error::NotInOnnx`]; [`Error::OtherClasses`] for another number of names than the model has classes.
    pub fn file(&self, model: &Fitted) -> Result<Vec<u8>, Error> {
        models::graph(self, model)?.file(&self.name, &self.doc)
    }
}
