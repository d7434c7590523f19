//! Leaves of a forest as features: where the forest beneath puts rows, and what clusters make of it.

// The lints' leave for tests ends at `#[test]`, and helpers stand outside of it.
#![allow(clippy::unwrap_used, clippy::panic)]

use ndarray::Array2;
use serde_json::json;
use tidemill_ml::preprocess::{ForestLeaves, ForestLeavesParams, Preprocessor};
use tidemill_ml::{
    Error, Estimator, FeatureTable, Fitted, KMeansParams, Pipeline, PipelineStep, RandomForestParams, Rows,
    Target, TargetKind,
};

const ROWS: usize = 600;

fn x() -> Array2<f64> {
    Array2::from_shape_fn((ROWS, 3), |(row, c)| match c {
        0 => (row * 37 % 101) as f64,
        1 if row % 13 == 5 => f64::NAN,
        1 => (row * 53 % 89) as f64,
        _ => (row % 7) as f64,
    })
}

fn spent() -> Vec<f64> {
    x().rows().into_iter().map(|row| row[0] * 3.0 + row[2] * 100.0).collect()
}

fn table() -> FeatureTable {
    let mut table = FeatureTable::new(vec!["a".into(), "b".into(), "c".into()], vec![]);
    x().columns().into_iter().enumerate().for_each(|(c, of)| table.push_numeric(c, of.iter().copied()));
    table.finish_append().unwrap();
    table
}

fn all() -> Vec<u32> {
    (0..ROWS as u32).collect()
}

fn params(one_hot: bool) -> ForestLeavesParams {
    ForestLeavesParams { trees: 12, max_depth: 4, one_hot, ..ForestLeavesParams::default() }
}

#[test]
fn leaves_are_those_of_the_forest_with_these_settings() {
    let (table, spent, rows) = (table(), spent(), all());
    let rich: Vec<bool> = spent.iter().map(|spent| *spent > 400.0).collect();
    let forest = RandomForestParams { trees: 12, max_depth: 4, ..RandomForestParams::default() };
    for target in [Target::Numbers(&spent), Target::Binary(&rich)] {
        let fitted = Estimator::from(forest.clone()).fit(&Rows::new(&table, target, &rows), 7).unwrap();
        let (expected, leaves) = match &fitted {
            Fitted::Regressor(model) => (model.apply(&table, &rows).unwrap(), model.leaves().unwrap()),
            Fitted::Classifier(model) => (model.apply(&table, &rows).unwrap(), model.leaves().unwrap()),
            other => panic!("{other:?}"),
        };
        assert!(leaves.iter().all(|leaves| (2..=16).contains(leaves)), "{leaves:?}");
        let numbers = ForestLeaves::fit(params(false), x().view(), target, 7).unwrap();
        assert_eq!(numbers.transform(x().view()).unwrap(), expected.mapv(f64::from));
        let columns = ForestLeaves::fit(params(true), x().view(), target, 7).unwrap();
        let made = columns.transform(x().view()).unwrap();
        let names = columns.columns().unwrap();
        assert_eq!((made.ncols(), names.len()), (leaves.iter().sum(), leaves.iter().sum()));
        for ((row, column), value) in made.indexed_iter() {
            let (tree, leaf) = (names[column].0, names[column].1.unwrap());
            assert_eq!(*value == 1.0, expected[(row, tree)] as usize == leaf);
        }
        let file = Preprocessor::ForestLeaves(columns.clone()).to_bytes().unwrap();
        assert_eq!(Preprocessor::from_bytes(&file).unwrap(), Preprocessor::ForestLeaves(columns));
    }
}

#[test]
fn clusters_of_leaves_need_a_target_to_learn_and_none_to_be_told() {
    let (table, spent, rows) = (table(), spent(), all());
    let written =
        json!(["min_max", { "step": "forest_leaves", "trees": 12, "max_depth": 4, "one_hot": true }]);
    let steps = PipelineStep::read_all(written.as_array().unwrap()).unwrap();
    let kmeans = KMeansParams { clusters: 4, ..KMeansParams::default() };
    let pipeline = Estimator::from(Pipeline::new(steps.clone(), kmeans.clone()));
    assert_eq!(pipeline.targets(), [TargetKind::Binary, TargetKind::Numbers]);
    let learn = Rows::new(&table, Target::Numbers(&spent), &rows);
    let fitted = pipeline.fit(&learn, 7).unwrap();
    let Fitted::Pipeline(of) = &fitted else { panic!("a pipeline") };
    assert_eq!(of.model().numeric_names()[..2], ["tree 0 = 0", "tree 0 = 1"]);
    assert_eq!(fitted.numeric_names(), ["a", "b", "c"]);
    // Rows are grouped by what the target goes with, also those that miss a value.
    let unknown = Rows::new(&table, Target::None, &rows);
    assert_eq!(fitted.score(&unknown, 7).unwrap(), fitted.score(&learn, 7).unwrap());
    let tidemill_ml::Prediction::Clusters(clusters) = fitted.predict(&table, &rows).unwrap() else {
        panic!()
    };
    let mean = |cluster| {
        let of: Vec<f64> =
            (0..ROWS).filter(|row| clusters[*row] == Some(cluster)).map(|row| spent[row]).collect();
        of.iter().sum::<f64>() / of.len() as f64
    };
    let mut means: Vec<f64> = (0..4).map(mean).collect();
    means.sort_by(f64::total_cmp);
    assert!(means[3] - means[0] > 250.0, "{means:?}");
    assert_eq!(Fitted::from_bytes(&fitted.to_bytes().unwrap()).unwrap(), fitted);

    let error = pipeline.fit(&unknown, 7).unwrap_err();
    assert_eq!(
        error.to_string(),
        "step 2 (`forest_leaves`): the target is nothing, and forest_leaves learns one of two classes or a number"
    );
    let alone = Estimator::from(Pipeline::new(steps[..1].to_vec(), kmeans));
    assert_eq!(alone.targets(), [TargetKind::None]);
    let one_class = vec![true; ROWS];
    let error = pipeline.fit(&Rows { target: Target::Binary(&one_class), ..learn }, 7).unwrap_err();
    assert!(matches!(error, Error::InStep { step: 2, name: "forest_leaves", .. }), "{error}");
}
