//! A categorical feature as one column a category, of which exactly one is 1.
//!
//! The most frequent training categories (ties by name) have a column each, missing values have one, and the last is
//! shared by all other categories: the rarer ones and those not seen in training.

use super::frequent::most_frequent;
use crate::table::CategoryColumn;
use serde::{Deserialize, Serialize};

/// The categories that have a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct OneHotEncoding {
    /// Ascending; a column each, then that of missing values, then that of all others.
    names: Vec<String>,
}

impl OneHotEncoding {
    /// Learns from these rows.
    pub(crate) fn fit(column: &CategoryColumn, rows: &[u32], max_categories: usize) -> OneHotEncoding {
        OneHotEncoding::of(most_frequent(column, rows, max_categories))
    }

    /// A column for each of these.
    pub(crate) fn of(mut names: Vec<String>) -> OneHotEncoding {
        names.sort_unstable();
        OneHotEncoding { names }
    }

    /// The categories that have a column, ascending.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Number of columns.
    pub(crate) fn columns(&self) -> usize {
        self.names.len() + 2
    }

    /// The column of a category, or of a missing value.
    pub(crate) fn column(&self, name: Option<&str>) -> usize {
        match name {
            None => self.names.len(),
            Some(name) => match self.names.binary_search_by(|kept| kept.as_str().cmp(name)) {
                Ok(at) => at,
                Err(_) => self.names.len() + 1,
            },
        }
    }

    /// What a column stands for: a category, `None` for missing values, and `Err` for all others.
    pub(crate) fn stands_for(&self, column: usize) -> Result<Option<&str>, ()> {
        match self.names.get(column) {
            Some(name) => Ok(Some(name)),
            None if column == self.names.len() => Ok(None),
            None => Err(()),
        }
    }

    pub(crate) fn is_valid(&self) -> bool {
        self.names.windows(2).all(|w| w[0] < w[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FeatureTable;

    #[test]
    fn the_most_frequent_have_a_column_and_the_rest_share_one() {
        let mut table = FeatureTable::new(vec![], vec!["c".into()]);
        let values = ["b", "a", "b", "c", "d", "d", "unseen"].map(Some);
        table.push_category(0, values.into_iter().chain([None]));
        table.finish_append().unwrap();
        let encoding = OneHotEncoding::fit(table.categorical(0), &[0, 1, 2, 3, 4, 5, 7], 3);
        // b and d twice; a before c by name.
        assert_eq!(encoding.names, ["a", "b", "d"]);
        assert_eq!(encoding.columns(), 5);
        let found = [Some("a"), Some("d"), None, Some("c"), Some("unseen")].map(|n| encoding.column(n));
        assert_eq!(found, [0, 2, 3, 4, 4]);
        assert_eq!([2, 3, 4].map(|c| encoding.stands_for(c)), [Ok(Some("d")), Ok(None), Err(())]);
        assert!(encoding.is_valid());
    }
}
