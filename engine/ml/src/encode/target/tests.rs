//! Categories by the target, with rows that weigh the same and that do not.

use super::*;
use crate::FeatureTable;
use crate::seed::derive;

fn column(names: &[Option<&str>]) -> FeatureTable {
    let mut table = FeatureTable::new(vec![], vec!["c".into()]);
    table.push_category(0, names.iter().copied());
    table.finish_append().unwrap();
    table
}

#[test]
fn scored_rows_are_encoded_by_all_training_rows() {
    let table = column(&[Some("a"), Some("a"), Some("b"), Some("b"), None, None, Some("unseen")]);
    let labels = [true, true, false, false, true, false, false];
    let (encoding, _) = TargetEncoding::fit(table.categorical(0), &labels, &[0, 1, 2, 3, 4, 5], 1, None);
    let log_odds = |name| f64::from(encoding.log_odds(name));
    // Prior 1/2: (2 + 5) / (0 + 5), its inverse, and even odds for what says nothing.
    let found = [Some("a"), Some("b"), None, Some("unseen")].map(log_odds);
    let expected = [(7f64 / 5.0).ln(), (5f64 / 7.0).ln(), 0.0, 0.0];
    assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
    assert!(encoding.is_valid());
}

#[test]
fn a_training_row_does_not_see_its_own_label() {
    let names: Vec<String> = (0..400).map(|i| format!("k{}", i / 2)).collect();
    let table = column(&names.iter().map(|n| Some(n.as_str())).collect::<Vec<_>>());
    let rows: Vec<u32> = (0..400).collect();
    let mut labels: Vec<bool> = (0..400).map(|i| i % 3 == 0).collect();
    let value = |labels: &[bool]| {
        let (encoding, scores) = TargetEncoding::fit(table.categorical(0), labels, &rows, 5, None);
        encoding.scale.value(f64::from(scores[5][fold(10, 5)]))
    };
    let before = value(&labels);
    // Exchange the row's label with that of another category in its fold: the prior stays, the value must.
    let other = (0..400u32).find(|&r| labels[r as usize] != labels[10] && r / 2 != 5).unwrap();
    labels.swap(10, other as usize);
    assert!((value(&labels) - before).abs() < 1e-6);
}

#[test]
fn a_category_that_every_row_has_says_nothing() {
    for name in [Some("only"), None] {
        let table = column(&[name; 300]);
        let labels: Vec<bool> = (0..300).map(|i| i % 7 < 3).collect();
        let rows: Vec<u32> = (0..300).collect();
        let (encoding, scores) = TargetEncoding::fit(table.categorical(0), &labels, &rows, 1, None);
        assert_eq!(encoding.scale.inverse(), 0.0);
        assert!(scores.iter().all(|scores| *scores == [0.0; FOLD_LANES]), "{scores:?}");
    }
}

#[test]
fn rows_that_come_later_give_the_bytes_of_all_rows_at_once() {
    let names: Vec<String> = (0..900).map(|i| format!("k{}", i * i % 70)).collect();
    let table = column(&names.iter().map(|n| Some(n.as_str()).filter(|n| *n != "k4")).collect::<Vec<_>>());
    let rows: Vec<u32> = (0..900).filter(|r| r % 4 != 1).collect();
    let labels: Vec<bool> = (0..900).map(|i| i % 3 == 0).collect();
    let fit = |rows: &[u32], before: Option<(usize, &TargetEncoding)>| {
        TargetEncoding::fit(table.categorical(0), &labels, rows, 5, before)
    };
    let first = fit(&rows[..300], None).0;
    assert_eq!(fit(&rows, Some((300, &first))), fit(&rows, None));
    let other = TargetEncoding { names: vec!["elsewhere".into()], folds: vec![Default::default()], ..first };
    assert_eq!(fit(&rows, Some((300, &other))), fit(&rows, None), "counts of another table are not used");
}

