//! SQL that works row by row over one batch: a job's transform and the features of its models.
//!
//! ```text
//! SELECT a, TRIM(b) AS b FROM batch WHERE a > 0
//!   1. only Projection, Filter, Unnest and aliases over the one table: a row's result depends on that row alone,
//!      so how a stream is cut into batches never shows in its table
//!   2. the engine's columns (_batch_id, _topic, _partition, _offset, _timestamp, _timestamp_ms) are carried along unasked, through
//!      subqueries too, and are what they are: no SELECT makes another of one
//!   3. `now()` is the batch's planned time; random() and the like are refused: a batch run again gives the same
//! ```
//!
//! A SELECT is planned once, at its first batch, as planning takes longer than a thousand rows do; one that asks for the
//! time is planned for each batch, whose time is a constant of the plan.

mod carry;
mod kept;
mod row_by_row;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::ArrayRef;
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Utc};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::tree_node::TreeNode;
use datafusion::error::DataFusionError;
use datafusion::execution::context::{SessionConfig, SessionContext};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::physical_plan::{ExecutionPlan, collect};
use futures::FutureExt;

use crate::columns::check_names;
use crate::decode::ERROR_BYTES;
use crate::error::{Error, Result, shortened};
use crate::sql;
use row_by_row::{asked_model, asks_the_time, check, one_select};

/// What is wrong with a row whose computation panics.
const PANICKED: &str = "a defect: the computation of this row panicked";

/// A session for [`RowSql::in_session`].
pub(crate) fn session() -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(1).with_batch_size(1 << 20);
    sql::context(config, Arc::default())
}

/// A checked row-wise SELECT, ready to run on batch after batch.
pub struct RowSql {
    plan: LogicalPlan,
    input: SchemaRef,
    output: SchemaRef,
    /// The types of the columns as the SELECT was planned, before the rules that settle them.
    planned_types: Vec<DataType>,
    carried: Vec<String>,
    context: SessionContext,
    /// The rows that the table has while the SELECT runs.
    rows: Arc<Rows>,
    asks_the_time: bool,
    /// Held while the SELECT runs, as there is one set of rows.
    planned: tokio::sync::Mutex<Option<Arc<dyn ExecutionPlan>>>,
}

/// A table of one batch that changes between runs of a plan.
#[derive(Debug)]
struct Rows {
    schema: SchemaRef,
    batch: Mutex<Option<RecordBatch>>,
}

impl Rows {
    fn set(&self, batch: Option<RecordBatch>) {
        *self.batch.lock().unwrap_or_else(PoisonError::into_inner) = batch;
    }
}

impl PartitionStream for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batch = self.batch.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let batches = futures::stream::iter(batch.map(Ok));
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), batches))
    }
}

/// What a run gives: the rows, and the rows of the input that the SQL could not compute.
pub struct RowSqlOutput {
    /// Result rows, in the order of the input.
    pub rows: RecordBatch,
    /// Index in the input and what went wrong, ascending.
    pub failed: Vec<(usize, String)>,
}

impl RowSql {
    /// Checks a SELECT that reads `table` with these columns; `carry` names the input's columns that come along.
    ///
    /// # Errors
    /// User: not one SELECT, reads another table, is not row-wise, is not deterministic, does not type-check.
    pub async fn new(sql: &str, table: &str, input: SchemaRef, carry: &[&str]) -> Result<RowSql> {
        if let Some(function) = asked_model(&one_select(sql, table)?) {
            let what = format!("{function} asks a model, which this SELECT cannot");
            return Err(Error::user(what).hint(
                "models are asked in the transform of a stream, in views, in tables of batch jobs and in `tidemill sql`",
            ));
        }
        RowSql::in_session(session(), sql, table, input, carry).await
    }

