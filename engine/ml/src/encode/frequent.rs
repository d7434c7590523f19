//! Which categories have a bin or a column of their own: the most frequent ones, ties by name. One rule for all encoders.

use crate::table::CategoryColumn;

/// Categories with how often they occur, most frequent first.
pub(crate) fn by_frequency<N: Ord, C: Ord>(a: &(N, C), b: &(N, C)) -> std::cmp::Ordering {
    b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0))
}

/// The most frequent categories of these rows, at most so many, most frequent first.
pub(crate) fn most_frequent(column: &CategoryColumn, rows: &[u32], most: usize) -> Vec<String> {
    let mut counts = vec![0u32; column.dictionary.len()];
    for &row in rows {
        // Missing is beyond the codes.
        if let Some(count) = counts.get_mut(column.codes.get(row as usize) as usize) {
            *count += 1;
        }
    }
    let names = column.dictionary.iter().zip(counts);
    let mut found: Vec<(&String, u32)> = names.filter(|(_, count)| *count > 0).collect();
    if found.len() > most {
        found.select_nth_unstable_by(most, by_frequency);
        found.truncate(most);
    }
    found.sort_unstable_by(by_frequency);
    found.into_iter().map(|(name, _)| name.clone()).collect()
}
