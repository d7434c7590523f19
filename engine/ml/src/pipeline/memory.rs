//! What rows take while a pipeline is fitted on them.
//!
//! ```text
//! rows of the raw table ─> table ──step──> table ──step──> table ──estimator
//!                            └─ numbers of a step as a matrix of f64, while it learns
//! ```

use super::{Pipeline, PipelineStep, Transform};
use crate::FeatureTable;
use crate::table::CHUNK;

/// Bytes of a number, and of a category's code, where nothing narrower is known to hold it.
const NUMBER: u64 = 8;
const CODE: u64 = 4;

/// Names of the columns that reach a step; of texts also how many categories they have.
struct Reaching {
    numbers: Vec<String>,
    texts: Vec<(String, usize)>,
    /// Columns that steps have made of 0 and 1: a byte each, once they are not among the newest rows.
    flags: u64,
}

impl Reaching {
    fn bytes_of_row(&self) -> u64 {
        NUMBER * self.numbers.len() as u64 + CODE * self.texts.len() as u64 + self.flags
    }

    fn columns(&self) -> u64 {
        (self.numbers.len() + self.texts.len()) as u64 + self.flags
    }

    /// Takes the columns away that a step replaces.
    fn take(&mut self, step: &PipelineStep) -> (Vec<String>, Vec<(String, usize)>) {
        let is_named = |name: &String| step.columns.is_empty() || step.columns.contains(name);
        let (numbers, kept) = std::mem::take(&mut self.numbers).into_iter().partition(is_named);
        self.numbers = kept;
        let (texts, kept) = std::mem::take(&mut self.texts).into_iter().partition(|(name, _)| is_named(name));
        self.texts = kept;
        (numbers, texts)
    }

    /// Takes the step; gives the bytes of a row while it learns and is done to the row, beside the tables before and after.
    fn step(&mut self, step: &PipelineStep) -> u64 {
        let matrix = |numbers: &[String]| NUMBER * numbers.len() as u64;
        match &step.transform {
            Transform::OneHot(params) => {
                let (numbers, texts) = self.take(step);
                self.numbers.extend(numbers);
                let of_column = |(_, categories): &(String, usize)| (*categories).min(params.max_categories);
                self.flags += texts.iter().map(of_column).sum::<usize>() as u64;
                // A reference to each text.
                16
            }
            Transform::Target(_) => {
                let (numbers, texts) = self.take(step);
                self.numbers.extend(numbers);
                self.numbers.extend(texts.into_iter().map(|(name, _)| name));
                // The text, its place among those of its category, and its share.
                16 + 8 + NUMBER
            }
            Transform::Pca(_) => {
                let (numbers, texts) = self.take(step);
                self.texts.extend(texts);
                let matrix = matrix(&numbers);
                // As many components as columns, at most.
                self.numbers.extend(numbers);
                matrix
            }
            Transform::ForestLeaves(params) => {
                let (numbers, texts) = self.take(step);
                self.texts.extend(texts);
                let trees = u64::from(params.trees);
                match params.one_hot {
                    true => self.flags += trees << params.max_depth.min(20),
                    false => self.numbers.extend((0..params.trees).map(|tree| format!("tree {tree}"))),
                }
                // The matrix, its table, and bins.
                2 * matrix(&numbers) + numbers.len() as u64
            }
            Transform::IsolationForest(_) => NUMBER,
            // Columns stay what they are, by other numbers.
            Transform::Impute(_)
            | Transform::Outliers(_)
            | Transform::Standard(_)
            | Transform::MinMax(_)
            | Transform::Robust(_)
            | Transform::L2 => match step.columns.is_empty() {
                true => matrix(&self.numbers),
                false => matrix(&step.columns),
            },
        }
    }
}

impl Pipeline {
    /// What [`Estimator::bytes_to_fit`](crate::Estimator::bytes_to_fit) says of it.
    pub(crate) fn bytes_to_fit(&self, table: &FeatureTable, rows: usize) -> u64 {
        let texts = table.categorical_names().iter().cloned().zip(table.category_counts());
        let numbers = table.numeric_names().to_vec();
        let mut reaching = Reaching { numbers, texts: texts.collect(), flags: 0 };
        let mut most = reaching.bytes_of_row();
        for step in &self.steps {
            let before = reaching.bytes_of_row();
            let beside = reaching.step(step);
            most = most.max(before + beside + reaching.bytes_of_row());
        }
        let bins = if self.estimator().takes_bins() { reaching.columns() } else { 0 };
        let newest = NUMBER * reaching.flags * rows.min(CHUNK) as u64;
        most.max(reaching.bytes_of_row() + bins).saturating_mul(rows as u64).saturating_add(newest)
    }
}