    /// [`RowSql::new`] in a session that knows more functions.
    ///
    /// # Errors
    /// As [`RowSql::new`].
    pub(crate) async fn in_session(
        context: SessionContext,
        sql: &str,
        table: &str,
        input: SchemaRef,
        carry: &[&str],
    ) -> Result<RowSql> {
        let statement = one_select(sql, table)?;
        let asks_a_model = asked_model(&statement).is_some();
        let rows = Arc::new(Rows { schema: input.clone(), batch: Mutex::new(None) });
        context
            .register_table(table, Arc::new(StreamingTable::try_new(input.clone(), vec![rows.clone()])?))?;
        let state = context.state();
        let own = sql::deep(state.statement_to_plan(statement)).await?;
        check(&own)?;
        check_names(own.schema())?;
        let plan = carry::with_columns(own.clone(), carry)?;
        let named = |name: &str| own.schema().has_column_with_unqualified_name(name);
        let planned_types =
            plan.schema().fields().iter().map(|field| plain_field(field).data_type().clone()).collect();
        let plan = sql::settled(&state, plan).await?;
        let fields = plan.schema().fields().iter();
        let carried = fields.map(|field| field.name()).filter(|name| !named(name)).cloned().collect();
        let fields = plan.schema().fields().iter().map(|f| plain_field(f)).collect::<Vec<_>>();
        if asks_a_model {
            // Whether it is given its features shows here; of an error at a batch its rows would be dead letters.
            sql::deep(context.state().create_physical_plan(&plan)).await?;
        }
        Ok(RowSql {
            asks_the_time: asks_the_time(&plan)?,
            plan,
            input,
            output: Arc::new(Schema::new(fields)),
            planned_types,
            carried,
            context,
            rows,
            planned: tokio::sync::Mutex::new(None),
        })
    }

    /// Columns of the result.
    pub fn schema(&self) -> &SchemaRef {
        &self.output
    }

    /// Whether a row may become several.
    pub(crate) fn multiplies(&self) -> bool {
        self.plan.exists(|node| Ok(matches!(node, LogicalPlan::Unnest(_)))).unwrap_or(true)
    }

    /// Columns of the result that its SELECT does not name: they came along.
    pub fn carried(&self) -> &[String] {
        &self.carried
    }

