//! A version of a batch job's model trained again from what it was trained on: is it the same to the byte?
//!
//! | its SELECT reads | which are |
//! | --- | --- |
//! | tables of the job | those that counted when it was trained, where their files are still there; else an error |
//! | the time | as the record says, so that `now()` is what it was |
//! | inputs, tables of other jobs, models | as they are now: the fingerprint of then tells whether they are others |

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use chrono::Utc;
use tokio::task::block_in_place;

use super::rows::by_key;
use crate::batch::build::Builder;
use crate::batch::graph::{Graph, Reads, one_select};
use crate::batch::input::{Input, Progress};
use crate::batch::memory::PeakPool;
use crate::batch::turns::Turns;
use crate::batch::volatile;
use crate::error::{Context, Error, Result};
use crate::files::checksum;
use crate::lake::Lake;
use crate::learn::{Reproduced, WholeRows};
use crate::predict::Categories;
use crate::project::{BatchJob, BatchModel, SqlFile};
use crate::records::{Commit, RecordList, TrainedModel};
use crate::registry::{Entry, Models};
use crate::table::read::read_bytes;

/// Trains a version of a batch job's model again. `job` is the job as its file says it now: where its inputs are.
///
/// # Errors
/// User: a table that it was trained on is not there any more, or has changed; Data: its rows cannot be learned from; Storage;
/// Corrupt.
pub async fn reproduce(
    lake: &Lake,
    job: &BatchJob,
    entry: &Entry,
    memory_limit_bytes: Option<u64>,
) -> Result<Reproduced> {
    let started = Instant::now();
    let name = entry.outcome.name.as_str();
    let Then { builder, reads, model, schema, rows } = Then::of(lake, job, entry, memory_limit_bytes).await?;
    let spec = &model.spec;
    let bytes = block_in_place(|| {
        let rows = by_key(&schema, rows, &model.key)?;
        WholeRows::new(&rows, spec, &model.key, model.folds)?.fitted(spec)?.to_bytes().map_err(Error::from)
    });
    let bytes = bytes.context_with(|| format!("model `{name}`"))?;
    let is_same = checksum(&bytes) == entry.file.xxh3;
    let inputs = reads.inputs.iter().map(|at| format!("the input `{}`", builder.job.inputs[*at].name));
    let mut what: Vec<String> = inputs.chain(reads.others.iter().map(|table| format!("`{table}`"))).collect();
    let asked = builder.models_asked([spec.features_sql.as_str()].into_iter()).unwrap_or_default();
    what.extend(
        asked.iter().map(|model| format!("the model `{}`", model.split(' ').next().unwrap_or(model))),
    );
    if !is_same && let Some(why) = of_no_rows(&model) {
        let version = entry.version;
        return Err(Error::data(format!("version {version} of model `{name}` is not the same again: {why}"))
            .hint("let it read a table of its job that calls it, and is made once: of tables the last ten versions stay"));
    }
    if !is_same && !what.is_empty() {
        let version = entry.version;
        return Err(Error::data(format!(
            "version {version} of model `{name}` is not the same again: it reads {}, of which the lake keeps no former rows",
            what.join(", ")
        ))
        .hint("let it read a table of its job that is made of these: of tables the last ten versions stay"));
    }
    Ok(Reproduced {
        bytes,
        versions: vec![entry.version],
        first_other: (!is_same).then_some(entry.version),
        made_by: model.made_by,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// Why the SELECT of a version gives others of the same rows, if it does.
fn of_no_rows(model: &TrainedModel) -> Option<String> {
    let statement = one_select(&model.spec.features_sql).ok()?;
    if let Some(function) = volatile::chance(&statement) {
        return Some(format!("its SELECT calls {function}(), whose values are others each time"));
    }
    let is_of_time = model.moment.is_none() && volatile::calls(&statement);
    is_of_time.then(|| {
        "its SELECT asks for the time, and its record does not say at which it was trained".to_owned()
    })
}

/// All texts that features had in the rows that a version was trained on, as [`reproduce`] finds them.
///
/// # Errors
/// As there.
pub async fn categories(
    lake: &Lake,
    job: &BatchJob,
    entry: &Entry,
    names: &[String],
    memory_limit_bytes: Option<u64>,
) -> Result<BTreeMap<String, Vec<String>>> {
    let Then { rows, .. } = Then::of(lake, job, entry, memory_limit_bytes).await?;
    let mut found = Categories::of(names);
    for batch in &rows {
        found.add(batch)?;
    }
    Ok(found.listed())
}

/// What a version was trained on.
struct Then {
    builder: Builder,
    reads: Reads,
    model: TrainedModel,
    schema: SchemaRef,
    rows: Vec<RecordBatch>,
}

impl Then {
    async fn of(lake: &Lake, job: &BatchJob, entry: &Entry, memory_limit_bytes: Option<u64>) -> Result<Then> {
        let (model, number) = trained(lake, entry)?;
        let (job, reads) = as_then(job, &model)?;
        let as_of = tables_as_of(lake, &job, &reads, number, &entry.outcome.name)?;
        let mut inputs = Vec::with_capacity(job.inputs.len());
        for (at, config) in job.inputs.iter().enumerate() {
            inputs.push(match reads.inputs.contains(&at) {
                true => Some(Arc::new(Input::open(config, None, &job.name).await?)),
                false => None,
            });
        }
        let builder = Builder {
            lake: lake.clone(),
            inputs,
            runtime: PeakPool::new(memory_limit_bytes).runtime()?,
            models: Models::of(lake),
            memory_limit_bytes,
            turns: Turns::default(),
            as_of,
            job,
        };
        let select = SqlFile::new(&model.spec.config.features, model.spec.features_sql.clone());
        let now = model.now()?.unwrap_or_else(Utc::now);
        let (schema, rows) = builder.rows(&select, &reads, now, &Arc::new(Progress::default())).await?;
        Ok(Then { builder, reads, model, schema, rows })
    }
}

/// What is recorded of the version, and the number of its commit.
fn trained(lake: &Lake, entry: &Entry) -> Result<(TrainedModel, u64)> {
    let commits: RecordList<Commit> = RecordList::read_only(lake.checkpoint(&entry.job).join("commits"));
    for number in commits.numbers()?.rev() {
        let commit = commits.read(number)?;
        if commit.version() == entry.version
            && let Some(model) = commit.model
            && model.outcome.name == entry.outcome.name
        {
            return Ok((model, number));
        }
    }
    Err(Error::corrupt(format!("no commit has version {} of model `{}`", entry.version, entry.outcome.name)))
}

/// The job with the SELECT that the model had then, and what this reads.
fn as_then(job: &BatchJob, model: &TrainedModel) -> Result<(BatchJob, Reads)> {
    let mut job = job.clone();
    let name = &model.spec.config.name;
    let at = job.models.iter().position(|of| of.name() == name).ok_or_else(|| {
        let known: Vec<&str> = job.models.iter().map(BatchModel::name).collect();
        Error::unknown("model", name, &known).context(format!("job {}", job.name))
    })?;
    job.models[at].spec = model.spec.clone();
    let place = job.tables.len() + at;
    let reads = Graph::new(&job)?.reads.swap_remove(place);
    Ok((job, reads))
}

/// The tables of the job that were read, each as the newest commit of it before this one made it.
fn tables_as_of(
    lake: &Lake,
    job: &BatchJob,
    reads: &Reads,
    before: u64,
    model: &str,
) -> Result<BTreeMap<String, Commit>> {
    let own = reads.tables.iter().map(|at| job.tables[*at].file.name.clone());
    let mut wanted: BTreeSet<String> = own.chain(reads.model_tables.iter().cloned()).collect();
    let mut found = BTreeMap::new();
    let commits: RecordList<Commit> =
        RecordList::read_only(lake.checkpoint(&job.schema_name).join("commits"));
    for number in (0..before).rev() {
        if wanted.is_empty() {
            break;
        }
        let commit = commits.read(number)?;
        let made = |table: &String| {
            let full = format!("{}.{table}", job.schema_name);
            commit.added.iter().any(|file| file.table == full)
        };
        for table in wanted.iter().filter(|table| made(table)).cloned().collect::<Vec<_>>() {
            let full = format!("{}.{table}", job.schema_name);
            for file in commit.added.iter().filter(|file| file.table == full) {
                if let Err(error) = read_bytes(lake, file) {
                    let version = commit.version();
                    let what = format!(
                        "model `{model}` was trained on version {version} of the table `{table}`, which is gone"
                    );
                    return Err(Error::user(format!("{what}: {error}"))
                        .hint("of a table the last ten versions stay; `tidemill run` trains a new version"));
                }
            }
            wanted.remove(&table);
            found.insert(table, commit.clone());
        }
    }
    match wanted.first() {
        Some(table) => {
            Err(Error::corrupt(format!("no commit has the table `{table}` that model `{model}` reads")))
        }
        None => Ok(found),
    }
}
