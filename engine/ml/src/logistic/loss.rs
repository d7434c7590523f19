//! Log loss over all rows of a design: its value, gradient and second derivatives in one pass.
//!
//! Rows are cut into chunks of a size that depends on their number only; chunks are summed in parallel, and their sums
//! added in order. Inside a chunk, blocks of columns are worked on in fixed lanes, without fused multiplications, so the
//! sums are the same for any number of threads and any width of the processor's vectors.

// Loops over lanes index several columns at once.
#![allow(clippy::needless_range_loop)]

use crate::encode::linear::{BLOCK, Block, Design};
use rayon::prelude::*;

/// Rows of a chunk at least.
const CHUNK: usize = 16 * BLOCK;
/// Chunks at most where each needs a sum for every category.
const MAX_WIDE_CHUNKS: usize = 32;
const LANES: usize = 8;

/// Sums over rows.
#[derive(Debug, Clone)]
pub(super) struct Sums {
    pub(super) loss: f64,
    /// Of the dense columns, the intercept, and the one-hot columns: in the order of [`Weights`].
    pub(super) gradient: Vec<f64>,
    /// Lower triangle by rows, of the dense columns and the intercept; empty if not asked for.
    pub(super) hessian: Vec<f64>,
}

impl Sums {
    fn add(&mut self, other: &Sums) {
        self.loss += other.loss;
        self.gradient.iter_mut().zip(&other.gradient).for_each(|(a, b)| *a += b);
        self.hessian.iter_mut().zip(&other.hessian).for_each(|(a, b)| *a += b);
    }
}

/// Position of entry (`row`, `column`) of a lower triangle, column <= row.
pub(crate) fn at(row: usize, column: usize) -> usize {
    row * (row + 1) / 2 + column
}

/// What a pass works in.
struct Scratch {
    block: Block,
    z: [f64; BLOCK],
    residual: [f64; BLOCK],
    curvature: [f64; BLOCK],
    weighted: Vec<[f64; BLOCK]>,
}

impl Scratch {
    fn new(design: &Design<'_>) -> Scratch {
        let block = design.new_block();
        let weighted = vec![[0.0; BLOCK]; block.dense.len()];
        Scratch { block, z: [0.0; BLOCK], residual: [0.0; BLOCK], curvature: [0.0; BLOCK], weighted }
    }
}

/// The sums at these weights: those of the dense columns, the intercept, then those of the one-hot columns.
pub(super) fn pass(design: &Design<'_>, weights: &[f64], hessian: bool) -> Sums {
    let dense = design.encoders.dense() + 1;
    let empty = || Sums {
        loss: 0.0,
        gradient: vec![0.0; weights.len()],
        hessian: vec![0.0; if hessian { dense * (dense + 1) / 2 } else { 0 }],
    };
    let rows = design.rows.len();
    let chunk = match weights.len() > dense {
        true => CHUNK.max(rows.div_ceil(MAX_WIDE_CHUNKS).next_multiple_of(BLOCK)),
        false => CHUNK,
    };
    let of_chunk = |first: usize| {
        let (mut sums, mut scratch) = (empty(), Scratch::new(design));
        let end = (first + chunk).min(rows);
        for first in (first..end).step_by(BLOCK) {
            design.fill(&mut scratch.block, first, (first + BLOCK).min(end));
            add_block(&mut scratch, weights, &mut sums);
        }
        sums
    };
    let chunks: Vec<Sums> = (0..rows.div_ceil(chunk)).into_par_iter().map(|i| of_chunk(i * chunk)).collect();
    let mut sums = empty();
    chunks.iter().for_each(|chunk| sums.add(chunk));
    sums
}

/// Sum over rows of (p(z + δ) - p(z) - p'(z) δ) · x, where z and δ are the scores of `weights` and `step`: by this much
/// the gradient after a step differs from what the second derivatives say. One value a dense column and the intercept.
pub(super) fn curvature_error(design: &Design<'_>, weights: &[f64], step: &[f64]) -> Vec<f64> {
    let mut scratch = Scratch::new(design);
    let mut sums = vec![0.0; weights.len()];
    let mut delta = [0.0; BLOCK];
    for first in (0..design.rows.len()).step_by(BLOCK) {
        design.fill(&mut scratch.block, first, (first + BLOCK).min(design.rows.len()));
        linear(&scratch.block, weights, &mut scratch.z);
        linear(&scratch.block, step, &mut delta);
        for i in 0..BLOCK {
            let before = sigmoid(scratch.z[i]);
            let after = sigmoid(scratch.z[i] + delta[i]);
            scratch.residual[i] = after - before - before * (1.0 - before) * delta[i];
        }
        // Rows past the end have columns of 0.
        for (sum, column) in sums.iter_mut().zip(&scratch.block.dense) {
            *sum += dots(&scratch.residual, [column])[0];
        }
    }
    sums
}

