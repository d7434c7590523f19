//! The models of a lake by their names: which versions there are, what each was trained on, and the one place that loads
//! them.
//!
//! ```text
//! learn/N.json ── models after batch N ──> Registry ── @champion, @version, @batch:N ──> Entry ── load ──> Fitted
//! JOB/_models/NAME/batch-….model ───────────────────────────────────────────────────────────────┘
//! ```
//!
//! A version is the number of the batch that trained it; in a batch job, whose commits say what became of its models, that of
//! the step, which each model counts by itself. The files of old versions are removed, but for those in use and those that
//! have an alias or a tag or were put back; what they were trained on and scored stays in the records.

mod aliases;
mod archive;
mod outcomes;
mod reference;
mod retention;
pub mod shown;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tidemill_ml::Fitted;

pub use aliases::{AliasRecord, Aliases, CHALLENGER, CHAMPION, Said};
pub(crate) use aliases::{kept, records as alias_records};
pub use reference::{At, ModelRef};
pub(crate) use retention::forget_old;

use outcomes::{Origin, Outcomes};

use crate::error::{Context, Error, Result, suggestion};
use crate::lake::Lake;
use crate::project::ModelSpec;
use crate::records::{Asked, Challenger, Evaluation, FileEntry, ModelOutcome, ModelStatus};
use crate::table::publish::readable_path;
use crate::table::read::read_bytes;

/// Reads a model's file.
///
/// # Errors
/// Storage or Corrupt: it is not there, or not what its record says. `Err` within: another version of Tidemill wrote it.
pub(crate) fn load(
    lake: &Lake,
    name: &str,
    file: &FileEntry,
) -> Result<std::result::Result<Fitted, tidemill_ml::Error>> {
    match Fitted::from_bytes(&read_bytes(lake, file)?) {
        Err(error @ tidemill_ml::Error::OtherVersion { .. }) => Ok(Err(error)),
        read => read.context_with(|| format!("model `{name}`, {}", file.path)).map(Ok),
    }
}

/// The models of one job, by its records.
#[derive(Debug)]
pub struct Registry {
    lake: Lake,
    schema_name: String,
    records: Outcomes,
    aliases: Aliases,
}

/// One version of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The job's schema.
    pub job: String,
    /// The version: the batch that trained it.
    pub version: u64,
    /// Its file.
    pub file: FileEntry,
    /// What the record says of the model after the batch that was asked for; of a version, after the batch that trained it.
    pub outcome: ModelOutcome,
}

impl Registry {
    /// The models of a job.
    ///
    /// # Errors
    /// User: the lake has no such job; Storage.
    pub fn open(lake: &Lake, job: &str) -> Result<Registry> {
        let schema_name = job.replace('-', "_");
        let jobs = lake.schema_names()?;
        if !jobs.contains(&schema_name) {
            return Err(Error::unknown("job", job, &jobs));
        }
        let records = Outcomes::read(lake, &schema_name)?;
        let aliases = Aliases::read(lake, &schema_name, aliases::seen(lake, &schema_name)?)?;
        Ok(Registry { lake: lake.clone(), schema_name, records, aliases })
    }

    /// Whether the models are those of a batch job.
    pub fn is_batch(&self) -> bool {
        self.records.is_batch()
    }

    /// What the newest record says of each model; none of a job that has learned nothing.
    ///
    /// # Errors
    /// Storage or Corrupt.
    pub fn newest(&self) -> Result<Vec<ModelOutcome>> {
        self.records.newest()
    }

    /// What the record of each batch says that trained the model, oldest first.
    ///
    /// # Errors
    /// User: there is no such model; Storage or Corrupt.
    pub fn history(&self, model: &str) -> Result<Vec<Entry>> {
        self.check(model)?;
        let mut entries = Vec::new();
        for number in self.records.numbers(model)? {
            let outcome = self.records.outcome(model, number)?;
            let is_new =
                |of: &ModelOutcome| matches!(of.status, ModelStatus::Trained | ModelStatus::Challenger);
            if let Some(outcome) = outcome.filter(is_new) {
                entries.extend(self.trained_by(number, outcome));
            }
        }
        Ok(entries)
    }

