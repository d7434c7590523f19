//! Features as bytes: at most 256 bins each, the last for missing values.
//!
//! A numeric feature has up to 255 value bins whose edges are midpoints between neighbouring training values, one a
//! distinct value where there are few and quantiles where there are many. A categorical feature has a bin for each of
//! its 254 most frequent training categories, and one, [`OTHER_BIN`], that all the others share. With that of missing
//! values these are all that a byte can say; which of the others were not seen in training is noted beside the bins, by
//! [`RareCategories`](super::rare::RareCategories).

use super::categories::CategoryNumbers;
use super::frequent::most_frequent;
use super::target::TargetEncoding;
use crate::table::{CategoryColumn, CodeColumn, FeatureTable, MISSING_CODE, NumberColumn};
use rayon::prelude::*;
use serde::ser::SerializeTupleVariant;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::HashMap;
use std::sync::Arc;

/// Bins of a feature: all values of a `u8`.
pub(crate) const BINS: usize = 256;
/// The bin of missing values.
pub(crate) const MISSING_BIN: u8 = 255;
/// The bin of rare categories, and of unseen ones.
pub(crate) const OTHER_BIN: u8 = 254;
/// Rows that one task bins.
const BLOCK: usize = 4096;
/// Rows of which it reads a column at a time.
const SMALL_BLOCK: usize = 512;
const MAX_EDGES: usize = 254;
const MAX_CATEGORIES: usize = 254;
/// Edges are quantiles of at most this many values, taken at even steps: more do not move them measurably.
const EDGE_SAMPLE: usize = 65_536;

/// How one feature becomes bins.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "BinsInFile")]
pub(crate) enum FeatureBins {
    /// Strictly ascending edges: the bin of `x` is the number of edges below `x`, so bin `b` ends at `edges[b]`.
    Numeric(Vec<f64>),
    /// Category `i` has bin `i`; most frequent first, equals by name.
    Categorical(Vec<String>),
    /// A category as a number, then the edges of numbers. The number of a missing one is one more.
    Numbered { numbers: Arc<CategoryNumbers>, edges: Vec<f64> },
}

/// What a file has.
#[derive(Deserialize)]
enum BinsInFile {
    Numeric(Vec<f64>),
    Categorical(Vec<String>),
    /// Of earlier versions.
    Encoded {
        encoding: TargetEncoding,
        edges: Vec<f64>,
    },
    Numbered(CategoryNumbers, Vec<f64>),
}

impl TryFrom<BinsInFile> for FeatureBins {
    type Error = &'static str;

    fn try_from(file: BinsInFile) -> Result<FeatureBins, &'static str> {
        Ok(match file {
            BinsInFile::Numeric(edges) => FeatureBins::Numeric(edges),
            BinsInFile::Categorical(names) => FeatureBins::Categorical(names),
            BinsInFile::Encoded { encoding, .. } if !encoding.is_valid() => {
                return Err("counts of categories contradict each other");
            }
            BinsInFile::Encoded { encoding, edges } => {
                FeatureBins::Numbered { numbers: Arc::new(encoding.into()), edges }
            }
            BinsInFile::Numbered(numbers, edges) => {
                FeatureBins::Numbered { numbers: Arc::new(numbers), edges }
            }
        })
    }
}

impl Serialize for FeatureBins {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        const NAME: &str = "BinsInFile";
        match self {
            FeatureBins::Numeric(edges) => to.serialize_newtype_variant(NAME, 0, "Numeric", edges),
            FeatureBins::Categorical(names) => to.serialize_newtype_variant(NAME, 1, "Categorical", names),
            FeatureBins::Numbered { numbers, edges } => {
                let mut fields = to.serialize_tuple_variant(NAME, 3, "Numbered", 2)?;
                fields.serialize_field(numbers.as_ref())?;
                fields.serialize_field(edges)?;
                fields.end()
            }
        }
    }
}

