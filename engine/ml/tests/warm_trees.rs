//! Boosting and deep forests that go on from the model before, from outside.

// The lints' leave for tests ends at `#[test]`, and helpers stand outside of it.
#![allow(clippy::unwrap_used)]

mod binary;

use binary::TrainingRows;
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use tidemill_ml::{
    BinaryMetrics, Cache, Categories, ClassWeight, Classifier, FeatureTable, GradientBoostingParams,
    RandomForestParams, SupervisedParams,
};

/// Training rows of which bins are made that stay as they are until the rows have doubled.
const STEADY: usize = 16_384;

/// Three numbers and a category; the label depends on all four.
fn generated(rows: usize, seed: u64) -> (FeatureTable, Vec<bool>) {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut table = FeatureTable::new(vec!["x".into(), "y".into(), "z".into()], vec!["c".into()]);
    let mut labels = Vec::with_capacity(rows);
    for _ in 0..rows {
        let [x, y, z]: [f64; 3] = random.r#gen();
        let c: u32 = random.gen_range(0..30);
        let score = 4.0 * (x - 0.5) * (y - 0.5).signum() + 2.0 * (z - 0.5) + f64::from(c * 7 % 5) - 2.0;
        labels.push(random.gen_bool(1.0 / (1.0 + f64::exp(-score))));
        [x, y, z].into_iter().enumerate().for_each(|(i, v)| table.push_numeric(i, [v]));
        table.push_category(0, [Some(format!("c{c}").as_str())]);
    }
    table.finish_append().unwrap();
    (table, labels)
}

/// Its bins stay as they are, as those of native categories do.
fn boosting() -> SupervisedParams {
    SupervisedParams::GradientBoosting(GradientBoostingParams {
        trees: 20,
        categories: Categories::Native,
        ..GradientBoostingParams::default()
    })
}

/// So deep that its counts are not kept.
fn forest() -> RandomForestParams {
    let categories = Categories::Native;
    RandomForestParams { trees: 12, max_depth: 14, categories, ..RandomForestParams::default() }
}

fn algorithms() -> [SupervisedParams; 4] {
    let class_weight = ClassWeight::Balanced;
    [
        boosting(),
        SupervisedParams::GradientBoosting(GradientBoostingParams {
            trees: 9,
            max_features: 0.5,
            class_weight,
            ..GradientBoostingParams::default()
        }),
        SupervisedParams::RandomForest(forest()),
        SupervisedParams::RandomForest(RandomForestParams {
            max_features: 0.25,
            max_depth: 5,
            class_weight,
            categories: Categories::TargetEncoded,
            ..forest()
        }),
    ]
}

fn first(rows: usize) -> Vec<u32> {
    (0..rows as u32).collect()
}

fn auc(model: &Classifier, table: &FeatureTable, labels: &[bool], rows: std::ops::Range<usize>) -> f64 {
    let held_out: Vec<u32> = rows.clone().map(|row| row as u32).collect();
    let scores = model.predict_proba(table, &held_out).unwrap();
    BinaryMetrics::compute(&labels[rows], &scores).unwrap().auc.unwrap()
}

/// Trees of the two models in which every row ends in the same leaf.
fn same_trees(a: &Classifier, b: &Classifier, table: &FeatureTable) -> Vec<bool> {
    let rows = first(table.rows());
    let (a, b) = (a.apply(table, &rows).unwrap(), b.apply(table, &rows).unwrap());
    a.columns().into_iter().zip(b.columns()).map(|(a, b)| a == b).collect()
}

#[test]
fn a_quarter_of_the_trees_is_grown_anew_and_four_fits_see_all() {
    let (table, labels) = generated(STEADY + 1_000, 1);
    for algorithm in algorithms() {
        let fit = |rows, before: Option<&Classifier>| {
            binary::fit(&algorithm, &table, &labels, &first(rows), 3, before).unwrap()
        };
        let cold = fit(STEADY, None);
        let warm = fit(STEADY + 200, Some(&cold));
        let (stay, cold_now) = (same_trees(&cold, &warm, &table), fit(STEADY + 200, None));
        let trees = stay.len();
        assert!(warm != cold_now, "{algorithm:?}");
        if algorithm.name() == "gradient_boosting" {
            let kept = trees - trees.div_ceil(4);
            assert!(stay[..kept].iter().all(|same| *same), "{algorithm:?}: {stay:?}");
            assert!(stay[kept..].iter().any(|same| !same), "{algorithm:?}: {stay:?}");
            continue;
        }
        // The first quarter, as a cold fit would have it; the others keep their splits.
        let (anew, kept) = stay.split_at(trees / 4);
        assert!(kept.iter().all(|same| *same) && anew.iter().any(|same| !same), "{algorithm:?}: {stay:?}");
        assert!(same_trees(&warm, &cold_now, &table)[..trees / 4].iter().all(|same| *same));
        let third = fit(STEADY + 600, Some(&fit(STEADY + 400, Some(&warm))));
        let fourth = fit(STEADY + 800, Some(&third));
        let stayed = same_trees(&cold, &fourth, &table);
        assert!(stayed.iter().filter(|same| **same).count() < trees / 4, "{algorithm:?}: {stayed:?}");
    }
}

