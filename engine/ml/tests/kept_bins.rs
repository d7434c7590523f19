//! Bins and counts kept between fits, and categories as numbers, from outside.

// The lints' leave for tests ends at `#[test]`, and helpers stand outside of it.
#![allow(clippy::unwrap_used)]

mod binary;

use binary::TrainingRows;
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use tidemill_ml::{
    BinaryMetrics, Cache, Categories, ClassWeight, Classifier, DecisionTreeParams, FeatureTable,
    GradientBoostingParams, RandomForestParams, Scores, SupervisedParams,
};

fn algorithms(categories: Categories) -> [SupervisedParams; 3] {
    [
        SupervisedParams::RandomForest(RandomForestParams {
            trees: 4,
            categories,
            ..RandomForestParams::default()
        }),
        SupervisedParams::DecisionTree(DecisionTreeParams { categories, ..DecisionTreeParams::default() }),
        SupervisedParams::GradientBoosting(GradientBoostingParams {
            trees: 4,
            categories,
            ..GradientBoostingParams::default()
        }),
    ]
}

/// Rows of a number that drifts and a category with a rate of its own, appended batch by batch.
struct Rows {
    random: Xoshiro256PlusPlus,
    table: FeatureTable,
    labels: Vec<bool>,
    categories: u32,
}

impl Rows {
    fn new(categories: u32) -> Rows {
        Rows {
            random: Xoshiro256PlusPlus::seed_from_u64(8),
            table: FeatureTable::new(vec!["x".into(), "y".into()], vec!["c".into()]),
            labels: Vec::new(),
            categories,
        }
    }

    fn append(&mut self, rows: usize) {
        for _ in 0..rows {
            let (x, c) = (self.random.gen_range(-1.0..1.0), self.random.gen_range(0..self.categories));
            let score = 2.0 * x + f64::from(c * 37 % 11) - 5.0;
            self.labels.push(self.random.gen_bool(1.0 / (1.0 + f64::exp(-score))));
            self.table.push_numeric(0, [x]);
            // Far from where it began: its bins are left.
            self.table.push_numeric(
                1,
                [(self.labels.len() / 5_000) as f64 * 3.0 + self.random.gen_range(0.0..1.0)],
            );
            let name = (c % 13 > 0).then(|| format!("kind {c}"));
            self.table.push_category(0, [name.as_deref()]);
        }
        self.table.finish_append().unwrap();
    }

    fn training(&self) -> Vec<u32> {
        (0..self.table.rows() as u32).filter(|row| row % 4 != 1).collect()
    }
}

#[test]
fn a_model_of_kept_bins_is_the_model_of_new_ones_batch_by_batch() {
    let mut rows = Rows::new(300);
    let mut kept = Cache::new();
    for batch in [2, 5_000, 15_000, 9_000, 700, 16_000] {
        rows.append(batch);
        let training = rows.training();
        kept.extend(&rows.table, &training).unwrap();
        if batch == 2 {
            continue;
        }
        let weights: Vec<f64> = (0..rows.labels.len()).map(|row| (row % 5) as f64 + 0.3).collect();
        for algorithm in algorithms(Categories::Native).iter().chain(&algorithms(Categories::TargetEncoded)) {
            for weights in [None, Some(&weights[..])] {
                let cold =
                    TrainingRows { weights, ..TrainingRows::new(&rows.table, &rows.labels, &training) };
                let warm = TrainingRows { bins: Some(&kept), ..cold };
                let cold = binary::fit_rows(algorithm, &cold, 3, None).unwrap();
                let warm = binary::fit_rows(algorithm, &warm, 3, None).unwrap();
                assert!(
                    cold.to_bytes().unwrap() == warm.to_bytes().unwrap(),
                    "{algorithm:?}, batch of {batch}"
                );
            }
        }
    }
}

