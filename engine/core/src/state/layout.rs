//! What the columns of a state are: names and types, from the job's `[state]` and the columns of its table.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::error::{Error, Result};
use crate::project::{Aggregate, StateSpec, greatest_name, seen_name};

/// Digits that a sum has more than its summand, as in SQL.
const SUM_DIGITS: u8 = 10;

/// A column of the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) aggregate: Aggregate,
    /// Of the value as it is read.
    pub(super) data_type: DataType,
}

/// Key and columns of a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) key: String,
    pub(super) columns: Vec<Column>,
}

impl Layout {
    /// The state that `spec` keeps of a table with these columns.
    ///
    /// # Errors
    /// User: a column that the table does not have, or of a type that has no greatest value or exact sum.
    pub(super) fn new(spec: &StateSpec, table: &Schema) -> Result<Layout> {
        let find = |name: &str| {
            table.field_with_name(name).map_err(|_| {
                let names: Vec<&str> = table.fields().iter().map(|f| f.name().as_str()).collect();
                Error::user(format!("the state reads the column `{name}`, which the table does not have"))
                    .hint(format!("it has: {}", names.join(", ")))
            })
        };
        find(&spec.config.key)?;
        let mut columns = Vec::new();
        for (name, aggregate) in spec.config.aggregates().map_err(Error::user)? {
            let data_type = match &aggregate {
                Aggregate::Max { of } => max_type(find(of)?)?,
                Aggregate::CountDistinct { .. } => DataType::Int64,
                Aggregate::SumDistinct { of, .. } => sum_type(find(of)?)?,
            };
            for column in aggregate.by() {
                find(column)?;
            }
            columns.push(Column { name, aggregate, data_type });
        }
        Ok(Layout { key: spec.config.key.clone(), columns })
    }

    /// The state as rows: the key, the columns, and for each greatest value `_max_NAME`, the greatest of all keys.
    pub(super) fn row_schema(&self) -> SchemaRef {
        let mut fields = vec![Field::new(&self.key, DataType::Utf8, false)];
        fields.extend(self.columns.iter().map(|c| Field::new(&c.name, c.data_type.clone(), true)));
        let greatest = self.columns.iter().filter(|c| matches!(c.aggregate, Aggregate::Max { .. }));
        fields.extend(greatest.map(|c| Field::new(greatest_name(&c.name), c.data_type.clone(), true)));
        Arc::new(Schema::new(fields))
    }

    /// A delta or snapshot: the key, the columns, and for each column that tells rows apart `NAME_seen`.
    pub(super) fn file_schema(&self) -> SchemaRef {
        let mut fields = vec![Field::new(&self.key, DataType::Utf8, false)];
        for column in &self.columns {
            fields.push(Field::new(&column.name, column.data_type.clone(), true));
            if !column.aggregate.by().is_empty() {
                let members = DataType::new_list(DataType::Utf8, true);
                fields.push(Field::new(seen_name(&column.name), members, false));
            }
        }
        Arc::new(Schema::new(fields))
    }
}

impl Aggregate {
    /// The columns whose values count once.
    pub(super) fn by(&self) -> &[String] {
        match self {
            Aggregate::Max { .. } => &[],
            Aggregate::CountDistinct { by } | Aggregate::SumDistinct { by, .. } => by,
        }
    }
}

fn max_type(field: &Field) -> Result<DataType> {
    match field.data_type() {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Ok(DataType::Int64),
        t @ (DataType::Date32 | DataType::Timestamp(_, _)) => Ok(t.clone()),
        other => Err(Error::user(format!(
            "the state cannot keep the greatest `{}`, which is {other}",
            field.name()
        ))
        .hint("max is of whole numbers, dates and timestamps: cast the column in the transform")),
    }
}

fn sum_type(field: &Field) -> Result<DataType> {
    match field.data_type() {
        DataType::Decimal128(digits, scale) => Ok(DataType::Decimal128((digits + SUM_DIGITS).min(38), *scale)),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Ok(DataType::Decimal128(38, 0)),
        other => Err(Error::user(format!("the state cannot sum `{}`, which is {other}", field.name())).hint(
            "a sum is of DECIMAL or whole numbers, since one of floating point depends on the order of the rows: \
             cast the column in the transform",
        )),
    }
}
