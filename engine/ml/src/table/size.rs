//! How much there is of a table.

use super::{FeatureTable, NumberColumn};

impl FeatureTable {
    /// Bytes of memory that its cells take, about: of the newest rows, up to 16,384 of them, eight a number and four a category;
    /// of those before as many as the widest value of each 16,384 rows needs, one to eight and one to four. More rows never take
    /// less, however they were appended.
    pub fn bytes(&self) -> u64 {
        let numbers = self.numeric.iter().map(NumberColumn::bytes);
        let codes = self.categorical.iter().map(|column| column.codes.bytes());
        numbers.chain(codes).sum::<usize>() as u64
    }

    /// Categories of each text column.
    pub(crate) fn category_counts(&self) -> Vec<usize> {
        self.categorical.iter().map(|column| column.dictionary.len()).collect()
    }
}
