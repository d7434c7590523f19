//! Features of a state's keys: the models' SELECT over what the state's own SELECT gives.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, UInt32Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, UInt32Type};
use chrono::{DateTime, Utc};
use tidemill_ml::{FeatureTable, Task};

use super::split;
use crate::error::{Error, Result};
use crate::features::FeatureColumns;
use crate::project::{ModelSpec, StateSpec};
use crate::rowwise::RowSql;
use crate::state::KeyedState;

/// The column that says of which key a row of features is, by its place among those that were asked for.
const PLACE: &str = "_place";

/// The features SELECT of some models, over what the state's own SELECT gives.
pub(crate) struct StateFeatures {
    text: String,
    /// The column that is to be predicted.
    label: Option<String>,
    /// Whether all features have to be numbers.
    is_numeric: bool,
    key: String,
    sql: RowSql,
    columns: FeatureColumns,
}

/// Features of keys.
pub(crate) struct FeatureRows {
    pub(crate) table: FeatureTable,
    /// Of each row, the place of its key among those that were asked for; ascending.
    pub(super) places: Vec<u32>,
}

impl StateFeatures {
    /// Checks the SELECT.
    ///
    /// # Errors
    /// User: it is not row-wise, reads another table, has not the target, or a column that is no feature: clusters are of
    /// numbers.
    pub(crate) async fn new(
        spec: &StateSpec,
        model: &ModelSpec,
        state: &KeyedState,
    ) -> Result<StateFeatures> {
        let bare = |sql: &str| sql.trim().trim_end_matches(';').to_owned();
        let table = &spec.config.table;
        let key = &spec.config.key;
        let carried = [key.as_str(), PLACE];
        let shown = bare(&spec.select_sql);
        // Inside, the name is the state's; outside, it is what the state's SELECT makes of it.
        let sql = format!("WITH {table} AS (\n{shown}\n)\n{}", bare(&model.features_sql));
        let mut fields = state.schema().fields().to_vec();
        fields.push(Arc::new(Field::new(PLACE, DataType::UInt32, false)));
        let sql = RowSql::new(&sql, table, Arc::new(Schema::new(fields)), &carried).await;
        let sql = sql.map_err(|e| e.context(model.config.features.clone()))?;
        let label = model.config.label.as_deref();
        let is_numeric = is_numeric(model);
        let found = label.map(|name| split::column(sql.schema(), name)).transpose();
        let columns = found.and_then(|label| {
            let is_feature = |at: usize, name: &str| Some(at) != label && !carried.contains(&name);
            match is_numeric {
                true => FeatureColumns::of_numbers(sql.schema(), is_feature),
                false => FeatureColumns::of(sql.schema(), is_feature),
            }
        });
        let columns = columns.map_err(|e| e.context(model.config.features.clone()))?;
        let (text, label) = (model.features_sql.clone(), label.map(str::to_owned));
        Ok(StateFeatures { text, label, is_numeric, key: key.clone(), sql, columns })
    }

    /// Whether they are those of a model.
    pub(super) fn are_of(&self, model: &ModelSpec) -> bool {
        self.text == model.features_sql
            && self.label == model.config.label
            && self.is_numeric == is_numeric(model)
    }

    /// A table for the features, without rows.
    pub(super) fn empty(&self) -> FeatureTable {
        self.columns.table()
    }

    /// No rows of the SELECT.
    pub(super) fn no_rows(&self) -> RecordBatch {
        RecordBatch::new_empty(self.sql.schema().clone())
    }

    /// The target in rows of the SELECT.
    pub(super) fn target<'a>(&self, rows: &'a RecordBatch) -> Option<&'a ArrayRef> {
        rows.column_by_name(self.label.as_deref()?)
    }

    /// Rows of the SELECT as features.
    ///
    /// # Errors
    /// Data.
    pub(super) fn table(&self, rows: &RecordBatch) -> Result<FeatureTable> {
        let mut table = self.columns.table();
        self.columns.append(rows, &mut table)?;
        Ok(table)
    }

    /// The rows of those of these keys that the SELECT keeps, with the key; one that it cannot compute is told in the log and
    /// left out.
    ///
    /// # Errors
    /// Data.
    pub(crate) async fn select(
        &self,
        state: &KeyedState,
        keys: &[u32],
        now: DateTime<Utc>,
    ) -> Result<RecordBatch> {
        let rows = state.rows(keys)?;
        let mut columns = rows.columns().to_vec();
        columns.push(Arc::new(UInt32Array::from_iter_values((0u32..).take(rows.num_rows()))));
        let mut fields = rows.schema().fields().to_vec();
        fields.push(Arc::new(Field::new(PLACE, DataType::UInt32, false)));
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
        let output = self.sql.run(&rows, now).await?;
        for (row, error) in output.failed.iter().take(3) {
            tracing::warn!(row, error, "a key of the state has no features and is left out of learning");
        }
        Ok(output.rows)
    }

    /// The keys of rows of the SELECT, as the SELECTs give them.
    ///
    /// # Errors
    /// Internal.
    pub(crate) fn keys(&self, rows: &RecordBatch) -> Result<StringArray> {
        Ok(column(rows, &self.key, &DataType::Utf8)?.as_string::<i32>().clone())
    }

    /// The features of those of these keys that the SELECT [keeps](StateFeatures::select).
    ///
    /// # Errors
    /// Data.
    pub(crate) async fn of(
        &self,
        state: &KeyedState,
        keys: &[u32],
        now: DateTime<Utc>,
    ) -> Result<FeatureRows> {
        let rows = self.select(state, keys, now).await?;
        let places = column(&rows, PLACE, &DataType::UInt32)?.as_primitive::<UInt32Type>().values().to_vec();
        Ok(FeatureRows { table: self.table(&rows)?, places })
    }
}

fn is_numeric(model: &ModelSpec) -> bool {
    model.config.task() == Task::Cluster
}

fn column(rows: &RecordBatch, name: &str, data_type: &DataType) -> Result<ArrayRef> {
    let found = rows.column_by_name(name);
    let found = found.ok_or_else(|| Error::internal(format!("features without their `{name}`")))?;
    Ok(cast(found, data_type)?)
}
