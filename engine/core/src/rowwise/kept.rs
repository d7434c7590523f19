//! Columns of a table that have the types of before the rules that settle them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};

use super::RowSql;

impl RowSql {
    /// Whether a column has another type than the SELECT was planned with.
    pub(crate) fn has_settled(&self) -> bool {
        let mut columns = self.output.fields().iter().zip(&self.planned_types);
        columns.any(|(field, planned)| field.data_type() != planned)
    }

    /// The columns that a table has by the type that the SELECT was planned with, where its result has another: versions of
    /// Tidemill before the types were settled wrote that one.
    pub(crate) fn kept_by(&self, table: &Schema) -> Vec<String> {
        let columns = self.output.fields().iter().zip(&self.planned_types);
        let is_kept = |name: &str, planned: &DataType| {
            table.field_with_name(name).is_ok_and(|field| field.data_type() == planned)
        };
        let kept = columns
            .filter(|(field, planned)| field.data_type() != *planned && is_kept(field.name(), planned));
        kept.map(|(field, _)| field.name().clone()).collect()
    }

    /// Gives these columns by the types that the SELECT was planned with.
    pub(crate) fn keeping(mut self, names: &[String]) -> RowSql {
        let fields = self.output.fields().iter().zip(&self.planned_types).map(|(field, planned)| match names
            .contains(field.name())
        {
            true => Arc::new(field.as_ref().clone().with_data_type(planned.clone())),
            false => field.clone(),
        });
        self.output = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        self
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, AsArray, Int64Array};
    use arrow::datatypes::{Field, Float64Type};
    use arrow::record_batch::RecordBatch;

    use super::*;

    /// Before types were settled, a table got that which the SELECT is planned with.
    #[tokio::test]
    async fn a_column_stays_of_the_type_that_its_table_has() {
        let column = Arc::new(Int64Array::from_iter_values(0..100)) as ArrayRef;
        let batch = || RecordBatch::try_from_iter([("a", column.clone())]).unwrap();
        let text = "SELECT CAST(a AS DECIMAL(10,2)) * 0.07 AS tax, a FROM batch";
        let sql = RowSql::new(text, "batch", batch().schema(), &[]).await.unwrap();
        let table = |tax: DataType| {
            Schema::new(vec![Field::new("tax", tax, true), Field::new("a", DataType::Int64, true)])
        };
        assert!(sql.has_settled());
        let settled = sql.schema().field(0).data_type().clone();
        assert!(settled.is_decimal(), "{settled}");
        assert!(sql.kept_by(&table(settled)).is_empty());
        let kept = sql.kept_by(&table(DataType::Float64));
        assert_eq!(kept, ["tax"]);
        let sql = sql.keeping(&kept);
        let rows = sql.run(&batch(), "2024-05-01T00:00:00Z".parse().unwrap()).await.unwrap().rows;
        let tax = rows["tax"].as_primitive::<Float64Type>();
        assert_eq!(tax.values()[..3], [0.0, 0.07, 0.14]);
    }
}