/// Scores of rows by position.
pub(crate) fn scores(design: &Design<'_>, weights: &[f64], first: usize, out: &mut [f64]) {
    let mut block = design.new_block();
    let mut z = [0.0; BLOCK];
    for (i, out) in out.chunks_mut(BLOCK).enumerate() {
        let first = first + i * BLOCK;
        design.fill(&mut block, first, first + out.len());
        linear(&block, weights, &mut z);
        out.copy_from_slice(&z[..out.len()]);
    }
}

fn add_block(scratch: &mut Scratch, weights: &[f64], sums: &mut Sums) {
    let Scratch { block, z, residual, curvature, weighted } = scratch;
    linear(block, weights, z);
    sums.loss += residuals(z, &block.labels, block.len, residual, curvature);
    let dense = &block.dense;
    let quads = dense.len() / 4 * 4;
    for c in (0..quads).step_by(4) {
        let four = dots(residual, [&dense[c], &dense[c + 1], &dense[c + 2], &dense[c + 3]]);
        sums.gradient[c..c + 4].iter_mut().zip(four).for_each(|(sum, v)| *sum += v);
    }
    for c in quads..dense.len() {
        sums.gradient[c] += dots(residual, [&dense[c]])[0];
    }
    for hot in &block.hot {
        for (&column, residual) in hot[..block.len].iter().zip(residual.iter()) {
            // One-hot columns come after the intercept.
            sums.gradient[column as usize + 1] += residual;
        }
    }
    if sums.hessian.is_empty() {
        return;
    }
    for (weighted, column) in weighted.iter_mut().zip(dense) {
        for i in 0..BLOCK {
            weighted[i] = column[i] * curvature[i];
        }
    }
    for row in 0..dense.len() {
        let entries = &mut sums.hessian[at(row, 0)..=at(row, row)];
        let mut entries = entries.chunks_exact_mut(4);
        let mut column = 0;
        for four in entries.by_ref() {
            let w = &weighted[column..column + 4];
            let products = dots(&dense[row], [&w[0], &w[1], &w[2], &w[3]]);
            four.iter_mut().zip(products).for_each(|(entry, v)| *entry += v);
            column += 4;
        }
        for entry in entries.into_remainder() {
            *entry += dots(&dense[row], [&weighted[column]])[0];
            column += 1;
        }
    }
}

/// z = X w, the intercept being the weight of the last dense column.
pub(crate) fn linear(block: &Block, weights: &[f64], z: &mut [f64; BLOCK]) {
    z.fill(0.0);
    let quads = block.dense.len() / 4 * 4;
    for c in (0..quads).step_by(4) {
        let [a, b, d, e] = [&block.dense[c], &block.dense[c + 1], &block.dense[c + 2], &block.dense[c + 3]];
        let [wa, wb, wd, we] = [weights[c], weights[c + 1], weights[c + 2], weights[c + 3]];
        for i in 0..BLOCK {
            z[i] += (a[i] * wa + b[i] * wb) + (d[i] * wd + e[i] * we);
        }
    }
    for (column, weight) in block.dense[quads..].iter().zip(&weights[quads..]) {
        for i in 0..BLOCK {
            z[i] += column[i] * weight;
        }
    }
    for hot in &block.hot {
        for (z, &column) in z[..block.len].iter_mut().zip(hot) {
            *z += weights[column as usize + 1];
        }
    }
}