    /// Runs over a batch. A row that fails (a cast, a division by zero) is reported, the others go on.
    ///
    /// # Errors
    /// User, if a column is missing that may not be null, or is of another type: nothing that a row could cause.
    ///
    /// The batch may have been written when the table had other columns: they are matched by name.
    pub async fn run(&self, batch: &RecordBatch, now: DateTime<Utc>) -> Result<RowSqlOutput> {
        let batch = &align(batch, &self.input)?;
        let mut failed = Vec::new();
        let mut results = Vec::new();
        // Depth first and left to right, so that the results come in the order of the rows.
        let mut todo = vec![(0, batch.num_rows())];
        while let Some((start, length)) = todo.pop() {
            if length == 0 {
                continue;
            }
            // A function that panics, as one may whose result is past 2 GiB, is one of the errors of its rows.
            let run = AssertUnwindSafe(self.run_slice(batch.slice(start, length), now)).catch_unwind().await;
            match run.unwrap_or_else(|_| Err(DataFusionError::Execution(PANICKED.to_owned()))) {
                Ok(rows) => results.push(rows),
                // Want of memory is nothing that a row has done.
                Err(error)
                    if length == 1 && matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)) =>
                {
                    return Err(error.into());
                }
                Err(error) if length == 1 => {
                    // A value of megabytes may be in it.
                    failed.push((start, shortened(error.strip_backtrace(), ERROR_BYTES)));
                }
                Err(_) => {
                    let half = length / 2;
                    todo.push((start + half, length - half));
                    todo.push((start, half));
                }
            }
        }
        Ok(RowSqlOutput { rows: concat_batches(&self.output, &results)?, failed })
    }

    /// Runs over a batch of which every row is to succeed: one that fails ends it.
    ///
    /// # Errors
    /// Index of the first row that fails, and what went wrong.
    pub async fn run_strict(
        &self,
        batch: &RecordBatch,
        now: DateTime<Utc>,
    ) -> Result<RecordBatch, (usize, String)> {
        let (mut start, mut length) = (0, batch.num_rows());
        let mut error = match self.run_slice(batch.clone(), now).await {
            Ok(rows) => return Ok(rows),
            Err(error) => error,
        };
        while length > 1 {
            let half = length / 2;
            match self.run_slice(batch.slice(start, half), now).await {
                Err(e) => (length, error) = (half, e),
                Ok(_) => (start, length) = (start + half, length - half),
            }
        }
        // The error of the whole may be of a later row.
        if let Err(e) = self.run_slice(batch.slice(start, length), now).await {
            error = e;
        }
        let reason = error.find_root().strip_backtrace();
        Err((start, reason.trim_start_matches("Arrow error: ").to_owned()))
    }

    async fn run_slice(
        &self,
        batch: RecordBatch,
        now: DateTime<Utc>,
    ) -> Result<RecordBatch, DataFusionError> {
        let mut planned = self.planned.lock().await;
        let plan = match planned.take().filter(|_| !self.asks_the_time) {
            Some(plan) => plan,
            None => {
                let mut state = self.context.state();
                state.execution_props_mut().query_execution_start_time = Some(now);
                sql::deep(state.create_physical_plan(&self.plan)).await?
            }
        };
        self.rows.set(Some(RecordBatch::try_new(
            self.input.clone(),
            batch.columns().iter().cloned().map(sql::one_nan).collect(),
        )?));
        // Without what it counted in the last run.
        let plan = reset_plan_states(plan)?;
        let batches = collect(plan.clone(), self.context.task_ctx()).await;
        self.rows.set(None);
        *planned = Some(plan);
        drop(planned);
        let batches = batches?;
        let mut columns: Vec<Vec<ArrayRef>> = vec![Vec::new(); self.output.fields().len()];
        for batch in &batches {
            for ((column, parts), field) in batch.columns().iter().zip(&mut columns).zip(self.output.fields())
            {
                parts.push(cast(column, field.data_type())?);
            }
        }
        let columns = columns
            .iter()
            .zip(self.output.fields())
            .map(|(parts, field)| {
                let parts: Vec<&dyn arrow::array::Array> = parts.iter().map(AsRef::as_ref).collect();
                match parts.is_empty() {
                    true => Ok(arrow::array::new_empty_array(field.data_type())),
                    false => arrow::compute::concat(&parts),
                }
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(RecordBatch::try_new(self.output.clone(), columns)?)
    }
}

/// The columns of `schema` by their names; one that the batch lacks is null where it may be.
fn align(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = schema.fields().iter().map(|field| match batch.column_by_name(field.name()) {
        Some(column) if column.data_type() == field.data_type() => Ok(column.clone()),
        Some(column) => Err(Error::user(format!(
            "column `{}` was {} in an earlier batch and is {} now",
            field.name(),
            column.data_type(),
            field.data_type()
        ))),
        None if field.is_nullable() => Ok(arrow::array::new_null_array(field.data_type(), batch.num_rows())),
        None => Err(Error::user(format!("column `{}` is not in an earlier batch", field.name()))),
    });
    let columns = columns.collect::<Result<Vec<_>>>().map_err(|e| {
        e.hint("a transform may add columns that can be null; put it back as it was, or start a new table")
    })?;
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}

/// View types are for computing: files and other readers get the plain ones.
fn plain_field(field: &Field) -> Field {
    let data_type = match field.data_type() {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        other => other.clone(),
    };
    Field::new(field.name(), data_type, field.is_nullable())
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array, StringArray};
    use arrow::datatypes::Int64Type;

    use super::*;

    fn batch() -> RecordBatch {
        RecordBatch::try_from_iter([
            ("a", Arc::new(Int64Array::from_iter_values(0..100)) as ArrayRef),
            (
                "t",
                Arc::new(StringArray::from_iter_values((0..100).map(|i| match i {
                    17 | 60 => "x".to_owned(),
                    _ => i.to_string(),
                }))),
            ),
            ("_offset", Arc::new(Int64Array::from_iter_values(1000..1100))),
        ])
        .unwrap()
    }

    async fn run(sql: &str) -> Result<RowSqlOutput> {
        let sql = RowSql::new(sql, "batch", batch().schema(), &["_offset"]).await?;
        sql.run(&batch(), "2024-05-01T00:00:00Z".parse().unwrap()).await
    }

    #[tokio::test]
    async fn the_engines_columns_come_along_in_order() {
        let out = run("SELECT a * 2 AS b FROM batch WHERE a % 10 = 0").await.unwrap().rows;
        assert_eq!(out["b"].as_primitive::<Int64Type>().values()[..3], [0, 20, 40]);
        assert_eq!(out["_offset"].as_primitive::<Int64Type>().values()[..3], [1000, 1010, 1020]);
        assert_eq!(run("SELECT * FROM batch").await.unwrap().rows.num_columns(), 3);
    }

    #[tokio::test]
    async fn the_engines_columns_come_out_of_subqueries_and_cannot_be_made() {
        for sql in [
            "SELECT * FROM (SELECT a FROM batch)",
            "SELECT b AS a FROM (SELECT a AS b FROM (SELECT * FROM batch WHERE a >= 0) AS x) AS y WHERE b >= 0",
            "WITH x AS (SELECT a, _offset AS place FROM batch), y AS (SELECT * FROM x) SELECT a FROM y",
            "SELECT a, t.\"_offset\" FROM batch AS t",
            "SELECT s.x AS a FROM (SELECT a FROM batch) AS s(x)",
            "SELECT * EXCEPT (_offset) FROM batch",
            "SELECT batch.* FROM batch",
            "SELECT a, _offset AS place FROM batch",
            "SELECT a FROM (SELECT a, unnest(make_array(a)) AS u FROM batch)",
        ] {
            let out = run(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}")).rows;
            let named = out.schema().fields().iter().filter(|field| field.name() == "_offset").count();
            assert_eq!(named, 1, "{sql}: {:?}", out.schema());
            for (a, offset) in [(0, 1000), (99, 1099)] {
                assert_eq!(out["a"].as_primitive::<Int64Type>().value(a), a as i64, "{sql}");
                assert_eq!(out["_offset"].as_primitive::<Int64Type>().value(a), offset, "{sql}");
            }
        }
        for sql in [
            "SELECT a, _offset + 1 AS _offset FROM batch",
            "SELECT a AS _offset FROM batch",
            "SELECT a FROM (SELECT a, a AS _offset FROM batch)",
            "SELECT * REPLACE (a AS _offset) FROM batch",
            "SELECT _offset, a AS \"_offset\" FROM batch",
        ] {
            let error = run(sql).await.map(|_| ()).unwrap_err().to_string();
            assert!(error.contains("`_offset`") || error.contains("_offset"), "{sql}: {error}");
        }
        let carried =
            RowSql::new("SELECT * FROM (SELECT a FROM batch)", "batch", batch().schema(), &["_offset", "t"]);
        assert_eq!(carried.await.unwrap().carried(), ["_offset", "t"]);
    }

    #[tokio::test]
    async fn rows_that_fail_are_named_and_the_rest_goes_on() {
        let out = run("SELECT CAST(t AS BIGINT) AS n FROM batch").await.unwrap();
        assert_eq!(out.failed.iter().map(|f| f.0).collect::<Vec<_>>(), [17, 60]);
        assert_eq!(out.rows.num_rows(), 98);
        assert!(out.rows["_offset"].as_primitive::<Int64Type>().values().is_sorted());
    }

    #[tokio::test]
    async fn columns_of_an_earlier_batch_are_matched_by_name() {
        let old = batch().project(&[2, 0]).unwrap();
        let nullable: Vec<Field> =
            batch().schema().fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
        let sql =
            RowSql::new("SELECT a, t FROM batch", "batch", Arc::new(Schema::new(nullable)), &["_offset"]);
        let out = sql.await.unwrap().run(&old, "2024-05-01T00:00:00Z".parse().unwrap()).await.unwrap();
        assert!(out.failed.is_empty());
        assert_eq!(out.rows["a"].as_primitive::<Int64Type>().values()[..2], [0, 1]);
        assert_eq!(out.rows["_offset"].as_primitive::<Int64Type>().values()[..2], [1000, 1001]);
        assert_eq!(out.rows["t"].null_count(), 100);
        let other = RecordBatch::try_from_iter([("a", batch().column(1).clone())]).unwrap();
        let sql = RowSql::new("SELECT a FROM batch", "batch", batch().schema(), &["_offset"]).await.unwrap();
        assert!(sql.run(&other, "2024-05-01T00:00:00Z".parse().unwrap()).await.is_err());
    }

    #[tokio::test]
    async fn columns_have_the_types_of_their_results() {
        let text = "SELECT CAST(a AS DECIMAL(10,2)) * 0.07 AS tax, CASE WHEN a > 1 THEN CAST(a AS DECIMAL(10,2)) ELSE 0.5 END AS c, \
                    CAST(a AS DOUBLE) * 0.5 AS x FROM batch";
        let out = run(text).await.unwrap().rows;
        let kinds: Vec<_> = out.schema().fields().iter().map(|field| field.data_type().to_string()).collect();
        assert_eq!(kinds[..3], ["Decimal128(13, 4)", "Decimal128(10, 2)", "Float64"]);
        // DuckDB's value.
        assert_eq!(arrow::util::display::array_value_to_string(&out["tax"], 3).unwrap(), "0.2100");
    }

    #[tokio::test]
    async fn now_is_the_batchs_now() {
        let out =
            run("SELECT CAST(now() AS DATE) AS d, CAST(now() AS VARCHAR) AS s FROM batch").await.unwrap();
        assert!(out.rows["s"].as_string::<i32>().value(0).starts_with("2024-05-01"));
    }

    #[tokio::test]
    async fn a_plan_that_is_used_again_has_the_rows_and_the_time_of_its_batch() {
        let text = "SELECT a, CAST(t AS BIGINT) AS n, to_date('2020-01-02') AS d FROM batch WHERE a % 2 = 1";
        let kept = RowSql::new(text, "batch", batch().schema(), &["_offset"]).await.unwrap();
        let timed =
            RowSql::new("SELECT CAST(now() AS VARCHAR) AS s FROM batch", "batch", batch().schema(), &[]);
        let timed = timed.await.unwrap();
        assert!(!kept.asks_the_time && timed.asks_the_time);
        for (day, (from, rows)) in [(0, 100), (10, 40), (40, 0), (30, 70)].into_iter().enumerate() {
            let (batch, now) = (batch().slice(from, rows), format!("2024-05-0{}T00:00:00Z", day + 1));
            let out = kept.run(&batch, now.parse().unwrap()).await.unwrap();
            let expected: Vec<i64> =
                (from..from + rows).filter(|a| a % 2 == 1 && *a != 17).map(|a| a as i64).collect();
            assert_eq!(out.rows["a"].as_primitive::<Int64Type>().values().to_vec(), expected);
            assert_eq!(out.failed.len(), usize::from((from..from + rows).contains(&17)));
            let out = timed.run(&batch, now.parse().unwrap()).await.unwrap().rows;
            assert!(out["s"].as_string::<i32>().iter().all(|s| s.unwrap().starts_with(&now[..10])));
        }
        let now = "2024-05-01T00:00:00Z".parse().unwrap();
        let (one, other) = (batch().slice(0, 50), batch().slice(61, 30));
        let (one, other) = tokio::join!(kept.run(&one, now), kept.run(&other, now));
        assert_eq!((one.unwrap().rows.num_rows(), other.unwrap().rows.num_rows()), (24, 15));
    }

    #[tokio::test]
    async fn what_is_not_row_by_row_is_refused() {
        for sql in [
            "SELECT count(*) AS n FROM batch",
            "SELECT a, row_number() OVER (ORDER BY a) AS n FROM batch",
            "SELECT x.a FROM batch x JOIN batch y ON x.a = y.a",
            "SELECT a FROM batch ORDER BY a",
            "SELECT a FROM batch LIMIT 3",
            "SELECT DISTINCT a FROM batch",
            "SELECT random() AS r FROM batch",
            "SELECT a FROM batch WHERE a = (SELECT max(a) FROM batch)",
            "SELECT a FROM other",
            "SELECT nope FROM batch",
            "DROP TABLE batch",
            "SELECT a FROM batch UNION ALL SELECT a FROM batch",
        ] {
            assert!(run(sql).await.is_err(), "{sql}");
        }
    }
}