/// Trees of the kinds that counts are kept of, with native and encoded categories, from noisy rows: some splits stay as they
/// were from batch to batch, some move by a bin or to another feature.
fn trees() -> [SupervisedParams; 4] {
    let forest = RandomForestParams { trees: 3, max_depth: 6, ..RandomForestParams::default() };
    let tree = DecisionTreeParams { max_depth: 9, ..DecisionTreeParams::default() };
    let (balanced, categories) = (ClassWeight::Balanced, Categories::Native);
    [
        SupervisedParams::RandomForest(RandomForestParams { class_weight: balanced, ..forest.clone() }),
        SupervisedParams::RandomForest(RandomForestParams { max_features: 0.2, categories, ..forest }),
        SupervisedParams::DecisionTree(DecisionTreeParams { max_features: 0.6, categories, ..tree.clone() }),
        SupervisedParams::DecisionTree(tree),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn a_refit_is_the_fit(
        seed in any::<u64>(),
        first in 3_000usize..40_000,
        batches in prop::collection::vec(prop_oneof![3 => 0usize..400, 1 => 400usize..20_000], 1..6),
    ) {
        let mut rows = Rows::new(40);
        rows.random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut bins = Cache::new();
        let mut counts: [Cache; 4] = Default::default();
        for batch in std::iter::once(first).chain(batches) {
            rows.append(batch);
            let training = rows.training();
            bins.extend(&rows.table, &training).unwrap();
            for (algorithm, counts) in trees().iter().zip(&mut counts) {
                let cold = TrainingRows::new(&rows.table, &rows.labels, &training);
                let warm = TrainingRows { bins: Some(&bins), ..cold };
                let cold = binary::fit_rows(algorithm, &cold, seed, None).unwrap();
                let warm = binary::refit(algorithm, &warm, seed, None, counts).unwrap();
                prop_assert!(cold.to_bytes().unwrap() == warm.to_bytes().unwrap(), "{algorithm:?}, batch of {batch}");
                prop_assert_eq!(counts.counted_rows(), training.len());
            }
        }
    }
}

#[test]
fn counts_of_other_rows_labels_or_settings_are_not_taken() {
    let mut rows = Rows::new(40);
    rows.append(12_000);
    let all = rows.training();
    let mut bins = Cache::new();
    bins.extend(&rows.table, &all).unwrap();
    let flipped: Vec<bool> = rows.labels.iter().enumerate().map(|(i, label)| label ^ (i % 3 == 0)).collect();
    let weights: Vec<f64> = (0..12_000).map(|row| 1.0 + f64::from(row % 2)).collect();
    let trees = trees();
    let fit = TrainingRows { bins: Some(&bins), ..TrainingRows::new(&rows.table, &rows.labels, &all) };
    let other = |max_depth, max_features, min_samples_leaf| {
        let SupervisedParams::RandomForest(params) = trees[0].clone() else { unreachable!("a forest") };
        SupervisedParams::RandomForest(RandomForestParams {
            max_depth,
            max_features,
            min_samples_leaf,
            ..params
        })
    };
    let others = [
        ("algorithm", &trees[3], fit, 1),
        ("depth, less", &other(2, 0.5, 20), fit, 1),
        ("depth, more", &other(9, 0.5, 20), fit, 1),
        ("features", &other(6, 0.7, 20), fit, 1),
        ("leaves", &other(6, 0.5, 900), fit, 1),
        ("seed", &trees[0], fit, 2),
        ("labels", &trees[0], TrainingRows { labels: &flipped, ..fit }, 1),
        ("rows", &trees[0], TrainingRows { rows: &all[1..], ..fit }, 1),
        ("fewer rows", &trees[0], TrainingRows { rows: &all[..4_000], ..fit }, 1),
        ("weights", &trees[0], TrainingRows { weights: Some(&weights), ..fit }, 1),
        ("bins", &trees[0], TrainingRows { bins: None, ..fit }, 1),
        ("nothing", &trees[0], fit, 1),
    ];
    for (what, algorithm, training, seed) in others {
        let mut counts = Cache::new();
        binary::refit(&trees[0], &fit, 1, None, &mut counts).unwrap();
        let found = binary::refit(algorithm, &training, seed, None, &mut counts).unwrap();
        assert!(found == binary::fit_rows(algorithm, &training, seed, None).unwrap(), "other {what}");
    }
}

#[test]
fn nothing_is_kept_of_trees_whose_nodes_count_what_they_try() {
    let names = (0..8).map(|i| format!("x{i}")).collect();
    let mut table = FeatureTable::new(names, vec![]);
    let mut random = Xoshiro256PlusPlus::seed_from_u64(4);
    for column in 0..8 {
        table.push_numeric(column, (0..6_000).map(|_| f64::from(random.gen_range(0..9))));
    }
    table.finish_append().unwrap();
    let labels: Vec<bool> = (0..6_000).map(|_| random.gen_bool(0.3)).collect();
    let rows: Vec<u32> = (0..6_000).collect();
    let mut bins = Cache::new();
    bins.extend(&table, &rows).unwrap();
    let fit = TrainingRows { bins: Some(&bins), ..TrainingRows::new(&table, &labels, &rows) };
    let mut counts = Cache::new();
    for (max_features, kept) in [(0.5, 6_000), (0.25, 0), (0.2, 0), (0.4, 6_000)] {
        let params = RandomForestParams { trees: 3, max_features, ..RandomForestParams::default() };
        let forest = SupervisedParams::RandomForest(params);
        let found = binary::refit(&forest, &fit, 1, None, &mut counts).unwrap();
        assert!(found == binary::fit_rows(&forest, &fit, 1, None).unwrap(), "{max_features}");
        assert_eq!(counts.counted_rows(), kept, "{max_features}");
    }
}

#[test]
fn counts_that_a_fit_cannot_use_are_dropped() {
    let mut rows = Rows::new(40);
    rows.append(12_000);
    let all = rows.training();
    let mut bins = Cache::new();
    bins.extend(&rows.table, &all).unwrap();
    let weights: Vec<f64> = (0..12_000).map(|row| 1.0 + f64::from(row % 2)).collect();
    let fit = TrainingRows { bins: Some(&bins), ..TrainingRows::new(&rows.table, &rows.labels, &all) };
    let [forest, _, boosting] = algorithms(Categories::Native);
    let [encoded, ..] = algorithms(Categories::TargetEncoded);
    let logistic = SupervisedParams::LogisticRegression(Default::default());
    let others = [
        ("forest", &forest, fit, all.len()),
        ("encoded", &encoded, fit, all.len()),
        ("boosting", &boosting, fit, 0),
        ("logistic", &logistic, fit, 0),
        ("weights", &forest, TrainingRows { weights: Some(&weights), ..fit }, 0),
        ("equal weights", &forest, TrainingRows { weights: Some(&[2.0; 12_000]), ..fit }, all.len()),
        ("bins", &forest, TrainingRows { bins: None, ..fit }, 0),
    ];
    for (what, algorithm, training, left) in others {
        let mut counts = Cache::new();
        binary::refit(&forest, &fit, 1, None, &mut counts).unwrap();
        assert_eq!(counts.counted_rows(), all.len());
        binary::refit(algorithm, &training, 1, None, &mut counts).unwrap();
        assert_eq!(counts.counted_rows(), left, "{what}");
    }
}

#[test]
fn counts_of_other_values_are_not_taken() {
    let rows: Vec<u32> = (0..12_000).collect();
    // Two columns of as many zeros and ones: their bins are the same whichever comes first.
    let columns = [0u32, 1].map(|shift| rows.iter().map(move |row| f64::from((row + shift) / 2 % 2)));
    let table = |order: [usize; 2]| {
        let mut table = FeatureTable::new(vec!["x".into(), "y".into()], vec![]);
        order.iter().enumerate().for_each(|(at, &from)| table.push_numeric(at, columns[from].clone()));
        table.finish_append().unwrap();
        table
    };
    let (table, swapped) = (table([0, 1]), table([1, 0]));
    let labels: Vec<bool> = rows.iter().map(|row| row / 2 % 2 == 1 && row % 9 > 0).collect();
    let params = DecisionTreeParams { max_features: 1.0, ..DecisionTreeParams::default() };
    let tree = SupervisedParams::DecisionTree(params);
    for first in [12_000, 9_000] {
        let mut counts = Cache::new();
        for (table, rows) in [(&table, &rows[..first]), (&swapped, &rows[..])] {
            let mut bins = Cache::new();
            bins.extend(table, rows).unwrap();
            let fit = TrainingRows { bins: Some(&bins), ..TrainingRows::new(table, &labels, rows) };
            let found = binary::refit(&tree, &fit, 1, None, &mut counts).unwrap();
            assert!(found == binary::fit_rows(&tree, &fit, 1, None).unwrap(), "after {first} rows");
        }
    }
}

#[test]
fn scores_from_kept_bins_are_the_scores() {
    let mut rows = Rows::new(40);
    rows.append(20_000);
    let mut kept = Cache::new();
    kept.extend(&rows.table, &rows.training()).unwrap();
    let some: Vec<u32> = (0..20_000).rev().step_by(7).collect();
    for algorithm in algorithms(Categories::Native).iter().chain(&algorithms(Categories::TargetEncoded)) {
        let training = rows.training();
        let fit =
            TrainingRows { bins: Some(&kept), ..TrainingRows::new(&rows.table, &rows.labels, &training) };
        let model = binary::fit_rows(algorithm, &fit, 3, None).unwrap();
        let labels: Vec<bool> = some.iter().map(|&row| rows.labels[row as usize]).collect();
        let expected = BinaryMetrics::compute(&labels, &model.predict_proba(&rows.table, &some).unwrap());
        let expected = expected.map(Scores::Binary);
        assert_eq!(binary::score_kept(&model, &fit, &some, &kept), expected);
        // Bins of another time, or of fewer rows, are not taken for the model's.
        let mut others = Cache::new();
        assert_eq!(binary::score_kept(&model, &fit, &some, &others), expected);
        others.extend(&rows.table, &training[..9_000]).unwrap();
        assert_eq!(binary::score_kept(&model, &fit, &some, &others), expected);
        assert!(binary::score_kept(&model, &fit, &[20_000], &kept).is_err());
    }
}

/// As a stream scores what comes by the model before, then learns it.
#[test]
fn rows_that_came_after_a_fit_have_the_scores_and_then_the_fit_that_they_have_without_a_cache() {
    for algorithm in algorithms(Categories::Native).iter().chain(&algorithms(Categories::TargetEncoded)) {
        let (mut rows, mut kept) = (Rows::new(300), Cache::new());
        let mut model: Option<Classifier> = None;
        for batch in [5_000, 300, 700, 4_000, 200] {
            let first = rows.table.rows() as u32;
            rows.append(batch);
            let training = rows.training();
            kept.extend(&rows.table, &training).unwrap();
            let cold = TrainingRows::new(&rows.table, &rows.labels, &training);
            for some in [first..first + batch as u32, first / 2..first + 100] {
                let (some, Some(model)) = (some.collect::<Vec<u32>>(), &model) else { continue };
                let scores = |kept| binary::score_kept(model, &cold, &some, kept).unwrap();
                assert_eq!(scores(&kept), scores(&Cache::new()), "{algorithm:?}, batch of {batch}");
            }
            let warm = TrainingRows { bins: Some(&kept), ..cold };
            let fitted = binary::fit_rows(algorithm, &warm, 3, None).unwrap();
            let expected = binary::fit_rows(algorithm, &cold, 3, None).unwrap();
            assert!(fitted.to_bytes().unwrap() == expected.to_bytes().unwrap(), "{algorithm:?}, {batch}");
            model = Some(fitted);
        }
    }
}

#[test]
fn rows_that_weigh_nothing_make_no_bins() {
    let mut rows = Rows::new(40);
    rows.append(3_000);
    let training = rows.training();
    let mut kept = Cache::new();
    kept.extend(&rows.table, &training).unwrap();
    let weights: Vec<f64> = (0..3_000).map(|row| if row % 3 == 0 { 0.0 } else { 1.5 }).collect();
    let some: Vec<u32> = training.iter().copied().filter(|row| row % 3 != 0).collect();
    for algorithm in algorithms(Categories::Native) {
        let weighted = TrainingRows {
            weights: Some(&weights),
            bins: Some(&kept),
            ..TrainingRows::new(&rows.table, &rows.labels, &training)
        };
        let found = binary::fit_rows(&algorithm, &weighted, 1, None).unwrap();
        let expected = binary::fit(&algorithm, &rows.table, &rows.labels, &some, 1, None).unwrap();
        assert!(found == expected, "{}", algorithm.name());
    }
}

#[test]
fn encoded_categories_learn_from_more_than_254() {
    let mut rows = Rows::new(2_000);
    rows.append(60_000);
    let training: Vec<u32> = (0..40_000).collect();
    let test: Vec<u32> = (40_000..60_000).collect();
    let auc = |algorithm: &SupervisedParams| {
        let model = binary::fit(algorithm, &rows.table, &rows.labels, &training, 1, None).unwrap();
        assert_eq!(Classifier::from_bytes(&model.to_bytes().unwrap()).unwrap(), model);
        let scores = model.predict_proba(&rows.table, &test).unwrap();
        BinaryMetrics::compute(&rows.labels[40_000..], &scores).unwrap().auc.unwrap()
    };
    for (native, encoded) in algorithms(Categories::Native).iter().zip(&algorithms(Categories::TargetEncoded))
    {
        let (native, encoded) = (auc(native), auc(encoded));
        assert!(encoded > native + 0.05, "{encoded} {native}");
    }
    // Few names to look up, and a table of other codes.
    let model =
        binary::fit(&algorithms(Categories::TargetEncoded)[0], &rows.table, &rows.labels, &training, 1, None)
            .unwrap();
    let all = model.predict_proba(&rows.table, &test).unwrap();
    let few = model.predict_proba(&rows.table, &test[..5]).unwrap();
    assert_eq!(few, all[..5]);
    let mut other = FeatureTable::new(vec!["x".into(), "y".into()], vec!["c".into()]);
    other.push_numeric(0, [0.0; 3]);
    other.push_numeric(1, [f64::NAN; 3]);
    other.push_category(0, [Some("kind 14"), Some("never seen"), None]);
    other.finish_append().unwrap();
    assert!(model.predict_proba(&other, &[0, 1, 2]).unwrap().iter().all(|p| (0.0..=1.0).contains(p)));
}
