//! Isolation forests: which rows are outliers, the same for any number of threads, and files.

// The lints' leave for tests ends at `#[test]`, and helpers stand outside of it.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use tidemill_ml::{Error, FeatureTable, IsolationForest, IsolationForestParams};

fn table(columns: &[Vec<f64>]) -> FeatureTable {
    let names = (0..columns.len()).map(|c| format!("x{c}")).collect();
    let mut table = FeatureTable::new(names, vec![]);
    columns.iter().enumerate().for_each(|(c, column)| table.push_numeric(c, column.iter().copied()));
    table.finish_append().unwrap();
    table
}

fn all(table: &FeatureTable) -> Vec<u32> {
    (0..table.rows() as u32).collect()
}

/// Two columns of 3,000 rows, of which every hundredth is far off in both.
fn grid() -> FeatureTable {
    let far = |row: u32, value: f64| if row % 100 == 50 { value * 40.0 + 900.0 } else { value };
    table(&[
        (0..3_000).map(|row| far(row, f64::from(row * 37 % 101))).collect(),
        (0..3_000).map(|row| far(row, f64::from(row * 53 % 89))).collect(),
    ])
}

#[test]
fn rows_far_off_are_outliers_and_as_many_as_was_said() {
    let (table, rows) = (grid(), all(&grid()));
    let params = IsolationForestParams { contamination: Some(0.01), ..Default::default() };
    let forest = IsolationForest::fit(&params, &table, &rows, 7).unwrap();
    let found = forest.outliers(&table, &rows).unwrap();
    let expected: Vec<bool> = rows.iter().map(|row| row % 100 == 50).collect();
    assert_eq!(found, expected);
    let scores = forest.scores(&table, &rows).unwrap();
    assert!(scores.iter().all(|score| *score > 0.0 && *score <= 1.0));
    // Rows may be in any order, and any of them.
    let some = [50, 0, 2_999, 50];
    assert_eq!(forest.scores(&table, &some).unwrap(), some.map(|row| scores[row as usize]));
    assert_eq!(forest.scores(&table, &[]).unwrap(), [0.0; 0]);
    assert_ne!(forest, IsolationForest::fit(&params, &table, &rows, 8).unwrap(), "a seed decides");
}

#[test]
fn the_same_seed_is_the_same_bytes_for_any_number_of_threads() {
    let (table, rows) = (grid(), all(&grid()));
    let bytes = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let params = IsolationForestParams { contamination: Some(0.02), ..Default::default() };
            let forest = IsolationForest::fit(&params, &table, &rows, 7).unwrap();
            (forest.to_bytes().unwrap(), forest.scores(&table, &rows).unwrap())
        })
    };
    assert!(bytes(1) == bytes(2) && bytes(1) == bytes(5));
}

#[test]
fn what_cannot_be_is_an_error() {
    let fit = |params: IsolationForestParams, table: &FeatureTable, rows: &[u32]| {
        IsolationForest::fit(&params, table, rows, 7).unwrap_err()
    };
    let (table, params) = (grid(), IsolationForestParams::default());
    assert_eq!(fit(params, &table, &[]), Error::NoRows);
    assert_eq!(fit(params, &table, &[4]), Error::TooFewRows { rows: 1, needed: 2 });
    assert_eq!(fit(params, &table, &[0, 3_000]), Error::RowOutOfRange { row: 3_000, rows: 3_000 });
    assert_eq!(fit(params, &FeatureTable::default(), &[]), Error::NoFeatures);
    let text = FeatureTable::new(vec!["x".into()], vec!["kind".into()]);
    assert_eq!(fit(params, &text, &[]).to_string(), "`kind` is a text column, and it takes numeric ones");
    for (name, params) in [
        ("trees", IsolationForestParams { trees: 0, ..params }),
        ("max_samples", IsolationForestParams { max_samples: 1, ..params }),
        ("contamination", IsolationForestParams { contamination: Some(0.0), ..params }),
        ("contamination", IsolationForestParams { contamination: Some(0.6), ..params }),
        ("contamination", IsolationForestParams { contamination: Some(f64::NAN), ..params }),
    ] {
        assert!(
            matches!(fit(params, &table, &[0, 1]), Error::BadParameter { name: found, .. } if found == name)
        );
    }
    let forest = IsolationForest::fit(&params, &table, &all(&table), 7).unwrap();
    assert!(matches!(forest.scores(&text, &[]), Err(Error::FeatureMismatch { .. })));
}

#[test]
fn rows_that_are_all_alike_have_one_score() {
    let table = table(&[vec![7.0; 40], vec![f64::NAN; 40]]);
    let forest = IsolationForest::fit(&Default::default(), &table, &all(&table), 7).unwrap();
    let scores = forest.scores(&table, &all(&table)).unwrap();
    // No split: a path of a search tree of as many values.
    assert!(scores.iter().all(|score| (score - 0.5).abs() < 1e-12), "{scores:?}");
    assert_eq!(forest.outliers(&table, &[0]).unwrap(), [false]);
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => (-4i32..5).prop_map(f64::from),
        2 => Just(f64::NAN),
        2 => prop_oneof![Just(f64::MAX), Just(f64::MIN), Just(5e-324), Just(f64::INFINITY)],
        1 => any::<f64>(),
    ]
}

proptest! {
    #[test]
    fn any_rows_have_scores_and_any_file_is_read_or_refused(
        columns in (2usize..40, 1usize..4).prop_flat_map(|(rows, columns)| prop::collection::vec(prop::collection::vec(value(), rows), columns)),
        trees in 1u32..5, max_samples in 2u32..40, contamination in prop::option::of(0.001f64..0.5), seed in any::<u64>(),
        damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let table = table(&columns);
        let rows = all(&table);
        let params = IsolationForestParams { trees, max_samples, contamination };
        let forest = IsolationForest::fit(&params, &table, &rows, seed).unwrap();
        let scores = forest.scores(&table, &rows).unwrap();
        prop_assert!(scores.iter().all(|score| *score > 0.0 && *score <= 1.0), "{:?}", scores);
        if let Some(share) = contamination {
            let outliers = forest.outliers(&table, &rows).unwrap().into_iter().filter(|of| *of).count();
            prop_assert!(outliers as f64 <= (share * rows.len() as f64).ceil(), "{} of {}", outliers, rows.len());
        }
        let bytes = forest.to_bytes().unwrap();
        prop_assert_eq!(IsolationForest::from_bytes(&bytes).unwrap().to_bytes().unwrap(), bytes.clone());
        // Under a right checksum what is read may be anything, and does not end in a panic.
        let mut damaged = bytes;
        for (at, byte) in damages {
            let at = 16 + at.index(damaged.len() - 16);
            damaged[at] = byte;
        }
        let crc = crc32fast::hash(&damaged[16..]).to_le_bytes();
        damaged[12..16].copy_from_slice(&crc);
        if let Ok(other) = IsolationForest::from_bytes(&damaged)
            && let Ok(scores) = other.scores(&table, &rows)
        {
            prop_assert!(scores.iter().all(|score| *score >= 0.0 && *score <= 1.0), "{:?}", scores);
        }
    }
}