/// Bins of rows, row-major: `bins[row * features + feature]`.
#[derive(Debug, Clone)]
pub(crate) struct BinnedRows {
    pub(crate) features: usize,
    pub(crate) bins: Vec<u8>,
}

impl BinnedRows {
    pub(crate) fn rows(&self) -> usize {
        self.bins.len() / self.features
    }

    pub(crate) fn row(&self, at: usize) -> &[u8] {
        &self.bins[at * self.features..(at + 1) * self.features]
    }

    /// The place of so many rows more. As much room as is needed is taken, and an eighth: rows are many, and come often.
    pub(crate) fn grown_by(&mut self, rows: usize) -> &mut [u8] {
        let (before, more) = (self.bins.len(), rows * self.features);
        if self.bins.capacity() - before < more {
            self.bins.reserve_exact(more + before / 8);
        }
        self.bins.resize(before + more, 0);
        &mut self.bins[before..]
    }

    /// These rows, in their order.
    pub(crate) fn take(&self, rows: &[u32]) -> BinnedRows {
        let mut bins = vec![0; rows.len() * self.features];
        let chunks = bins.par_chunks_mut(BLOCK * self.features).zip(rows.par_chunks(BLOCK));
        chunks.for_each(|(out, rows)| {
            let out = out.chunks_exact_mut(self.features);
            out.zip(rows).for_each(|(out, &row)| out.copy_from_slice(self.row(row as usize)));
        });
        BinnedRows { features: self.features, bins }
    }
}

/// Bins of all features of a table, numeric ones first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TableBins(pub(crate) Vec<FeatureBins>);

impl TableBins {
    /// Learns the bins of every feature from these rows.
    pub(crate) fn fit(table: &FeatureTable, rows: &[u32]) -> TableBins {
        let features = (0..table.features()).into_par_iter();
        TableBins(features.map(|f| FeatureBins::fit(table, f, rows)).collect())
    }

    /// Bins these rows of a table whose feature names the caller has checked.
    pub(crate) fn transform(&self, table: &FeatureTable, rows: &[u32]) -> BinnedRows {
        let features = self.0.len();
        let mut bins = vec![0u8; features * rows.len()];
        self.put(table, rows, &mut bins);
        BinnedRows { features, bins }
    }

    /// Puts the bins of these rows, row-major.
    pub(crate) fn put(&self, table: &FeatureTable, rows: &[u32], out: &mut [u8]) {
        self.put_first(self.0.len(), table, rows, out);
    }

    /// The same of the first features alone; the cells of the others stay.
    pub(crate) fn put_first(&self, count: usize, table: &FeatureTable, rows: &[u32], out: &mut [u8]) {
        let features = self.0.len();
        let columns: Vec<ColumnBinner<'_>> = self
            .0
            .iter()
            .enumerate()
            .take(count)
            .map(|(f, bins)| ColumnBinner::new(bins, table, f, rows.len()))
            .collect();
        out.par_chunks_mut(BLOCK * features).zip(rows.par_chunks(BLOCK)).for_each(|(out, rows)| {
            let mut column = [0u8; BLOCK];
            for (f, binner) in columns.iter().enumerate() {
                binner.put(rows, &mut column);
                out.chunks_exact_mut(features).zip(&column).for_each(|(row, &bin)| row[f] = bin);
            }
        });
    }

    /// Value bins of each numeric feature.
    pub(crate) fn numeric_bins(&self) -> Vec<usize> {
        let bins = |bins: &FeatureBins| match bins {
            FeatureBins::Numeric(edges) | FeatureBins::Numbered { edges, .. } => Some(edges.len() + 1),
            FeatureBins::Categorical(_) => None,
        };
        self.0.iter().map_while(bins).collect()
    }

