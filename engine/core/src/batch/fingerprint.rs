//! Whether a table, or a model, would come out as it is: one hash over everything that decides its rows and what its audits find.
//!
//! That is its SELECT, its settings and audits, the content of every file that these read with how the job reads it, and
//! the versions of the tables that they read and of the models that they ask. Where files lie does not count. A SELECT that asks for the time or for chance
//! ([`super::volatile`]), or reads what cannot be told apart from what it was, has no fingerprint: it is built each time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use tidemill_ml::file_formats;
use xxhash_rust::xxh3::Xxh3;

use super::input::Input;
use super::others;
use crate::error::{Result, io_error};
use crate::lake::Lake;
use crate::project::{BatchModel, InputConfig, ModelConfig, TableConfig};

/// Part of every fingerprint: another rule for the rows is another fingerprint.
const RULES: &str = "tidemill batch 6";

/// Hashes of files, by path: an input that several tables read is hashed once.
#[derive(Debug, Default)]
pub(super) struct FileHashes(BTreeMap<PathBuf, u64>);

impl FileHashes {
    fn of(&mut self, path: &Path) -> Result<u64> {
        if let Some(hash) = self.0.get(path) {
            return Ok(*hash);
        }
        let mut file = File::open(path).map_err(|e| io_error("open", path, &e))?;
        let mut hash = Xxh3::new();
        let mut buffer = vec![0; 1 << 18];
        loop {
            match file.read(&mut buffer).map_err(|e| io_error("read", path, &e))? {
                0 => break,
                read => hash.update(&buffer[..read]),
            }
        }
        let hash = hash.digest();
        self.0.insert(path.to_owned(), hash);
        Ok(hash)
    }
}

/// The same of every model: another rule for what is learned of the same rows.
const LEARNING: &str = "tidemill batch models 2";

/// What a step is, beside what it reads: its SELECT, and its settings as far as they decide what comes out.
pub(super) struct Made<'a> {
    sql: &'a str,
    settings: String,
}

impl<'a> Made<'a> {
    /// Of a table.
    pub(super) fn table(table: &'a TableConfig) -> Made<'a> {
        Made { sql: &table.file.sql, settings: format!("{:?} {:?}", table.format, table.partition_by) }
    }

    /// Of a model, in the format of its files too. What a gate lets through, how many versions are kept and what its SELECT is called change nothing of a
    /// version.
    pub(super) fn model(model: &'a BatchModel) -> Made<'a> {
        let config = &model.spec.config;
        let config = ModelConfig { gate: None, keep: 1, features: String::new(), ..config.clone() };
        let config = serde_json::to_string(&config).unwrap_or_default();
        let (key, folds, profile) = (&model.key, model.folds, &model.profile);
        let settings = format!("{LEARNING} {} {config} {key:?} {folds:?} {profile:?}", file_formats());
        Made { sql: &model.spec.features_sql, settings }
    }
}

/// What a table and its audits read.
pub(super) struct Material<'a> {
    /// Inputs.
    pub inputs: Vec<&'a Input>,
    /// Tables of the job, and the versions that count.
    pub versions: BTreeMap<String, u64>,
    /// Tables of other jobs and of the system, `schema.table`.
    pub others: BTreeSet<String>,
    /// Models that are asked: which versions.
    pub models: Vec<String>,
}

/// The fingerprint of a table or model. `None`: built each time.
///
/// # Errors
/// Storage: a file cannot be read; Corrupt: the records of another job.
pub(super) fn fingerprint<'a>(
    lake: &Lake,
    made: &Made<'_>,
    material: &Material<'_>,
    audits: impl Iterator<Item = &'a str>,
    hashes: &mut FileHashes,
) -> Result<Option<String>> {
    let mut hash = Xxh3::new();
    // Each part has its length before it, so that no two lists of parts look alike.
    let mut part = |text: &str| {
        hash.update(&(text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    part(RULES);
    part(made.sql);
    part(&made.settings);
    audits.for_each(&mut part);
    for input in &material.inputs {
        let config = &input.config;
        // All that the job says of it but where the files are.
        part(&format!("{:?}", InputConfig { path: None, ..config.clone() }));
        for file in &input.files {
            part(&format!("{:?} {:016x}", file.kind(), hashes.of(&file.path)?));
            if config.forms.is_some() {
                // Rows say which file they are from.
                part(&file.path.to_string_lossy());
            }
        }
    }
    for (name, version) in &material.versions {
        part(&format!("{name} {version}"));
    }
    material.models.iter().for_each(|model| part(model));
    for other in &material.others {
        let Some(parts) = others::parts(lake, other)? else { return Ok(None) };
        parts.iter().for_each(|text| part(text));
    }
    Ok(Some(format!("{:016x}", hash.digest())))
}
