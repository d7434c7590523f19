//! An input as a table of DataFusion: a partition a file, or some files one after the other where they are many, with an
//! estimate of rows, by which joins choose their sides.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchema, DataFusionError, Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, ReplaceChildrenOptions,
};

use super::csv::Columns;
use super::{Input, InputFile, InputFormat, OnError, Progress, external, forms};
use crate::sql::one_nan;

/// Bytes that the reading threads of an input may be ahead, about; it is 4 to 16 batches a file. Joins take in one hashed
/// file after the other: the others are read meanwhile.
const AHEAD_BYTES: usize = 8 << 20;
/// Files of an input that are read at once, each by a thread that may wait for the reader of its rows. With all of tokio's
/// 512 blocking threads waiting so, whoever those rows wait for would never begin.
const READERS: usize = 16;
/// Bytes of a cell, about.
const CELL_BYTES: usize = 12;

/// Cells that are read at a time: readers set aside memory for all of them.
const CELLS: usize = 1 << 20;

/// The most rows of so many columns that are read at a time.
pub(in crate::batch) fn rows_at_once(columns: usize) -> usize {
    (CELLS / columns.max(1)).max(16)
}

/// The most rows of so many columns that are read of a file at a time: no more than it can hold, where that is known, as a cell
/// of a CSV is a byte at least (what is between it and the next).
fn rows_of_file(file: &InputFile, columns: usize, most: usize) -> usize {
    let is_packed = file.text_bytes != file.bytes;
    match file.format {
        InputFormat::Csv | InputFormat::Tsv if !is_packed => {
            let holds = usize::try_from(file.bytes).unwrap_or(usize::MAX) / columns.max(1) + 1;
            most.min(holds)
        }
        _ => most,
    }
}

/// An input for one statement.
#[derive(Debug)]
pub(super) struct InputTable {
    input: Arc<Input>,
    progress: Arc<Progress>,
}

impl InputTable {
    pub(super) fn new(input: Arc<Input>, progress: Arc<Progress>) -> InputTable {
        InputTable { input, progress }
    }
}

