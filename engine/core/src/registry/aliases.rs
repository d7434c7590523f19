//! What people say of versions: which is in use, and names and tags of their own.
//!
//! `aliases/N.json` of a job's checkpoint, create-only and numbered from 0. A running driver takes them up at its next
//! plan, which holds how many it has seen, so that a batch that is learned again gives the same bytes.
//!
//! A version that nobody names may be archived: its record says so, its file goes. `reproduce --restore` puts it back.
//!
//! `champion` is pinned by an alias: what is trained later becomes the challenger, until `unpin`.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::checkpoint::format_of;
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::records::{Commit, Plan, Record, RecordList};

/// The alias of the version in use.
pub const CHAMPION: &str = "champion";
/// The alias of the newest version that is not in use.
pub const CHALLENGER: &str = "challenger";

/// `aliases/N.json`: something that was said of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasRecord {
    /// Number of the record, from 0 without gaps.
    pub number: u64,
    /// When it was said (RFC 3339, UTC).
    pub at: String,
    /// The model.
    pub model: String,
    /// What was said.
    #[serde(flatten)]
    pub said: Said,
}

/// The fields are the same in all formats.
impl Record for AliasRecord {}

/// What was said of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Said {
    /// It has this name from now on, in place of the version that had it.
    Set {
        /// The name.
        alias: String,
        /// The version.
        version: u64,
        /// Why: `promote`, `rollback` or `alias`.
        why: String,
        /// Of a rollback the number of the record after which the version was in use: another one goes on from there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        back_to: Option<u64>,
    },
    /// No version has this name any more; the champion is what is trained.
    Unset {
        /// The name.
        alias: String,
    },
    /// It has this tag.
    Tag {
        /// The version.
        version: u64,
        /// The tag.
        tag: String,
    },
    /// It has not this tag: its file went before it was said.
    Untag {
        /// The version.
        version: u64,
        /// The tag.
        tag: String,
    },
    /// Its file is removed on purpose. Of a version that has a name or a tag by then it says nothing.
    Archive {
        /// The version.
        version: u64,
    },
    /// Its file is put back, and kept.
    Restore {
        /// The version.
        version: u64,
    },
}

/// What is said of the versions of a job's models.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aliases {
    /// By model and alias: the version, and why it has the name.
    names: BTreeMap<(String, String), (u64, String)>,
    /// By model: how far back the rollback has gone by which a version is pinned.
    back_to: BTreeMap<String, u64>,
    /// By model and version: its tags, in the order in which they were given.
    tags: BTreeMap<(String, u64), Vec<String>>,
    /// By model: versions whose files were removed on purpose.
    archived: BTreeSet<(String, u64)>,
    /// By model: versions whose files were put back.
    restored: BTreeSet<(String, u64)>,
}

/// The list of a job.
pub(crate) fn records(lake: &Lake, schema_name: &str) -> RecordList<AliasRecord> {
    RecordList::read_only(lake.checkpoint(schema_name).join("aliases"))
}

