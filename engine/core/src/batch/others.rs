//! What decides the rows of a table of another job, or of the system, as the lake is now: its files, or, of what no file
//! holds (a state, a view), what it is made of.

use std::collections::BTreeSet;

use datafusion::common::TableReference;
use datafusion::sql::resolve::resolve_table_references;

use super::graph::{functions, one_select};
use super::volatile;
use crate::catalog::{Derived, derived, table_names};
use crate::error::Result;
use crate::lake::Lake;
use crate::predict;
use crate::table::read::committed_files;

/// Part by part, what decides the rows of `schema.table`; `None` where that cannot be told: it is then another each time.
///
/// # Errors
/// Storage or Corrupt: the records.
pub(super) fn parts(lake: &Lake, full: &str) -> Result<Option<Vec<String>>> {
    let (mut seen, mut parts) = (BTreeSet::new(), Vec::new());
    Ok(add(lake, full, &mut seen, &mut parts)?.then_some(parts))
}

fn add(lake: &Lake, full: &str, seen: &mut BTreeSet<String>, parts: &mut Vec<String>) -> Result<bool> {
    if !seen.insert(full.to_owned()) {
        return Ok(true);
    }
    parts.push(full.to_owned());
    let Some((schema, name)) = full.split_once('.') else { return Ok(false) };
    let jobs = match schema {
        "information_schema" => return Ok(false),
        "system" => lake.schema_names()?,
        job => vec![job.to_owned()],
    };
    let mut has_files = schema == "system";
    for job in jobs {
        // A path has the values of the folders in it, and the version.
        for file in committed_files(lake, &job, full)? {
            has_files = true;
            parts.push(format!("{} {}", file.path, file.xxh3));
        }
    }
    if has_files {
        return Ok(true);
    }
    match derived(lake, schema, name)? {
        Some(Derived::State { as_of }) => {
            parts.push(as_of);
            Ok(true)
        }
        Some(Derived::View { sql }) => view(lake, &sql, seen, parts),
        None => Ok(false),
    }
}

fn view(lake: &Lake, sql: &str, seen: &mut BTreeSet<String>, parts: &mut Vec<String>) -> Result<bool> {
    parts.push(sql.to_owned());
    let Ok(statement) = one_select(sql) else { return Ok(false) };
    // Nor is it looked up which version of a model a view asks.
    if volatile::calls(&statement) || predict::calls(&statement).is_none_or(|models| !models.is_empty()) {
        return Ok(false);
    }
    let (references, _) = resolve_table_references(&statement, true)?;
    let functions = functions(&statement);
    let tables = table_names(lake)?;
    for reference in references {
        let name = reference.table();
        let bare = match &reference {
            TableReference::Bare { .. } => true,
            other => other.schema() == Some("public"),
        };
        let full = match reference.schema().filter(|_| !bare) {
            Some(schema) => format!("{schema}.{name}"),
            None if functions.contains(name) => continue,
            None => {
                let same =
                    tables.iter().filter(|table| table.split_once('.').is_some_and(|(_, t)| t == name));
                match same.collect::<Vec<_>>().as_slice() {
                    [only] => (*only).clone(),
                    _ => return Ok(false),
                }
            }
        };
        if !add(lake, &full, seen, parts)? {
            return Ok(false);
        }
    }
    Ok(true)
}
