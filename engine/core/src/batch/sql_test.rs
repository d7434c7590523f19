//! Unit tests of a job's SQL: rows in, rows out.
//!
//! ```text
//! sql/olist/tests/late_orders/orders.csv           rows of the input `orders`
//! sql/olist/tests/late_orders/wide.csv             rows of the table `wide`, instead of those that its SELECT makes
//! sql/olist/tests/late_orders/expected_rfm.csv     what `rfm` must be then
//! ```
//!
//! A table that is neither given nor expected is made by its SELECT, if it is read. Cells of inputs have the types of the
//! job, and are written as it says (`delimiter`, `null_values`, how numbers are); `heading::TYPE` in the header gives another, and gives a table's columns theirs (text without). What is expected
//! is compared cell by cell as far as it has columns, rows in any order, floats to nine digits and 1e-12 (`test_rows.rs`). An
//! empty cell is a null, `""` is the empty text.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::execution::context::SessionConfig;
use serde::Serialize;

use super::graph::Graph;
use super::input::{made_plain, type_of};
use super::test_csv::{Cells, typed};
use super::test_rows::{Cell, cells, difference};
use crate::catalog::job_session;
use crate::columns::check_names;
use crate::error::{Context, Error, Result};
use crate::lake::Lake;
use crate::project::{BatchJob, Project};
use crate::registry::Models;
use crate::sql;

const EXPECTED: &str = "expected_";

/// What came of one test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SqlTestReport {
    /// Name of its folder.
    pub test: String,
    /// The table.
    pub table: String,
    /// Rows that were expected.
    pub expected_rows: u64,
    /// Rows that came.
    pub rows: u64,
    /// Lines that differ: `-` expected and not there, `+` there and not expected. Empty where the test has passed.
    pub diff: Vec<String>,
}

/// The files of a test, by their names without `.csv`.
type Files = BTreeMap<String, (String, String)>;

/// Runs the tests of a job, or those with a name that is in `only`.
///
/// # Errors
/// User: there is no test, or one whose files do not say enough; the SQL.
pub async fn test(project: &Project, job: &BatchJob, only: &[String]) -> Result<Vec<SqlTestReport>> {
    let folder = format!("{}/tests/", job.sql_folder);
    let mut tests: BTreeMap<String, Files> = BTreeMap::new();
    for path in project.list(&job.sql_folder)? {
        let inside = path.strip_prefix(&folder).and_then(|rest| rest.split_once('/'));
        if let Some((test, name)) = inside.and_then(|(test, file)| Some((test, file.strip_suffix(".csv")?))) {
            let text = project.read(&path)?;
            tests.entry(test.to_owned()).or_default().insert(name.to_owned(), (path.clone(), text));
        }
    }
    let names: Vec<String> = tests.keys().cloned().collect();
    if let Some(unknown) = only.iter().find(|name| !names.contains(name)) {
        return Err(Error::user(format!("`{}` has no test `{unknown}`", job.name))
            .hint(format!("the tests are: {}", names.join(", "))));
    }
    tests.retain(|name, _| only.is_empty() || only.contains(name));
    if tests.is_empty() {
        return Err(Error::user(format!("`{}` has no tests", job.name))
            .hint(format!("a test is a folder {folder}NAME with INPUT.csv files and expected_TABLE.csv")));
    }
    let graph = Graph::new(job)?;
    let mut reports = Vec::new();
    for (name, files) in tests {
        let place = || format!("{folder}{name}");
        reports.extend(one(job, &graph, &name, files).await.context_with(place)?);
    }
    Ok(reports)
}

async fn one(job: &BatchJob, graph: &Graph, name: &str, files: Files) -> Result<Vec<SqlTestReport>> {
    let mut rows: BTreeMap<String, Arc<dyn TableProvider>> = BTreeMap::new();
    let mut expected = Vec::new();
    for (file, (path, text)) in &files {
        if let Some(table) = file.strip_prefix(EXPECTED) {
            if job.table(table).is_none() {
                return Err(Error::user(format!("the job has no table `{table}`")).context(path.clone()));
            }
            expected.push((table, path, text));
            continue;
        }
        let of_model = job.models.iter().any(|model| model.tables().contains(file));
        if !of_model && !job.inputs.iter().any(|input| &input.name == file) && job.table(file).is_none() {
            return Err(Error::user(format!("the job has no input or table `{file}`")).context(path.clone()));
        }
        let batch = given(job, file, text).context_with(|| path.clone())?;
        rows.insert(file.clone(), Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?));
    }
    if expected.is_empty() {
        return Err(Error::user("no file says what is expected").hint("expected_TABLE.csv does"));
    }
    for at in needed(job, graph, &rows, &expected) {
        let table = &job.tables[at];
        let reads = &graph.reads[at];
        let inputs = reads.inputs.iter().map(|input| &job.inputs[*input].name);
        let names = inputs.chain(reads.tables.iter().map(|read| &job.tables[*read].file.name));
        let names = names.chain(&reads.model_tables);
        let mut own = Vec::new();
        for read in names {
            let provider = rows.get(read).ok_or_else(|| {
                Error::user(format!("there is no {read}.csv, which {} reads", table.file.name))
                    .hint("its header alone will do where it is to have no rows")
            })?;
            own.push((read.clone(), provider.clone()));
        }
        let config = SessionConfig::new().with_target_partitions(1);
        let nowhere = Lake::new(std::path::PathBuf::from("/nonexistent/lake"));
        let session =
            job_session(&nowhere, &job.schema_name, own, config, Arc::default(), &Models::of(&nowhere))?;
        let place = || table.file.path.clone();
        let frame = sql::frame(&session, &table.file.sql).await.context_with(place)?;
        check_names(frame.schema()).context_with(place)?;
        let schema = Arc::new(frame.schema().as_arrow().clone());
        let batches = sql::collect(frame).await.context_with(place)?;
        rows.insert(table.file.name.clone(), Arc::new(MemTable::try_new(schema, vec![batches])?));
    }
    let mut reports = Vec::new();
    for (table, path, text) in expected {
        let Some(got) = rows.get(table) else { return Err(Error::internal("a table that was not made")) };
        let context = datafusion::prelude::SessionContext::new();
        let frame = context.read_table(got.clone())?;
        let schema = frame.schema().as_arrow().clone();
        let batches = sql::collect(frame).await?;
        let got = arrow::compute::concat_batches(&Arc::new(schema), &batches)?;
        let (diff, expected_rows) = compare(&got, text).context_with(|| path.clone())?;
        reports.push(SqlTestReport {
            test: name.to_owned(),
            table: table.to_owned(),
            expected_rows,
            rows: got.num_rows() as u64,
            diff,
        });
    }
    Ok(reports)
}

