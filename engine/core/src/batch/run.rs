//! One run of a job: what is to be built, in which order, and what came of it.
//!
//! Tables that do not need each other are built at the same time, as many as the machine has cores. One that fails keeps
//! what reads it from being built; the others go on, and the run fails in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use chrono::Utc;
use tokio::task::{Id, JoinError, JoinSet};

use super::audit::{self, Audit, AuditReport, audits};
use super::build::Builder;
use super::fingerprint::{FileHashes, Made, Material, fingerprint};
use super::graph::{Graph, Reads, model_of, step_name};
use super::input::{Input, Progress};
use super::memory::{PeakPool, peak_resident_bytes};
use super::models::{ModelStep, forget, must_step, report_of};
use super::plan::given_files;
use super::run_report::{RunEvent, RunOptions, RunReport, TableOutcome, TableReport};
use super::turns::Turns;
use super::versions::{NewModel, NewVersion, Versions};
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::project::{BatchJob, BatchModel};
use crate::records::InputReport;
use crate::records::{BatchCounts, Build, Commit};
use crate::registry::Models;

/// Builds the job's tables. An error of one table is in the report; what is wrong before the first is built is an error
/// of the run.
///
/// # Errors
/// User: the SQL, an input, a file that is not there; Held: another run of this job; Storage, Corrupt: the lake.
pub async fn run(
    job: &BatchJob,
    lake: &Lake,
    options: &RunOptions,
    on_event: &mut (dyn FnMut(RunEvent<'_>) + Send),
) -> Result<RunReport> {
    let start = Instant::now();
    let graph = Graph::new(job)?;
    let chosen = graph.select(job, &options.select)?;
    let given = given_files(job, &options.inputs)?;
    let audits = audits(job, &graph)?;
    let needed: BTreeSet<usize> = chosen
        .iter()
        .flat_map(|at| graph.reads[*at].inputs.iter().copied().chain(audit::inputs(&audits[*at])))
        .collect();
    let mut inputs = Vec::with_capacity(job.inputs.len());
    for (at, config) in job.inputs.iter().enumerate() {
        let files = given.get(config.name.as_str()).map(Vec::as_slice);
        inputs.push(match needed.contains(&at) {
            true => Some(Arc::new(Input::open(config, files, &job.name).await?)),
            false => None,
        });
    }
    let pool = PeakPool::new(options.memory_limit_bytes);
    let runtime = pool.runtime()?;
    let memory_limit_bytes = options.memory_limit_bytes;
    let versions = Versions::open(lake, job)?;
    let run = Run {
        builder: Arc::new(Builder {
            lake: lake.clone(),
            job: job.clone(),
            inputs,
            runtime,
            models: Models::of(lake),
            memory_limit_bytes,
            turns: Turns::default(),
            as_of: BTreeMap::new(),
        }),
        versions: Arc::new(versions),
        graph,
        audits,
        force: options.force,
        hashes: FileHashes::default(),
        volatile: BTreeMap::new(),
        kept: Arc::default(),
        reports: BTreeMap::new(),
        error: None,
    };
    run.ask_others(&chosen);
    let report = run.all(&chosen, start, on_event).await?;
    Ok(RunReport { peak_memory_bytes: pool.peak_bytes(), ..report })
}

struct Run {
    builder: Arc<Builder>,
    versions: Arc<Versions>,
    graph: Graph,
    /// By the place of the table.
    audits: Vec<Vec<Audit>>,
    force: bool,
    hashes: FileHashes,
    /// By the place of the table: whether its SELECT asks for the time or for chance.
    volatile: BTreeMap<usize, bool>,
    kept: Arc<Mutex<KeptLetters>>,
    /// By the place of the table.
    reports: BTreeMap<usize, TableReport>,
    error: Option<Error>,
}

/// Input and path of files whose dead letters are kept with a version that this run has made or left as it is. Of all tables
/// that read a file, the first that is committed keeps them: which ones fail, or stop early, is not known before.
type KeptLetters = BTreeSet<(String, String)>;

/// What is to be done about a table.
enum Next {
    /// Nothing: what it reads failed, or nothing has changed.
    Done(Box<TableReport>),
    /// It stays as it is, but these audits may find something else by now.
    Audit(Box<TableReport>, Vec<Audit>),
    /// It is built.
    Build,
    /// The model has a step.
    Train(ModelStep),
}

/// A table whose build has ended: its place, and its new version.
type Built = (usize, f64, Vec<AuditReport>, Result<TableReport>);

impl Run {
    /// Looks up the models that the steps ask and that none of them trains: they are the same to the end of the run. What
    /// cannot be had is told by the step that asks it.
    fn ask_others(&self, chosen: &[usize]) {
        let job = &self.builder.job;
        let trained: Vec<&str> = chosen.iter().filter_map(|at| Some(model_of(job, *at)?.name())).collect();
        for at in chosen {
            let text = match model_of(job, *at) {
                Some(model) => &model.spec.features_sql,
                None => &job.tables[*at].file.sql,
            };
            let texts = audit::texts(&self.audits[*at]).chain([text.as_str()]);
            self.builder.models_of_others(texts, &trained);
        }
    }

    async fn all(
        mut self,
        chosen: &[usize],
        start: Instant,
        on_event: &mut (dyn FnMut(RunEvent<'_>) + Send),
    ) -> Result<RunReport> {
        let at_once = std::thread::available_parallelism().map_or(1, usize::from);
        let mut waiting: Vec<usize> = chosen.to_vec();
        let mut building: JoinSet<Built> = JoinSet::new();
        let mut running: BTreeMap<usize, Id> = BTreeMap::new();
        loop {
            let mut at = 0;
            while at < waiting.len() {
                let table = waiting[at];
                let reads = self.waits_for(table);
                if reads.iter().any(|read| waiting.contains(read) || running.contains_key(read)) {
                    at += 1;
                    continue;
                }
                let next = self.next(table).await?;
                if let Next::Done(report) = next {
                    waiting.remove(at);
                    on_event(RunEvent::Finished(&report));
                    self.reports.insert(table, *report);
                } else if running.len() < at_once {
                    waiting.remove(at);
                    let progress = Arc::new(Progress::default());
                    let name = step_name(&self.builder.job, table);
                    on_event(RunEvent::Started { table: name, progress: progress.clone() });
                    let id = match next {
                        Next::Audit(report, audits) => {
                            self.start_audits(&mut building, table, *report, audits)
                        }
                        Next::Train(step) => self.start(&mut building, table, progress, Some(step)).await?,
                        _ => self.start(&mut building, table, progress, None).await?,
                    };
                    running.insert(table, id);
                } else {
                    at += 1;
                }
            }
            let Some(done) = building.join_next().await else { break };
            let (table, seconds, audits, result) = match done {
                Ok(built) => built,
                Err(error) => self.panicked(&running, &error)?,
            };
            running.remove(&table);
            let report = match result {
                Ok(report) => report,
                Err(error) => {
                    let mut report =
                        self.report(table, TableOutcome::Failed, seconds, Some(error.to_string()));
                    report.audits = audits;
                    self.error.get_or_insert(error);
                    report
                }
            };
            on_event(RunEvent::Finished(&report));
            self.reports.insert(table, report);
        }
        let tables = chosen.iter().filter_map(|at| self.reports.remove(at)).collect();
        Ok(RunReport {
            job: self.builder.job.name.clone(),
            seconds: start.elapsed().as_secs_f64(),
            peak_memory_bytes: 0,
            peak_resident_bytes: peak_resident_bytes(),
            tables,
            error: self.error,
        })
    }

    /// What came of a build that panicked: it fails as others do.
    fn panicked(&self, running: &BTreeMap<usize, Id>, error: &JoinError) -> Result<Built> {
        let ended = Error::internal(format!("a build ended without a result: {error}"));
        let Some((&at, _)) = running.iter().find(|(_, id)| **id == error.id()) else { return Err(ended) };
        let name = step_name(&self.builder.job, at);
        let tables =
            model_of(&self.builder.job, at).map_or_else(|| vec![name.to_owned()], BatchModel::tables);
        for table in tables {
            let _ = self.versions.abandon(&table);
        }
        Ok((at, 0.0, Vec::new(), Err(ended)))
    }

    /// Tables that have to be done with before this one: those that it reads, and those that its audits read.
    fn waits_for(&self, at: usize) -> BTreeSet<usize> {
        let mut tables = self.graph.steps(&self.graph.reads[at]);
        tables.extend(audit::waits(&self.audits[at]).filter(|read| *read != at));
        tables
    }

    /// A report on the version that counts.
    fn report(&self, at: usize, outcome: TableOutcome, seconds: f64, reason: Option<String>) -> TableReport {
        let job = &self.builder.job;
        let (name, model) = (step_name(job, at), model_of(job, at));
        let table = format!("{}.{name}", job.schema_name);
        let newest = self.versions.newest(name);
        let version = newest.as_ref().map(Commit::version);
        // What the former version was made of is not what this run did.
        let newest = newest.filter(|_| matches!(outcome, TableOutcome::Built | TableOutcome::Unchanged));
        let of_rows =
            model.map_or(table.clone(), |model| format!("{}.{}", job.schema_name, model.rows_table()));
        let files = newest.iter().flat_map(|commit| &commit.added).filter(|file| file.table == of_rows);
        let (rows, bytes) = files.fold((0, 0), |sum, file| (sum.0 + file.rows, sum.1 + file.bytes));
        let inputs =
            newest.iter().filter_map(|commit| commit.build.as_ref()).flat_map(|build| build.inputs.clone());
        // The time that it took is of the run that built it.
        let inputs = inputs.map(|input| InputReport { seconds: None, ..input });
        TableReport {
            inputs: inputs.collect(),
            version,
            table,
            outcome,
            rows,
            bytes,
            seconds,
            audits: Vec::new(),
            reason,
            is_model: model.is_some(),
            model: newest.and_then(|commit| commit.model).map(|model| report_of(&model.outcome)),
        }
    }

    /// What is to be done about a table whose turn it is.
    async fn next(&mut self, at: usize) -> Result<Next> {
        let waits_for = self.waits_for(at);
        let failed = waits_for.iter().find(|read| {
            let report = self.reports.get(read);
            report.is_some_and(|r| matches!(r.outcome, TableOutcome::Failed | TableOutcome::Skipped))
        });
        if let Some(failed) = failed {
            let reason =
                format!("`{}`, which it reads, was not built", step_name(&self.builder.job, *failed));
            return Ok(Next::Done(Box::new(self.report(at, TableOutcome::Skipped, 0.0, Some(reason)))));
        }
        let job = &self.builder.job;
        let build = match model_of(job, at) {
            Some(_) => || Next::Train(ModelStep { trains: true }),
            None => || Next::Build,
        };
        if self.force {
            return Ok(build());
        }
        let wanted = self.fingerprint(at).await?;
        let name = step_name(&self.builder.job, at);
        let built = self.versions.newest(name).and_then(|commit| commit.build).map(|build| build.fingerprint);
        if wanted.is_none() || built != wanted || !self.letters_are_kept(name) {
            return Ok(build());
        }
        if let Some(model) = model_of(&self.builder.job, at)
            && let Some(trains) = must_step(&self.builder, model, self.versions.newest(name).as_ref())?
        {
            return Ok(Next::Train(ModelStep { trains }));
        }
        if let Some(damage) = self.versions.damage(name) {
            tracing::warn!(table = name, damage, "the table is built again");
            return Ok(build());
        }
        let report = Box::new(self.report(at, TableOutcome::Unchanged, 0.0, None));
        let keeps = report.inputs.iter().filter(|input| input.keeps_letters).map(InputReport::file);
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).extend(keeps);
        let mut again = Vec::new();
        for audit in &self.audits[at] {
            if audit.is_volatile(&self.builder).await {
                again.push(audit.clone());
            }
        }
        Ok(if again.is_empty() { Next::Done(report) } else { Next::Audit(report, again) })
    }

    /// Runs audits of a table that stays as it is.
    fn start_audits(
        &self,
        building: &mut JoinSet<Built>,
        at: usize,
        mut report: TableReport,
        audits: Vec<Audit>,
    ) -> Id {
        let builder = self.builder.clone();
        let spawned = building.spawn(async move {
            let start = Instant::now();
            let name = step_name(&builder.job, at);
            let mut audited = Vec::new();
            let checked = audit::check(&builder, name, &audits, &[], &mut audited).await;
            report.audits.clone_from(&audited);
            report.seconds = start.elapsed().as_secs_f64();
            (at, report.seconds, audited, checked.map(|()| report))
        });
        spawned.id()
    }

    /// Whether the rows that were set aside for a table are kept with its version or another's. The one that kept them may
    /// have been built without that file since.
    fn letters_are_kept(&self, table: &str) -> bool {
        let inputs = |table: &str| {
            let build = self.versions.newest(table).and_then(|commit| commit.build);
            build.map(|build| build.inputs).unwrap_or_default()
        };
        let names = (0..self.graph.reads.len()).map(|at| step_name(&self.builder.job, at));
        let keeping = names.flat_map(inputs).filter(|input| input.keeps_letters);
        let keeping: KeptLetters = keeping.map(|input| input.file()).collect();
        inputs(table).iter().filter(|input| input.has_letters()).all(|input| keeping.contains(&input.file()))
    }

    async fn fingerprint(&mut self, at: usize) -> Result<Option<String>> {
        let job = &self.builder.job;
        let own = &self.graph.reads[at];
        let (made, text) = match model_of(job, at) {
            Some(model) => (Made::model(model), &model.spec.features_sql),
            None => (Made::table(&job.tables[at]), &job.tables[at].file.sql),
        };
        let volatile = match self.volatile.get(&at) {
            Some(known) => *known,
            None => self.builder.is_volatile(own, text).await,
        };
        self.volatile.insert(at, volatile);
        if volatile {
            return Ok(None);
        }
        let mut reads = own.clone();
        for more in audit::read_by(&self.audits[at]) {
            reads.tables.extend(more.tables.iter().filter(|read| **read != at));
            reads.inputs.extend(&more.inputs);
            reads.others.extend(more.others.iter().cloned());
            reads.models.extend(more.models.iter().filter(|model| job.tables.len() + **model != at));
        }
        // Of models it is the version of their tables.
        let read = Reads { asks: BTreeSet::new(), ..reads.clone() };
        let versions = self.graph.steps(&read).into_iter().filter_map(|read| {
            let name = step_name(job, read).to_owned();
            self.versions.newest(&name).map(|commit| (name, commit.version()))
        });
        let material = Material {
            inputs: reads.inputs.iter().filter_map(|input| self.builder.inputs[*input].as_deref()).collect(),
            versions: versions.collect(),
            others: reads.others,
            models: Vec::new(),
        };
        let texts = audit::texts(&self.audits[at]).chain([text.as_str()]);
        let Some(models) = self.builder.models_asked(texts) else { return Ok(None) };
        let (audits, material) = (audit::texts(&self.audits[at]), Material { models, ..material });
        fingerprint(&self.builder.lake, &made, &material, audits, &mut self.hashes)
    }

    async fn start(
        &mut self,
        building: &mut JoinSet<Built>,
        at: usize,
        progress: Arc<Progress>,
        step: Option<ModelStep>,
    ) -> Result<Id> {
        let fingerprint = self.fingerprint(at).await?.unwrap_or_default();
        let (builder, versions) = (self.builder.clone(), self.versions.clone());
        let kept = self.kept.clone();
        let (reads, audits) = (self.graph.reads[at].clone(), self.audits[at].clone());
        let spawned = building.spawn(async move {
            let start = Instant::now();
            let name = step_name(&builder.job, at);
            #[cfg(debug_assertions)]
            crate::failpoint::step("build", name);
            let built_at = Utc::now().to_rfc3339();
            let mut audited = Vec::new();
            let model = model_of(&builder.job, at);
            let result = async {
                let (mut new_model, mut told, mut own_rows) = (None, None, None);
                let outputs = match (model, step) {
                    (Some(model), Some(step)) => {
                        let of = (model, &reads, audits.as_slice());
                        let stepped = step.take(&builder, &versions, of, &progress, &mut audited).await?;
                        (told, own_rows) = (Some(stepped.report), Some(stepped.rows));
                        new_model = Some(stepped.model);
                        stepped.outputs
                    }
                    _ => {
                        let table = &builder.job.tables[at];
                        let folder = versions.begin(name)?;
                        let output = builder.build(table, &reads, &progress, folder).await?;
                        audit::check(&builder, name, &audits, &[(name, &output)], &mut audited).await?;
                        vec![(name.to_owned(), output)]
                    }
                };
                let outcome = new_model.as_ref().map(|new: &NewModel| new.record.outcome.clone());
                let inputs: Vec<Arc<Input>> = builder.inputs.iter().flatten().cloned().collect();
                let (mut reports, mut letters) = (Vec::new(), Vec::new());
                // Held until they are committed.
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                for (mut report, bad) in progress.take_reports(&inputs) {
                    if !bad.is_empty() && !kept.contains(&report.file()) {
                        report.keeps_letters = true;
                        letters.extend(bad);
                    }
                    reports.push(report);
                }
                let inputs = reports;
                let own =
                    || outputs.iter().flat_map(|(_, output)| &output.files).filter(|file| !file.is_export);
                let (rows, bytes) = own().fold((0, 0), |sum, file| (sum.0 + file.rows, sum.1 + file.bytes));
                let rows = own_rows.unwrap_or(rows);
                let partition_columns =
                    outputs.first().map(|(_, output)| output.partition_columns.clone()).unwrap_or_default();
                let tables = outputs.into_iter().map(|(table, output)| (table, output.files)).collect();
                let counts = BatchCounts {
                    rows_read: inputs.iter().map(|input| input.rows_read).sum(),
                    rows_out: rows,
                    dead_letters: letters.len() as u64,
                    ..BatchCounts::default()
                };
                let full = format!("{}.{name}", builder.job.schema_name);
                let build = Build {
                    table: full.clone(),
                    version: None,
                    fingerprint,
                    built_at,
                    partition_columns,
                    inputs: inputs.clone(),
                };
                let new = NewVersion { tables, build, counts, letters, model: new_model };
                let version = versions.commit(name, new)?;
                if let Some((model, outcome)) = model.zip(outcome) {
                    forget(&builder, model, &outcome)?;
                }
                kept.extend(inputs.iter().filter(|input| input.keeps_letters).map(InputReport::file));
                let report = TableReport {
                    table: full,
                    outcome: TableOutcome::Built,
                    version: Some(version),
                    rows,
                    bytes,
                    seconds: start.elapsed().as_secs_f64(),
                    inputs,
                    audits: audited.clone(),
                    reason: None,
                    is_model: model.is_some(),
                    model: told,
                };
                Ok(report)
            };
            let result = result.await;
            if result.is_err() {
                // Its own error is the one to tell; the next run clears away what this leaves.
                let tables = model.map_or_else(|| vec![name.to_owned()], BatchModel::tables);
                for table in tables {
                    let _ = versions.abandon(&table);
                }
            }
            (at, start.elapsed().as_secs_f64(), audited, result)
        });
        Ok(spawned.id())
    }
}
