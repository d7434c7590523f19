//! Weighted sums of encoded features: what linear and logistic regression and `sgd_classifier` say before their link.

use super::columns::{Columns, Texts};
use super::graph::{Graph, Value};
use crate::Error;
use crate::encode::linear::{CategoryEncoding, LinearEncoders};
use crate::encode::scale::NumericScale;

/// Weights on the scores of numeric columns, for each of some classes.
pub(super) struct NumericWeights {
    scales: Vec<NumericScale>,
    /// Columns × classes.
    of_scores: Vec<f64>,
    /// What is added where the value is missing: columns × classes.
    of_missing: Vec<f64>,
    /// One a class.
    intercepts: Vec<f64>,
}

impl NumericWeights {
    /// Weights of one class, by column.
    pub(super) fn of_one(
        scales: &[NumericScale],
        of_scores: &[f64],
        of_missing: &[f64],
        intercept: f64,
    ) -> NumericWeights {
        NumericWeights {
            scales: scales.to_vec(),
            of_scores: of_scores.to_vec(),
            of_missing: of_missing.to_vec(),
            intercepts: vec![intercept],
        }
    }

    /// The sums, rows × classes.
    pub(super) fn sums(&self, graph: &mut Graph, columns: &Columns) -> Option<Value> {
        let classes = self.intercepts.len();
        let values = columns.matrix(graph)?;
        let missing = graph.missing(&values);
        let scores = scores(graph, &self.scales, &values);
        let weights = graph.doubles(&[self.scales.len(), classes], &self.of_scores);
        let mut sums = graph.op("MatMul", &[&scores, &weights]);
        if self.of_missing.iter().any(|weight| *weight != 0.0) {
            let weights = graph.doubles(&[self.scales.len(), classes], &self.of_missing);
            let missing = graph.as_doubles(&missing);
            let more = graph.op("MatMul", &[&missing, &weights]);
            sums = graph.op("Add", &[&sums, &more]);
        }
        let intercepts = graph.doubles(&[1, classes], &self.intercepts);
        Some(graph.op("Add", &[&sums, &intercepts]))
    }
}

/// Standard scores of a matrix of numeric columns, within a million; 0 for a missing value and in a constant column.
pub(super) fn scores(graph: &mut Graph, scales: &[NumericScale], values: &Value) -> Value {
    let row = |of: &dyn Fn(&NumericScale) -> f64| scales.iter().map(of).collect::<Vec<f64>>();
    let (columns, zero) = (scales.len(), graph.double(0.0));
    let means = graph.doubles(&[1, columns], &row(&|scale| scale.mean()));
    let inverses = graph.doubles(&[1, columns], &row(&|scale| scale.inverse()));
    let (low, high) = (graph.double(-1e6), graph.double(1e6));
    let apart = graph.op("Sub", &[values, &means]);
    let scores = graph.op("Mul", &[&apart, &inverses]);
    let above = graph.op("Max", &[&scores, &low]);
    let held = graph.op("Min", &[&above, &high]);
    // A difference past f64 times 0 is no number, too.
    let missing = graph.missing(&scores);
    graph.op("Where", &[&missing, &zero, &held])
}

/// The sums of linear models that share their encoders, rows × models; each has a weight a column, and the intercept after
/// those of the dense ones.
///
/// # Errors
///
/// [`Error::NotInOnnx`].
pub(super) fn sums(
    graph: &mut Graph,
    columns: &Columns,
    encoders: &LinearEncoders,
    models: &[&[f64]],
) -> Result<Value, Error> {
    let (dense, classes) = (encoders.dense(), models.len());
    let mut weights = NumericWeights {
        scales: encoders.numeric().iter().map(|encoding| encoding.value).collect(),
        of_scores: Vec::new(),
        of_missing: Vec::new(),
        intercepts: models.iter().map(|weights| weights[dense]).collect(),
    };
    let mut at = 0;
    for encoding in encoders.numeric() {
        weights.of_scores.extend(models.iter().map(|weights| weights[at]));
        at += 1;
        match &encoding.indicator {
            None => weights.of_missing.extend(std::iter::repeat_n(0.0, classes)),
            Some(scale) => {
                let (known, missing) = (scale.score(0.0), scale.score(1.0));
                weights.of_missing.extend(models.iter().map(|weights| weights[at] * (missing - known)));
                weights
                    .intercepts
                    .iter_mut()
                    .zip(models)
                    .for_each(|(intercept, weights)| *intercept += weights[at] * known);
                at += 1;
            }
        }
    }
    let mut hot = dense + 1;
    let mut parts: Vec<Value> = weights.sums(graph, columns).into_iter().collect();
    for ((column, _), encoding) in columns.texts.iter().zip(encoders.categorical()) {
        let names: Vec<&str> = encoding.names().iter().map(String::as_str).collect();
        let each = names.iter().copied().map(Some).chain([None]);
        let mut table = Vec::with_capacity((names.len() + 2) * classes);
        match encoding {
            CategoryEncoding::Target(encoding) => {
                let scores = each.map(|name| encoding.score(name)).chain([encoding.unseen_score()]);
                scores.for_each(|score| table.extend(models.iter().map(|of| of[at] * f64::from(score))));
                at += 1;
            }
            CategoryEncoding::OneHot(encoding) => {
                let places = each.map(|name| encoding.column(name)).chain([encoding.columns() - 1]);
                places.for_each(|place| table.extend(models.iter().map(|of| of[hot + place])));
                hot += encoding.columns();
            }
        }
        let texts = Texts::numbered(column, names.into_iter())?;
        parts.push(texts.looked_up(graph, columns, &table)?);
    }
    let mut parts = parts.into_iter();
    let Some(mut sum) = parts.next() else { return Err(Error::NoFeatures) };
    for part in parts {
        sum = graph.op("Add", &[&sum, &part]);
    }
    if columns.numeric.is_empty() {
        let intercepts = graph.doubles(&[1, classes], &weights.intercepts);
        sum = graph.op("Add", &[&sum, &intercepts]);
    }
    Ok(sum)
}
