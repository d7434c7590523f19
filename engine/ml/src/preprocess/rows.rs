//! Rows in blocks: what threads share. Blocks are the same for any number of threads, and put together in their order.

use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

/// Rows that a thread takes at once: those of a dozen columns stay in its cache.
pub(super) const BLOCK: usize = 1024;

/// Columns that are read side by side: those of a cache line, if rows lie one after the other.
const LINE: usize = 8;

/// The rows, block by block.
pub(super) fn blocks<'a>(x: &ArrayView2<'a, f64>) -> Vec<ArrayView2<'a, f64>> {
    let mut rest = *x;
    let mut blocks = Vec::with_capacity(x.nrows().div_ceil(BLOCK));
    while rest.nrows() > BLOCK {
        let (block, after) = rest.split_at(Axis(0), BLOCK);
        blocks.push(block);
        rest = after;
    }
    blocks.push(rest);
    blocks
}

/// What `of` makes of each block, whose rows it gets one after the other.
pub(super) fn of_blocks<T: Send>(x: &ArrayView2<'_, f64>, of: impl Fn(&[f64]) -> T + Sync) -> Vec<T> {
    let of_block = |block: ArrayView2<'_, f64>| {
        let block = block.as_standard_layout();
        // Of this layout there always is a slice.
        of(block.as_slice().unwrap_or_default())
    };
    blocks(x).into_par_iter().map(of_block).collect()
}

/// A new matrix of rows that `change` has changed.
pub(super) fn changed(x: &ArrayView2<'_, f64>, change: impl Fn(&mut [f64]) + Sync) -> Array2<f64> {
    let columns = x.ncols().max(1);
    let mut out = Array2::zeros(x.raw_dim());
    let parts: Vec<_> = out.axis_chunks_iter_mut(Axis(0), BLOCK).zip(blocks(x)).collect();
    parts.into_par_iter().for_each(|(mut out, block)| {
        // A copy of a block, and then changed in cache, is faster than one value after the other.
        out.assign(&block);
        if let Some(values) = out.as_slice_mut() {
            values.chunks_exact_mut(columns).for_each(&change);
        }
    });
    out
}

/// What `of` makes of each column's known values.
pub(super) fn of_columns<T: Send>(
    x: &ArrayView2<'_, f64>,
    of: impl Fn(usize, Vec<f64>) -> T + Sync,
) -> Vec<T> {
    let groups: Vec<ArrayView2<'_, f64>> = x.axis_chunks_iter(Axis(1), LINE).collect();
    let of_group = |(group, x): (usize, ArrayView2<'_, f64>)| -> Vec<T> {
        let mut columns: Vec<Vec<f64>> = (0..x.ncols()).map(|_| Vec::with_capacity(x.nrows())).collect();
        for row in x.rows() {
            columns
                .iter_mut()
                .zip(row)
                .filter(|(_, v)| v.is_finite())
                .for_each(|(column, v)| column.push(*v));
        }
        columns.into_par_iter().enumerate().map(|(c, values)| of(group * LINE + c, values)).collect()
    };
    groups.into_par_iter().enumerate().flat_map_iter(of_group).collect()
}
