//! Categories that a fit saw and that have no bin of their own, so that one it did not see can be told from them.
//!
//! The 254 most frequent categories, the rare ones and the missing ones take all 256 bins of a byte. No row of a fit is of
//! an unseen category, so trees need no bin to grow by it: where its bin would be, a split has a flag
//! ([`Rule::In`](crate::forest)), and the few cells that are unseen are noted beside the bins of the rows that are scored.

use super::bins::{BinnedRows, FeatureBins, OTHER_BIN, TableBins};
use crate::table::{FeatureTable, MISSING_CODE};
use serde::{Deserialize, Serialize};

/// By categorical feature, the categories without a bin of their own that some training row has, as sorted hashes of their
/// names: of a few thousand, one in a million unseen names is taken for one of them. Features without any are left out:
/// there the bin of the rare ones had no row, which is the same as to be unseen.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct RareCategories(Vec<(u32, Vec<u32>)>);

/// Cells of scored rows with an unseen category: (position of the row, feature), ascending.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Unseen(Vec<(u32, u32)>);

impl RareCategories {
    /// Those of these training rows.
    pub(crate) fn of(bins: &TableBins, table: &FeatureTable, rows: &[u32]) -> RareCategories {
        let numeric = table.numeric_names().len();
        let of_feature = |(feature, bins): (usize, &FeatureBins)| {
            let FeatureBins::Categorical(names) = bins else { return None };
            let column = table.categorical(feature - numeric);
            let mut without = vec![true; column.dictionary.len()];
            names.iter().filter_map(|name| column.code(name)).for_each(|code| without[code as usize] = false);
            if !without.contains(&true) {
                return None;
            }
            let mut rare = vec![false; without.len()];
            for &row in rows {
                let code = column.codes.get(row as usize);
                if code != MISSING_CODE {
                    rare[code as usize] = true;
                }
            }
            let names = column.dictionary.iter().zip(rare).zip(without);
            let mut hashes: Vec<u32> = names
                .filter(|((_, rare), without)| *rare && *without)
                .map(|((name, _), _)| hash(name))
                .collect();
            hashes.sort_unstable();
            hashes.dedup();
            (!hashes.is_empty()).then_some((feature as u32, hashes))
        };
        RareCategories(bins.0.iter().enumerate().filter_map(of_feature).collect())
    }

    /// The cells of these rows, binned in this order, whose category no training row had.
    pub(crate) fn unseen(&self, table: &FeatureTable, rows: &[u32], binned: &BinnedRows) -> Unseen {
        let mut cells = Vec::new();
        for (feature, hashes) in &self.0 {
            let column = table.categorical(*feature as usize - table.numeric_names().len());
            let is_new = |name: &String| hashes.binary_search(&hash(name)).is_err();
            // Many rows share a name; of few, each is looked up.
            let by_code: Option<Vec<bool>> = (rows.len() >= column.dictionary.len())
                .then(|| column.dictionary.iter().map(is_new).collect());
            for (position, &row) in rows.iter().enumerate() {
                if binned.row(position)[*feature as usize] != OTHER_BIN {
                    continue;
                }
                // The bin is not that of missing values, so there is a name.
                let code = column.codes.get(row as usize) as usize;
                if by_code.as_ref().map_or_else(|| is_new(&column.dictionary[code]), |new| new[code]) {
                    cells.push((position as u32, *feature));
                }
            }
        }
        cells.sort_unstable();
        Unseen(cells)
    }

    /// Sorted hashes of those of one feature; none where its categories all have bins of their own.
    pub(crate) fn of_feature(&self, feature: usize) -> &[u32] {
        let of = self.0.iter().find(|(of, _)| *of as usize == feature);
        of.map_or(&[], |(_, hashes)| hashes)
    }

    /// The hash of a name.
    pub(crate) fn hash(name: &str) -> u32 {
        hash(name)
    }

    /// Whether these can be of a model with so many features; a file might hold anything.
    pub(crate) fn is_valid(&self, numeric: usize, features: usize) -> bool {
        let ascending = self.0.windows(2).all(|pair| pair[0].0 < pair[1].0);
        ascending
            && self.0.iter().all(|(feature, hashes)| {
                (numeric..features).contains(&(*feature as usize))
                    && !hashes.is_empty()
                    && hashes.windows(2).all(|pair| pair[0] < pair[1])
            })
    }
}

impl Unseen {
    /// Each row that has such cells: its position, and these cells.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (usize, &[(u32, u32)])> {
        self.0.chunk_by(|a, b| a.0 == b.0).map(|cells| (cells[0].0 as usize, cells))
    }
}

fn hash(name: &str) -> u32 {
    crc32fast::hash(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(names: &[Option<&str>]) -> FeatureTable {
        let mut table = FeatureTable::new(vec!["x".into()], vec!["c".into()]);
        table.push_numeric(0, vec![0.0; names.len()]);
        table.push_category(0, names.iter().copied());
        table.finish_append().unwrap();
        table
    }

    #[test]
    fn only_what_no_training_row_had_is_unseen() {
        // 300 categories of one row each, so 46 without a bin; the last two rows are not learned from.
        let names: Vec<String> = (0..300).map(|k| format!("k{k:03}")).collect();
        let rows_of = names.iter().map(|n| Some(n.as_str())).chain([None, Some("new"), Some("k299")]);
        let table = column(&rows_of.collect::<Vec<_>>());
        let training: Vec<u32> = (0..301).collect();
        let bins = TableBins::fit(&table, &training);
        let rare = RareCategories::of(&bins, &table, &training);
        assert_eq!(rare.0.len(), 1);
        assert_eq!(rare.0[0].1.len(), 46);
        assert!(rare.is_valid(1, 2) && !rare.is_valid(2, 2) && !rare.is_valid(0, 1));
        for rows in [vec![302, 301, 300, 299, 0, 301], (0..303).rev().collect::<Vec<u32>>()] {
            let unseen = rare.unseen(&table, &rows, &bins.transform(&table, &rows));
            let expected: Vec<usize> = (0..rows.len()).filter(|&i| rows[i] == 301).collect();
            assert_eq!(unseen.rows().map(|(position, _)| position).collect::<Vec<_>>(), expected);
            assert!(unseen.rows().all(|(position, cells)| cells == [(position as u32, 1)]));
        }
        // In another table, whose codes are others.
        let other = column(&[Some("k299"), Some("other"), Some("k000"), None]);
        let unseen = rare.unseen(&other, &[3, 1, 0, 2], &bins.transform(&other, &[3, 1, 0, 2]));
        assert_eq!(unseen, Unseen(vec![(1, 1)]));
    }

    #[test]
    fn a_column_whose_categories_all_have_bins_needs_no_note() {
        let table = column(&[Some("a"), Some("b"), None, Some("later")]);
        let bins = TableBins::fit(&table, &[0, 1, 2]);
        assert_eq!(RareCategories::of(&bins, &table, &[0, 1, 2]), RareCategories::default());
        // Bins that were made of fewer rows than are learned from.
        assert_eq!(RareCategories::of(&bins, &table, &[0, 1, 3]).0.len(), 1);
    }
}
