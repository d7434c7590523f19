//! Stream jobs: a topic, a table, and what is kept and learned of its rows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidemill_ml::Material;

use super::source::size;
use super::{
    ModelSpec, Program, Project, SourceConfig, StateConfig, StateSpec, config, is_plain_name, key_error,
    model,
};
use crate::error::{Error, Result};
use crate::memory;

/// Everything that a stream job says, read and checked.
#[derive(Debug, Clone)]
pub struct StreamJob {
    /// Name as on the command line: `chicago-arrests`.
    pub name: String,
    /// Name as a SQL schema and folder: `chicago_arrests`.
    pub schema_name: String,
    /// One line that says what the job is.
    pub description: String,
    /// Where rows come from.
    pub source: SourceConfig,
    /// When a batch starts.
    pub trigger: Trigger,
    /// Bytes of memory that the stream may take.
    pub memory_limit: u64,
    /// Table name in SQL: `crimes`.
    pub table_name: String,
    /// Table folder relative to the lake: `chicago_arrests/crimes`.
    pub table_path: String,
    /// How its files, and those of the system's tables, are compacted.
    pub compacting: Compacting,
    /// What is made of the messages.
    pub program: Program,
    /// Models whose hold-out key is that of a built-in job's file, of which a later version may have another.
    pub built_in_splits: BTreeSet<String>,
}

/// How files of tables are compacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacting {
    /// Most bytes of a file that is made of others.
    pub target_bytes: u64,
    /// For how long the others stay.
    pub retained: Duration,
}

/// When a batch starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// Every interval; at once if the last batch took longer.
    ProcessingTime(Duration),
    /// Take what is there, in as many batches as the limits make, and end.
    AvailableNow,
}

impl Project {
    /// The job in a stream's file, of which `table` is the text with all settings.
    pub(super) fn parse_stream(&self, name: &str, text: &str, table: toml::Table) -> Result<StreamJob> {
        model::check_algorithms(&table)?;
        let file: config::JobFile = key_error::read(text, table)?;
        let memory_limit = size("memory_limit", file.memory_limit)?.unwrap_or_else(memory::limit);
        let (schema_sql, double_encoded) = (self.read(&file.source.schema)?, file.source.double_encoded);
        let source = self.source(name, file.source, &schema_sql, memory_limit)?;
        let transform_sql = file.table.transform.as_deref().map(|path| self.read(path)).transpose()?;
        let table_path = table_path(&file.table.path)?;
        let compacting = compacting(&file.table)?;
        let material = if file.stateful { Material::State } else { Material::Rows };
        let mut models = Vec::new();
        for config in file.models {
            config.check_training(material, text)?;
            if models.iter().any(|spec: &ModelSpec| spec.config.name == config.name) {
                return Err(Error::user(format!("two models are called `{}`", config.name)));
            }
            if !is_plain_name(&config.name) {
                return Err(Error::user(format!(
                    "a model's name is letters, digits, `_` and `-`, not `{}`",
                    config.name
                )));
            }
            models.push(ModelSpec { features_sql: self.read(&config.features)?, config });
        }
        let table_name = table_path.rsplit('/').next().unwrap_or_default().to_owned();
        let state = self.state(file.stateful, file.state, &table_name)?;
        if let Some(state) = &state {
            models.iter_mut().try_for_each(|model| state.holds_out_by_key(&mut model.config))?;
        }
        let mut views = BTreeMap::new();
        for (view, path) in file.views {
            let taken = view == table_name || state.as_ref().is_some_and(|s| s.config.table == view);
            if taken || !is_plain_name(&view) {
                return Err(Error::user(format!("a view cannot be called `{view}`"))
                    .hint("its name is letters, digits, `_` and `-`, and no table of the job has it"));
            }
            views.insert(view, self.read(&path)?);
        }
        Ok(StreamJob {
            name: name.to_owned(),
            schema_name: name.replace('-', "_"),
            description: file.description,
            source,
            trigger: trigger(&file.trigger)?,
            memory_limit,
            table_name,
            table_path,
            compacting,
            program: Program { schema_sql, transform_sql, double_encoded, models, state, views },
            built_in_splits: BTreeSet::new(),
        })
    }

    /// The state, read and checked. `stateful` is to agree with it: what a job keeps is said where it begins.
    fn state(&self, stateful: bool, state: Option<StateConfig>, table: &str) -> Result<Option<StateSpec>> {
        let config = match (stateful, state) {
            (false, None) => return Ok(None),
            (true, Some(config)) => config,
            (true, None) => {
                return Err(Error::user("the job says `stateful = true` but not what it keeps")
                    .hint("add [state] with `table`, `key`, `select` and [state.columns]"));
            }
            (false, Some(_)) => {
                return Err(Error::user("the job has a [state] but does not say `stateful = true`")
                    .hint("write `stateful = true` above the first section, or take [state] out"));
            }
        };
        config.aggregates().map_err(Error::user)?;
        if config.table == table || !is_plain_name(&config.table) {
            return Err(Error::user(format!("state.table cannot be `{}`", config.table))
                .hint("its name is letters, digits, `_` and `-`, and is not the stream's table"));
        }
        let select_sql = self.read(&config.select)?;
        Ok(Some(StateSpec { config, select_sql }))
    }
}

fn trigger(file: &config::TriggerFile) -> Result<Trigger> {
    match (&file.processing_time, file.available_now) {
        (_, Some(true)) => Ok(Trigger::AvailableNow),
        (Some(text), _) => {
            let interval = humantime::parse_duration(text).map_err(|e| {
                Error::user(format!("trigger.processing_time: `{text}`: {e}"))
                    .hint("write \"120s\" or \"2min\"")
            })?;
            Ok(Trigger::ProcessingTime(interval))
        }
        (None, _) => Ok(Trigger::ProcessingTime(Duration::from_secs(10))),
    }
}

/// 128 MB, as other engines have it, and a day.
fn compacting(file: &config::TableFile) -> Result<Compacting> {
    const TARGET_BYTES: u64 = 128 * 1000 * 1000;
    const RETAINED: Duration = Duration::from_secs(24 * 60 * 60);
    let retained = match &file.retain_removed {
        None => RETAINED,
        Some(text) => humantime::parse_duration(text).map_err(|e| {
            Error::user(format!("table.retain_removed: `{text}`: {e}")).hint("write \"1day\" or \"2h\"")
        })?,
    };
    let target_bytes = size("table.target_file_size", file.target_file_size.clone())?.unwrap_or(TARGET_BYTES);
    Ok(Compacting { target_bytes, retained })
}

/// `lake/job/table`: `lake` stands for the lake folder, wherever that is.
fn table_path(text: &str) -> Result<String> {
    let relative = text.strip_prefix("lake/").unwrap_or_default();
    let parts: Vec<&str> = relative.split('/').collect();
    if parts.len() != 2 || !parts.iter().all(|part| is_plain_name(part)) || parts[0] == "system" {
        return Err(Error::user(format!("table.path: `{text}` is not of the form lake/JOB/TABLE"))
            .hint("`lake` stands for the lake folder (--lake), JOB for the job with `_` for `-`; the last part is the table's name in SQL"));
    }
    Ok(relative.to_owned())
}