#[async_trait]
impl TableProvider for InputTable {
    fn schema(&self) -> SchemaRef {
        self.input.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Row groups of Parquet can be left out. Where bad rows are set aside they are not: each table that reads the input has
    /// the same ones.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let config = &self.input.config;
        let is_parquet = self.input.files.iter().all(|file| file.format == InputFormat::Parquet);
        let support = match is_parquet && config.forms.is_none() && config.on_error == OnError::Fail {
            true => TableProviderFilterPushDown::Inexact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(vec![support; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // What statistics cannot decide is no error: all is read then, and filtered.
        let predicate = conjunction(filters.iter().cloned()).and_then(|filters| {
            let schema = DFSchema::try_from(self.input.schema.as_ref().clone()).ok()?;
            let expression = session.create_physical_expr(filters, &schema).ok()?;
            PruningPredicateBuilder::new()
                .with_file_schema(self.input.schema.clone())
                .try_build(expression)
                .ok()
        });
        let all = || (0..self.input.schema.fields().len()).collect();
        let projection: Vec<usize> = projection.cloned().unwrap_or_else(all);
        let schema: Arc<Schema> = Arc::new(self.input.schema.project(&projection)?);
        // Forms are read in the order of the files: the first row of a key stays.
        let partitions =
            if self.input.config.forms.is_some() { 1 } else { self.input.files.len().min(READERS) };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Arc::new(InputScan {
            input: self.input.clone(),
            progress: self.progress.clone(),
            predicate: predicate.map(Arc::new),
            projection,
            schema,
            properties: Arc::new(properties),
        }))
    }
}

/// The files of an input, being read.
#[derive(Debug)]
struct InputScan {
    input: Arc<Input>,
    progress: Arc<Progress>,
    /// By which row groups are left out; rows are filtered behind the scan.
    predicate: Option<Arc<PruningPredicate>>,
    projection: Vec<usize>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl DisplayAs for InputScan {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InputScan: {} ({} files)", self.input.config.name, self.input.files.len())
    }
}

impl ExecutionPlan for InputScan {
    fn name(&self) -> &'static str {
        "InputScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let columns = self.input.own_columns.max(self.projection.len());
        let partitions = self.properties.partitioning.partition_count();
        // Readers of several files are there at the same time.
        let at_once = rows_at_once(columns.saturating_mul(partitions));
        let batch_rows = context.session_config().batch_size().min(at_once);
        let batch_bytes = batch_rows * CELL_BYTES * self.projection.len().max(1);
        let ahead = (AHEAD_BYTES / batch_bytes / partitions.max(1)).clamp(4, 16);
        let mut stream = RecordBatchReceiverStreamBuilder::new(self.schema.clone(), ahead);
        let (input, progress, predicate, projection, schema, sender) = (
            self.input.clone(),
            self.progress.clone(),
            self.predicate.clone(),
            self.projection.clone(),
            self.schema.clone(),
            stream.tx(),
        );
        if input.config.forms.is_some() {
            stream.spawn(async move {
                forms::read(&input, &progress, &sender, &projection).await.map_err(external)
            });
            return Ok(stream.build());
        }
        stream.spawn_blocking(move || {
            for file in input.files.iter().skip(partition).step_by(partitions) {
                // Nobody wants more rows.
                if sender.is_closed() {
                    break;
                }
                let batch_rows = rows_of_file(file, file.header.len(), batch_rows);
                let columns = Columns::new(&input, file, &projection, schema.clone(), batch_rows);
                let mut send = |batch| sender.blocking_send(Ok(with_one_nan(batch))).is_ok();
                file.read(&input.config, predicate.as_deref(), &columns, &progress, &mut send)
                    .map_err(external)?;
            }
            Ok(())
        });
        Ok(stream.build())
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        let partitions = self.properties.partitioning.partition_count();
        let bytes = match partition {
            Some(at) => {
                self.input.files.iter().skip(at).step_by(partitions).map(|file| file.text_bytes).sum()
            }
            None => self.input.text_bytes(),
        };
        let cells = self.input.schema.fields().len().max(1);
        let bytes = usize::try_from(bytes).map_err(|e| DataFusionError::External(Box::new(e)))?;
        let rows = bytes / (cells * CELL_BYTES);
        // Nobody knows before the file is read. Where nothing is said, though, every column is taken for a key: a join is
        // then as small as its smaller side, and rows joined with a few small tables become the hash table of the next
        // join, copied for each. So: few values, joins that are not small, and the file that is joined next is hashed.
        for column in &mut statistics.column_statistics {
            column.distinct_count = Precision::Inexact(rows.isqrt().max(1));
        }
        statistics.num_rows = Precision::Inexact(rows.max(1));
        statistics.total_byte_size = Precision::Inexact(bytes * self.projection.len() / cells);
        Ok(Arc::new(statistics))
    }
}

/// Rows whose floating point numbers have one NaN and one zero.
fn with_one_nan(batch: RecordBatch) -> RecordBatch {
    let schema = batch.schema();
    if !schema.fields().iter().any(|field| field.data_type().is_floating()) {
        return batch;
    }
    let rows = batch.clone();
    let columns = batch.columns().iter().cloned().map(one_nan).collect();
    // The same columns: this does not fail.
    RecordBatch::try_new(schema, columns).unwrap_or(rows)
}

#[cfg(test)]
mod tests {
    use datafusion::execution::context::{SessionConfig, SessionContext};
    use datafusion::physical_plan::displayable;

    use super::*;
    use crate::project::InputConfig;

    async fn open(name: &str, path: &str) -> Arc<Input> {
        let config =
            InputConfig { name: name.to_owned(), path: Some(path.to_owned()), ..InputConfig::default() };
        Arc::new(Input::open(&config, None, "job").await.unwrap())
    }