    /// Whether the bins are as `fit` makes them; a file might hold anything.
    pub(crate) fn is_valid(&self, numeric: usize) -> bool {
        self.0.iter().enumerate().all(|(f, bins)| match bins {
            FeatureBins::Numeric(edges) => f < numeric && are_edges(edges),
            FeatureBins::Categorical(names) => f >= numeric && names.len() <= MAX_CATEGORIES,
            FeatureBins::Numbered { numbers, edges } => {
                f >= numeric && numbers.is_valid() && are_edges(edges)
            }
        })
    }
}

fn are_edges(edges: &[f64]) -> bool {
    edges.len() <= MAX_EDGES && edges.iter().all(|e| e.is_finite()) && edges.windows(2).all(|w| w[0] < w[1])
}

impl FeatureBins {
    /// Learns the bins of one feature from these rows.
    pub(crate) fn fit(table: &FeatureTable, feature: usize, rows: &[u32]) -> FeatureBins {
        match feature.checked_sub(table.numeric_names().len()) {
            None => {
                let values = table.numeric(feature);
                FeatureBins::Numeric(numeric_edges(rows.len(), |at| values.get(rows[at] as usize)))
            }
            Some(c) => FeatureBins::Categorical(most_frequent(table.categorical(c), rows, MAX_CATEGORIES)),
        }
    }

    /// The bins of these rows in one feature.
    pub(crate) fn column(&self, table: &FeatureTable, feature: usize, rows: &[u32]) -> Vec<u8> {
        let binner = ColumnBinner::new(self, table, feature, rows.len());
        let mut column = vec![0; rows.len()];
        for (out, rows) in column.chunks_mut(BLOCK).zip(rows.chunks(BLOCK)) {
            let mut block = [0; BLOCK];
            binner.put(rows, &mut block);
            out.copy_from_slice(&block[..out.len()]);
        }
        column
    }
}

/// A column of a table with what turns it into bins, made ready for many rows.
enum ColumnBinner<'a> {
    Numeric {
        values: &'a NumberColumn,
        edges: Box<PaddedEdges>,
    },
    /// The bin of every code, and that of a missing one.
    Codes {
        codes: &'a CodeColumn,
        bins: Vec<u8>,
        missing: u8,
    },
    /// Fewer rows than codes: each is looked up by its name.
    Names {
        column: &'a CategoryColumn,
        names: NameBins<'a>,
    },
}

/// Bins of names.
enum NameBins<'a> {
    Frequent(HashMap<&'a str, u8>),
    Numbered(&'a CategoryNumbers, Box<PaddedEdges>),
}

impl NameBins<'_> {
    fn bin(&self, name: Option<&str>) -> u8 {
        match (self, name) {
            (NameBins::Frequent(_), None) => MISSING_BIN,
            (NameBins::Frequent(bins), Some(name)) => bins.get(name).copied().unwrap_or(OTHER_BIN),
            (NameBins::Numbered(numbers, edges), name) => edges.bin(f64::from(numbers.of(name))),
        }
    }
}

