//! Whether a glob over a batch job's tables finds their newest versions, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use crate::files::entries;
use crate::lake::Lake;
use crate::records::FileEntry;
use crate::table::publish::readable_path;
use crate::table::versioned::{VERSIONS, is_half_shown, is_second_name, shown, shown_as};

const RUN: &str = "SQL here does not read it, a glob of another engine does: the next `tidemill run` of the job puts it right";
const MOVE: &str = "SQL here does not read it, a glob of another engine does: move it out";

/// What is wrong with what globs find of a job's tables, whose files are among these.
pub(super) fn findings<'a>(
    lake: &Lake,
    job: &str,
    live: impl Iterator<Item = &'a FileEntry>,
) -> Vec<Finding> {
    let mut tables: BTreeMap<String, BTreeMap<String, &FileEntry>> = BTreeMap::new();
    for file in live {
        if let Some((table, name)) = shown_as(&file.path) {
            tables.entry(table).or_default().insert(name, file);
        }
    }
    let faults = tables.iter().flat_map(|(table, files)| of_table(lake, table, files));
    let finding = |(problem, advice): (String, &str)| Finding {
        job: job.to_owned(),
        about: "beside",
        problem,
        advice: advice.to_owned(),
    };
    faults.map(finding).collect()
}

/// Each with what to do.
fn of_table(lake: &Lake, table: &str, files: &BTreeMap<String, &FileEntry>) -> Vec<(String, &'static str)> {
    let folder = lake.resolve(table);
    let is_of_before = table
        .split_once('/')
        .is_some_and(|(job, table)| lake.resolve(&format!("{job}/{VERSIONS}/{table}")).is_dir());
    if is_of_before {
        // A link shows all of a version at once.
        return Vec::new();
    }
    let path = |name: &str| folder.join(name).display().to_string();
    let mut found = Vec::new();
    // What cannot be listed is told of the files.
    if is_half_shown(&folder).unwrap_or_default() {
        found.push((format!("the files of {} were replaced in part alone", folder.display()), RUN));
    }
    let versions = shown(&folder).unwrap_or_default();
    for (name, file) in files {
        let place = readable_path(lake, file);
        match versions.contains(name) {
            false => found.push((format!("{} is not there, beside {}", path(name), place.display()), RUN)),
            true if place.is_file() && !is_second_name(&folder.join(name), &place) => {
                found.push((format!("{} is not what {} is", path(name), place.display()), RUN));
            }
            true => {}
        }
    }
    for old in versions.iter().filter(|name| !files.contains_key(*name)) {
        found.push((format!("{} is not of the newest version", path(old)), RUN));
    }
    let folders: BTreeSet<_> =
        files.keys().filter_map(|name| Some(folder.join(name).parent()?.to_owned())).collect();
    for other in folders.iter().flat_map(|folder| entries(folder).unwrap_or_default()) {
        let name = other.strip_prefix(&folder).map(|name| name.display().to_string()).unwrap_or_default();
        let is_hidden = name
            .rsplit('/')
            .next()
            .is_some_and(|name| name.starts_with('.') || name.starts_with("being-replaced."));
        if other.is_file() && !versions.contains(&name) && !is_hidden {
            found.push((format!("{} is in no record", other.display()), MOVE));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::versioned::show;

    #[test]
    fn what_a_glob_finds_beside_the_newest_version_is_told() {
        let root = tempfile::tempdir().unwrap();
        let lake = Lake::new(root.path());
        let file = |version: u64| {
            let name = format!("batch-{version:08}.parquet");
            let path = format!("j/t/_versions/{version:08}/{name}");
            let place = lake.resolve(&path);
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            std::fs::write(&place, format!("{version}")).unwrap();
            let entry = FileEntry { table: "j.t".into(), path, rows: 1, bytes: 1, xxh3: String::new() };
            (entry, BTreeMap::from([(name, place)]))
        };
        let (newest, names) = file(1);
        let table = lake.resolve("j/t");
        show(&table, &names).unwrap();
        let said = || {
            let found = findings(&lake, "j", [&newest].into_iter());
            found.into_iter().map(|found| format!("{}: {}", found.problem, found.advice)).collect::<Vec<_>>()
        };
        assert_eq!(said(), [""; 0]);
        std::fs::write(table.join("mine.parquet"), "x").unwrap();
        std::fs::write(table.join("batch-00000000.parquet"), "0").unwrap();
        std::fs::write(table.join(".batch-00000001.parquet.tmp"), "0").unwrap();
        std::fs::remove_file(table.join("batch-00000001.parquet")).unwrap();
        std::fs::write(table.join("batch-00000001.parquet"), "other").unwrap();
        let found = said();
        for (problem, advice) in [
            ("were replaced in part alone", RUN),
            ("batch-00000001.parquet is not what", RUN),
            ("batch-00000000.parquet is not of the newest version", RUN),
            ("mine.parquet is in no record", MOVE),
        ] {
            let is_it = |text: &&String| text.contains(problem) && text.ends_with(advice);
            assert_eq!(found.iter().filter(is_it).count(), 1, "{problem}: {found:?}");
        }
        assert_eq!(found.len(), 4, "{found:?}");
        std::fs::remove_file(table.join("batch-00000001.parquet")).unwrap();
        assert!(said().iter().any(|text| text.contains("batch-00000001.parquet is not there, beside")));
        // The next run.
        std::fs::remove_file(table.join("mine.parquet")).unwrap();
        show(&table, &names).unwrap();
        assert_eq!(said(), [""; 0]);
    }
}
