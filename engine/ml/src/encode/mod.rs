//! From table columns to what an algorithm computes with.
//!
//! `bins` makes bytes for trees, `scale` and `target` make dense standardised columns for linear models. Each encoder
//! is learned from training rows only, keeps what it needs (category strings included) and so encodes any table with
//! the same feature names, whatever codes that table gave to its categories.

pub(crate) mod bins;
pub(crate) mod linear;
pub(crate) mod one_hot;
pub(crate) mod scale;
pub(crate) mod target;

use crate::table::{CategoryColumn, MISSING_CODE};

/// The value of each row's category, looked up once for each code that occurs: `of` maps a string, missing has its own.
pub(crate) fn map_codes<T: Copy>(
    column: &CategoryColumn,
    rows: &[u32],
    missing: T,
    of: impl Fn(&str) -> T,
    mut put: impl FnMut(usize, T),
) {
    let mut seen: Vec<Option<T>> = vec![None; column.dictionary.len()];
    for (i, &row) in rows.iter().enumerate() {
        let value = match column.codes[row as usize] {
            MISSING_CODE => missing,
            code => *seen[code as usize].get_or_insert_with(|| of(&column.dictionary[code as usize])),
        };
        put(i, value);
    }
}
