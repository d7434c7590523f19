//! The files of versions that go and come on purpose: removed by hand, and put back as they were.

use super::aliases::{self, AliasRecord, Aliases, Said, named_since, say};
use super::outcomes::Outcomes;
use super::{Entry, ModelRef, Registry};
use crate::error::{Error, Result, io_error};
use crate::files::{checksum, create_folders, write_atomically};
use crate::records::{Asked, Plan, RecordList};
use crate::table::publish::readable_path;

impl Registry {
    /// Removes the file of a version that is not in use and has no name and no tag; what was said of it stays. The record is
    /// there before the file goes.
    ///
    /// # Errors
    /// User: it is in use, is the challenger, has a name or a tag, or its file is gone; Storage.
    pub fn archive(&self, entry: &Entry) -> Result<AliasRecord> {
        let (model, version) = (&entry.outcome.name, entry.version);
        let refused = |why: &str, hint: String| {
            Err(Error::user(format!("version {version} of model `{model}` {why}")).hint(hint))
        };
        let job = self.schema_name.replace('_', "-");
        if self.is_gone(entry) {
            return refused(
                "has no file any more",
                format!("`tidemill models history {job} {model}` shows which have"),
            );
        }
        let newest = self.newest()?.into_iter().find(|of| of.name == *model);
        let pinned = self.aliases.pinned(model).map(|(version, _)| version);
        if pinned == Some(version) || newest.as_ref().is_some_and(|of| of.version == Some(version)) {
            return refused(
                "is in use",
                format!("put another in use first: tidemill models promote {job} {model}@VERSION"),
            );
        }
        if newest.and_then(|of| of.challenger).is_some_and(|challenger| challenger.version == version) {
            return refused(
                "is the challenger, which learning goes on from",
                "archive it once a later version has taken its place".to_owned(),
            );
        }
        let names = self.aliases.of(model, version);
        if !names.is_empty() {
            return refused(
                &format!("is kept by what it is called: {}", names.join(" ")),
                format!(
                    "an alias is taken away by `tidemill models alias {job} {model} ALIAS --remove`; what has a tag stays"
                ),
            );
        }
        if self.is_asked(model, version)? {
            return refused(
                "is asked by the transform of its job",
                "name another version there first".to_owned(),
            );
        }
        // A batch that is planned and not learned yet may go on from what had a name when it was planned.
        if named_since(&self.lake, &self.schema_name, self.seen_by_learning()?)?
            .contains(&(model.clone(), version))
        {
            return refused(
                "had a name when a batch was planned that is not learned yet",
                "archive it after the next batch of its job".to_owned(),
            );
        }
        let record = say(&self.lake, &self.schema_name, model, Said::Archive { version })?;
        if !Aliases::read(&self.lake, &self.schema_name, None)?.is_archived(model, version) {
            return refused("was given a name meanwhile", "it stays".to_owned());
        }
        let path = readable_path(&self.lake, &entry.file);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(io_error("remove", &path, &error))
            }
            _ => Ok(record),
        }
    }

    /// Puts the file of a version back, which then stays until it is archived.
    ///
    /// # Errors
    /// User: these are not its bytes; Storage.
    pub fn restore(&self, entry: &Entry, bytes: &[u8]) -> Result<AliasRecord> {
        let (model, version) = (&entry.outcome.name, entry.version);
        if checksum(bytes) != entry.file.xxh3 {
            return Err(Error::user(format!(
                "these are not the bytes of version {version} of model `{model}`"
            )));
        }
        // The record first: a driver leaves what it names.
        let record = say(&self.lake, &self.schema_name, model, Said::Restore { version })?;
        let path = self.lake.resolve(&entry.file.path);
        path.parent().map_or(Ok(()), create_folders)?;
        write_atomically(&path, bytes)?;
        Ok(record)
    }

    /// Whether the newest plan of the job says that its transform asks this version.
    fn is_asked(&self, model: &str, version: u64) -> Result<bool> {
        let Outcomes::Stream(..) = &self.records else { return Ok(false) };
        let plans: RecordList<Plan> =
            RecordList::read_only(self.lake.checkpoint(&self.schema_name).join("offsets"));
        let Some(newest) = plans.latest()? else { return Ok(false) };
        let is_it = |(name, of): (&String, &Asked)| {
            let name = name.parse::<ModelRef>();
            of.version == version
                && name.is_ok_and(|name| name.job == self.schema_name && name.model == model)
        };
        Ok(plans.read(newest)?.asked.iter().any(is_it))
    }

    /// How many alias records the oldest plan has seen that is not learned yet; all of them where there is none.
    fn seen_by_learning(&self) -> Result<u64> {
        if let Outcomes::Stream(_, next) = self.records {
            let plans: RecordList<Plan> =
                RecordList::read_only(self.lake.checkpoint(&self.schema_name).join("offsets"));
            if plans.has(next) {
                return Ok(plans.read(next)?.aliases);
            }
        }
        Ok(aliases::records(&self.lake, &self.schema_name).numbers()?.end)
    }
}