/// Rows of 60 categories, of which some have few rows; labels; weights of 1 to 3 whose mean is 2.
fn weighed_rows() -> (FeatureTable, Vec<bool>, Vec<f64>) {
    let names: Vec<String> = (0..600u64).map(|i| format!("k{}", derive(2, i) % 60)).collect();
    let table = column(&names.iter().map(|n| Some(n.as_str()).filter(|n| *n != "k4")).collect::<Vec<_>>());
    let labels = (0..600u64).map(|i| derive(3, i) % 5 < 2).collect();
    (table, labels, (0..600u32).map(|i| f64::from(1 + i % 3)).collect())
}

fn counts(table: &FeatureTable, labels: &[bool], rows: &[u32], units: Option<&[u64]>) -> FoldCounts {
    let units_of_row = units.map_or(1, |_| WEIGHED_ROW);
    let of_label = |row: u32, units: u64| units * u64::from(labels[row as usize]);
    let fold = |position: usize| fold(rows[position], 5);
    FoldCounts::of(table.categorical(0), rows, (units_of_row, units), fold, of_label)
}

#[test]
fn whole_weights_count_as_the_rows_repeated() {
    let (table, labels, weights) = weighed_rows();
    let rows: Vec<u32> = (0..600).collect();
    let units = row_units(&weights, &rows);
    let weighed = counts(&table, &labels, &rows, Some(&units));
    let times = |i: usize| weights[i] as usize;
    let name = |i: usize| table.categorical(0).dictionary.get(table.categorical(0).codes.get(i) as usize);
    let names: Vec<Option<&str>> =
        (0..600).flat_map(|i| std::iter::repeat_n(name(i).map(String::as_str), times(i))).collect();
    let (long, long_labels) = (column(&names), repeat(&labels, times));
    let all: Vec<u32> = (0..names.len() as u32).collect();
    let repeated = counts(&long, &long_labels, &all, None);

    // Rows go into folds by their position, and so repeated ones into others; the sums are those of half a unit each.
    let halves = |tally: Tally| Tally {
        rows: tally.rows * WEIGHED_ROW / 2,
        positives: tally.positives * WEIGHED_ROW / 2,
    };
    assert_eq!(table.categorical(0).dictionary, long.categorical(0).dictionary);
    assert_eq!(weighed.all, halves(repeated.all));
    for (code, (of_weighed, of_repeated)) in weighed.totals.iter().zip(&repeated.totals).enumerate() {
        assert_eq!(*of_weighed, halves(*of_repeated), "{code}");
        // Ten rows of mean weight are twenty of those repeated.
        let (prior, positives) = (repeated.all.share(), of_repeated.positives as f64);
        let negatives = of_repeated.rows as f64 - positives;
        let odds = (positives + 20.0 * prior) / (negatives + 20.0 * (1.0 - prior));
        assert!((f64::from(weighed.by_all(code, TRUST)) - odds.ln()).abs() < 1e-6, "{code}");
    }
}

fn repeat(labels: &[bool], times: impl Fn(usize) -> usize) -> Vec<bool> {
    labels.iter().enumerate().flat_map(|(i, &label)| std::iter::repeat_n(label, times(i))).collect()
}

#[test]
fn a_fold_sees_the_weights_of_the_other_folds() {
    let (table, labels, mut weights) = weighed_rows();
    weights.iter_mut().enumerate().for_each(|(i, weight)| *weight *= 1.0 + (i % 7) as f64 / 3.0);
    let rows: Vec<u32> = (0..600).filter(|row| row % 5 != 2).collect();
    let codes = &table.categorical(0).codes;
    let units = row_units(&weights, &rows);
    let of_folds = counts(&table, &labels, &rows, Some(&units));
    let weight = |row: &u32| weights[*row as usize];
    let mean = rows.iter().map(weight).sum::<f64>() / rows.len() as f64;
    // Rows and positives, in rows of mean weight.
    let counted = |of: &dyn Fn(u32) -> bool| {
        let these = || rows.iter().filter(|row| of(**row));
        let positives = these().filter(|row| labels[**row as usize]).map(weight).sum::<f64>();
        (these().map(weight).sum::<f64>() / mean, positives / mean)
    };
    let (all, positives) = counted(&|_| true);
    let prior = positives / all;
    let expected = |row: u32| {
        let category = codes.get(row as usize);
        let others = |r: u32| codes.get(r as usize) == category && fold(r, 5) != fold(row, 5);
        match counted(&others) {
            (rows, _) if rows < 2.0 => (prior / (1.0 - prior)).ln(),
            (rows, p) => ((p + 10.0 * prior) / (rows - p + 10.0 * (1.0 - prior))).ln(),
        }
    };
    // Numbers of single precision, of counts that are rounded to 2^-21 of a row.
    for &row in &rows {
        let code = (codes.get(row as usize) as usize).min(table.categorical(0).dictionary.len());
        let found = f64::from(of_folds.out_of_fold(code, TRUST)[fold(row, 5)]);
        assert!((found - expected(row)).abs() < 1e-5, "{row}: {found} {}", expected(row));
    }
}

