//! The log of a batch job's table: version N is build N, which is all of the table.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use chrono::{DateTime, Utc};

use super::action::partition_values;
use super::folder::Folder;
use super::publish::{AGAIN, Of, Publisher, Refused};
use super::schema::Columns;
use super::statistics::NanColumns;
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::records::Commit;

impl Publisher {
    /// That of a batch job's table, which is in `root` (relative to the lake). `with_nan` says of files which columns hold a NaN;
    /// others are read for it.
    pub(crate) fn of_builds(
        lake: &Lake,
        root: &str,
        table: String,
        query_id: &str,
        with_nan: NanColumns,
    ) -> Publisher {
        let mut publisher = Publisher::new(lake, root, table, query_id);
        publisher.of = Of::Builds(with_nan);
        publisher.folder = Folder::of_builds(&lake.resolve(root));
        publisher
    }

    /// Whether the log has its versions up to this one, as far as the names of its files tell.
    ///
    /// # Errors
    /// Storage.
    pub(crate) fn is_at(&self, newest: u64) -> Result<bool> {
        let versions = self.folder.versions()?;
        let Some(first) = versions.json.first().copied() else { return Ok(false) };
        let due = newest - newest % self.folder.every;
        let is_whole = versions.json.len() as u64 == newest - first.min(newest) + 1;
        let has_base = first == 0 || versions.checkpoints.contains(&first);
        let has_due = due <= first || versions.checkpoints.contains(&due);
        Ok(is_whole && has_base && has_due && versions.json.last() == Some(&newest))
    }

    /// Brings the log to a build. `commit` gives those there were: the commit of each, and of builds of the job that did not
    /// make the table. Where that cannot be done the table is there without its log, which is said.
    pub(crate) fn bring_to(&mut self, newest: u64, commit: &dyn Fn(u64) -> Result<Commit>) {
        if let Err(error) = self.try_bring_to(newest, commit) {
            self.stop(&Refused(format!("{error}: {AGAIN}")));
        }
    }

    fn try_bring_to(&mut self, newest: u64, commit: &dyn Fn(u64) -> Result<Commit>) -> Result<()> {
        self.folder.clear_leftovers()?;
        self.bring_up(newest, &|version| {
            let commit = commit(version)?;
            let now = built_at(&commit)?;
            Ok((Commit { batch_id: version, ..commit }, now))
        })
    }

    /// Columns of files, and those that their folders name.
    pub(super) fn of_folders(
        &self,
        columns: Columns,
        commit: &Commit,
    ) -> Result<std::result::Result<(Columns, Vec<String>), Refused>> {
        let build = commit.build.as_ref().filter(|build| build.table == self.table);
        let named = build.map_or(&[][..], |build| &build.partition_columns[..]);
        let mut fields = Vec::new();
        for (name, kind) in named {
            let kind = kind.parse::<DataType>();
            let kind = kind.map_err(|e| Error::corrupt(format!("the type of `{name}`: {e}")))?;
            if let DataType::Timestamp(..) = kind {
                return Ok(Err(Refused(format!(
                    "the column `{name}` names folders by times, which Delta writes otherwise: CAST(… AS DATE) is one that it knows"
                ))));
            }
            fields.push(Arc::new(Field::new(name, kind, true)));
        }
        // Delta takes such a value for null.
        let values = self.files_of(commit).0.into_iter().flat_map(partition_values);
        if let Some((name, _)) = values.into_iter().find(|(_, value)| value.as_deref() == Some("")) {
            return Ok(Err(Refused(format!(
                "a value of `{name}`, which names folders, is the empty text, which Delta takes for null: NULLIF({name}, '') is null"
            ))));
        }
        let both = Columns::of(&Schema::new(fields)).and_then(|others| columns.with(others));
        let names = named.iter().map(|(name, _)| name.clone()).collect();
        Ok(both.map(|columns| (columns, names)).map_err(Refused))
    }
}

/// When a version was built.
fn built_at(commit: &Commit) -> Result<DateTime<Utc>> {
    let text = commit.build.as_ref().map(|build| build.built_at.as_str()).unwrap_or_default();
    text.parse().map_err(|e| {
        Error::corrupt(format!("commit {}: its time `{text}` cannot be read: {e}", commit.batch_id))
    })
}
