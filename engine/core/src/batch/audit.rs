//! Audits: SELECTs of bad rows. Any row keeps the new version from becoming the table.
//!
//! A file of `audits/` is one; `audits = { … }` of a table makes others. An audit is run against the new version, before
//! it is published, of the last table (in the order of the graph) that it reads: what depends on that one is then not
//! built either. One that reads inputs only is run once, and keeps back every table that reads one of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::StreamExt;
use serde::Serialize;
use tokio::sync::OnceCell;

use super::build::{Builder, Output};
use super::graph::{Graph, Reads, reads, step_name};
use super::input::Progress;
use super::turns::Joins;
use crate::calendar;
use crate::catalog::check_files;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::project::{BatchJob, BatchModel, SqlFile, TableAudits, TableConfig};
use crate::sql;

/// Bad rows that an error shows.
const SHOWN: usize = 3;

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditReport {
    /// Name of its file, or what it is of: `not_null order_id`.
    pub audit: String,
    /// Rows that it found.
    pub bad_rows: u64,
    /// Seconds that the table waited for it.
    pub seconds: f64,
}

/// An audit and what it reads.
#[derive(Debug, Clone)]
pub(super) struct Audit {
    file: SqlFile,
    reads: Reads,
    /// The steps whose tables it reads, or whose models it asks.
    steps: BTreeSet<usize>,
    /// What it found in this run: tables that it keeps back share it.
    found: Arc<OnceCell<Found>>,
}

/// Bad rows, and some of them as text.
#[derive(Debug)]
struct Found {
    bad_rows: u64,
    shown: Vec<String>,
}

/// The audits of each table, by its place in the job.
///
/// # Errors
/// User: an audit that is not one SELECT, or reads what is not there.
pub(super) fn audits(job: &BatchJob, graph: &Graph) -> Result<Vec<Vec<Audit>>> {
    let of_tables =
        job.tables.iter().flat_map(|TableConfig { file, audits, .. }| built_in(&file.name, audits));
    let of_models = job.models.iter().flat_map(|model: &BatchModel| &model.audits);
    let of_models = of_models.flat_map(|(table, audits)| built_in(table, audits));
    let mut of_table: Vec<Vec<Audit>> = vec![Vec::new(); graph.reads.len()];
    for file in job.audits.iter().cloned().chain(of_tables).chain(of_models) {
        let reads = reads(job, &file)?;
        let steps = graph.steps(&reads);
        let last = graph.order.iter().rev().find(|at| steps.contains(at));
        let gates: BTreeSet<usize> = match last {
            Some(last) => [*last].into(),
            None => (0..graph.reads.len())
                .filter(|at| !graph.reads[*at].inputs.is_disjoint(&reads.inputs))
                .collect(),
        };
        let asks = reads.asks.iter().map(|model| job.tables.len() + model);
        if let Some(own) = asks.into_iter().find(|at| gates.contains(at)) {
            let model = step_name(job, own);
            return Err(Error::user(format!(
                "{} asks `{model}`, whose new version it is to look at",
                file.path
            ))
            .hint(format!("what that version says of each row is in {model}_rows")));
        }
        if gates.is_empty() {
            return Err(Error::user(format!("{} reads nothing of the job", file.path))
                .hint("an audit is a SELECT of bad rows of the job's tables or inputs"));
        }
        let audit = Audit { file, reads, steps, found: Arc::default() };
        for at in gates {
            of_table[at].push(audit.clone());
        }
    }
    Ok(of_table)
}

/// Steps that have to be done with before a table's audits can be run.
pub(super) fn waits(audits: &[Audit]) -> impl Iterator<Item = usize> {
    audits.iter().flat_map(|audit| audit.steps.iter().copied())
}

/// Inputs that a table's audits read.
pub(super) fn inputs(audits: &[Audit]) -> impl Iterator<Item = usize> {
    audits.iter().flat_map(|audit| audit.reads.inputs.iter().copied())
}

/// What a table's audits read.
pub(super) fn read_by(audits: &[Audit]) -> impl Iterator<Item = &Reads> {
    audits.iter().map(|audit| &audit.reads)
}

