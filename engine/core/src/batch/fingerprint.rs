//! Whether a table would come out as it is: one hash over everything that decides its rows.
//!
//! That is its SELECT, its settings and audits, the content of every file that it reads with how the job reads it, and the versions
//! of the tables that it reads. Where files lie does not count. A SELECT that asks for the time or for chance has no
//! fingerprint: it is built each time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Expr, visit_expressions};
use xxhash_rust::xxh3::Xxh3;

use super::graph::{Reads, one_select};
use super::input::Input;
use crate::error::{Result, io_error};
use crate::lake::Lake;
use crate::project::TableConfig;
use crate::table::read::committed_files;

/// Part of every fingerprint: another rule for the rows is another fingerprint.
const RULES: &str = "tidemill batch 1";

/// Functions whose result is another each time.
const VOLATILE: [&str; 9] = [
    "now",
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
    "today",
    "random",
    "uuid",
];

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

/// The fingerprint of a table; `versions` are those of the tables of the job that it reads. `None`: built each time.
///
/// # Errors
/// Storage: a file cannot be read; Corrupt: the records of another job.
pub(super) fn fingerprint<'a>(
    lake: &Lake,
    table: &TableConfig,
    reads: &Reads,
    inputs: &[&Input],
    versions: &BTreeMap<String, u64>,
    audits: impl Iterator<Item = &'a str>,
    hashes: &mut FileHashes,
) -> Result<Option<String>> {
    if one_select(&table.file.sql).is_ok_and(|statement| is_volatile(&statement)) {
        return Ok(None);
    }
    let mut hash = Xxh3::new();
    // Each part has its length before it, so that no two lists of parts look alike.
    let mut part = |text: &str| {
        hash.update(&(text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    part(RULES);
    part(&table.file.sql);
    part(&format!("{:?} {:?}", table.format, table.partition_by));
    audits.for_each(&mut part);
    for input in inputs {
        let config = &input.config;
        part(&config.name);
        part(&format!(
            "{:?} {:?} {:?} {:?} {:?}",
            config.types_text, config.encoding, config.row_number, config.on_error, config.forms
        ));
        for file in &input.files {
            part(&format!("{:?} {:016x}", file.kind(), hashes.of(&file.path)?));
            if config.forms.is_some() {
                // Rows say which file they are from.
                part(&file.path.to_string_lossy());
            }
        }
    }
    for (name, version) in versions {
        part(&format!("{name} {version}"));
    }
    for other in &reads.others {
        part(other);
        let (schema, _) = other.split_once('.').unwrap_or((other, ""));
        let jobs = if schema == "system" { lake.schema_names()? } else { vec![schema.to_owned()] };
        for job in jobs {
            committed_files(lake, &job, other)?.iter().for_each(|file| part(&file.xxh3));
        }
    }
    Ok(Some(format!("{:016x}", hash.digest())))
}

fn is_volatile(statement: &Statement) -> bool {
    let Statement::Statement(statement) = statement else { return false };
    let found = visit_expressions(&**statement, |expression| match expression {
        Expr::Function(function) if VOLATILE.contains(&function.name.to_string().to_lowercase().as_str()) => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_chance_are_seen_wherever_they_stand() {
        let volatile = |sql: &str| is_volatile(&one_select(sql).unwrap());
        assert!(volatile("SELECT * FROM (SELECT a - NOW() AS b FROM t) WHERE b > 1"));
        assert!(volatile("SELECT current_date"));
        assert!(!volatile("SELECT 'now()', nowhere FROM t -- now()"));
    }
}
