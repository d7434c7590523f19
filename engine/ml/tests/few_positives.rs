//! Classes of which one is rare: a model that learns from a handful of its rows is to be better than their share.

// The lints' leave for tests ends at `#[test]`, and helpers stand outside of it.
#![allow(clippy::unwrap_used)]

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use tidemill_ml::{
    BinaryMetrics, Estimator, FeatureTable, GradientBoostingParams, RandomForestParams, Rows, Target,
};

const ROWS: u32 = 20_000;

/// Twice so many rows, of which the so many of the highest score in each half are positive.
fn rare(positives: usize, has_categories: bool, seed: u64) -> (FeatureTable, Vec<bool>) {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let names = |prefix: &str, count: usize| (0..count).map(|i| format!("{prefix}{i}")).collect();
    let categories = if has_categories { 2 } else { 0 };
    let mut table = FeatureTable::new(names("x", 6), names("c", categories));
    let x: Vec<[f64; 6]> =
        (0..2 * ROWS).map(|_| std::array::from_fn(|_| random.gen_range(-1.0..1.0))).collect();
    let c: Vec<[u32; 2]> = (0..2 * ROWS).map(|_| [30, 500].map(|count| random.gen_range(0..count))).collect();
    (0..6).for_each(|i| table.push_numeric(i, x.iter().map(|x| x[i])));
    for i in 0..categories {
        let texts: Vec<String> = c.iter().map(|c| c[i].to_string()).collect();
        table.push_category(i, texts.iter().map(|text| Some(text.as_str())));
    }
    table.finish_append().unwrap();
    let mut scored: Vec<(f64, usize)> = (0..x.len())
        .map(|i| {
            let of_category = if has_categories { f64::from(c[i][0] % 5) * 0.5 } else { 0.0 };
            let of_numbers = 3.0 * x[i][0] + 2.0 * x[i][1] * x[i][2];
            (of_numbers + of_category + random.gen_range(-1.0..1.0), i)
        })
        .collect();
    let mut labels = vec![false; x.len()];
    for half in scored.chunks_exact_mut(ROWS as usize) {
        half.sort_by(|a, b| b.0.total_cmp(&a.0));
        half[..positives].iter().for_each(|(_, row)| labels[*row] = true);
    }
    (table, labels)
}

/// Without a penalty on the leaves a few rows of a small hessian make log-odds that others never get back from: AUC .24 to
/// .62 and log losses of ten to forty times the constant's at 10 and 20 positives.
#[test]
fn boosting_is_better_than_the_share_of_positives_and_as_good_as_a_forest() {
    for has_categories in [false, true] {
        for positives in [10, 20, 50, 200] {
            let (table, labels) = rare(positives, has_categories, 100 + positives as u64);
            let rows: Vec<u32> = (0..2 * ROWS).collect();
            let (training, held_out) = rows.split_at(ROWS as usize);
            let scores = |estimator: Estimator| {
                let target = Target::Binary(&labels);
                let fitted = estimator.fit(&Rows::new(&table, target, training), 7).unwrap();
                fitted.score(&Rows::new(&table, target, held_out), 7).unwrap().binary().unwrap().clone()
            };
            let boosting = scores(GradientBoostingParams::default().into());
            let forest =
                scores(RandomForestParams { trees: 100, max_depth: 10, ..Default::default() }.into());
            let truth: Vec<bool> = held_out.iter().map(|&row| labels[row as usize]).collect();
            let share = vec![positives as f64 / f64::from(ROWS); truth.len()];
            let constant = BinaryMetrics::compute(&truth, &share).unwrap();
            let what = format!("{positives} positives, categories {has_categories}");
            assert!(boosting.log_loss < constant.log_loss, "{what}: {boosting:?}");
            assert!(boosting.auc.unwrap() > forest.auc.unwrap() - 0.02, "{what}: {boosting:?} {forest:?}");
        }
    }
}