/// The texts of a table's audits: another one is a reason to build the table again.
pub(super) fn texts(audits: &[Audit]) -> impl Iterator<Item = &str> {
    audits.iter().map(|audit| audit.file.sql.as_str())
}

/// The SELECTs that the settings of a table stand for.
fn built_in(name: &str, audits: &TableAudits) -> Vec<SqlFile> {
    let quoted = |column: &str| format!("\"{}\"", column.replace('"', "\"\""));
    let file = |audit: String, sql: String| SqlFile {
        path: format!("audit `{audit}` of {name}"),
        name: audit,
        description: String::new(),
        sql,
    };
    // What counts equal rows is called as no column that it stands beside.
    let times = |columns: &[String]| {
        let taken = |name: &String| columns.iter().any(|column| column.eq_ignore_ascii_case(name));
        (0..).map(|more| format!("times{}", "_".repeat(more))).find(|name| !taken(name)).unwrap_or_default()
    };
    let mut files = Vec::new();
    for column in &audits.not_null {
        let sql = format!("SELECT * FROM {name} WHERE {} IS NULL", quoted(column));
        files.push(file(format!("not_null {column}"), sql));
    }
    for columns in &audits.unique {
        let list = columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ");
        let times = times(columns);
        let sql =
            format!("SELECT {list}, count(*) AS {times} FROM {name} GROUP BY {list} HAVING count(*) > 1");
        files.push(file(format!("unique {}", columns.join(", ")), sql));
    }
    for (column, values) in &audits.accepted_values {
        let values = values.iter().map(|value| match value {
            toml::Value::String(text) => format!("'{}'", text.replace('\'', "''")),
            other => other.to_string(),
        });
        let (values, column_name) = (values.collect::<Vec<_>>().join(", "), quoted(column));
        let times = times(std::slice::from_ref(column));
        let sql = format!(
            "SELECT {column_name}, count(*) AS {times} FROM {name} WHERE {column_name} NOT IN ({values}) GROUP BY {column_name}"
        );
        files.push(file(format!("accepted_values {column}"), sql));
    }
    for relation in &audits.relationships {
        let (other, to) = relation.to.rsplit_once('.').unwrap_or((&relation.to, &relation.column));
        let times = times(std::slice::from_ref(&relation.column));
        let (column, to) = (quoted(&relation.column), quoted(to));
        // Sorted, both sides of this join spill where there is little memory; what NOT IN looks in does not. Text and
        // numbers are compared as `=` does everywhere, which a UNION of both would not. A column that is called as one of
        // the two names would be taken for it: no heading begins with a space.
        let (here, there) = ("\" here\"", "\" there\"");
        let sql = format!(
            "SELECT {here}.{column}, count(*) AS {times} FROM {name} AS {here} WHERE {here}.{column} IS NOT NULL \
             AND NOT EXISTS (SELECT 1 FROM {other} AS {there} WHERE {there}.{to} = {here}.{column}) \
             GROUP BY {here}.{column}"
        );
        files.push(file(format!("relationships {}", relation.column), sql));
    }
    if let Some(count) = &audits.row_count {
        let bounds = [
            count.min.map(|min| format!("count(*) < {min}")),
            count.max.map(|max| format!("count(*) > {max}")),
        ];
        let bounds = bounds.into_iter().flatten().collect::<Vec<_>>().join(" OR ");
        if !bounds.is_empty() {
            let sql = format!("SELECT count(*) AS rows FROM {name} HAVING {bounds}");
            files.push(file("row_count".to_owned(), sql));
        }
    }
    files
}

