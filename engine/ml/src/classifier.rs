//! A fitted binary classifier of any algorithm, and the file it is kept in.
//!
//! ```text
//! bytes 0..8    magic "TIDEMDL\0"
//! bytes 8..12   format version, u32 little-endian
//! bytes 12..16  crc32 of the payload, u32 little-endian
//! bytes 16..    payload: postcard of the model
//! ```
//!
//! The same model is the same bytes. A file of another version, or with any byte changed or missing, is an error, and
//! what is read is checked against the invariants of its algorithm before anything is scored with it.

use crate::forest::{Forest, RandomForestParams};
use crate::logistic::{LogisticModel, LogisticRegressionParams};
use crate::{Error, FeatureTable};
use serde::{Deserialize, Serialize};

const MAGIC: &[u8; 8] = b"TIDEMDL\0";
const FORMAT: u32 = 1;
const HEADER_BYTES: usize = 16;

/// What to train, with its settings.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Algorithm {
    /// Logistic regression with an L2 penalty.
    LogisticRegression(LogisticRegressionParams),
    /// Random forest over histograms.
    RandomForest(RandomForestParams),
}

impl Algorithm {
    /// The name in job files and metrics: `logistic_regression` or `random_forest`.
    pub fn name(&self) -> &'static str {
        match self {
            Algorithm::LogisticRegression(_) => "logistic_regression",
            Algorithm::RandomForest(_) => "random_forest",
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`Error::BadParameter`] for the first one outside its range.
    pub fn validate(&self) -> Result<(), Error> {
        match self {
            Algorithm::LogisticRegression(params) => params.validate(),
            Algorithm::RandomForest(params) => params.validate(),
        }
    }
}

/// A fitted model: knows its feature names, encoders and category strings, and so scores any table of these features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Classifier {
    numeric_names: Vec<String>,
    categorical_names: Vec<String>,
    training_rows: u64,
    model: Model,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Model {
    Logistic(LogisticModel),
    Forest(Forest),
}

impl Classifier {
    /// Fits on some rows of a table.
    ///
    /// `labels` has one value a row of the table; `rows` are the training rows, strictly ascending. `seed` decides every
    /// random choice; the result does not depend on the number of threads. `warm_start` is the previous model: logistic
    /// regression begins at its weights if it has the same features, anything else is ignored.
    ///
    /// # Errors
    ///
    /// [`Error::NoFeatures`], [`Error::NoRows`], [`Error::TooFewRows`] (one row) and [`Error::OneClass`] where there is
    /// nothing to learn; [`Error::BadParameter`], [`Error::LengthMismatch`], [`Error::RowOutOfRange`] and
    /// [`Error::RowsNotAscending`] for arguments that do not fit; [`Error::Solver`] if no finite model was found.
    pub fn fit(
        algorithm: &Algorithm,
        table: &FeatureTable,
        labels: &[bool],
        rows: &[u32],
        seed: u64,
        warm_start: Option<&Classifier>,
    ) -> Result<Classifier, Error> {
        algorithm.validate()?;
        check_training(table, labels, rows)?;
        let model = match algorithm {
            Algorithm::LogisticRegression(params) => {
                let previous =
                    warm_start.filter(|c| c.check_features(table).is_ok()).and_then(|c| match &c.model {
                        Model::Logistic(model) => Some(model),
                        Model::Forest(_) => None,
                    });
                Model::Logistic(LogisticModel::fit(params, table, labels, rows, seed, previous)?)
            }
            Algorithm::RandomForest(params) => Model::Forest(Forest::fit(params, table, labels, rows, seed)),
        };
        Ok(Classifier {
            numeric_names: table.numeric_names().to_vec(),
            categorical_names: table.categorical_names().to_vec(),
            training_rows: rows.len() as u64,
            model,
        })
    }

    /// The probability of the label for each of these rows, in their order; any order, repeats allowed. Categories not
    /// seen in training and missing values score.
    ///
    /// # Errors
    ///
    /// [`Error::FeatureMismatch`] if the table's features are not the model's, in order, and [`Error::RowOutOfRange`].
    pub fn predict_proba(&self, table: &FeatureTable, rows: &[u32]) -> Result<Vec<f64>, Error> {
        self.check_features(table)?;
        table.check_rows(rows)?;
        Ok(match &self.model {
            Model::Logistic(model) => model.predict_proba(table, rows),
            Model::Forest(model) => model.predict_proba(table, rows),
        })
    }

    /// Names of the numeric features, in order.
    pub fn numeric_names(&self) -> &[String] {
        &self.numeric_names
    }

    /// Names of the categorical features, in order.
    pub fn categorical_names(&self) -> &[String] {
        &self.categorical_names
    }

