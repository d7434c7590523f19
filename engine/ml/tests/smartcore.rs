//! smartcore's trees as a reference.

// The lints' leave for tests ends at `#[test]`, and helpers stand outside of it.
#![allow(clippy::unwrap_used)]

mod binary;

use binary::TrainingRows;
use tidemill_ml::{
    Categories, ClassWeight, Classifier, DecisionTreeParams, Error, FeatureTable, RandomForestParams,
    SupervisedParams, TreeBackend,
};

fn algorithms() -> [SupervisedParams; 2] {
    let backend = TreeBackend::Smartcore;
    [
        SupervisedParams::RandomForest(RandomForestParams {
            trees: 9,
            backend,
            ..RandomForestParams::default()
        }),
        SupervisedParams::DecisionTree(DecisionTreeParams { backend, ..DecisionTreeParams::default() }),
    ]
}

fn rows() -> (FeatureTable, Vec<bool>, Vec<u32>) {
    let mut table = FeatureTable::new(vec!["x".into()], vec!["c".into()]);
    table.push_numeric(0, (0..600).map(|i| if i % 9 == 0 { f64::NAN } else { f64::from(i % 50) }));
    table.push_category(0, (0..600).map(|i| [Some("a"), Some("b"), None][i % 3]));
    table.finish_append().unwrap();
    (table, (0..600).map(|i| i % 50 > 30).collect(), (0..600).collect())
}

#[test]
fn votes_are_zero_or_one_and_mostly_right() {
    let (table, labels, rows) = rows();
    for algorithm in algorithms() {
        let model = binary::fit(&algorithm, &table, &labels, &rows, 1, None).unwrap();
        assert_eq!(model.algorithm(), algorithm.algorithm());
        let votes = model.predict_proba(&table, &rows).unwrap();
        assert!(votes.iter().all(|&vote| vote == 0.0 || vote == 1.0));
        let right = votes.iter().zip(&labels).filter(|(vote, label)| (**vote == 1.0) == **label).count();
        assert!(right > 550, "{}: {right} of 600", algorithm.name());
        let again = Classifier::from_bytes(&model.to_bytes().unwrap()).unwrap();
        assert_eq!(again.predict_proba(&table, &rows).unwrap(), votes);
        assert!(model.predict_proba(&table, &[]).unwrap().is_empty());
        assert_eq!(model.apply(&table, &rows).unwrap_err().to_string(), "smartcore has no leaves");
        let weights: Vec<f64> = (0..600).map(|row| f64::from(row % 4)).collect();
        let training = TrainingRows { weights: Some(&weights), ..TrainingRows::new(&table, &labels, &rows) };
        let error = binary::fit_rows(&algorithm, &training, 1, None).unwrap_err();
        assert!(matches!(error, Error::NotOfAlgorithm { algorithm: "smartcore", .. }), "{error}");
    }
    let weighted = RandomForestParams {
        backend: TreeBackend::Smartcore,
        class_weight: ClassWeight::Balanced,
        ..RandomForestParams::default()
    };
    assert!(matches!(weighted.validate(), Err(Error::BadParameter { name: "class_weight", .. })));
    let encoded = RandomForestParams {
        backend: TreeBackend::Smartcore,
        categories: Categories::TargetEncoded,
        ..RandomForestParams::default()
    };
    assert!(matches!(encoded.validate(), Err(Error::BadParameter { name: "categories", .. })));
    let some = DecisionTreeParams {
        backend: TreeBackend::Smartcore,
        max_features: 0.5,
        ..DecisionTreeParams::default()
    };
    assert!(matches!(some.validate(), Err(Error::BadParameter { name: "max_features", .. })));
}
