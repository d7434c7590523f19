//! The nearest centre of each row.

use super::columns::Columns;
use super::graph::{Graph, Value};
use super::linear::scores;
use crate::Error;
use crate::encode::scale::NumericScale;

/// Centres among standard scores.
pub(super) struct Centres<'a> {
    /// By column.
    pub(super) scales: &'a [NumericScale],
    /// What values are held to before, by column; `None` where none are.
    pub(super) bounds: Option<&'a [(f64, f64)]>,
    /// Row-major: clusters × columns.
    pub(super) centres: &'a [f64],
}

/// What a row is given: the number of its cluster, rows, and its distance to each centre, rows × clusters.
pub(super) struct Nearest {
    pub(super) label: Value,
    pub(super) distances: Value,
}

impl Centres<'_> {
    /// The nearest of the centres; -1 and NaN for a row with a missing value.
    ///
    /// # Errors
    ///
    /// [`Error::NoFeatures`].
    pub(super) fn nearest(&self, graph: &mut Graph, columns: &Columns) -> Result<Nearest, Error> {
        let width = self.scales.len();
        let clusters = self.centres.len() / width.max(1);
        let mut values = columns.matrix(graph).ok_or(Error::NoFeatures)?;
        let missing = graph.missing(&values);
        if let Some(bounds) = self.bounds {
            let low = graph.doubles(&[1, width], &bounds.iter().map(|of| of.0).collect::<Vec<_>>());
            let high = graph.doubles(&[1, width], &bounds.iter().map(|of| of.1).collect::<Vec<_>>());
            values = graph.clip(&values, &low, &high);
        }
        let points = scores(graph, self.scales, &values);
        let mut squared: Option<Value> = None;
        // Column after column, as the engine adds them: equal distances are then equal here, too.
        for (at, point) in graph.columns(&points, width).iter().enumerate() {
            let centres: Vec<f64> = self.centres.iter().skip(at).step_by(width).copied().collect();
            let centres = graph.doubles(&[1, clusters], &centres);
            let apart = graph.op("Sub", &[point, &centres]);
            let square = graph.op("Mul", &[&apart, &apart]);
            squared = Some(match squared {
                Some(sum) => graph.op("Add", &[&sum, &square]),
                None => square,
            });
        }
        let squared = squared.ok_or(Error::NoFeatures)?;
        let missing = graph.as_doubles(&missing);
        let missing = graph.reduced("ReduceMax", &missing, 1, true);
        let half = graph.double(0.5);
        let missing = graph.op("Greater", &[&missing, &half]);
        let nearest = graph.place_of("ArgMin", &squared);
        let (none, nan) = (graph.integers(&[-1]), graph.double(f64::NAN));
        let is_missing = graph.vector(&missing);
        let label = graph.op("Where", &[&is_missing, &none, &nearest]);
        let distances = graph.op("Sqrt", &[&squared]);
        let distances = graph.op("Where", &[&missing, &nan, &distances]);
        Ok(Nearest { label, distances })
    }
}
