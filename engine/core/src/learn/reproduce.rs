//! A version of a model trained again from what is recorded: is it the same to the byte?
//!
//! ```text
//! rows of batches 0 to N, plan N ──────────────────────────────> version N     first, as most models need no more
//! rows of batches 0 to N, plans ──> version 0 ──> … ──> version N              what goes on from the version before
//! ```
//!
//! Which version each went on from is in the learn records: the one in use, or the one that a gate or a person kept out of
//! use. A state is made again of the rows, as its own files are kept for its newest batches alone.

use std::time::Instant;

use arrow::record_batch::RecordBatch;
use serde_json::Value;
use tidemill_ml::{Cache, Fitted, Task};
use tokio::task::block_in_place;

use super::histories::Histories;
use super::lesson::{Begins, Lesson, Train, alike};
use super::state_rows::StateRows;
use crate::error::{Context, Error, Result};
use crate::files::checksum;
use crate::lake::Lake;
use crate::predict::{columns_of, table_of};
use crate::project::{ModelSpec, StateSpec};
use crate::records::{Commit, FileEntry, Learn, Maker, Plan, RecordList, Standing};
use crate::registry::{Aliases, At, Entry, Registry};
use crate::state::KeyedState;
use crate::table::evolve::nullable;
use crate::table::read::read_rows;

/// A version that was trained again.
#[derive(Debug)]
pub struct Reproduced {
    /// The model as a file's bytes.
    pub bytes: Vec<u8>,
    /// Versions that were trained for it, ascending; the last is the version itself.
    pub versions: Vec<u64>,
    /// Where the last one is not what its record tells of: the first of them that is not.
    pub first_other: Option<u64>,
    /// Who trained the version when it was recorded, where that is known.
    pub made_by: Option<Maker>,
    /// How long it took, reading the rows too.
    pub seconds: f64,
}

impl Reproduced {
    /// Whether the bytes are those that the record tells of.
    pub fn is_same(&self) -> bool {
        self.first_other.is_none()
    }
}

