//! Features of a state's keys: the models' SELECT over what the state's own SELECT gives.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, StringArray, UInt32Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, UInt32Type};
use chrono::{DateTime, Utc};
use tidemill_ml::FeatureTable;

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
    key: String,
    sql: RowSql,
    columns: FeatureColumns,
}

/// Features of keys.
pub(crate) struct FeatureRows {
    pub(crate) table: FeatureTable,
    /// The keys as the SELECTs give them.
    pub(crate) keys: StringArray,
    /// Of each row, the place of its key among those that were asked for; ascending.
    pub(super) places: Vec<u32>,
}

impl StateFeatures {
    /// Checks the SELECT.
    ///
    /// # Errors
    /// User: it is not row-wise, reads another table, or has a column that is no number.
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
        let columns = FeatureColumns::of_numbers(sql.schema(), |_, name| !carried.contains(&name));
        let columns = columns.map_err(|e| e.context(model.config.features.clone()))?;
        Ok(StateFeatures { text: model.features_sql.clone(), key: key.clone(), sql, columns })
    }

    /// The text of the models' SELECT.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The features of those of these keys that the SELECT keeps; one that it cannot compute is told in the log and left
    /// out.
    ///
    /// # Errors
    /// Data.
    pub(crate) async fn of(
        &self,
        state: &KeyedState,
        keys: &[u32],
        now: DateTime<Utc>,
    ) -> Result<FeatureRows> {
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
        let mut table = self.columns.table();
        self.columns.append(&output.rows, &mut table)?;
        let column = |name: &str, data_type| {
            let found = output.rows.column_by_name(name);
            let found = found.ok_or_else(|| Error::internal(format!("features without their `{name}`")))?;
            Ok::<_, Error>(cast(found, data_type)?)
        };
        let keys = column(&self.key, &DataType::Utf8)?.as_string::<i32>().clone();
        let places = column(PLACE, &DataType::UInt32)?.as_primitive::<UInt32Type>().values().to_vec();
        Ok(FeatureRows { table, keys, places })
    }
}
