//! Values of a column, in chunks of the narrowest type that holds them.
//!
//! ```text
//! rows  0 ....... 16,384 ....... 32,768 ....... 40,000
//!       a chunk: i8, i16, i32, f32 or f64 │ the newest rows, as they came
//! ```
//!
//! A full chunk is packed once and then never changes: what reads it gets each value back to the bit, a table that grows
//! copies nothing, and tables that are made of another one's columns share them. Rows that are not yet as many as a chunk
//! lie as they came.

use crate::table::MISSING_CODE;
use std::ops::Range;
use std::sync::Arc;

/// Rows of a chunk.
pub(crate) const CHUNK: usize = 1 << 14;

/// Values of a chunk, packed.
pub(crate) trait Packed: Clone {
    /// What is packed.
    type Value: Copy;

    /// Packs so many values as a chunk has.
    fn pack(values: &[Self::Value]) -> Self;

    /// The value of a row of the chunk.
    fn get(&self, row: usize) -> Self::Value;

    /// Bytes of the values.
    fn bytes(&self) -> usize;

    /// The values of rows of the chunk, modulo its rows.
    fn lanes<const N: usize>(&self, rows: [usize; N]) -> [Self::Value; N];

    /// The values of rows of the chunk.
    fn put(&self, rows: impl Iterator<Item = usize>, out: &mut [Self::Value]);
}

/// Values of a chunk in one type. Of so many, known beforehand, that a row modulo them is one of them.
type Values<T> = Arc<[T; CHUNK]>;

/// A column of values.
#[derive(Debug, Clone)]
pub(crate) struct Column<P: Packed> {
    full: Vec<P>,
    /// Those after the last full chunk, fewer than one has.
    rest: Vec<P::Value>,
}

/// Numbers; NaN is a missing one.
pub(crate) type NumberColumn = Column<Numbers>;

/// Codes of categories, or [`MISSING_CODE`].
pub(crate) type CodeColumn = Column<PackedCodes>;

impl<P: Packed> Default for Column<P> {
    fn default() -> Self {
        Column { full: Vec::new(), rest: Vec::new() }
    }
}

impl<P: Packed> Column<P> {
    /// These values.
    pub(crate) fn of(values: impl IntoIterator<Item = P::Value>) -> Column<P> {
        let mut column = Column::default();
        column.extend(values);
        column
    }

    /// Number of values.
    pub(crate) fn len(&self) -> usize {
        self.full.len() * CHUNK + self.rest.len()
    }

    /// Bytes of memory, those of the newest chunk as if it were full and not packed: more values never take less.
    pub(crate) fn bytes(&self) -> usize {
        let newest = self.len().min(CHUNK) * size_of::<P::Value>();
        newest + self.full.iter().map(P::bytes).sum::<usize>()
    }

    /// Adds a value.
    pub(crate) fn push(&mut self, value: P::Value) {
        self.rest.push(value);
        if self.rest.len() == CHUNK {
            self.pack();
        }
    }

    /// Adds values.
    pub(crate) fn extend(&mut self, values: impl IntoIterator<Item = P::Value>) {
        let mut values = values.into_iter();
        loop {
            self.rest.extend(values.by_ref().take(CHUNK - self.rest.len()));
            if self.rest.len() < CHUNK {
                return;
            }
            self.pack();
        }
    }

    fn pack(&mut self) {
        // Its place is given back: of a table that has hundreds of columns it would be more than the chunks.
        self.full.push(P::pack(&std::mem::take(&mut self.rest)));
    }

    /// Keeps the first values alone.
    pub(crate) fn truncate(&mut self, values: usize) {
        let (chunk, left) = (values / CHUNK, values % CHUNK);
        match self.full.get(chunk) {
            Some(cut) => {
                self.rest = (0..left).map(|row| cut.get(row)).collect();
                self.full.truncate(chunk);
            }
            None => self.rest.truncate(left),
        }
    }

    /// Forgets all values.
    pub(crate) fn clear(&mut self) {
        self.full.clear();
        self.rest.clear();
    }

    /// The value of a row.
    #[inline]
    pub(crate) fn get(&self, row: usize) -> P::Value {
        match self.full.get(row / CHUNK) {
            Some(chunk) => chunk.get(row % CHUNK),
            None => self.rest[row % CHUNK],
        }
    }

    /// The values of neighbouring rows.
    pub(crate) fn range(&self, rows: Range<usize>) -> impl Iterator<Item = P::Value> + Clone {
        rows.map(|row| self.get(row))
    }