#[test]
fn a_model_that_goes_on_is_as_good_as_one_from_nothing() {
    let (table, labels) = generated(40_000, 2);
    for algorithm in algorithms() {
        let mut model = None;
        for rows in [17_000, 17_200, 17_400, 17_900, 18_300, 18_600] {
            model = Some(binary::fit(&algorithm, &table, &labels, &first(rows), 3, model.as_ref()).unwrap());
        }
        let cold = binary::fit(&algorithm, &table, &labels, &first(18_600), 3, None).unwrap();
        let [warm, cold] = [&model.unwrap(), &cold].map(|m| auc(m, &table, &labels, 20_000..40_000));
        assert!(warm > cold - 0.002, "{algorithm:?}: {warm} {cold}");
    }
}

#[test]
fn a_fit_of_the_same_rows_goes_on_to_the_same_model() {
    let (table, labels) = generated(STEADY + 100, 7);
    let rows = first(STEADY + 100);
    for algorithm in algorithms() {
        let cold = binary::fit(&algorithm, &table, &labels, &rows, 3, None).unwrap();
        let warm = binary::fit(&algorithm, &table, &labels, &rows, 3, Some(&cold)).unwrap();
        if algorithm.name() == "random_forest" {
            assert!(warm == cold, "{algorithm:?}");
        }
        // Log-odds of trees that are added up at once are the same but for rounding.
        let [a, b] = [&cold, &warm].map(|model| model.predict_proba(&table, &rows).unwrap());
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-6), "{algorithm:?}");
        let [a, b] = [&cold, &warm].map(|model| model.gain_importances().unwrap());
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6), "{algorithm:?}: {a:?} {b:?}");
    }
}

#[test]
fn boosting_that_stopped_early_is_fitted_from_nothing() {
    // Nothing to learn but what few trees can.
    let (mut table, mut labels) = (FeatureTable::new(vec!["x".into()], vec![]), Vec::new());
    let rows = STEADY + 500;
    table.push_numeric(0, (0..rows).map(|row| (row % 2) as f64));
    table.finish_append().unwrap();
    labels.extend((0..rows).map(|row| row % 10 < 4 + row % 2));
    let params = GradientBoostingParams { learning_rate: 1.0, ..GradientBoostingParams::default() };
    let algorithm = SupervisedParams::GradientBoosting(params);
    let cold = binary::fit(&algorithm, &table, &labels, &first(STEADY), 1, None).unwrap();
    assert!(cold.leaves().unwrap().len() < 75, "{:?}", cold.leaves());
    let warm = binary::fit(&algorithm, &table, &labels, &first(rows), 1, Some(&cold)).unwrap();
    assert!(warm == binary::fit(&algorithm, &table, &labels, &first(rows), 1, None).unwrap());
}