#[test]
fn weights_may_be_equal_or_far_apart() {
    let (table, labels, _) = weighed_rows();
    let rows: Vec<u32> = (0..600).filter(|row| row % 4 != 1).collect();
    let codes = 0..table.categorical(0).dictionary.len() + 1;
    let numbers = |units: Option<&[u64]>| {
        let counts = counts(&table, &labels, &rows, units);
        let of_code = |code| (counts.out_of_fold(code, TRUST), counts.by_all(code, TRUST));
        codes.clone().map(of_code).chain([([counts.unseen(TRUST); FOLDS], 0.0)]).collect::<Vec<_>>()
    };
    let same = numbers(None);
    for weight in [5e-324, 0.1, 3.0, f64::MAX] {
        let units = row_units(&[weight; 600], &rows);
        assert!(units.iter().all(|&units| units == WEIGHED_ROW), "{weight}");
        assert_eq!(numbers(Some(&units)), same, "{weight}");
    }
    assert_eq!(row_units(&[1e300, 0.0, 1e-300], &[0, 2]), [2 * WEIGHED_ROW, 1]);
    assert_eq!(row_units(&[5e-324, 1.5e-323], &[0, 1]), [WEIGHED_ROW / 2, WEIGHED_ROW * 3 / 2]);
    // One class, then one row, has all the weight there is.
    for is_heavy in [&|row: usize| labels[row], &|row: usize| row == 6] as [&dyn Fn(usize) -> bool; 2] {
        for (heavy, light) in [(1e300, 1e-300), (f64::MAX, 5e-324)] {
            let weights: Vec<f64> = (0..600).map(|row| if is_heavy(row) { heavy } else { light }).collect();
            let found = numbers(Some(&row_units(&weights, &rows)));
            assert!(found.iter().all(|(folds, all)| folds.iter().all(|f| f.is_finite()) && all.is_finite()));
        }
    }
}

#[test]
fn counts_that_contradict_each_other_are_not_valid() {
    let (table, labels, _) = weighed_rows();
    let rows: Vec<u32> = (0..600).collect();
    let valid = TargetEncoding::fit(table.categorical(0), &labels, &rows, 5, None).0;
    let valid_but = |change: fn(&mut TargetEncoding)| {
        let mut changed = valid.clone();
        change(&mut changed);
        changed.is_valid()
    };
    assert!(valid_but(|_| {}));
    let changes: [fn(&mut TargetEncoding); 8] = [
        |e| e.units_of_row = 0,
        |e| e.units_of_row += 1,
        |e| e.units_of_row = u64::MAX,
        |e| e.all.rows += 1,
        |e| e.folds[0][1].rows = u64::MAX,
        |e| e.missing[2].positives = e.missing[2].rows + 1,
        |e| (e.complete, e.all.rows) = (false, e.all.rows / 2),
        |e| (e.complete, e.all.rows) = (false, (e.units_of_row + 1) << 29),
    ];
    let valid: Vec<bool> = changes.map(valid_but).to_vec();
    assert_eq!(valid, [false; 8]);
}

#[test]
fn folds_are_even_and_move_with_the_seed() {
    let count = |seed| (0..FOLDS).map(move |f| (0..10_000).filter(|&r| fold(r, seed) == f).count());
    assert!(
        count(1).chain(count(2)).all(|n| (1_800..2_200).contains(&n)),
        "{:?}",
        count(1).collect::<Vec<_>>()
    );
    assert!((0..100).any(|r| fold(r, 1) != fold(r, 2)));
}