impl<'a> ColumnBinner<'a> {
    fn new(bins: &'a FeatureBins, table: &'a FeatureTable, feature: usize, rows: usize) -> ColumnBinner<'a> {
        match bins {
            FeatureBins::Numeric(edges) => ColumnBinner::Numeric {
                values: table.numeric(feature),
                edges: Box::new(PaddedEdges::new(edges)),
            },
            FeatureBins::Categorical(names) => {
                let bins = names.iter().map(String::as_str).zip(0u8..).collect();
                ColumnBinner::of_names(table, feature, rows, NameBins::Frequent(bins))
            }
            FeatureBins::Numbered { numbers, edges } => {
                let names = NameBins::Numbered(numbers, Box::new(PaddedEdges::new(edges)));
                ColumnBinner::of_names(table, feature, rows, names)
            }
        }
    }

    fn of_names(table: &'a FeatureTable, feature: usize, rows: usize, names: NameBins<'a>) -> Self {
        let column = table.categorical(feature - table.numeric_names().len());
        if rows < column.dictionary.len() {
            return ColumnBinner::Names { column, names };
        }
        let bins = match &names {
            NameBins::Frequent(_) => column.dictionary.iter().map(|name| names.bin(Some(name))).collect(),
            NameBins::Numbered(numbers, edges) => {
                let numbers = numbers.by_code(column);
                numbers[..column.dictionary.len()]
                    .iter()
                    .map(|number| edges.bin(f64::from(*number)))
                    .collect()
            }
        };
        ColumnBinner::Codes { codes: &column.codes, bins, missing: names.bin(None) }
    }

    /// Bins of up to [`BLOCK`] rows.
    fn put(&self, rows: &[u32], out: &mut [u8; BLOCK]) {
        match self {
            ColumnBinner::Numeric { values, edges } => {
                let mut block = [f64::NAN; SMALL_BLOCK];
                for (rows, out) in rows.chunks(SMALL_BLOCK).zip(out.chunks_exact_mut(SMALL_BLOCK)) {
                    values.put(rows, &mut block);
                    edges.put(&block[..rows.len()], out);
                }
            }
            ColumnBinner::Codes { codes, bins, missing } => {
                let mut block = [0; SMALL_BLOCK];
                for (rows, out) in rows.chunks(SMALL_BLOCK).zip(out.chunks_exact_mut(SMALL_BLOCK)) {
                    codes.put(rows, &mut block);
                    for (out, &code) in out.iter_mut().zip(&block[..rows.len()]) {
                        // Missing is beyond the codes.
                        *out = bins.get(code as usize).copied().unwrap_or(*missing);
                    }
                }
            }
            ColumnBinner::Names { column, names } => {
                for (out, &row) in out.iter_mut().zip(rows) {
                    *out = names.bin(match column.codes.get(row as usize) {
                        MISSING_CODE => None,
                        code => Some(&column.dictionary[code as usize]),
                    });
                }
            }
        }
    }
}

/// Edges filled up with infinity to the size of all bins, so that every search takes eight steps without a branch.
pub(super) struct PaddedEdges([f64; BINS]);

impl PaddedEdges {
    pub(super) fn new(edges: &[f64]) -> PaddedEdges {
        let mut padded = [f64::INFINITY; BINS];
        padded.iter_mut().zip(edges).for_each(|(slot, &edge)| *slot = edge);
        PaddedEdges(padded)
    }

    pub(super) fn bin(&self, x: f64) -> u8 {
        if x.is_nan() { MISSING_BIN } else { self.0.partition_point(|edge| *edge < x) as u8 }
    }

    fn put(&self, values: &[f64], out: &mut [u8]) {
        const LANES: usize = 8;
        for (values, out) in values.chunks(LANES).zip(out.chunks_exact_mut(LANES)) {
            let mut lanes = [f64::NAN; LANES];
            lanes.iter_mut().zip(values).for_each(|(lane, &value)| *lane = value);
            // Eight searches at a time: none waits for another's loads.
            let mut at = [0usize; LANES];
            for bit in [7, 6, 5, 4, 3, 2, 1, 0] {
                for (at, x) in at.iter_mut().zip(&lanes) {
                    // A shift, not a choice, which might become a branch that is lost half of the time.
                    *at += usize::from(self.0[(*at + (1 << bit) - 1) & 255] < *x) << bit;
                }
            }
            for ((out, at), x) in out.iter_mut().zip(at).zip(lanes) {
                *out = if x.is_nan() { MISSING_BIN } else { at as u8 };
            }
        }
    }
}

/// Edges between so many values, by their places.
fn numeric_edges(count: usize, value: impl Fn(usize) -> f64) -> Vec<f64> {
    let step = count.div_ceil(EDGE_SAMPLE).max(1);
    let mut sample: Vec<f64> = (0..count).step_by(step).map(value).filter(|v| !v.is_nan()).collect();
    sample.sort_unstable_by(f64::total_cmp);
    edges_of(&sample.chunk_by(|a, b| a == b).map(|group| (group[0], group.len())).collect::<Vec<_>>())
}