    /// Puts the values of these rows: sooner than one by one where neighbours of them are in the same chunk.
    #[inline]
    pub(crate) fn put(&self, rows: &[u32], out: &mut [P::Value]) {
        let (mut rows, mut out) = (rows, out);
        while let Some(&first) = rows.first() {
            let chunk = first as usize / CHUNK;
            let in_chunk = |row: &u32| *row as usize / CHUNK == chunk;
            let count = match rows.last().is_some_and(in_chunk) && rows.iter().all(in_chunk) {
                true => rows.len(),
                false => rows.iter().take_while(|row| in_chunk(row)).count(),
            };
            let (of_chunk, later) = rows.split_at(count);
            let (now, after) = out.split_at_mut(count.min(out.len()));
            let places = of_chunk.iter().map(|row| *row as usize % CHUNK);
            match self.full.get(chunk) {
                Some(packed) => packed.put(places, now),
                None => now.iter_mut().zip(places).for_each(|(out, row)| *out = self.rest[row]),
            }
            (rows, out) = (later, after);
        }
    }

    /// Puts the values of neighbouring rows from this one on.
    #[inline]
    pub(crate) fn put_from(&self, first: usize, out: &mut [P::Value]) {
        let (mut first, mut out) = (first, out);
        while !out.is_empty() {
            let (now, after) = out.split_at_mut(out.len().min(CHUNK - first % CHUNK));
            let places = first % CHUNK..first % CHUNK + now.len();
            match self.full.get(first / CHUNK) {
                Some(packed) => packed.put(places, now),
                None => now.copy_from_slice(&self.rest[places]),
            }
            (first, out) = (first + now.len(), after);
        }
    }

    /// The values of these rows, in any order.
    #[inline]
    pub(crate) fn lanes<const N: usize>(&self, rows: [usize; N]) -> [P::Value; N] {
        let first = rows.first().copied().unwrap_or(0);
        // Of one chunk are rows that differ in their place in it alone.
        let differ = rows.iter().fold(0, |differ, row| differ | (row ^ first));
        match self.full.get(first / CHUNK).filter(|_| differ < CHUNK) {
            Some(chunk) => chunk.lanes(rows),
            None => rows.map(|row| self.get(row)),
        }
    }
}

/// A chunk of numbers. The least number of an integer type is a missing value; -0 is a float.
#[derive(Debug, Clone)]
pub(crate) enum Numbers {
    I8(Values<i8>),
    I16(Values<i16>),
    I32(Values<i32>),
    F32(Values<f32>),
    F64(Values<f64>),
}

macro_rules! as_integer {
    ($integer:ty) => {
        // A float past the ends becomes the end, and is then not the same.
        |value: f64| -> ($integer, bool) {
            let integer = if value.is_nan() { <$integer>::MIN } else { value as $integer };
            let same = f64::from(integer).to_bits() == value.to_bits() && integer != <$integer>::MIN;
            (integer, same || value.is_nan())
        }
    };
}

/// The values in a narrower type, if each is the same in it.
fn narrowed<T: Copy + Default>(values: &[f64], narrow: impl Fn(f64) -> (T, bool)) -> Option<Values<T>> {
    values.iter().all(|value| narrow(*value).1).then(|| packed(values, |value| narrow(value).0))
}

fn packed<V: Copy, T: Copy + Default>(values: &[V], narrow: impl Fn(V) -> T) -> Values<T> {
    let mut chunk = Arc::new([T::default(); CHUNK]);
    if let Some(chunk) = Arc::get_mut(&mut chunk) {
        chunk.iter_mut().zip(values).for_each(|(out, value)| *out = narrow(*value));
    }
    chunk
}

impl Packed for Numbers {
    type Value = f64;

    fn pack(values: &[f64]) -> Numbers {
        let single = |value: f64| {
            let single = value as f32;
            (single, f64::from(single).to_bits() == value.to_bits() || value.is_nan())
        };
        if let Some(values) = narrowed(values, as_integer!(i8)) {
            Numbers::I8(values)
        } else if let Some(values) = narrowed(values, as_integer!(i16)) {
            Numbers::I16(values)
        } else if let Some(values) = narrowed(values, as_integer!(i32)) {
            Numbers::I32(values)
        } else if let Some(values) = narrowed(values, single) {
            Numbers::F32(values)
        } else {
            Numbers::F64(packed(values, |value| value))
        }
    }