/// Trains a version of a stream's model again, from the rows of all batches up to it.
///
/// # Errors
/// User: it is a batch job's, or cannot be trained; Storage or Corrupt: a file of rows or a record is gone, or not what it
/// was.
pub async fn reproduce(lake: &Lake, registry: &Registry, entry: &Entry) -> Result<Reproduced> {
    let started = Instant::now();
    let past = Past::of(lake, registry, entry);
    if !past.plans.numbers()?.contains(&entry.version) {
        let what =
            format!("job {} has no plan {}: it is no stream", entry.job.replace('_', "-"), entry.version);
        return Err(Error::user(what));
    }
    let made_by = past.learn.read(entry.version)?.made_by;
    let last = past.turn(entry.version)?;
    // Clusters of a state most often go on from what was learned before.
    let goes_on = last.plan.program.state.is_some() && last.spec.config.task() == Task::Cluster;
    let mut turns = if goes_on { past.chain()? } else { vec![last] };
    let mut trained = past.train(&turns).await?;
    if turns.len() == 1 && !past.is_same(&trained) {
        let chain = past.chain()?;
        if chain.len() > 1 {
            (trained, turns) = (past.train(&chain).await?, chain);
        }
    }
    let first_other = if past.is_same(&trained) { None } else { past.first_other(&turns, &trained)? };
    Ok(Reproduced {
        bytes: trained.pop().unwrap_or_default(),
        versions: turns.iter().map(|turn| turn.version).collect(),
        first_other,
        made_by,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// What is recorded of a model.
struct Past<'a> {
    lake: &'a Lake,
    registry: &'a Registry,
    entry: &'a Entry,
    plans: RecordList<Plan>,
    commits: RecordList<Commit>,
    learn: RecordList<Learn>,
}

/// A batch that trained a version.
struct Turn {
    version: u64,
    plan: Plan,
    spec: ModelSpec,
}

impl<'a> Past<'a> {
    fn of(lake: &'a Lake, registry: &'a Registry, entry: &'a Entry) -> Past<'a> {
        let checkpoint = lake.checkpoint(&entry.job);
        Past {
            lake,
            registry,
            entry,
            plans: RecordList::read_only(checkpoint.join("offsets")),
            commits: RecordList::read_only(checkpoint.join("commits")),
            learn: RecordList::read_only(checkpoint.join("learn")),
        }
    }

    fn name(&self) -> &str {
        &self.entry.outcome.name
    }

    fn turn(&self, version: u64) -> Result<Turn> {
        let plan = self.plans.read(version)?;
        let spec = plan.program.models.iter().find(|spec| spec.config.name == self.name()).cloned();
        let spec =
            spec.ok_or_else(|| Error::corrupt(format!("plan {version} does not have the model it trained")))?;
        Ok(Turn { version, plan, spec })
    }

    /// The version with those that it went on from, oldest first.
    fn chain(&self) -> Result<Vec<Turn>> {
        let mut chain = vec![self.turn(self.entry.version)?];
        while let Some(turn) = chain.last()
            && let Some(before) = self.before(turn)?
        {
            chain.push(self.turn(before)?);
        }
        chain.reverse();
        Ok(chain)
    }

    /// The version that one learned on from: the challenger, or else the one that was in use.
    fn before(&self, turn: &Turn) -> Result<Option<u64>> {
        let of = |batch: u64| {
            let outcome = self.learn.read(batch)?.models.into_iter().find(|of| of.name == self.name());
            Ok::<_, Error>(outcome)
        };
        let Some(last) = turn.version.checked_sub(1) else { return Ok(None) };
        let Some(last) = of(last)? else { return Ok(None) };
        let (mut champion, mut challenger) = (last.version, last.challenger.map(|of| of.version));
        let mut standing = last.standing;
        let aliases = Aliases::read(self.lake, &self.entry.job, Some(turn.plan.aliases))?;
        if let Some((pinned, _)) = aliases.pinned(self.name())
            // One that could be had no more was not put in use.
            && of(turn.version)?.and_then(|of| of.version) == Some(pinned)
        {
            if champion != Some(pinned) {
                (champion, challenger) = (Some(pinned), None);
            }
            standing = Standing::default();
        }
        if turn.spec.config.gate.as_ref().is_some_and(|gate| standing.begins_again(gate.patience)) {
            challenger = None;
        }
        Ok(challenger.or(champion))
    }

    /// The files of a batch's rows, in the order of the rows.
    fn row_files(&self, batch: u64) -> Result<Vec<FileEntry>> {
        let mut files = self.commits.read(batch)?.added;
        files.retain(|file| file.table.split_once('.').is_some_and(|(job, _)| job == self.entry.job));
        Ok(files)
    }

    fn rows(&self, file: &FileEntry) -> Result<RecordBatch> {
        let version = self.entry.version;
        read_rows(self.lake, file)
            .context_with(|| format!("version {version} of model `{}` has learned from it", self.name()))
    }

    /// The models of these turns, each after the one before, as files' bytes.
    async fn train(&self, turns: &[Turn]) -> Result<Vec<Vec<u8>>> {
        let Some(last) = turns.last() else { return Ok(Vec::new()) };
        match &last.plan.program.state {
            Some(state) => self.train_of_state(turns, &last.plan, state).await,
            None => self.train_of_rows(turns, &last.plan).await,
        }
    }

    async fn train_of_rows(&self, turns: &[Turn], last: &Plan) -> Result<Vec<Vec<u8>>> {
        let specs: Vec<ModelSpec> = turns.iter().map(|turn| turn.spec.clone()).collect();
        let columns = columns_of(self.lake, &self.entry.job, last).await?;
        let mut histories = Histories::new(&table_of(&specs[specs.len() - 1])?);
        histories.prepare(&specs, &nullable(&columns)).await?;
        let (mut fits, mut turns) = (Fits::new(), turns.iter().peekable());
        for batch in 0..=last.batch_id {
            let now = self.plans.read(batch)?.moment()?;
            histories.begin();
            for file in self.row_files(batch)? {
                histories.append(&self.rows(&file)?, now).await?;
            }
            histories.finish()?;
            if let Some(turn) = turns.next_if(|turn| turn.version == batch) {
                // Of a version that was trained the turn is known.
                fits.fit(histories.lesson(&turn.spec, batch, false), &turn.spec)?;
            }
        }
        Ok(fits.files)
    }

    async fn train_of_state(&self, turns: &[Turn], last: &Plan, state: &StateSpec) -> Result<Vec<Vec<u8>>> {
        let columns = columns_of(self.lake, &self.entry.job, last).await?;
        let mut kept = KeyedState::new(state, &columns)?;
        let (mut fits, mut turns) = (Fits::new(), turns.iter().peekable());
        for batch in 0..=last.batch_id {
            let mut fold = kept.begin();
            for file in self.row_files(batch)? {
                kept.add(&mut fold, &self.rows(&file)?)?;
            }
            kept.finish(&fold)?;
            let Some(turn) = turns.next_if(|turn| turn.version == batch) else { continue };
            let mut rows = StateRows::new(turn.plan.program.state.as_ref().unwrap_or(state));
            let (specs, now) = (std::slice::from_ref(&turn.spec), turn.plan.moment()?);
            let known = fits.before.as_ref().map(|_| fits.classes.clone());
            rows.gather(batch, specs, &kept, now, |_| known.as_deref()).await?;
            fits.fit(rows.lesson(&turn.spec, batch, known.as_deref()), &turn.spec)?;
        }
        Ok(fits.files)
    }

    /// The first of these files that is not what its record tells of.
    fn first_other(&self, turns: &[Turn], trained: &[Vec<u8>]) -> Result<Option<u64>> {
        for (turn, bytes) in turns.iter().zip(trained) {
            let file = self.registry.find(self.name(), &At::Version(turn.version))?.file;
            if checksum(bytes) != file.xxh3 {
                return Ok(Some(turn.version));
            }
        }
        Ok(Some(self.entry.version))
    }

    /// Whether the last of these files is what the record of the version tells of.
    fn is_same(&self, trained: &[Vec<u8>]) -> bool {
        trained.last().is_some_and(|bytes| checksum(bytes) == self.entry.file.xxh3)
    }
}

/// Models, each fitted after the one before.
struct Fits {
    before: Option<Fitted>,
    /// The classes that it tells apart.
    classes: Vec<Value>,
    cache: Cache,
    /// What the last one was made by.
    spec: Option<ModelSpec>,
    files: Vec<Vec<u8>>,
}

impl Fits {
    fn new() -> Fits {
        Fits { before: None, classes: Vec::new(), cache: Cache::new(), spec: None, files: Vec::new() }
    }

    fn fit(&mut self, lesson: Lesson<'_>, spec: &ModelSpec) -> Result<()> {
        let is_alike = self.spec.as_ref().is_none_or(|before| alike(before, spec));
        if self.spec.replace(spec.clone()).is_some_and(|before| before != *spec) {
            self.cache = Cache::new();
        }
        if let Some(shared) = lesson.rows_cache {
            self.cache.share_rows(shared);
        }
        let cannot =
            |why: &str| Error::user(format!("model `{}` cannot be trained again: {why}", spec.config.name));
        let Train { estimator, rows, classes, begins, seed } =
            lesson.train.map_err(|reason| cannot(&reason))?.ok_or_else(|| cannot("it had no turn"))?;
        let goes_on = begins == Begins::OnTop;
        let before = self.before.as_ref().filter(|_| self.classes == classes && (is_alike || !goes_on));
        let model = block_in_place(|| match begins {
            Begins::Anew => estimator.fit(&rows, seed),
            Begins::Before => estimator.refit(&rows, seed, before, &mut self.cache),
            Begins::OnTop => estimator.partial_fit(&rows, seed, before),
        });
        self.classes = classes;
        let model = model.map_err(|error| cannot(&error.to_string()))?;
        self.files.push(model.to_bytes()?);
        self.before = Some(model);
        Ok(())
    }
}