#[test]
fn what_is_no_longer_so_is_not_kept() {
    let (table, labels) = generated(STEADY * 2 + 100, 4);
    let (other_table, _) = generated(STEADY * 2 + 100, 5);
    let flipped: Vec<bool> = labels.iter().enumerate().map(|(i, label)| label ^ (i % 3 == 0)).collect();
    let rows = first(STEADY + 500);
    let settings: [[SupervisedParams; 2]; 2] = [
        [
            boosting(),
            SupervisedParams::GradientBoosting(GradientBoostingParams {
                trees: 21,
                categories: Categories::Native,
                ..Default::default()
            }),
        ],
        [
            SupervisedParams::RandomForest(forest()),
            SupervisedParams::RandomForest(RandomForestParams { min_samples_leaf: 9, ..forest() }),
        ],
    ];
    for [algorithm, other] in &settings {
        let fit = |algorithm, table, labels: &[bool], rows: &[u32], seed, before: Option<&Classifier>| {
            binary::fit(algorithm, table, labels, rows, seed, before).unwrap()
        };
        let before = fit(algorithm, &table, &labels, &rows, 1, None);
        let more = first(STEADY + 700);
        let goes_on = |what: &str, expected, algorithm, table, labels, rows: &[u32], seed| {
            let warm = fit(algorithm, table, labels, rows, seed, Some(&before));
            let cold = fit(algorithm, table, labels, rows, seed, None);
            assert_eq!(warm != cold, expected, "{what}: {algorithm:?}");
        };
        goes_on("the same", true, algorithm, &table, &labels, &more, 1);
        goes_on("settings", false, other, &table, &labels, &more, 1);
        goes_on("seed", false, algorithm, &table, &labels, &more, 2);
        goes_on("labels", false, algorithm, &table, &flipped, &more, 1);
        goes_on("table", false, algorithm, &other_table, &labels, &more, 1);
        goes_on("rows", false, algorithm, &table, &labels, &more[1..], 1);
        goes_on("fewer rows", false, algorithm, &table, &labels, &first(STEADY), 1);
        goes_on(
            "a tenth more and a bit",
            false,
            algorithm,
            &table,
            &labels,
            &first((STEADY + 500) * 11 / 10 + 1),
            1,
        );
        goes_on("a tenth more", true, algorithm, &table, &labels, &first((STEADY + 500) * 11 / 10), 1);

        let weights: Vec<f64> = (0..table.rows()).map(|row| 1.0 + (row % 2) as f64).collect();
        let weighted = TrainingRows { weights: Some(&weights), ..TrainingRows::new(&table, &labels, &more) };
        let warm = binary::fit_rows(algorithm, &weighted, 1, Some(&before)).unwrap();
        assert!(warm == binary::fit_rows(algorithm, &weighted, 1, None).unwrap(), "weights");
        // And a model of weighted rows is not gone on from.
        let warm = binary::fit(algorithm, &table, &labels, &more, 1, Some(&warm)).unwrap();
        assert!(warm == fit(algorithm, &table, &labels, &more, 1, None), "of weights");

        // The bins are made anew where the rows have doubled.
        let before = fit(algorithm, &table, &labels, &first(STEADY * 2 - 100), 1, None);
        let warm = fit(algorithm, &table, &labels, &first(STEADY * 2), 1, Some(&before));
        assert!(warm == fit(algorithm, &table, &labels, &first(STEADY * 2), 1, None), "bins");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    /// With bins and counts kept and a model in memory, or from the model's file alone: the same bytes, for any number of
    /// threads.
    #[test]
    fn a_restart_goes_on_as_if_nothing_had_been(
        seed in any::<u64>(),
        // Bins stay, unless a batch passes 2,048, 4,096 … rows to learn from or a quarter on the way to the next.
        start in prop_oneof![1 => 3_000usize..17_000, 5 => 17_400usize..22_000],
        batches in prop::collection::vec(prop_oneof![4 => 0usize..300, 1 => 300usize..3_000], 2..5),
    ) {
        let total = start + batches.iter().sum::<usize>();
        let (all, labels) = generated(total, seed);
        // Every other row of the first ones held out: where bins are, and which rows are learned from, differ.
        let training =
            |rows: usize| (0..rows as u32).filter(|row| row % 2 == 0 || *row > 2_000).collect::<Vec<_>>();
        for algorithm in algorithms() {
            let (mut bins, mut counts) = (Cache::new(), Cache::new());
            let mut model: Option<Classifier> = None;
            let (mut rows, mut went_on) = (0, 0);
            for batch in std::iter::once(start).chain(batches.clone()) {
                rows += batch;
                let training = training(rows);
                let (table, _) = generated(rows, seed);
                bins.extend(&table, &training).unwrap();
                let kept = TrainingRows {
                    bins: Some(&bins),
                    ..TrainingRows::new(&table, &labels[..rows], &training)
                };
                let next = binary::refit(&algorithm, &kept, 7, model.as_ref(), &mut counts).unwrap();
                let restored = model.map(|m| Classifier::from_bytes(&m.to_bytes().unwrap()).unwrap());
                let again = |before: Option<&Classifier>| {
                    binary::fit(&algorithm, &all, &labels, &training, 7, before).unwrap()
                };
                for threads in [1, 3] {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    let again = pool.install(|| again(restored.as_ref()));
                    prop_assert!(
                        again.to_bytes().unwrap() == next.to_bytes().unwrap(),
                        "{algorithm:?}, {rows} rows, {threads} threads"
                    );
                }
                went_on += usize::from(next != again(None));
                model = Some(next);
            }
            // Few rows more may leave each split where it was.
            let small = batches.iter().all(|batch| (100..300).contains(batch));
            let steady = small && (17_400..20_280).contains(&start);
            prop_assert!(went_on > 0 || !steady || algorithm != algorithms()[2], "{algorithm:?}");
        }
    }

    /// A damaged model under a right checksum is refused, or one that a fit goes on from without a panic.
    #[test]
    fn any_model_may_be_gone_on_from(
        // Most of the bytes are nodes; what is known of them comes last.
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..12),
        which in 0usize..4,
    ) {
        let (table, labels) = generated(STEADY + 100, 3);
        let algorithm = &algorithms()[which];
        let fit = |rows, before: Option<&Classifier>| binary::fit(algorithm, &table, &labels, &first(rows), 3, before);
        let bytes = fit(STEADY, None).unwrap().to_bytes().unwrap();
        for (at, byte, last) in changes {
            let mut payload = bytes[16..].to_vec();
            let at = if last { payload.len() - 1 - at.index(500) } else { at.index(payload.len()) };
            payload[at] = byte;
            let sealed = [&bytes[..12], &crc32fast::hash(&payload).to_le_bytes(), &payload].concat();
            let Ok(damaged) = Classifier::from_bytes(&sealed) else { continue };
            let model = fit(STEADY + 100, Some(&damaged)).unwrap();
            let scores = model.predict_proba(&table, &first(500)).unwrap();
            prop_assert!(scores.iter().all(|p| (0.0..=1.0).contains(p)), "{:?}", scores);
            prop_assert_eq!(&Classifier::from_bytes(&model.to_bytes().unwrap()).unwrap(), &model);
        }
    }
}