/// The loss of a block; p - y and p (1 - p) of each row, 0 past the last.
fn residuals(
    z: &[f64; BLOCK],
    labels: &[f64; BLOCK],
    len: usize,
    residual: &mut [f64; BLOCK],
    curvature: &mut [f64; BLOCK],
) -> f64 {
    let mut small = [0.0; BLOCK];
    for i in 0..BLOCK {
        small[i] = exp_of_negative(-z[i].abs());
        let inverse = 1.0 / (1.0 + small[i]);
        let share = small[i] * inverse;
        let p = if z[i] >= 0.0 { inverse } else { share };
        residual[i] = p - labels[i];
        curvature[i] = share * inverse;
    }
    residual[len..].fill(0.0);
    curvature[len..].fill(0.0);
    small[len..].fill(0.0);
    // The sum of ln(1 + e^-|z|) is the logarithm of a product, of at most 2^64 a lane and 2^512 in all.
    let (mut product, mut sum) = ([1.0; LANES], [0.0; LANES]);
    for at in (0..BLOCK).step_by(LANES) {
        for lane in 0..LANES {
            let i = at + lane;
            let hinge = z[i].max(0.0) - labels[i] * z[i];
            product[lane] *= 1.0 + small[i];
            sum[lane] += if i < len { hinge } else { 0.0 };
        }
    }
    sum.iter().sum::<f64>() + product.iter().product::<f64>().ln()
}

/// Dot products of one column with others, in fixed lanes.
pub(crate) fn dots<const N: usize>(a: &[f64; BLOCK], others: [&[f64; BLOCK]; N]) -> [f64; N] {
    let mut sums = [[0.0; LANES]; N];
    for at in (0..BLOCK).step_by(LANES) {
        for (sums, other) in sums.iter_mut().zip(others) {
            for lane in 0..LANES {
                sums[lane] += a[at + lane] * other[at + lane];
            }
        }
    }
    sums.map(|sum| sum.iter().sum())
}

/// 1 / (1 + e^-x), within 0 to 1 for every finite x.
pub(crate) fn sigmoid(x: f64) -> f64 {
    let small = exp_of_negative(-x.abs());
    let inverse = 1.0 / (1.0 + small);
    if x >= 0.0 { inverse } else { small * inverse }
}

/// e^x for x <= 0, to 3e-16 of its value; 0 below -708. Without a branch or a call, so that loops of it are vectors.
///
/// x = n ln 2 + r, |r| <= ln 2 / 2: 2^n is put together from its bits, e^r is its Taylor series to r^12.
pub(crate) fn exp_of_negative(x: f64) -> f64 {
    const ROUND: f64 = 6_755_399_441_055_744.0; // 1.5 · 2^52: adding it leaves an integer in the low bits
    const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let inside = x.max(-708.0);
    let shifted = inside * std::f64::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (inside - n * LN2_HIGH) - n * LN2_LOW;
    let mut sum = 1.0 / 479_001_600.0;
    for factorial in
        [39_916_800.0, 3_628_800.0, 362_880.0, 40_320.0, 5_040.0, 720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0]
    {
        sum = sum * r + 1.0 / factorial;
    }
    let power = f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
    if x < -708.0 { 0.0 } else { sum * power }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_that_of_the_library() {
        for i in 0..200_000 {
            let x = -f64::from(i) * 0.003_54;
            let (found, expected) = (exp_of_negative(x), x.exp());
            assert!((found - expected).abs() <= 4e-16 * expected, "e^{x}: {found}, not {expected}");
        }
        assert_eq!(
            (exp_of_negative(0.0), exp_of_negative(-709.0), exp_of_negative(f64::NEG_INFINITY)),
            (1.0, 0.0, 0.0)
        );
        assert_eq!((sigmoid(f64::MAX), sigmoid(f64::MIN), sigmoid(0.0)), (1.0, 0.0, 0.5));
    }

    #[test]
    fn the_loss_of_a_block_is_the_sum_of_its_rows() {
        let (mut z, mut y) = ([0.0; BLOCK], [0.0; BLOCK]);
        for i in 0..BLOCK {
            z[i] = (i as f64 - 250.0) / 7.0;
            y[i] = f64::from(u8::from(i % 3 == 0));
        }
        let (mut residual, mut curvature) = ([0.0; BLOCK], [0.0; BLOCK]);
        for len in [1, 300, BLOCK] {
            let found = residuals(&z, &y, len, &mut residual, &mut curvature);
            let row = |i: usize| z[i].max(0.0) - y[i] * z[i] + (-z[i].abs()).exp().ln_1p();
            let expected: f64 = (0..len).map(row).sum();
            assert!((found - expected).abs() < 1e-11 * expected, "{found}, not {expected}");
            assert!(residual[len..].iter().chain(&curvature[len..]).all(|v| *v == 0.0));
            let p = 1.0 / (1.0 + (-z[0]).exp());
            assert!((residual[0] - (p - y[0])).abs() < 1e-15 && (curvature[0] - p * (1.0 - p)).abs() < 1e-15);
        }
    }
}
