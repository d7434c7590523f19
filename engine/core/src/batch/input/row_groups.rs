//! Which row groups of a Parquet file may have rows that a WHERE takes; the others are not read.
//!
//! What is known of a group without reading it: the least and greatest value of its columns and their nulls, which the
//! file's footer has, and the values of the folders that the file is in. Where that is not to be relied on (a column that
//! the job gives another type, doubles, which may be NaN, the statistics of old writers, whose order of text was another)
//! nothing is known, and the group is read.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, StringArray, UInt64Array, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, ScalarValue};
use datafusion::physical_optimizer::pruning::PruningPredicate;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::file::metadata::ParquetMetaData;

use crate::table::partitioned::NULL_VALUE;

/// What is known of a file's row groups.
pub(super) struct Known<'a> {
    /// The footer.
    pub metadata: &'a ParquetMetaData,
    /// Columns as the file has them.
    pub file: &'a Schema,
    /// Columns as the table has them, and how many of them, the first, are those of its files. The others are row numbers
    /// and folders: a file may have a column of that name, which nobody reads.
    pub table: (&'a SchemaRef, usize),
    /// `(column, value)` of the file's folders.
    pub folders: &'a [(String, String)],
}

/// The row groups that are read, and where their rows are in the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    /// Places of the groups, ascending.
    pub groups: Vec<usize>,
    /// Of each: rows read before it, rows of the file before it.
    starts: Vec<(usize, usize)>,
    /// Rows of the others.
    pub skipped: u64,
}

impl Chosen {
    /// The groups of a file that may have rows for a predicate; all without one.
    pub(super) fn of(known: &Known<'_>, predicate: Option<&PruningPredicate>) -> Chosen {
        let all = known.metadata.row_groups();
        // A predicate that cannot be decided by statistics is no error of the statement.
        let may_have = predicate.and_then(|predicate| predicate.prune(known).ok());
        let may_have = may_have.unwrap_or_else(|| vec![true; all.len()]);
        let mut chosen = Chosen { groups: Vec::new(), starts: Vec::new(), skipped: 0 };
        let (mut read, mut before) = (0, 0);
        for (at, (group, wanted)) in all.iter().zip(may_have).enumerate() {
            let rows = usize::try_from(group.num_rows()).unwrap_or(0);
            if wanted {
                chosen.groups.push(at);
                chosen.starts.push((read, before));
                read += rows;
            } else {
                chosen.skipped += rows as u64;
            }
            before += rows;
        }
        chosen
    }

    /// The row of the file, from 1, that is the n-th read, from 0.
    pub(super) fn row_of(&self, nth: usize) -> usize {
        let behind = self.starts.partition_point(|(read, _)| *read <= nth);
        self.starts.get(behind.saturating_sub(1)).map_or(nth, |(read, before)| nth - read + before) + 1
    }
}

impl Known<'_> {
    fn groups(&self) -> usize {
        self.metadata.row_groups().len()
    }

    fn converter(&self, column: &Column) -> Option<StatisticsConverter<'_>> {
        let (table, own) = self.table;
        let place = table.index_of(&column.name).ok().filter(|place| *place < own)?;
        let kind = table.field(place).data_type();
        let is_usable = !kind.is_floating() && !kind.is_nested();
        let of_file = self.file.field_with_name(&column.name).ok()?;
        if !is_usable || of_file.data_type() != kind {
            return None;
        }
        let parquet_schema = self.metadata.file_metadata().schema_descr();
        let converter = StatisticsConverter::try_new(&column.name, self.file, parquet_schema).ok()?;
        let place = converter.parquet_column_index()?;
        let mut statistics =
            self.metadata.row_groups().iter().filter_map(|group| group.column(place).statistics());
        // Those without a value, all rows null, pass for old too.
        let is_old = statistics.any(|found| found.min_bytes_opt().is_some() && found.is_min_max_deprecated());
        // A count that is not there is none, not 0.
        (!is_old).then(|| converter.with_missing_null_counts_as_zero(false))
    }

    /// The one value that a folder's column has.
    fn folder(&self, column: &Column) -> Option<ArrayRef> {
        let (_, value) = self.folders.iter().find(|(name, _)| *name == column.name)?;
        let (table, own) = self.table;
        let place = table.index_of(&column.name).ok().filter(|place| *place >= own)?;
        let kind = table.field(place).data_type();
        if value == NULL_VALUE {
            return Some(new_null_array(kind, self.groups()));
        }
        cast(&StringArray::from_iter_values(std::iter::repeat_n(value, self.groups())), kind).ok()
    }
}

