//! One step of a model: rows, a version, its tables, their audits, the commit.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use chrono::Utc;
use tokio::task::block_in_place;

use super::{outputs, rows};
use crate::batch::audit::{self, Audit, AuditReport};
use crate::batch::build::{Builder, Output};
use crate::batch::graph::{Reads, features};
use crate::batch::input::Progress;
use crate::batch::output::TableWriter;
use crate::batch::run_report::ModelReport;
use crate::batch::versions::{NewModel, Versions};
use crate::error::{Context, Error, Result};
use crate::learn::{Learned, Whole, WholeRows, tables};
use crate::project::{BatchModel, TableFormat};
use crate::records::{Commit, FileEntry, Maker, ModelOutcome, ModelStatus, TrainedModel};
use crate::registry::{Aliases, At, Entry, Loaded, Registry, forget_old, kept};
use crate::table::read::read_bytes;

/// What a step does, beside what it reads.
pub(in crate::batch) struct ModelStep {
    /// Whether a version is trained; else the one in use is asked again, as a person has said which that is.
    pub trains: bool,
}

/// A step that is done and not yet published.
pub(in crate::batch) struct Stepped {
    /// Its tables.
    pub outputs: Vec<(String, Output)>,
    /// What else the commit has.
    pub model: NewModel,
    /// What is told of it.
    pub report: ModelReport,
    /// Rows of the table of rows.
    pub rows: u64,
}

/// Why a model whose material is what it was has a step all the same, if it has one: `Some(true)`: a file is gone, and it is
/// trained, or the one in use was pinned and is so no more; `Some(false)`: another version is in use by the word of a person.
///
/// # Errors
/// Storage or Corrupt.
pub(in crate::batch) fn must_step(
    builder: &Builder,
    model: &BatchModel,
    newest: Option<&Commit>,
) -> Result<Option<bool>> {
    let Some(outcome) = outcome_of(newest) else { return Ok(Some(true)) };
    let challenger = outcome.challenger.as_ref().map(|challenger| &challenger.file);
    if let Some(damage) = outcome.file.iter().chain(challenger).find_map(|file| damage(builder, file)) {
        tracing::warn!(model = model.name(), damage, "the model is trained again");
        return Ok(Some(true));
    }
    let aliases = Aliases::read(&builder.lake, &builder.job.schema_name, None)?;
    let pinned = aliases.pinned(model.name()).map(|(version, _)| version);
    // It was put in use by a person and is not pinned any more: what is trained next is.
    let is_of_step = outcome.version == newest.map(Commit::version) || outcome.gate.is_some();
    if pinned.is_none() && !is_of_step {
        return Ok(Some(true));
    }
    let Some(version) = pinned.filter(|version| outcome.version != Some(*version)) else { return Ok(None) };
    let registry = Registry::open(&builder.lake, &builder.job.schema_name)?;
    match registry.find(model.name(), &At::Version(version)) {
        Ok(entry) if !registry.is_gone(&entry) => Ok(Some(false)),
        _ => {
            tracing::warn!(
                model = model.name(),
                version,
                "is pinned and its file is gone: it cannot be used"
            );
            Ok(None)
        }
    }
}

/// What is wrong with the file of a version, if anything.
fn damage(builder: &Builder, file: &FileEntry) -> Option<String> {
    read_bytes(&builder.lake, file).err().map(|error| error.to_string())
}

/// The model that a step goes on from, without versions whose files are damaged. A challenger is let go alone: the gate asks
/// the version in use.
fn former_of(builder: &Builder, newest: Option<&Commit>) -> Option<ModelOutcome> {
    let mut former = outcome_of(newest)?.clone();
    if former.file.as_ref().is_some_and(|file| damage(builder, file).is_some()) {
        return None;
    }
    former.challenger = former.challenger.filter(|of| damage(builder, &of.file).is_none());
    Some(former)
}

fn outcome_of(newest: Option<&Commit>) -> Option<&ModelOutcome> {
    Some(&newest?.model.as_ref()?.outcome)
}