/// The edges between values, ascending, of which there are so many each.
pub(super) fn edges_of(groups: &[(f64, usize)]) -> Vec<f64> {
    let count: usize = groups.iter().map(|(_, rows)| rows).sum();
    let every_value = groups.len() <= MAX_EDGES + 1;
    let (mut edges, mut below, mut filled) = (Vec::new(), 0, 0);
    for pair in groups.windows(2) {
        let ((a, rows), (b, _)) = (pair[0], pair[1]);
        below += rows;
        let quantile = below * (MAX_EDGES + 1) / count;
        if every_value || quantile > filled {
            filled = quantile;
            let middle = a / 2.0 + b / 2.0;
            // Of neighbouring floats the middle rounds to one of them, and it may not be the upper one.
            edges.push(if a <= middle && middle < b { middle } else { a });
        }
    }
    edges.truncate(MAX_EDGES);
    edges
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numeric_bin(edges: &[f64], x: f64) -> u8 {
        let mut out = [0; BLOCK];
        let edges = PaddedEdges::new(edges);
        edges.put(&[x], &mut out);
        assert_eq!(edges.bin(x), out[0]);
        out[0]
    }

    #[test]
    fn few_values_have_a_bin_each_and_missing_has_the_last() {
        let values = [3.0, 1.0, f64::NAN, 2.0, 1.0];
        let edges = numeric_edges(5, |at| values[at]);
        assert_eq!(edges, [1.5, 2.5]);
        assert_eq!(values.map(|v| numeric_bin(&edges, v)), [2, 0, MISSING_BIN, 1, 0]);
        assert_eq!(numeric_edges(2, |_| f64::NAN), [0.0; 0]);
    }

    #[test]
    fn categories_beyond_the_most_frequent_share_a_bin() {
        let mut table = FeatureTable::new(vec![], vec!["c".into()]);
        // k000 occurs 301 times, k299 twice: the 254 most frequent are k000 to k253.
        let names: Vec<String> =
            (0..300).flat_map(|k| std::iter::repeat_n(format!("k{k:03}"), 301 - k)).collect();
        table.push_category(0, names.iter().map(|n| Some(n.as_str())).chain([None, Some("unseen")]));
        table.finish_append().unwrap();
        let last = table.rows() as u32 - 1;
        let rows: Vec<u32> = (0..last).collect();
        let bins = TableBins::fit(&table, &rows);
        let binned = bins.transform(&table, &[0, last - 2, last - 1, last]).bins;
        assert_eq!(binned, [0, OTHER_BIN, MISSING_BIN, OTHER_BIN]);
        let FeatureBins::Categorical(kept) = &bins.0[0] else { panic!("categorical") };
        assert_eq!((kept.len(), kept[253].as_str()), (254, "k253"));
    }

    proptest! {
        #[test]
        fn bins_keep_the_order_of_values(values in prop::collection::vec(-1e300f64..1e300, 1..900), digits in 0..3) {
            let scale = [1.0, 1e297, 1e299][digits as usize];
            let values: Vec<f64> = values.iter().map(|v| (v / scale).round() * scale).collect();
            let edges = numeric_edges(values.len(), |at| values[at]);
            prop_assert!(TableBins(vec![FeatureBins::Numeric(edges.clone())]).is_valid(1));
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let distinct = sorted.chunk_by(|a, b| a == b).count();
            for pair in values.windows(2) {
                let bins = [numeric_bin(&edges, pair[0]), numeric_bin(&edges, pair[1])];
                prop_assert!(pair[0] > pair[1] || bins[0] <= bins[1]);
                prop_assert!(pair[0] == pair[1] || bins[0] != bins[1] || distinct > MAX_EDGES + 1);
            }
            for (bin, edge) in edges.iter().enumerate() {
                prop_assert_eq!(numeric_bin(&edges, *edge) as usize, bin, "a bin ends at its edge");
            }
        }
    }
}