    #[tokio::test]
    async fn an_archive_is_written_as_the_file_in_it_is_called() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orders.zip");
        let packed = |name: &str| {
            let mut writer = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
            let options = zip::write::SimpleFileOptions::default();
            for (name, text) in [(name, "id\tn\n1\t2\n"), ("__MACOSX/._x", "")] {
                writer.start_file(name, options).unwrap();
                std::io::Write::write_all(&mut writer, text.as_bytes()).unwrap();
            }
            writer.finish().unwrap();
        };
        packed("export/orders.tsv");
        let input = open("orders", &path.display().to_string()).await;
        let names: Vec<&str> = input.schema.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["id", "n"]);
        packed("orders.txt");
        let error = Input::open(&input.config, None, "job").await.unwrap_err().to_string();
        assert!(error.contains("orders.zip does not say how it is written"), "{error}");
        packed(".DS_Store");
        let error = Input::open(&input.config, None, "job").await.unwrap_err().to_string();
        assert!(error.contains("orders.zip holds 0 files"), "{error}");
    }

    #[tokio::test]
    async fn as_many_rows_are_read_at_once_as_a_file_can_hold() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        // 7 rows of empty cells and the heading, as short as they can be written.
        std::fs::write(&path, format!("a,b,c\n{}", ",,\n".repeat(7))).unwrap();
        let input = open("a", &path.display().to_string()).await;
        let rows = |most| rows_of_file(&input.files[0], 3, most);
        assert_eq!((rows(8_192), rows(5)), (10, 5));
        let packed = InputFile { text_bytes: 1_000, ..input.files[0].clone() };
        assert_eq!(rows_of_file(&packed, 3, 8_192), 8_192);
        let context = SessionContext::new();
        context.register_table("a", input.table(&Arc::default())).unwrap();
        let count = context.sql("SELECT a, b, c FROM a").await.unwrap().count().await.unwrap();
        assert_eq!(count, 7);
    }

    /// The plan of a SELECT over files of so many rows, `(name, columns, rows)`.
    async fn plan(files: &[(&str, &str, usize)], sql: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
        for (name, columns, rows) in files {
            let path = folder.path().join(format!("{name}.csv"));
            let cells = vec!["0123456789"; columns.split(',').count()].join(",");
            std::fs::write(&path, format!("{columns}\n{}", format!("{cells}\n").repeat(*rows))).unwrap();
            let input = open(name, &path.display().to_string()).await;
            context.register_table(*name, input.table(&Arc::default())).unwrap();
        }
        let frame = context.sql(sql).await.unwrap();
        let plan = frame.create_physical_plan().await.unwrap();
        displayable(plan.as_ref()).indent(false).to_string()
    }

    #[tokio::test]
    async fn many_files_are_read_by_few_threads() {
        let folder = tempfile::tempdir().unwrap();
        for file in 0..100 {
            std::fs::write(folder.path().join(format!("{file}.csv")), format!("n\n{file}\n{file}\n"))
                .unwrap();
        }
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
        let input = open("many", &folder.path().join("*.csv").display().to_string()).await;
        context.register_table("many", input.table(&Arc::default())).unwrap();
        let plan = context.table("many").await.unwrap().create_physical_plan().await.unwrap();
        assert_eq!(plan.properties().partitioning.partition_count(), READERS);
        let sums = context.sql("SELECT count(*), count(DISTINCT n), sum(CAST(n AS BIGINT)) FROM many");
        let sums = sums.await.unwrap().collect().await.unwrap();
        let found = arrow::util::pretty::pretty_format_batches(&sums).unwrap().to_string();
        assert!(found.contains("| 200 ") && found.contains("| 100 ") && found.contains("| 9900 "), "{found}");
        let some = context.sql("SELECT n FROM many LIMIT 3").await.unwrap().collect().await.unwrap();
        assert_eq!(some.iter().map(|batch| batch.num_rows()).sum::<usize>(), 3);
    }

    #[tokio::test]
    async fn rows_joined_so_far_are_not_the_hash_table_of_the_next_join() {
        let files = [("facts", "k,m,n", 50_000), ("kinds", "k,kind", 50), ("many", "m,place", 2_000)];
        let sql = "SELECT * FROM facts JOIN kinds USING (k) JOIN many USING (m) LEFT JOIN many AS n ON n.m = facts.n";
        let plan = plan(&files, sql).await;
        // The first child of a join is hashed.
        let lines: Vec<&str> = plan.lines().filter(|line| !line.contains("CooperativeExec")).collect();
        let joins = lines.iter().zip(lines.iter().skip(1)).filter(|(line, _)| line.contains("HashJoinExec"));
        let hashed: Vec<&str> = joins.map(|(_, child)| child.trim()).collect();
        let scan = |name: &str| format!("InputScan: {name} (1 files)");
        assert_eq!(hashed, [scan("many"), scan("many"), scan("kinds")], "{plan}");
    }
}
