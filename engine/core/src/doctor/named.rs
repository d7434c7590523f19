//! Versions of models that have a name.

use std::collections::BTreeMap;

use super::Examination;
use crate::error::Error;
use crate::lake::batch_of_file_name;
use crate::records::FileEntry;
use crate::registry::{AliasRecord, Said};

impl Examination<'_> {
    /// Versions that have a name or a tag, or were restored, keep their files, whatever is newer: those count too.
    pub(super) fn named_versions(
        &mut self,
        aliases: &[AliasRecord],
        added: &[&FileEntry],
        live: &mut BTreeMap<String, FileEntry>,
    ) {
        let mut named: BTreeMap<(String, String), (u64, u64)> = BTreeMap::new();
        for AliasRecord { number, model, said, .. } in aliases {
            match said {
                Said::Set { alias, version, .. } => {
                    named.insert((model.clone(), format!("@{alias}")), (*version, *number));
                }
                Said::Unset { alias } => {
                    named.remove(&(model.clone(), format!("@{alias}")));
                }
                Said::Tag { version, tag } => {
                    named.insert((model.clone(), format!("tag {tag} of {version}")), (*version, *number));
                }
                Said::Untag { version, tag } => {
                    named.remove(&(model.clone(), format!("tag {tag} of {version}")));
                }
                Said::Restore { version } => {
                    named.insert((model.clone(), format!("restored {version}")), (*version, *number));
                }
                Said::Archive { version } => {
                    named.remove(&(model.clone(), format!("restored {version}")));
                }
            }
        }
        for ((model, name), (version, number)) in named {
            let table = format!("model:{model}");
            let is_it = |file: &&FileEntry| {
                let file_name = file.path.rsplit('/').next().unwrap_or_default();
                file.table == table && batch_of_file_name(file_name) == Some(version)
            };
            match added.iter().copied().find(is_it) {
                Some(file) => {
                    live.insert(file.path.clone(), file.clone());
                }
                None => {
                    let place = self.lake.checkpoint(self.job).join(format!("aliases/{number}.json"));
                    let what = format!(
                        "{} names version {version} of the model {model} ({name}), of which no record tells",
                        place.display()
                    );
                    let advice = "`tidemill models promote` and `alias` name another version; or restore the checkpoint folder \
                                  as a whole";
                    self.found("record", &Error::corrupt(what).hint(advice));
                }
            }
        }
    }
}