impl PruningStatistics for Known<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        let of_file = || self.converter(column)?.row_group_mins(self.metadata.row_groups()).ok();
        self.folder(column).or_else(of_file)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        let of_file = || self.converter(column)?.row_group_maxes(self.metadata.row_groups()).ok();
        self.folder(column).or_else(of_file)
    }

    fn num_containers(&self) -> usize {
        self.groups()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let counts = self.converter(column)?.row_group_null_counts(self.metadata.row_groups()).ok()?;
        Some(Arc::new(counts))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let rows = self.metadata.row_groups().iter().map(|group| group.num_rows().unsigned_abs());
        Some(Arc::new(UInt64Array::from_iter_values(rows)))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, Int64Array, RecordBatch};
    use arrow::datatypes::DataType;
    use datafusion::common::DFSchema;
    use datafusion::execution::context::SessionContext;
    use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use parquet::file::properties::WriterProperties;

    use super::*;

    /// Three groups of 10 rows: n from 0, 100 and 200 on, d the same but NaN in the second, t null in the third.
    fn file() -> bytes::Bytes {
        let n: Int64Array = (0..30).map(|row| Some(row / 10 * 100 + row % 10)).collect();
        let d: Float64Array =
            (0..30).map(|row| Some(if row == 15 { f64::NAN } else { f64::from(row) })).collect();
        let t: StringArray = (0..30).map(|row| (row < 20).then(|| format!("t{row:02}"))).collect();
        let columns: [(&str, ArrayRef); 3] = [("n", Arc::new(n)), ("d", Arc::new(d)), ("t", Arc::new(t))];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(10)).build();
        let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties)).unwrap();
        writer.write(&rows).unwrap();
        writer.into_inner().unwrap().into()
    }

    /// `own` of n, d and t are the file's.
    fn chosen(condition: &str, kind_of_n: DataType, own: usize) -> Chosen {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file()).unwrap();
        let fields = builder.schema().fields().iter().map(|field| match field.name().as_str() {
            "n" => field.as_ref().clone().with_data_type(kind_of_n.clone()),
            _ => field.as_ref().clone(),
        });
        let year = arrow::datatypes::Field::new("y", DataType::Int32, true);
        let table = Arc::new(Schema::new(fields.chain([year]).collect::<Vec<_>>()));
        let context = SessionContext::new();
        let schema = DFSchema::try_from(table.as_ref().clone()).unwrap();
        let expression = context.parse_sql_expr(condition, &schema).unwrap();
        let expression = context.create_physical_expr(expression, &schema).unwrap();
        let predicate =
            PruningPredicateBuilder::new().with_file_schema(table.clone()).try_build(expression).unwrap();
        let known = Known {
            metadata: builder.metadata(),
            file: builder.schema(),
            table: (&table, own),
            folders: &[("y".to_owned(), "2020".to_owned())],
        };
        Chosen::of(&known, Some(&predicate))
    }

    #[test]
    fn groups_that_cannot_have_a_row_are_left_out() {
        let groups = |condition: &str| chosen(condition, DataType::Int64, 3).groups;
        assert_eq!(groups("n >= 205"), [2]);
        assert_eq!(groups("n = 5 OR n BETWEEN 200 AND 300"), [0, 2]);
        assert_eq!(groups("n IN (7, 108)"), [0, 1]);
        assert_eq!(groups("n > 1000"), [0; 0]);
        assert_eq!(groups("t < 't05'"), [0]);
        assert_eq!(groups("t IS NULL"), [2]);
        assert_eq!(groups("n + 0 = 5 OR true"), [0, 1, 2]);
        assert_eq!(groups("d > 25"), [0, 1, 2], "a NaN is greater, and in no statistics");
        assert_eq!(groups("y = 2021"), [0; 0]);
        assert_eq!(groups("y = 2020 AND n < 10"), [0]);
        assert_eq!(
            chosen("n > 150.5", DataType::Float64, 3).groups,
            [0, 1, 2],
            "of another type in the table"
        );
    }

    #[test]
    fn a_column_of_the_file_that_is_none_of_the_tables_says_nothing() {
        // A row number, or a folder's column, that is called as a column that only some files have.
        for condition in ["t < 't05'", "t IS NULL", "t IS NOT NULL", "t = 'zz'"] {
            assert_eq!(chosen(condition, DataType::Int64, 2).groups, [0, 1, 2], "{condition}");
        }
    }

    #[test]
    fn rows_keep_their_numbers() {
        let chosen = chosen("n = 5 OR n BETWEEN 200 AND 300", DataType::Int64, 3);
        assert_eq!(chosen.skipped, 10);
        assert_eq!([0, 9, 10, 19].map(|nth| chosen.row_of(nth)), [1, 10, 21, 30]);
    }
}