impl ModelStep {
    /// Takes the step, up to what is to be published. Its files are staged.
    ///
    /// # Errors
    /// User: the SELECT, its columns; Data: rows that cannot be learned from, an audit that found some; Storage; Corrupt.
    pub(in crate::batch) async fn take(
        &self,
        builder: &Builder,
        versions: &Versions,
        (model, reads, audits): (&BatchModel, &Reads, &[Audit]),
        progress: &Arc<Progress>,
        audited: &mut Vec<AuditReport>,
    ) -> Result<Stepped> {
        let name = model.name();
        let moment = Utc::now();
        let material = builder.rows(&features(model), reads, moment, progress).await?;
        let rows: u64 = material.1.iter().map(|batch| batch.num_rows() as u64).sum();
        let number = versions.next(name);
        let newest = versions.newest(name);
        let stepped = block_in_place(|| self.learn(builder, model, material, number, newest.as_ref()));
        let (learned, said, profile) = stepped.map_err(|error| {
            let error = error.context(format!("model `{name}`"));
            match error.next_step() {
                None if newest.is_some() => error.hint("the version in use and its tables stay as they are"),
                _ => error,
            }
        })?;
        let mut outputs = vec![(model.rows_table(), said)];
        outputs.extend(model.profile_table().zip(profile));
        let mut written = Vec::new();
        for (table, rows) in outputs {
            let folder = versions.begin(&table)?;
            let output = block_in_place(|| write(folder, &rows)).context_with(|| table.clone())?;
            written.push((table, output));
        }
        let staged: Vec<(&str, &Output)> =
            written.iter().map(|(table, output)| (table.as_str(), output)).collect();
        audit::check(builder, name, audits, &staged, audited).await?;
        let Some(outcome) = learned.outcomes.first().cloned() else {
            return Err(Error::internal("a step without an outcome"));
        };
        let report = report_of(&outcome);
        let system = system_rows(&builder.job.name, number, &learned)?;
        let record = TrainedModel {
            spec: model.spec.clone(),
            key: model.key.clone(),
            folds: model.folds,
            made_by: Some(Maker::this()),
            moment: Some(moment.to_rfc3339()),
            outcome,
        };
        let model = NewModel { record, files: learned.files, system };
        Ok(Stepped { outputs: written, model, report, rows })
    }

    /// The version in use, what there is to record, and the rows of its tables.
    fn learn(
        &self,
        builder: &Builder,
        model: &BatchModel,
        (schema, material): (SchemaRef, Vec<RecordBatch>),
        number: u64,
        newest: Option<&Commit>,
    ) -> Result<(Learned, RecordBatch, Option<RecordBatch>)> {
        let material = rows::by_key(&schema, material, &model.key)?;
        let learns = WholeRows::new(&material, &model.spec, &model.key, model.folds)?;
        let schema_name = &builder.job.schema_name;
        let aliases = Aliases::read(&builder.lake, schema_name, None)?;
        let former = former_of(builder, newest);
        let whole = Whole {
            lake: &builder.lake,
            schema_name,
            number,
            spec: &model.spec,
            former: former.as_ref(),
            aliases: &aliases,
            trains: self.trains,
        };
        let (learned, fitted) = whole.learn(&learns)?;
        let outcome = learned.outcomes.first().cloned();
        let entry = outcome.and_then(|outcome| {
            let (version, file) = (outcome.version?, outcome.file.clone()?);
            Some(Entry { job: schema_name.clone(), version, file, outcome })
        });
        let entry = entry.ok_or_else(|| Error::internal("a model in use without a file"))?;
        let loaded = Arc::new(Loaded { model: Arc::unwrap_or_clone(fitted), entry });
        let said = outputs::rows(model, &loaded, &material, &learns.sides)?;
        let profile = match model.profile_table() {
            Some(_) => Some(outputs::profile(model, &loaded, &material, &said)?),
            None => None,
        };
        Ok((learned, said, profile))
    }
}

/// Writes the rows of a table.
fn write(folder: std::path::PathBuf, rows: &RecordBatch) -> Result<Output> {
    let mut writer = TableWriter::new(&folder, rows.schema(), TableFormat::Parquet, &[], None)?;
    writer.write(rows)?;
    let partition_columns = writer.partition_columns();
    Ok(Output { folder, files: writer.finish()?, partition_columns })
}

/// What tables of the system say of a step; `batch_id` is its number there. One that trains nothing has no scores of its own.
fn system_rows(job: &str, number: u64, learned: &Learned) -> Result<Vec<(&'static str, RecordBatch)>> {
    let mut system = Vec::new();
    if learned.outcomes.iter().any(|outcome| outcome.status != ModelStatus::Kept) {
        system.push(("metrics", tables::metrics(job, number, &learned.outcomes)?));
        system.push(("models", tables::models(job, number, &learned.outcomes)?));
    }
    if !learned.events.is_empty() {
        system.push(("model_events", tables::model_events(job, number, &learned.events)?));
    }
    if !learned.centres.is_empty() {
        system.push(("centres", tables::centres(job, number, &learned.centres)?));
    }
    if !learned.importances.is_empty() {
        system.push(("importances", tables::importances(job, number, &learned.importances)?));
    }
    Ok(system)
}

/// What is told of the model after a step.
pub(in crate::batch) fn report_of(outcome: &ModelOutcome) -> ModelReport {
    let scores = [("holdout", &outcome.holdout), ("folds", &outcome.folds), ("sample", &outcome.sample)];
    ModelReport {
        status: outcome.status,
        in_use: outcome.version,
        train_rows: outcome.train_rows,
        scores: scores.into_iter().find_map(|(of, scores)| Some((of, scores.clone()?))),
        gate: outcome.gate.clone(),
        reason: outcome.reason.clone(),
    }
}

/// Removes the files of old versions.
///
/// # Errors
/// Storage or Corrupt: what people have said of versions.
pub(in crate::batch) fn forget(builder: &Builder, model: &BatchModel, outcome: &ModelOutcome) -> Result<()> {
    let named = kept(&builder.lake, &builder.job.schema_name, 0)?;
    forget_old(&builder.lake, &builder.job.schema_name, outcome, model.spec.config.keep, &named);
    Ok(())
}