/// How many records of the list the newest batch has seen that counts in a lake as it was; `None`: all count.
///
/// # Errors
/// Storage or Corrupt.
pub(super) fn seen(lake: &Lake, schema_name: &str) -> Result<Option<u64>> {
    let Some(batches) = lake.batches(schema_name) else { return Ok(None) };
    let Some(newest) = batches.checked_sub(1) else { return Ok(Some(0)) };
    let checkpoint = lake.checkpoint(schema_name);
    let plans: RecordList<Plan> = RecordList::read_only(checkpoint.join("offsets"));
    if plans.has(newest) {
        return Ok(Some(plans.read(newest)?.aliases));
    }
    // A batch job has no plans: what was said until its tables were built.
    let commits: RecordList<Commit> = RecordList::read_only(checkpoint.join("commits"));
    let built_at = commits.read(newest)?.build.map(|build| build.built_at).unwrap_or_default();
    let list = records(lake, schema_name);
    for number in list.numbers()? {
        if moment(&list.read(number)?.at)? > moment(&built_at)? {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

fn moment(text: &str) -> Result<DateTime<Utc>> {
    text.parse().map_err(|e| Error::corrupt(format!("the time `{text}` of a record cannot be read: {e}")))
}

impl Aliases {
    /// As the first `seen` records say; `None`: as all say that are there.
    ///
    /// # Errors
    /// Storage or Corrupt.
    pub(crate) fn read(lake: &Lake, schema_name: &str, seen: Option<u64>) -> Result<Aliases> {
        let list = records(lake, schema_name);
        let end = match seen {
            Some(seen) => seen,
            None => list.numbers()?.end,
        };
        let mut aliases = Aliases::default();
        for number in 0..end {
            aliases.take(list.read(number)?);
        }
        Ok(aliases)
    }

    fn take(&mut self, record: AliasRecord) {
        let model = record.model;
        match record.said {
            Said::Set { alias, version, why, back_to } => {
                if alias == CHAMPION {
                    self.back_to.remove(&model);
                    self.back_to.extend(back_to.map(|number| (model.clone(), number)));
                }
                self.names.insert((model, alias), (version, why));
            }
            Said::Unset { alias } => {
                if alias == CHAMPION {
                    self.back_to.remove(&model);
                }
                self.names.remove(&(model, alias));
            }
            Said::Tag { version, tag } => {
                let tags = self.tags.entry((model, version)).or_default();
                if !tags.contains(&tag) {
                    tags.push(tag);
                }
            }
            Said::Untag { version, tag } => {
                let of = (model, version);
                if let Some(tags) = self.tags.get_mut(&of) {
                    tags.retain(|other| *other != tag);
                    if tags.is_empty() {
                        self.tags.remove(&of);
                    }
                }
            }
            Said::Archive { version } if self.of(&model, version).is_empty() => {
                self.restored.remove(&(model.clone(), version));
                self.archived.insert((model, version));
            }
            Said::Archive { .. } => {}
            Said::Restore { version } => {
                self.archived.remove(&(model.clone(), version));
                self.restored.insert((model, version));
            }
        }
    }

    /// The version that has a name.
    pub fn version(&self, model: &str, alias: &str) -> Option<u64> {
        self.names.get(&(model.to_owned(), alias.to_owned())).map(|(version, _)| *version)
    }

    /// The version that is pinned as the champion, and why.
    pub fn pinned(&self, model: &str) -> Option<(u64, &str)> {
        let found = self.names.get(&(model.to_owned(), CHAMPION.to_owned()));
        found.map(|(version, why)| (*version, why.as_str()))
    }

    /// The number of the record that a rollback has gone back to, where one has pinned the version in use.
    pub(super) fn back_to(&self, model: &str) -> Option<u64> {
        self.back_to.get(model).copied()
    }

    /// The names that versions of a model have.
    pub fn names(&self, model: &str) -> Vec<&str> {
        self.names.keys().filter(|(of, _)| of == model).map(|(_, alias)| alias.as_str()).collect()
    }

    /// Whether the file of a version was removed on purpose.
    pub fn is_archived(&self, model: &str, version: u64) -> bool {
        self.archived.contains(&(model.to_owned(), version))
    }

    /// Names and tags of a version.
    pub fn of(&self, model: &str, version: u64) -> Vec<String> {
        let named = self.names.iter().filter(|((of, _), (found, _))| of == model && *found == version);
        let names = named.map(|((_, alias), _)| format!("@{alias}"));
        let tags = self.tags.get(&(model.to_owned(), version)).into_iter().flatten().cloned();
        names.chain(tags).collect()
    }
}

/// Versions, by their models, whose files are kept: those that are [named](named_since), and those whose files were put back.
///
/// # Errors
/// Storage or Corrupt.
pub(crate) fn kept(lake: &Lake, schema_name: &str, seen: u64) -> Result<BTreeSet<(String, u64)>> {
    let mut kept = named_since(lake, schema_name, seen)?;
    kept.extend(Aliases::read(lake, schema_name, None)?.restored);
    Ok(kept)
}

/// Versions, by their models, that have a name or a tag, or had a name at any time since there were `seen` records: what is
/// learned later may be by a plan of that time.
///
/// # Errors
/// Storage or Corrupt.
pub(super) fn named_since(lake: &Lake, schema_name: &str, seen: u64) -> Result<BTreeSet<(String, u64)>> {
    let list = records(lake, schema_name);
    let mut aliases = Aliases::read(lake, schema_name, Some(seen))?;
    let of_now = |aliases: &Aliases| {
        let of_names = aliases.names.iter().map(|((model, _), (version, _))| (model.clone(), *version));
        of_names.chain(aliases.tags.keys().cloned()).collect::<Vec<_>>()
    };
    let mut named: BTreeSet<(String, u64)> = of_now(&aliases).into_iter().collect();
    for number in seen..list.numbers()?.end {
        aliases.take(list.read(number)?);
        named.extend(of_now(&aliases));
    }
    Ok(named)
}

/// Adds a record, of the format that the job's lake has; one that somebody else adds at the same time comes before it. A driver
/// carries a lake over, and one of an older version may be running now: it goes on reading these.
///
/// # Errors
/// Storage; Corrupt: whose checkpoint it is cannot be read.
pub(crate) fn say(lake: &Lake, schema_name: &str, model: &str, said: Said) -> Result<AliasRecord> {
    let format = format_of(lake, schema_name)?;
    let list = RecordList::open(lake.checkpoint(schema_name).join("aliases"))?.written_as(format);
    let mut tries = 0;
    loop {
        let number = list.numbers()?.end;
        let at = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
        let record = AliasRecord { number, at, model: model.to_owned(), said: said.clone() };
        match list.create(number, &record) {
            Ok(()) => return Ok(record),
            // Somebody else was before us.
            Err(_) if list.numbers()?.end > number && tries < 20 => tries += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Checks the name of an alias.
///
/// # Errors
/// User: it cannot be told from a version.
pub(crate) fn check_name(alias: &str) -> Result<()> {
    let reserved = [CHALLENGER, "batch"];
    if reserved.iter().any(|word| alias.eq_ignore_ascii_case(word))
        || alias.eq_ignore_ascii_case(CHAMPION) && alias != CHAMPION
    {
        return Err(Error::user(format!("`{alias}` cannot be an alias: it says something of its own")).hint(
            "@challenger is what was trained last and is not in use, @batch:N what was in use after batch N",
        ));
    }
    let is_word = alias.starts_with(|c: char| c.is_ascii_alphabetic())
        && alias.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if is_word {
        Ok(())
    } else {
        Err(Error::user(format!("`{alias}` cannot be an alias"))
            .hint("an alias begins with a letter, and has letters, digits, _ and - only"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(said: &[Said]) -> Aliases {
        let mut aliases = Aliases::default();
        for (number, said) in (0..).zip(said.iter().cloned()) {
            aliases.take(AliasRecord { number, at: String::new(), model: "m".into(), said });
        }
        aliases
    }

    #[test]
    fn what_has_a_name_or_a_tag_is_not_archived_whoever_was_first() {
        let (archive, restore) = (Said::Archive { version: 3 }, Said::Restore { version: 3 });
        let named = Said::Set { alias: "live".into(), version: 3, why: "alias".into(), back_to: None };
        let tagged = Said::Tag { version: 3, tag: "of the report".into() };
        let untagged = Said::Untag { version: 3, tag: "of the report".into() };
        let unnamed = Said::Unset { alias: "live".into() };
        let is_archived = |said: &[Said]| after(said).is_archived("m", 3);
        assert!(is_archived(std::slice::from_ref(&archive)));
        assert!(!is_archived(&[named.clone(), archive.clone()]));
        assert!(!is_archived(&[tagged.clone(), archive.clone()]));
        assert!(is_archived(&[tagged, untagged, archive.clone()]));
        assert!(is_archived(&[named, unnamed, archive.clone()]));
        assert!(!is_archived(&[archive.clone(), restore.clone()]));
        assert!(is_archived(&[restore, archive]));
    }
}