    /// One version of a model.
    ///
    /// # Errors
    /// User: there is no such model, version or batch; Storage or Corrupt.
    pub fn find(&self, model: &str, at: &At) -> Result<Entry> {
        self.check(model)?;
        let newest = self.records.numbers(model)?.end.saturating_sub(1);
        let batch = match *at {
            At::Champion => match self.aliases.pinned(model) {
                Some((version, _)) => return self.find(model, &At::Version(version)),
                None => newest,
            },
            At::Alias(ref alias) => return self.named(model, alias),
            At::Version(number) | At::Batch(number) if number > newest => {
                let has = if self.records.is_batch() { "has versions" } else { "has learned from batches" };
                return Err(Error::user(format!("model `{model}` {has} 0 to {newest}"))
                    .hint(format!("take one of them instead of {number}")));
            }
            At::Version(number) | At::Batch(number) => number,
        };
        let outcome = self.records.outcome(model, batch)?;
        let entry = outcome.and_then(|outcome| match at {
            At::Version(version) => self.trained_by(*version, outcome),
            _ => self.entry(outcome),
        });
        match (entry, at) {
            (Some(entry), At::Version(version)) if entry.version != *version => Err(Error::user(format!(
                "batch {version} did not train model `{model}`: version {} stayed in use",
                entry.version
            ))
            .hint(format!("take @{} or @batch:{version}", entry.version))),
            (Some(entry), _) => Ok(entry),
            (None, _) => Err(Error::user(format!("model `{model}` was not trained by batch {batch}"))
                .hint(format!("`tidemill models history {} {model}` shows its versions", self.schema_name))),
        }
    }

    /// The model of an entry.
    ///
    /// # Errors
    /// User: its file was removed, as it is old, or another version of Tidemill wrote it; Storage or Corrupt.
    pub fn load(&self, entry: &Entry) -> Result<Fitted> {
        let name = &entry.outcome.name;
        if self.is_gone(entry) {
            let why = match self.aliases.is_archived(name, entry.version) {
                true => "archived",
                false => {
                    "removed, as the `keep` newest versions stay, those in use, and what has an alias or a tag"
                }
            };
            let what = format!("the file of version {} of model `{name}` was {why}", entry.version);
            let job = self.schema_name.replace('_', "-");
            return Err(Error::user(what).hint(format!(
                "tidemill models reproduce {job} {name}@{} --restore trains it again and puts it back, if the bytes are the same",
                entry.version
            )));
        }
        load(&self.lake, name, &entry.file)?.map_err(|error| {
            Error::user(error.to_string())
                .context(format!("model `{name}`, {}", entry.file.path))
                .hint("the next batch or run of its job trains it anew")
        })
    }

    /// Whether the file of a version is there no more.
    pub fn is_gone(&self, entry: &Entry) -> bool {
        !readable_path(&self.lake, &entry.file).exists()
    }

    /// How the model was made that a batch trained: the job's `[[models]]` entry of that time, with its SELECT.
    ///
    /// # Errors
    /// Storage or Corrupt: the plan of that batch.
    pub fn spec(&self, entry: &Entry) -> Result<ModelSpec> {
        self.origin(entry).map(|origin| origin.spec)
    }

    /// How a version was made.
    fn origin(&self, entry: &Entry) -> Result<Origin> {
        self.records.origin(&self.lake, &self.schema_name, &entry.outcome.name, entry.version)
    }

    /// The version that has this name.
    fn named(&self, model: &str, alias: &str) -> Result<Entry> {
        if let Some(version) = self.aliases.version(model, alias) {
            return self.find(model, &At::Version(version));
        }
        let outcome = self.newest()?.into_iter().find(|of| of.name == model);
        let challenger = outcome.filter(|_| alias == CHALLENGER).and_then(|outcome| as_challenger(&outcome));
        if let Some(entry) = challenger.and_then(|outcome| self.entry(outcome)) {
            return Ok(entry);
        }
        if alias == CHALLENGER {
            return Err(Error::user(format!("model `{model}` has no challenger"))
                .hint("there is one once a gate has not let a version through, or while another is pinned"));
        }
        let mut known = self.aliases.names(model);
        known.push(CHAMPION);
        Err(Error::user(format!("no version of model `{model}` is called `{alias}`"))
            .hint(suggestion(alias, "aliases", &known)))
    }

