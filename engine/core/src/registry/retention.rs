//! Files of old versions are removed.

use std::collections::BTreeSet;

use crate::lake::{Lake, batch_of_file_name};
use crate::records::ModelOutcome;

/// Removes the files of a model's old versions, but for the `keep` newest, those in use and `named`, those that have an alias
/// or a tag. What cannot be removed costs space and nothing else.
pub(crate) fn forget_old(
    lake: &Lake,
    schema_name: &str,
    outcome: &ModelOutcome,
    keep: u64,
    named: &BTreeSet<(String, u64)>,
) {
    let folder = lake.resolve(&format!("{schema_name}/_models/{}", outcome.name));
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    let version = |entry: &std::fs::DirEntry| entry.file_name().to_str().and_then(batch_of_file_name);
    let mut files: Vec<_> = entries.filter_map(|entry| Some((version(&entry)?, entry.path()))).collect();
    files.sort();
    let old = files.len().saturating_sub(usize::try_from(keep).unwrap_or(usize::MAX));
    let challenger = outcome.challenger.as_ref().map(|challenger| challenger.version);
    for (version, path) in files.drain(..old) {
        let is_in_use = [outcome.version, challenger].contains(&Some(version));
        if !is_in_use
            && !named.contains(&(outcome.name.clone(), version))
            && let Err(error) = std::fs::remove_file(&path)
        {
            tracing::warn!(path = %path.display(), %error, "cannot remove an old model");
        }
    }
}
