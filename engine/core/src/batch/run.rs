//! One run of a job: what is to be built, in which order, and what came of it.
//!
//! Tables that do not need each other are built at the same time, as many as the machine has cores. One that fails keeps
//! what reads it from being built; the others go on, and the run fails in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use chrono::Utc;
use tokio::task::JoinSet;

use super::audit::{self, Audit, AuditReport, audits};
use super::build::{Builder, Output};
use super::fingerprint::{FileHashes, Material, fingerprint};
use super::graph::Graph;
use super::input::{Input, Progress};
use super::memory::{PeakPool, peak_resident_bytes};
use super::run_report::{RunEvent, RunOptions, RunReport, TableOutcome, TableReport};
use super::turns::Turns;
use super::versions::{NewVersion, Versions};
use crate::catalog::{missing_table, table_names};
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::project::BatchJob;
use crate::records::InputReport;
use crate::records::{BatchCounts, Build, Commit};
use crate::registry::Models;

/// The tables that a run would build, in order, with what each reads.
///
/// # Errors
/// User: the SQL, a pattern that no table has, a table of another job that the lake has not; Storage, Corrupt: the lake.
pub fn plan(job: &BatchJob, lake: &Lake, select: &[String]) -> Result<Vec<(String, Vec<String>)>> {
    let graph = Graph::new(job)?;
    let chosen = graph.select(job, select)?;
    let audits = audits(job, &graph)?;
    let known = table_names(lake)?;
    for at in &chosen {
        let of_table = std::iter::once((job.tables[*at].file.path.as_str(), &graph.reads[*at]));
        for (path, reads) in of_table.chain(audits[*at].iter().map(Audit::reads)) {
            if let Some(missing) = reads.others.iter().find(|other| !known.contains(other)) {
                return Err(missing_table(missing, &known).context(path));
            }
        }
    }
    Ok(chosen
        .into_iter()
        .map(|at| {
            let reads = &graph.reads[at];
            let inputs = reads.inputs.iter().map(|input| job.inputs[*input].name.clone());
            let tables = reads.tables.iter().map(|table| job.tables[*table].file.name.clone());
            let names = inputs.chain(tables).chain(reads.others.iter().cloned()).collect();
            (job.tables[at].file.name.clone(), names)
        })
        .collect())
}

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
    let report = run.all(&chosen, start, on_event).await?;
    Ok(RunReport { peak_memory_bytes: pool.peak_bytes(), ..report })
}

/// The files of `--input` by input.
fn given_files<'a>(
    job: &'a BatchJob,
    given: &[(Option<String>, Vec<PathBuf>)],
) -> Result<BTreeMap<&'a str, Vec<PathBuf>>> {
    let names: Vec<&str> = job.inputs.iter().map(|input| input.name.as_str()).collect();
    let mut files: BTreeMap<&str, Vec<PathBuf>> = BTreeMap::new();
    for (name, paths) in given {
        let input =
            match (name, names.as_slice()) {
                (Some(name), _) => names.iter().copied().find(|known| known == name).ok_or_else(|| {
                    Error::unknown("input", name, &names).context(format!("job {}", job.name))
                })?,
                (None, [only]) => only,
                (None, _) => {
                    return Err(Error::user(format!(
                        "`{}` has several inputs: --input says for which a file is",
                        job.name
                    ))
                    .hint(format!("--input NAME=FILE…; the inputs are: {}", names.join(", "))));
                }
            };
        files.entry(input).or_default().extend(paths.iter().cloned());
    }
    Ok(files)
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
}

/// A table whose build has ended: its place, and its new version.
type Built = (usize, f64, Vec<AuditReport>, Result<TableReport>);