    /// Rows that the model learned from.
    pub fn training_rows(&self) -> u64 {
        self.training_rows
    }

    /// The name of the algorithm, as [`Algorithm::name`] gives it.
    pub fn algorithm_name(&self) -> &'static str {
        match self.model {
            Model::Logistic(_) => "logistic_regression",
            Model::Forest(_) => "random_forest",
        }
    }

    /// The model as a file's bytes; the same for the same model.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] if a value could not be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let payload = postcard::to_stdvec(self).map_err(|error| Error::Encode(error.to_string()))?;
        let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
        bytes.extend_from_slice(&payload);
        Ok(bytes)
    }

    /// Reads what [`to_bytes`](Classifier::to_bytes) wrote.
    ///
    /// # Errors
    ///
    /// [`Error::NotAModel`], [`Error::OtherVersion`] or [`Error::CorruptModel`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Classifier, Error> {
        let Some((header, payload)) = bytes.split_at_checked(HEADER_BYTES) else {
            return Err(if bytes.starts_with(MAGIC) {
                Error::CorruptModel("cut off")
            } else {
                Error::NotAModel
            });
        };
        if !header.starts_with(MAGIC) {
            return Err(Error::NotAModel);
        }
        let number =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        if number(8) != FORMAT {
            return Err(Error::OtherVersion { found: number(8), supported: FORMAT });
        }
        if number(12) != crc32fast::hash(payload) {
            return Err(Error::CorruptModel("checksum differs"));
        }
        // postcard reserves no more than serde's cautious limit ahead of what it has read.
        let (classifier, rest) = postcard::take_from_bytes::<Classifier>(payload)
            .map_err(|_| Error::CorruptModel("payload is not a model"))?;
        match rest.is_empty() && classifier.is_valid() {
            true => Ok(classifier),
            false => Err(Error::CorruptModel("payload contradicts itself")),
        }
    }

    fn is_valid(&self) -> bool {
        let (numeric, categorical) = (self.numeric_names.len(), self.categorical_names.len());
        match &self.model {
            Model::Logistic(model) => model.is_valid(numeric, categorical),
            Model::Forest(model) => model.is_valid(numeric, categorical),
        }
    }

    fn check_features(&self, table: &FeatureTable) -> Result<(), Error> {
        check_names("numeric", &self.numeric_names, table.numeric_names())?;
        check_names("categorical", &self.categorical_names, table.categorical_names())
    }
}

fn check_names(group: &'static str, model: &[String], table: &[String]) -> Result<(), Error> {
    let show = |name: Option<&String>| name.map_or("absent".to_owned(), |name| format!("{name:?}"));
    match (0..model.len().max(table.len())).find(|&i| model.get(i) != table.get(i)) {
        None => Ok(()),
        Some(position) => {
            let (expected, found) = (show(model.get(position)), show(table.get(position)));
            Err(Error::FeatureMismatch { group, position, expected, found })
        }
    }
}

fn check_training(table: &FeatureTable, labels: &[bool], rows: &[u32]) -> Result<(), Error> {
    if table.features() == 0 {
        return Err(Error::NoFeatures);
    }
    if labels.len() != table.rows() {
        return Err(Error::LengthMismatch { what: "labels", expected: table.rows(), found: labels.len() });
    }
    table.check_rows(rows)?;
    if let Some(before) = rows.windows(2).position(|pair| pair[0] >= pair[1]) {
        return Err(Error::RowsNotAscending { position: before + 1 });
    }
    match rows {
        [] => Err(Error::NoRows),
        [_] => Err(Error::TooFewRows { rows: 1, needed: 2 }),
        [first, ..] => {
            let label = labels[*first as usize];
            match rows.iter().any(|&row| labels[row as usize] != label) {
                true => Ok(()),
                false => Err(Error::OneClass { label, rows: rows.len() }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_contradicts_itself_is_refused_under_a_right_checksum() {
        let mut table = FeatureTable::new(vec!["x".into()], vec![]);
        table.push_numeric(0, [1.0, 2.0, 3.0, 4.0]);
        table.finish_append().unwrap();
        for algorithm in [
            Algorithm::LogisticRegression(LogisticRegressionParams::default()),
            Algorithm::RandomForest(RandomForestParams::default()),
        ] {
            let labels = [true, false, false, true];
            let mut model = Classifier::fit(&algorithm, &table, &labels, &[0, 1, 2, 3], 0, None).unwrap();
            assert!(Classifier::from_bytes(&model.to_bytes().unwrap()).is_ok());
            model.numeric_names.push("y".into());
            let error = Classifier::from_bytes(&model.to_bytes().unwrap()).unwrap_err();
            assert_eq!(error, Error::CorruptModel("payload contradicts itself"), "{}", algorithm.name());
        }
    }
}
