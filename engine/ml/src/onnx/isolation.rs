//! An isolation forest: one `TreeEnsemble` of path lengths.

use super::columns::Columns;
use super::graph::Graph;
use super::trees::{Ensemble, Place, Question};
use crate::isolation::{IsolationTree, TreePlace};
use crate::{Error, IsolationForest};

/// What a forest says of its columns, as outputs.
///
/// # Errors
///
/// [`Error::NoFeatures`].
pub(super) fn outputs(graph: &mut Graph, columns: &Columns, model: &IsolationForest) -> Result<(), Error> {
    let values = columns.matrix(graph).ok_or(Error::NoFeatures)?;
    let (trees, paths) = model.parts();
    let mut ensemble = Ensemble::default();
    for tree in trees {
        let root = put(&mut ensemble, tree, 0);
        ensemble.root(root);
    }
    let sums = ensemble.sums(graph, &values, 1);
    let paths = graph.double(-paths);
    let exponents = graph.op("Div", &[&sums, &paths]);
    let two = graph.double(2.0);
    let scores = graph.op("Pow", &[&two, &exponents]);
    let threshold = graph.double(model.threshold());
    let outlier = graph.op("Greater", &[&scores, &threshold]);
    let outlier = graph.vector(&outlier);
    let (yes, no) = (graph.integers(&[-1]), graph.integers(&[1]));
    let label = graph.op("Where", &[&outlier, &yes, &no]);
    graph.output_labels("label", label);
    graph.output_numbers("scores", scores, 1);
    Ok(())
}

/// What is below a place of a tree.
fn put(ensemble: &mut Ensemble, tree: &IsolationTree, place: usize) -> Place {
    match tree.place(place) {
        TreePlace::Leaf(path) => ensemble.leaf(0, path),
        // All go left.
        TreePlace::Passed => put(ensemble, tree, 2 * place + 1),
        TreePlace::Split { column, threshold, missing_right } => {
            let question = Question::UpTo { most: threshold, missing: !missing_right };
            let split = ensemble.split(column, question);
            let (left, right) = (put(ensemble, tree, 2 * place + 1), put(ensemble, tree, 2 * place + 2));
            ensemble.branches(split, left, right);
            Place::Split(split)
        }
    }
}