impl Run {
    async fn all(
        mut self,
        chosen: &[usize],
        start: Instant,
        on_event: &mut (dyn FnMut(RunEvent<'_>) + Send),
    ) -> Result<RunReport> {
        let at_once = std::thread::available_parallelism().map_or(1, usize::from);
        let mut waiting: Vec<usize> = chosen.to_vec();
        let mut building: JoinSet<Built> = JoinSet::new();
        let mut running: BTreeSet<usize> = BTreeSet::new();
        loop {
            let mut at = 0;
            while at < waiting.len() {
                let table = waiting[at];
                let reads = self.waits_for(table);
                if reads.iter().any(|read| waiting.contains(read) || running.contains(read)) {
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
                    running.insert(table);
                    let progress = Arc::new(Progress::default());
                    let name = &self.builder.job.tables[table].file.name;
                    on_event(RunEvent::Started { table: name, progress: progress.clone() });
                    match next {
                        Next::Audit(report, audits) => {
                            self.start_audits(&mut building, table, *report, audits)
                        }
                        _ => self.start(&mut building, table, progress).await?,
                    }
                } else {
                    at += 1;
                }
            }
            let Some(done) = building.join_next().await else { break };
            let (table, seconds, audits, result) =
                done.map_err(|e| Error::internal(format!("a build ended without a result: {e}")))?;
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

    /// Tables that have to be done with before this one: those that it reads, and those that its audits read.
    fn waits_for(&self, at: usize) -> BTreeSet<usize> {
        let mut tables = self.graph.reads[at].tables.clone();
        tables.extend(audit::waits(&self.audits[at]).filter(|read| *read != at));
        tables
    }

    /// A report on the version that counts.
    fn report(&self, at: usize, outcome: TableOutcome, seconds: f64, reason: Option<String>) -> TableReport {
        let job = &self.builder.job;
        let name = &job.tables[at].file.name;
        let table = format!("{}.{name}", job.schema_name);
        let newest = self.versions.newest(name);
        let version = newest.as_ref().map(Commit::version);
        // What the former version was made of is not what this run did.
        let newest = newest.filter(|_| matches!(outcome, TableOutcome::Built | TableOutcome::Unchanged));
        let files = newest.iter().flat_map(|commit| &commit.added).filter(|file| file.table == table);
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
                format!("`{}`, which it reads, was not built", self.builder.job.tables[*failed].file.name);
            return Ok(Next::Done(Box::new(self.report(at, TableOutcome::Skipped, 0.0, Some(reason)))));
        }
        if self.force {
            return Ok(Next::Build);
        }
        let wanted = self.fingerprint(at).await?;
        let name = &self.builder.job.tables[at].file.name;
        let built = self.versions.newest(name).and_then(|commit| commit.build).map(|build| build.fingerprint);
        if wanted.is_none() || built != wanted || !self.letters_are_kept(name) {
            return Ok(Next::Build);
        }
        if let Some(damage) = self.versions.damage(name) {
            tracing::warn!(table = name, damage, "the table is built again");
            return Ok(Next::Build);
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
    ) {
        let builder = self.builder.clone();
        building.spawn(async move {
            let start = Instant::now();
            let name = &builder.job.tables[at].file.name;
            let mut audited = Vec::new();
            let checked = audit::check(&builder, name, &audits, None, &mut audited).await;
            report.audits.clone_from(&audited);
            report.seconds = start.elapsed().as_secs_f64();
            (at, report.seconds, audited, checked.map(|()| report))
        });
    }

    /// Whether the rows that were set aside for a table are kept with its version or another's. The one that kept them may
    /// have been built without that file since.
    fn letters_are_kept(&self, table: &str) -> bool {
        let inputs = |table: &str| {
            let build = self.versions.newest(table).and_then(|commit| commit.build);
            build.map(|build| build.inputs).unwrap_or_default()
        };
        let names = self.builder.job.tables.iter().map(|table| table.file.name.as_str());
        let keeping = names.flat_map(inputs).filter(|input| input.keeps_letters);
        let keeping: KeptLetters = keeping.map(|input| input.file()).collect();
        inputs(table).iter().filter(|input| input.has_letters()).all(|input| keeping.contains(&input.file()))
    }

    async fn fingerprint(&mut self, at: usize) -> Result<Option<String>> {
        let job = &self.builder.job;
        let (table, own) = (&job.tables[at], &self.graph.reads[at]);
        let volatile = match self.volatile.get(&at) {
            Some(known) => *known,
            None => self.builder.is_volatile(own, &table.file.sql).await,
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
        }
        let versions = reads.tables.iter().filter_map(|read| {
            let name = job.tables[*read].file.name.clone();
            self.versions.newest(&name).map(|commit| (name, commit.version()))
        });
        let material = Material {
            inputs: reads.inputs.iter().filter_map(|input| self.builder.inputs[*input].as_deref()).collect(),
            versions: versions.collect(),
            others: reads.others,
            models: Vec::new(),
        };
        let texts = audit::texts(&self.audits[at]).chain([table.file.sql.as_str()]);
        let Some(models) = self.builder.models_asked(texts) else { return Ok(None) };
        let (audits, material) = (audit::texts(&self.audits[at]), Material { models, ..material });
        fingerprint(&self.builder.lake, table, &material, audits, &mut self.hashes)
    }

    async fn start(
        &mut self,
        building: &mut JoinSet<Built>,
        at: usize,
        progress: Arc<Progress>,
    ) -> Result<()> {
        let fingerprint = self.fingerprint(at).await?.unwrap_or_default();
        let (builder, versions) = (self.builder.clone(), self.versions.clone());
        let kept = self.kept.clone();
        let (reads, audits) = (self.graph.reads[at].clone(), self.audits[at].clone());
        building.spawn(async move {
            let start = Instant::now();
            let table = &builder.job.tables[at];
            let name = &table.file.name;
            let built_at = Utc::now().to_rfc3339();
            let mut audited = Vec::new();
            let result = async {
                let folder = versions.begin(name)?;
                let output = builder.build(table, &reads, &progress, folder).await?;
                audit::check(&builder, name, &audits, Some(&output), &mut audited).await?;
                let Output { files, partition_columns, .. } = output;
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
                let own = || files.iter().filter(|file| !file.is_export);
                let (rows, bytes) = own().fold((0, 0), |sum, file| (sum.0 + file.rows, sum.1 + file.bytes));
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
                let version = versions.commit(name, NewVersion { files, build, counts, letters })?;
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
                };
                Ok(report)
            };
            let result = result.await;
            if result.is_err() {
                // Its own error is the one to tell; the next run clears away what this leaves.
                let _ = versions.abandon(name);
            }
            (at, start.elapsed().as_secs_f64(), audited, result)
        });
        Ok(())
    }
}
