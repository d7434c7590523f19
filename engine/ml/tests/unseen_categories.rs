//! Categories that trees have not seen, where they are native: not missing, not the rare ones that share a bin.

// The lints' leave for tests ends at `#[test]`, and helpers stand outside of it.
#![allow(clippy::unwrap_used)]

mod binary;

use binary::TrainingRows;
use tidemill_ml::{
    BinaryMetrics, Cache, Categories, Classifier, DecisionTreeParams, FeatureTable, GradientBoostingParams,
    RandomForestParams, Scores, SupervisedParams,
};

fn table(rows: &[(Option<String>, f64)]) -> FeatureTable {
    let mut table = FeatureTable::new(vec!["x".into()], vec!["c".into()]);
    table.push_numeric(0, rows.iter().map(|row| row.1));
    table.push_category(0, rows.iter().map(|row| row.0.as_deref()));
    table.finish_append().unwrap();
    table
}

/// 254 frequent categories, three quarters of whose rows are negative; 146 rare ones, all positive; missing ones, all
/// positive.
fn training() -> (FeatureTable, Vec<bool>) {
    let mut rows = Vec::new();
    let mut labels = Vec::new();
    for i in 0..254 * 40 {
        rows.push((Some(format!("frequent {}", i % 254)), (i % 7) as f64));
        labels.push(i % 4 == 0);
    }
    for i in 0..146 * 4 {
        rows.push((Some(format!("rare {}", i % 146)), (i % 7) as f64));
        labels.push(true);
    }
    for i in 0..300 {
        rows.push((None, (i % 7) as f64));
        labels.push(true);
    }
    (table(&rows), labels)
}

fn algorithms() -> [SupervisedParams; 3] {
    let categories = Categories::Native;
    [
        SupervisedParams::DecisionTree(DecisionTreeParams {
            max_depth: 6,
            categories,
            ..DecisionTreeParams::default()
        }),
        SupervisedParams::RandomForest(RandomForestParams {
            trees: 10,
            categories,
            ..RandomForestParams::default()
        }),
        SupervisedParams::GradientBoosting(GradientBoostingParams {
            trees: 30,
            categories,
            ..GradientBoostingParams::default()
        }),
    ]
}

#[test]
fn an_unseen_category_goes_with_most_rows_and_not_with_the_rare_ones() {
    let (learned, labels) = training();
    let rows: Vec<u32> = (0..learned.rows() as u32).collect();
    let of = |name: &str| (Some(name.to_owned()), 3.0);
    let asked = table(&[of("frequent 7"), of("rare 100"), (None, 3.0), of("never seen"), of("nor this")]);
    // So many that the trees are laid out, and so few that they are not.
    let many: Vec<u32> = (0..20_000).map(|i| i % 5).collect();
    for algorithm in algorithms() {
        let model = binary::fit(&algorithm, &learned, &labels, &rows, 3, None).unwrap();
        let few = model.predict_proba(&asked, &[0, 1, 2, 3, 4]).unwrap();
        let name = algorithm.name();
        assert!(few[1] > 0.8 && few[2] > 0.8, "{name}: rare and missing ones are positive: {few:?}");
        assert!(few[3] < 0.5 && few[3] == few[4], "{name}: unseen ones go with most rows: {few:?}");
        let scores = model.predict_proba(&asked, &many).unwrap();
        assert!(scores.iter().zip(&many).all(|(score, &row)| *score == few[row as usize]), "{name}");
        let leaves = model.apply(&asked, &[0, 1, 2, 3, 4]).unwrap();
        assert_eq!(leaves.row(3), leaves.row(4));
        assert_ne!(leaves.row(3), leaves.row(1), "{name}: leaves are those of the scores");
        let all_leaves = model.apply(&asked, &many).unwrap();
        assert!(many.iter().enumerate().all(|(i, &row)| all_leaves.row(i) == leaves.row(row as usize)));
        let read = Classifier::from_bytes(&model.to_bytes().unwrap()).unwrap();
        assert_eq!(read.predict_proba(&asked, &[4, 1]).unwrap(), [few[4], few[1]]);
    }
}

#[test]
fn a_category_is_unseen_until_a_training_row_has_it() {
    // 17,000 rows of two categories, of which bins are made, then rows of a new one: learned from, or held out.
    let mut rows: Vec<(Option<String>, f64)> =
        (0..17_000).map(|i| (Some(["a", "b"][i % 2].to_owned()), (i % 11) as f64)).collect();
    rows.extend((0..300).map(|i| (Some("new".to_owned()), (i % 11) as f64)));
    let table = table(&rows);
    let labels: Vec<bool> = (0..rows.len()).map(|i| i >= 17_000 || i % 8 == 0).collect();
    let new: Vec<u32> = (17_000..17_300).collect();
    for algorithm in algorithms() {
        let score = |last: u32| {
            let rows: Vec<u32> = (0..last).collect();
            let mut bins = Cache::new();
            bins.extend(&table, &rows).unwrap();
            let training = TrainingRows { bins: Some(&bins), ..TrainingRows::new(&table, &labels, &rows) };
            let model = binary::fit_rows(&algorithm, &training, 1, None).unwrap();
            let scores = model.predict_proba(&table, &new).unwrap();
            let labels: Vec<bool> = new.iter().map(|&row| labels[row as usize]).collect();
            let expected = BinaryMetrics::compute(&labels, &scores).map(Scores::Binary);
            let kept = binary::score_kept(&model, &training, &new, &bins);
            assert_eq!(kept, expected, "{}", algorithm.name());
            scores.iter().sum::<f64>() / scores.len() as f64
        };
        assert!(score(17_000) < 0.4, "{}: unseen", algorithm.name());
        assert!(score(17_200) > 0.7, "{}: seen", algorithm.name());
    }
}