    #[inline]
    fn get(&self, row: usize) -> f64 {
        match self {
            Numbers::I8(values) => of_i8(values[row]),
            Numbers::I16(values) => of_i16(values[row]),
            Numbers::I32(values) => of_i32(values[row]),
            Numbers::F32(values) => f64::from(values[row]),
            Numbers::F64(values) => values[row],
        }
    }

    #[inline]
    fn lanes<const N: usize>(&self, rows: [usize; N]) -> [f64; N] {
        match self {
            Numbers::I8(values) => rows.map(|row| of_i8(values[row % CHUNK])),
            Numbers::I16(values) => rows.map(|row| of_i16(values[row % CHUNK])),
            Numbers::I32(values) => rows.map(|row| of_i32(values[row % CHUNK])),
            Numbers::F32(values) => rows.map(|row| f64::from(values[row % CHUNK])),
            Numbers::F64(values) => rows.map(|row| values[row % CHUNK]),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Numbers::I8(values) => size_of_val(values.as_ref()),
            Numbers::I16(values) => size_of_val(values.as_ref()),
            Numbers::I32(values) => size_of_val(values.as_ref()),
            Numbers::F32(values) => size_of_val(values.as_ref()),
            Numbers::F64(values) => size_of_val(values.as_ref()),
        }
    }

    #[inline]
    fn put(&self, rows: impl Iterator<Item = usize>, out: &mut [f64]) {
        let cells = out.iter_mut().zip(rows);
        match self {
            Numbers::I8(values) => cells.for_each(|(out, row)| *out = of_i8(values[row])),
            Numbers::I16(values) => cells.for_each(|(out, row)| *out = of_i16(values[row])),
            Numbers::I32(values) => cells.for_each(|(out, row)| *out = of_i32(values[row])),
            Numbers::F32(values) => cells.for_each(|(out, row)| *out = f64::from(values[row])),
            Numbers::F64(values) => cells.for_each(|(out, row)| *out = values[row]),
        }
    }
}

fn of_i8(value: i8) -> f64 {
    if value == i8::MIN { f64::NAN } else { f64::from(value) }
}

fn of_i16(value: i16) -> f64 {
    if value == i16::MIN { f64::NAN } else { f64::from(value) }
}

fn of_i32(value: i32) -> f64 {
    if value == i32::MIN { f64::NAN } else { f64::from(value) }
}

/// A chunk of codes. The greatest number of a type is a missing one.
#[derive(Debug, Clone)]
pub(crate) enum PackedCodes {
    U8(Values<u8>),
    U16(Values<u16>),
    U32(Values<u32>),
}

impl Packed for PackedCodes {
    type Value = u32;

    fn pack(codes: &[u32]) -> PackedCodes {
        let greatest = codes.iter().copied().filter(|&code| code != MISSING_CODE).max().unwrap_or(0);
        // What is missing is cut off to the greatest of the type.
        if greatest < u32::from(u8::MAX) {
            PackedCodes::U8(packed(codes, |code| code as u8))
        } else if greatest < u32::from(u16::MAX) {
            PackedCodes::U16(packed(codes, |code| code as u16))
        } else {
            PackedCodes::U32(packed(codes, |code| code))
        }
    }

    #[inline]
    fn get(&self, row: usize) -> u32 {
        match self {
            PackedCodes::U8(codes) => of_u8(codes[row]),
            PackedCodes::U16(codes) => of_u16(codes[row]),
            PackedCodes::U32(codes) => codes[row],
        }
    }

    #[inline]
    fn lanes<const N: usize>(&self, rows: [usize; N]) -> [u32; N] {
        match self {
            PackedCodes::U8(codes) => rows.map(|row| of_u8(codes[row % CHUNK])),
            PackedCodes::U16(codes) => rows.map(|row| of_u16(codes[row % CHUNK])),
            PackedCodes::U32(codes) => rows.map(|row| codes[row % CHUNK]),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            PackedCodes::U8(codes) => size_of_val(codes.as_ref()),
            PackedCodes::U16(codes) => size_of_val(codes.as_ref()),
            PackedCodes::U32(codes) => size_of_val(codes.as_ref()),
        }
    }