/// Runs the audits of a table against its new files; without such, against the version that counts. All are run; the error is of those that found something.
///
/// # Errors
/// User: an audit's SQL; Data: bad rows.
pub(super) async fn check(
    builder: &Builder,
    table: &str,
    audits: &[Audit],
    staged: &[(&str, &Output)],
    reports: &mut Vec<AuditReport>,
) -> Result<()> {
    let mut findings = Vec::new();
    for audit in audits {
        let start = Instant::now();
        let found = audit.found.get_or_try_init(|| audit.run(builder, staged)).await?;
        reports.push(AuditReport {
            audit: audit.file.name.clone(),
            bad_rows: found.bad_rows,
            seconds: start.elapsed().as_secs_f64(),
        });
        if found.bad_rows > 0 {
            let rows = if found.bad_rows == 1 { "row" } else { "rows" };
            let shown = found.shown.join("; ");
            findings.push(format!("{} found {} bad {rows}: {shown}", audit.file.path, found.bad_rows));
        }
    }
    if findings.is_empty() {
        return Ok(());
    }
    let error = Error::data(findings.join("\n  "));
    // Who numbers the rows of one file may not have thought of two.
    let numbered = builder.inputs.iter().flatten().find(|input| {
        input.config.row_number.is_some() && input.config.file_name.is_none() && input.files.len() > 1
    });
    let is_unique = |report: &AuditReport| report.bad_rows > 0 && report.audit.starts_with("unique ");
    let is_new = !staged.is_empty();
    Err(match is_new {
        true if numbered.is_some() && reports.iter().any(is_unique) => error
            .context(format!("the new version of {table} is not published"))
            .hint(format!(
                "the table is as it was. The rows of each file of `{}` are numbered from 1: read one file, or give the \
                 input `file_name`, a column that tells its files apart",
                numbered.map(|input| input.config.name.as_str()).unwrap_or_default()
            )),
        true => error
            .context(format!("the new version of {table} is not published"))
            .hint("the table is as it was; mend the input, the SELECT or the audit, and run the job again"),
        false => error
            .context(format!("the version of {table} that counts does not hold any more"))
            .hint("nothing that it is made of has changed: mend the input, the SELECT or the audit, and run the job again"),
    })
}

impl Audit {
    /// Its file and what it reads.
    pub(super) fn reads(&self) -> (&str, &Reads) {
        (&self.file.path, &self.reads)
    }

    /// Whether it may find something else in the same rows.
    pub(super) async fn is_volatile(&self, builder: &Builder) -> bool {
        builder.is_volatile(&self.reads, &self.file.sql).await
    }

    /// Runs it, as a table is built: in its turn.
    async fn run(&self, builder: &Builder, staged: &[(&str, &Output)]) -> Result<Found> {
        let path = &self.file.path;
        let mut turn = builder.turns.first().await;
        let found = loop {
            let found = self.attempt(builder, staged, turn.joins).await;
            match turn.after(&found, path, || ()).await {
                Some(next) => turn = next,
                None => break found,
            }
        };
        found
            .map_err(|e| match e.kind() {
                // Of a cast: a file's own errors have a hint.
                ErrorKind::Data if e.next_step().is_none() => e.hint(
                    "text beside a number is compared as a number: give the column a type in the job, or let the SELECT \
                     make a null of such text (TRY_CAST)",
                ),
                ErrorKind::Corrupt | ErrorKind::Storage | ErrorKind::Internal => {
                    builder.damaged(e, &self.reads)
                }
                _ => sql::explain_memory(e, builder.memory_limit_bytes),
            })
            .context_with(|| path.clone())
    }

    async fn attempt(&self, builder: &Builder, staged: &[(&str, &Output)], joins: Joins) -> Result<Found> {
        // What it reads is read for itself, not for the table's progress.
        let session = builder.session(&self.reads, &Arc::new(Progress::default()), staged, joins).await?;
        let frame = sql::frame(&session, &self.file.sql).await?;
        let mut stream = sql::execute(frame).await?;
        let mut found = Found { bad_rows: 0, shown: Vec::new() };
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            found.bad_rows += batch.num_rows() as u64;
            found.shown.extend(samples(&batch, SHOWN.saturating_sub(found.shown.len()))?);
        }
        check_files(&session)?;
        Ok(found)
    }
}

fn samples(batch: &RecordBatch, count: usize) -> Result<Vec<String>> {
    let batch = &calendar::shown(batch)?;
    let options = FormatOptions::default().with_null("NULL");
    let schema = batch.schema();
    let columns = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options))
        .collect::<std::result::Result<Vec<_>, _>>()?;
    let row = |at: usize| {
        let cells = schema.fields().iter().zip(&columns);
        cells
            .map(|(field, column)| format!("{}={}", field.name(), column.value(at)))
            .collect::<Vec<_>>()
            .join(", ")
    };
    Ok((0..batch.num_rows().min(count)).map(row).collect())
}
