//! What a run would do, and on which files, before anything is done.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::audit::{Audit, audits};
use super::graph::{Graph, model_of, step_name};
use crate::catalog::{missing_table, table_names};
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::project::BatchJob;

/// The tables that a run would build and the models that it would train, in order, with what each reads.
///
/// # Errors
/// User: the SQL, a pattern that no table has, a table of another job that the lake has not; Storage, Corrupt: the lake.
pub fn plan(job: &BatchJob, lake: &Lake, select: &[String]) -> Result<Vec<(String, Vec<String>)>> {
    let graph = Graph::new(job)?;
    let chosen = graph.select(job, select)?;
    let audits = audits(job, &graph)?;
    let known = table_names(lake)?;
    for at in &chosen {
        let path = match model_of(job, *at) {
            Some(model) => &model.spec.config.features,
            None => &job.tables[*at].file.path,
        };
        let of_table = std::iter::once((path.as_str(), &graph.reads[*at]));
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
            let asked = reads.asks.iter().map(|model| job.models[*model].name().to_owned());
            let of_models = reads.model_tables.iter().cloned().chain(asked);
            let names = inputs.chain(tables).chain(of_models).chain(reads.others.iter().cloned()).collect();
            (step_name(job, at).to_owned(), names)
        })
        .collect())
}

/// The files of `--input` by input.
pub(super) fn given_files<'a>(
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
