//! Rows of coordinates: as they lie in memory, or as scores of a table's rows.
//!
//! A fit reads its rows some dozen times. To standardise them each time that they are read costs less than it would to
//! keep a second copy of the table: eight rows come from a column side by side, and rows that bounds let stay are not read.

use super::nearest::LANES;
use crate::FeatureTable;
use crate::encode::scale::NumericScale;
use std::borrow::Cow;

/// Points of at least one column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Points<'a> {
    pub(super) columns: usize,
    of: Source<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Source<'a> {
    /// Row-major: rows × columns.
    Dense(&'a [f64]),
    /// These rows of a table, none with a missing value, on these scales.
    Table { table: &'a FeatureTable, scales: &'a [NumericScale], rows: &'a [u32] },
}

impl<'a> Points<'a> {
    /// Row-major coordinates: rows × columns.
    pub(super) fn dense(columns: usize, values: &'a [f64]) -> Points<'a> {
        Points { columns, of: Source::Dense(values) }
    }

    /// Scores of these rows, none with a missing value; a scale a column.
    pub(super) fn of_table(
        scales: &'a [NumericScale],
        table: &'a FeatureTable,
        rows: &'a [u32],
    ) -> Points<'a> {
        Points { columns: scales.len(), of: Source::Table { table, scales, rows } }
    }

    pub(super) fn rows(self) -> usize {
        match self.of {
            Source::Dense(values) => values.len() / self.columns,
            Source::Table { rows, .. } => rows.len(),
        }
    }

    /// Room for a row's coordinates.
    pub(super) fn buffer(self) -> Vec<f64> {
        vec![0.0; self.columns]
    }

    /// Coordinates of a row: as they lie, or put into the buffer.
    #[inline(always)]
    pub(super) fn row<'b>(self, row: usize, buffer: &'b mut [f64]) -> &'b [f64]
    where
        'a: 'b,
    {
        match self.of {
            Source::Dense(values) => &values[row * self.columns..][..self.columns],
            Source::Table { table, scales, rows } => {
                let row = rows[row] as usize;
                for (c, (out, scale)) in buffer.iter_mut().zip(scales).enumerate() {
                    *out = scale.score(table.numeric(c).get(row));
                }
                buffer
            }
        }
    }

    /// Coordinates of eight rows, a column each entry.
    #[inline(always)]
    pub(super) fn put_lanes(self, numbers: &[usize; LANES], lanes: &mut [[f64; LANES]]) {
        match self.of {
            Source::Dense(values) => {
                for (lane, &row) in numbers.iter().enumerate() {
                    let row = &values[row * self.columns..][..self.columns];
                    lanes.iter_mut().zip(row).for_each(|(column, &x)| column[lane] = x);
                }
            }
            Source::Table { table, scales, rows } => {
                let numbers = numbers.map(|row| rows[row] as usize);
                for (c, (lanes, scale)) in lanes.iter_mut().zip(scales).enumerate() {
                    *lanes = table.numeric(c).lanes(numbers);
                    scale.put_scores(lanes);
                }
            }
        }
    }

    /// Asks for a row that is about to be read.
    #[inline(always)]
    pub(super) fn touch(self, row: usize) -> f64 {
        match self.of {
            Source::Dense(values) => values[row * self.columns],
            Source::Table { .. } => 0.0,
        }
    }

    /// Rows `from` to `from + count - 1`.
    pub(super) fn slice(self, from: usize, count: usize) -> Points<'a> {
        let of = match self.of {
            Source::Dense(values) => Source::Dense(&values[from * self.columns..][..count * self.columns]),
            Source::Table { table, scales, rows } => {
                Source::Table { table, scales, rows: &rows[from..][..count] }
            }
        };
        Points { of, ..self }
    }

    /// Row-major coordinates: rows × columns.
    pub(super) fn values(self) -> Cow<'a, [f64]> {
        match self.of {
            Source::Dense(values) => Cow::Borrowed(values),
            Source::Table { .. } => {
                let mut values = vec![0.0; self.rows() * self.columns];
                for (row, out) in values.chunks_exact_mut(self.columns).enumerate() {
                    self.row(row, out);
                }
                Cow::Owned(values)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tables_rows_are_the_points_that_their_scores_are() {
        let mut table = FeatureTable::new(vec!["x".into(), "y".into(), "same".into()], vec![]);
        for c in 0..2 {
            table.push_numeric(c, (0..30).map(|i| f64::from((i * (7 + c as u32)) % 31) * 1e3));
        }
        table.push_numeric(2, [5.0; 30]);
        table.finish_append().unwrap();
        let rows: Vec<u32> = (0..30).filter(|row| row % 4 != 1).collect();
        let scales: Vec<NumericScale> = (0..3)
            .map(|c| NumericScale::fit(rows.iter().map(|&row| table.numeric(c).get(row as usize))))
            .collect();
        let read = Points::of_table(&scales, &table, &rows);
        let values = read.values().into_owned();
        let dense = Points::dense(3, &values);
        assert_eq!((read.rows(), dense.rows()), (rows.len(), rows.len()));
        for (points, from) in [(read, 0), (dense, 0), (read.slice(5, 9), 5), (dense.slice(5, 9), 5)] {
            let numbers = [0, 3, 8, 2, 2, 1, 7, 0];
            let mut lanes = vec![[f64::NAN; LANES]; 3];
            points.put_lanes(&numbers, &mut lanes);
            for (lane, number) in numbers.into_iter().enumerate() {
                let of = rows[from + number];
                let score = |c: usize| scales[c].score(table.numeric(c).get(of as usize));
                assert_eq!(points.row(number, &mut points.buffer()), [score(0), score(1), 0.0]);
                assert_eq!([lanes[0][lane], lanes[1][lane], lanes[2][lane]], [score(0), score(1), 0.0]);
            }
        }
    }
}