    #[inline]
    fn put(&self, rows: impl Iterator<Item = usize>, out: &mut [u32]) {
        let cells = out.iter_mut().zip(rows);
        match self {
            PackedCodes::U8(codes) => cells.for_each(|(out, row)| *out = of_u8(codes[row])),
            PackedCodes::U16(codes) => cells.for_each(|(out, row)| *out = of_u16(codes[row])),
            PackedCodes::U32(codes) => cells.for_each(|(out, row)| *out = codes[row]),
        }
    }
}

fn of_u8(code: u8) -> u32 {
    if code == u8::MAX { MISSING_CODE } else { u32::from(code) }
}

fn of_u16(code: u16) -> u32 {
    if code == u16::MAX { MISSING_CODE } else { u32::from(code) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bits(values: impl Iterator<Item = f64>) -> Vec<u64> {
        values.map(f64::to_bits).collect()
    }

    /// A chunk of one value, with others at its places.
    fn chunk(with: &[f64]) -> Vec<f64> {
        (0..CHUNK).map(|row| with.get(row % 977).copied().unwrap_or(1.0)).collect()
    }

    #[test]
    fn each_chunk_is_as_narrow_as_its_values_and_gives_them_back_to_the_bit() {
        let cases: [(&[f64], usize); 11] = [
            (&[0.0, 127.0, -127.0, f64::NAN], 1),
            // The least of the type is a missing one.
            (&[-128.0], 2),
            (&[128.0], 2),
            (&[-32_767.0, 32_767.0, f64::NAN], 2),
            (&[-32_768.0], 4),
            (&[2_147_483_647.0, -2_147_483_647.0, f64::NAN], 4),
            (&[-0.0, f64::NAN], 4),
            (&[0.5, 2f64.powi(100), -2f64.powi(31)], 4),
            (&[2_147_483_649.0], 8),
            (&[0.1], 8),
            (&[f64::MAX, f64::MIN_POSITIVE, 5e-324, f64::NAN], 8),
        ];
        for (values, width) in cases {
            let values = chunk(values);
            let column = NumberColumn::of(values.iter().copied());
            assert_eq!(column.bytes(), (width + 8) * CHUNK, "{:?}", &values[..4]);
            assert_eq!(bits(column.range(0..CHUNK)), bits(values.iter().copied()));
            let mut put = vec![0.0; CHUNK];
            column.put_from(0, &mut put);
            assert_eq!(bits(put.into_iter()), bits(values.into_iter()));
        }
        for (greatest, width) in [(254, 1), (255, 2), (65_534, 2), (65_535, 4), (u32::MAX - 1, 4)] {
            let codes: Vec<u32> = (0..CHUNK).map(|row| [0, greatest, MISSING_CODE][row % 3]).collect();
            let column = CodeColumn::of(codes.iter().copied());
            assert_eq!(column.bytes(), (width + 4) * CHUNK, "{greatest}");
            assert!(column.range(0..CHUNK).eq(codes));
        }
    }

    #[test]
    fn a_column_that_is_cut_in_a_full_chunk_goes_on_there() {
        let values = |rows: Range<usize>| rows.map(|row| (row % 1_000) as f64);
        for cut in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 500] {
            let mut column = NumberColumn::of(values(0..2 * CHUNK + 500));
            column.truncate(cut);
            assert_eq!(column.len(), cut);
            column.extend(values(cut..3 * CHUNK + 7));
            assert!(column.range(0..3 * CHUNK + 7).eq(values(0..3 * CHUNK + 7)), "{cut}");
        }
    }

    proptest! {
        #[test]
        fn rows_in_any_order_get_their_values(
            rows in prop::collection::vec(0..3 * CHUNK as u32 + 100, 0..600),
            sorted in any::<bool>(),
        ) {
            let mut rows = rows;
            if sorted {
                rows.sort_unstable();
            }
            let value = |row: usize| match row / CHUNK {
                0 => (row % 100) as f64,
                1 => row as f64 + 0.25,
                _ => row as f64,
            };
            let column = NumberColumn::of((0..3 * CHUNK + 100).map(value));
            let mut put = vec![f64::NAN; rows.len()];
            column.put(&rows, &mut put);
            let expected: Vec<f64> = rows.iter().map(|&row| value(row as usize)).collect();
            prop_assert_eq!(&put, &expected);
            if let Some(&first) = rows.first() {
                let count = (3 * CHUNK + 100 - first as usize).min(70_000);
                let mut put = vec![f64::NAN; count];
                column.put_from(first as usize, &mut put);
                prop_assert!(put.into_iter().zip(first as usize..).all(|(put, row)| put == value(row)));
            }
        }
    }
}