    /// The entry of the version that a batch trained: the champion after it, or the challenger.
    fn trained_by(&self, batch: u64, outcome: ModelOutcome) -> Option<Entry> {
        match &outcome.challenger {
            Some(challenger) if challenger.version == batch => self.entry(as_challenger(&outcome)?),
            _ => self.entry(outcome),
        }
    }

    /// What people say of versions.
    pub fn aliases(&self) -> &Aliases {
        &self.aliases
    }

    /// Gives a version a name, in place of the one that has it; `champion` pins it.
    ///
    /// # Errors
    /// User: it cannot be a name, or the version has no file any more; Storage.
    pub fn set(&self, entry: &Entry, alias: &str, why: &str) -> Result<AliasRecord> {
        aliases::check_name(alias)?;
        self.load(entry)?;
        let (alias, why) = (alias.to_owned(), why.to_owned());
        let unset = Said::Unset { alias: alias.clone() };
        self.say_of_kept(entry, Said::Set { alias, version: entry.version, why, back_to: None }, unset)
    }

    /// Says something of a version that keeps its file, and takes it back by `undo` where the file went meanwhile.
    fn say_of_kept(&self, entry: &Entry, said: Said, undo: Said) -> Result<AliasRecord> {
        let model = &entry.outcome.name;
        let record = aliases::say(&self.lake, &self.schema_name, model, said)?;
        // A driver removes old files meanwhile, a person archives them: one that has a name by now both leave.
        let aliases = Aliases::read(&self.lake, &self.schema_name, None)?;
        if self.is_gone(entry) || aliases.is_archived(model, entry.version) {
            aliases::say(&self.lake, &self.schema_name, model, undo)?;
            return Err(self.load(entry).err().unwrap_or_else(|| {
                Error::user(format!("version {} of model `{model}` was archived meanwhile", entry.version))
            }));
        }
        Ok(record)
    }

    /// Takes a name away; without `champion` what is trained next is in use again.
    ///
    /// # Errors
    /// User: no version has it; Storage.
    pub fn unset(&self, model: &str, alias: &str) -> Result<AliasRecord> {
        self.check(model)?;
        if self.aliases.version(model, alias).is_none() {
            return Err(match alias {
                CHAMPION => Error::user(format!("model `{model}` is not pinned")),
                _ => Error::user(format!("no version of model `{model}` is called `{alias}`"))
                    .hint(suggestion(alias, "aliases", &self.aliases.names(model))),
            });
        }
        aliases::say(&self.lake, &self.schema_name, model, Said::Unset { alias: alias.to_owned() })
    }

    /// Gives a version a tag.
    ///
    /// # Errors
    /// User: its file is gone; Storage.
    pub fn tag(&self, entry: &Entry, tag: &str) -> Result<AliasRecord> {
        self.load(entry)?;
        if tag.trim().is_empty() || tag.starts_with('@') {
            return Err(Error::user(format!("`{tag}` cannot be a tag"))
                .hint("a tag says something, and an @ is before an alias"));
        }
        let (version, tag) = (entry.version, tag.to_owned());
        let untag = Said::Untag { version, tag: tag.clone() };
        self.say_of_kept(entry, Said::Tag { version, tag }, untag)
    }

    /// Pins the version that was in use before the one that is; after a rollback the one before that.
    ///
    /// # Errors
    /// User: there was none, or it has no file any more; Storage or Corrupt.
    pub fn roll_back(&self, model: &str) -> Result<Entry> {
        let current = self.find(model, &At::Champion)?.version;
        let mut numbers = self.records.numbers(model)?;
        numbers.end = self.aliases.back_to(model).map_or(numbers.end, |reached| numbers.end.min(reached));
        for number in numbers.rev() {
            let outcome = self.records.outcome(model, number)?;
            let earlier = outcome.filter(|of| of.version.is_some_and(|version| version != current));
            if let Some(entry) = earlier.and_then(|outcome| self.entry(outcome)) {
                let entry = self.find(model, &At::Version(entry.version))?;
                self.load(&entry)?;
                let (alias, why) = (CHAMPION.to_owned(), "rollback".to_owned());
                let unset = Said::Unset { alias: alias.clone() };
                let said = Said::Set { alias, version: entry.version, why, back_to: Some(number) };
                self.say_of_kept(&entry, said, unset)?;
                return Ok(entry);
            }
        }
        Err(Error::user(format!("no version of model `{model}` was in use before version {current}")))
    }