/// The tables that have to be made, in order: what is expected, and what that reads and is not given.
fn needed(
    job: &BatchJob,
    graph: &Graph,
    given: &BTreeMap<String, Arc<dyn TableProvider>>,
    expected: &[(&str, &String, &String)],
) -> Vec<usize> {
    let mut needed = vec![false; graph.reads.len()];
    // A model is not trained: its tables are given.
    for at in graph.order.iter().rev().filter(|at| **at < job.tables.len()) {
        let name = job.tables[*at].file.name.as_str();
        needed[*at] |= expected.iter().any(|(table, ..)| *table == name);
        needed[*at] &= !given.contains_key(name);
        if needed[*at] {
            graph.reads[*at].tables.iter().for_each(|read| needed[*read] = true);
        }
    }
    graph.order.iter().copied().filter(|at| needed[*at]).collect()
}

/// The rows that a file gives.
fn given(job: &BatchJob, name: &str, text: &str) -> Result<RecordBatch> {
    let input = job.inputs.iter().find(|input| input.name == name);
    let options = input.map(|input| input.csv.clone()).unwrap_or_default();
    let delimiter = char::from(options.delimiter.unwrap_or(b','));
    let Cells { names, types, columns, rows } = Cells::read_as(text, delimiter)?;
    let is_null = |cell: &&str| options.null_values.iter().any(|null| null == cell);
    let without = |cells: &StringArray| cells.iter().map(|cell| cell.filter(|cell| !is_null(cell))).collect();
    let columns: Vec<StringArray> = columns.iter().map(without).collect();
    let (mut fields, mut arrays): (Vec<Field>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
    for ((heading, kind), cells) in names.iter().zip(types).zip(&columns) {
        let of_job = || match input? {
            input if input.auto_types => Some(type_of(cells, options.numbers)),
            input => input.types.get(heading).cloned(),
        };
        let kind = kind.or_else(of_job).unwrap_or(DataType::Utf8);
        let plain =
            (kind.is_numeric() && !options.numbers.is_plain()).then(|| made_plain(cells, options.numbers));
        let array = typed(plain.as_ref().unwrap_or(cells), &kind)
            .map_err(|reason| Error::user(reason).context(format!("column {heading}")))?;
        fields.push(Field::new(heading, kind, true));
        arrays.push(array);
    }
    if let Some(number) =
        input.and_then(|input| input.row_number.as_ref()).filter(|name| !names.contains(name))
    {
        fields.push(Field::new(number, DataType::Int64, false));
        arrays.push(Arc::new(Int64Array::from_iter_values(1..=rows as i64)));
    }
    if let Some(column) =
        input.and_then(|input| input.file_name.as_ref()).filter(|name| !names.contains(name))
    {
        fields.push(Field::new(column, DataType::Utf8, false));
        arrays.push(Arc::new(StringArray::from(vec![format!("{name}.csv"); rows])));
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

/// The rows that differ, and how many were expected.
fn compare(got: &RecordBatch, expected: &str) -> Result<(Vec<String>, u64)> {
    let Cells { names, columns, rows, .. } = Cells::read(expected)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for (name, texts) in names.iter().zip(&columns) {
        let column = got.column_by_name(name).ok_or_else(|| {
            let schema = got.schema();
            let all: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            Error::user(format!("the table has no column `{name}`"))
                .hint(format!("its columns are: {}", all.join(", ")))
        })?;
        ours.push(cells(column)?);
        // Read as what the column is, so that `3` and `3.00` are one number. What is no such value differs.
        theirs.push(match typed(texts, column.data_type()) {
            Ok(read) => cells(&read)?,
            Err(_) => (0..rows)
                .map(|at| one_cell(&texts.slice(at, 1), column.data_type()))
                .collect::<Result<_>>()?,
        });
    }
    let row = |columns: &[Vec<Cell>], at: usize| columns.iter().map(|column| column[at].clone()).collect();
    let ours: Vec<Vec<Cell>> = (0..got.num_rows()).map(|at| row(&ours, at)).collect();
    let theirs: Vec<Vec<Cell>> = (0..rows).map(|at| row(&theirs, at)).collect();
    let mut diff = difference(&ours, &theirs);
    if !diff.is_empty() {
        diff.insert(0, format!("  {}", names.join(",")));
    }
    Ok((diff, rows as u64))
}

/// One expected cell, as text where it is no value of the column.
fn one_cell(cell: &StringArray, kind: &DataType) -> Result<Cell> {
    let read = typed(cell, kind).unwrap_or_else(|_| Arc::new(cell.clone()));
    Ok(cells(&read)?.pop().unwrap_or(Cell::Null))
}