    fn entry(&self, outcome: ModelOutcome) -> Option<Entry> {
        let (version, file) = (outcome.version?, outcome.file.clone()?);
        Some(Entry { job: self.schema_name.clone(), version, file, outcome })
    }

    /// Whether the job has such a model.
    fn check(&self, model: &str) -> Result<()> {
        let known: Vec<String> = self.newest()?.into_iter().map(|of| of.name).collect();
        if known.iter().any(|name| name == model) {
            return Ok(());
        }
        Err(Error::unknown("model", model, &known).context(format!("job {}", self.schema_name)))
    }
}

/// What a record says of the challenger of a model, as if it was in use.
fn as_challenger(outcome: &ModelOutcome) -> Option<ModelOutcome> {
    let Challenger { version, file, classes, scores, .. } = outcome.challenger.clone()?;
    let (holdout, sample) = match outcome.challenger_evaluation() {
        Evaluation::Sample => (None, scores),
        Evaluation::Holdout => (scores, None),
    };
    let mut of = outcome.clone();
    of.classes = classes;
    (of.version, of.file, of.holdout, of.sample) = (Some(version), Some(file), holdout, sample);
    (of.prequential, of.prequential_version) = (None, None);
    Some(of)
}

/// A version with its model.
#[derive(Debug)]
pub struct Loaded {
    /// Which it is.
    pub entry: Entry,
    /// The model.
    pub model: Fitted,
}

/// The models that a statement or a run names: each is looked up once, and is then the same to the end.
#[derive(Debug, Clone)]
pub(crate) struct Models {
    lake: Lake,
    found: Arc<Mutex<HashMap<ModelRef, Arc<Loaded>>>>,
}

impl Models {
    /// Those of a lake.
    pub(crate) fn of(lake: &Lake) -> Models {
        Models { lake: lake.clone(), found: Arc::default() }
    }

    /// The version that a name means now, as plans pin it.
    ///
    /// # Errors
    /// As [`Registry::find`].
    pub(crate) fn version_of(lake: &Lake, name: &ModelRef) -> Result<Asked> {
        let Entry { version, file, .. } = Registry::open(lake, &name.job)?.find(&name.model, &name.at)?;
        Ok(Asked { version, file })
    }

    /// Those that a plan has pinned, by the names that they are asked by.
    ///
    /// # Errors
    /// As [`Registry::find`] and [`Registry::load`]; User: the version is another one now than was pinned.
    pub(crate) fn pinned<'a>(
        lake: &Lake,
        asked: impl IntoIterator<Item = (&'a String, &'a Asked)>,
    ) -> Result<Models> {
        let mut found = HashMap::new();
        for (text, Asked { version, file }) in asked {
            let mut load = || {
                let name: ModelRef = text.parse()?;
                let registry = Registry::open(lake, &name.job)?;
                let entry = registry.find(&name.model, &At::Version(*version))?;
                if entry.file != *file {
                    let what = format!("version {version} is another one than was planned with");
                    return Err(Error::user(what).hint("its job was begun anew meanwhile"));
                }
                found.insert(name, Arc::new(Loaded { model: registry.load(&entry)?, entry }));
                Ok(())
            };
            load().map_err(|error: Error| error.context(format!("model `{text}`")))?;
        }
        Ok(Models { lake: lake.clone(), found: Arc::new(Mutex::new(found)) })
    }

    /// The model of this name.
    ///
    /// # Errors
    /// As [`Registry::find`] and [`Registry::load`].
    pub(crate) fn get(&self, name: &ModelRef) -> Result<Arc<Loaded>> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = found.get(name) {
            return Ok(loaded.clone());
        }
        let load = || {
            let registry = Registry::open(&self.lake, &name.job)?;
            let entry = registry.find(&name.model, &name.at)?;
            Ok::<_, Error>(Arc::new(Loaded { model: registry.load(&entry)?, entry }))
        };
        let loaded = load().map_err(|error| error.context(format!("model `{name}`")))?;
        found.insert(name.clone(), loaded.clone());
        Ok(loaded)
    }

    /// Forgets what was looked up: the next statement sees what is newest then.
    pub(crate) fn forget(&self) {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
