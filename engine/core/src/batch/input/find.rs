//! Which files an input's path stands for: one file, a glob's, or those of a folder with `column=value` folders in it.
//!
//! Of a glob or folder, names that begin with `.` or `_` are passed over, as what writes tables calls so what is not rows
//! (`_SUCCESS`, `.part-0.crc`, `_temporary`); but folders `_column=value` are read. A name that is written out is meant.

use std::path::{Component, Path, PathBuf};

use crate::error::nearest;
use crate::error::{Error, Result, io_error};
use crate::files::special;
use crate::table::partitioned::folder_value;

/// A file with the columns that its folders give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::batch) struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// `(column, value)` of each `column=value` folder on the way to it.
    pub partition: Vec<(String, String)>,
}

/// Who names a path: what is advised where it is none differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::batch) enum Namer {
    /// A job, or whoever runs it.
    Job,
    /// An SQL statement.
    Statement,
}

impl Namer {
    fn another(self) -> &'static str {
        match self {
            Namer::Job => "--input names another (of a job of several inputs: --input NAME=FILE)",
            Namer::Statement => "such names are read where the pattern has them written out",
        }
    }

    fn one_of_both(self) -> &'static str {
        match self {
            Namer::Job => "name one of them with --input, or move the other away",
            Namer::Statement => "name one of them, or move the other away",
        }
    }
}

/// The files of a path, sorted by name.
///
/// # Errors
/// User: there is none; one is there twice, with and without a compression.
pub(in crate::batch) fn find(text: &str, namer: Namer) -> Result<Vec<Found>> {
    let path = Path::new(text);
    let files = if path.is_dir() {
        walk(path)?
    } else if path.exists() || !text.contains(['*', '?', '[']) {
        // A name that happens to hold a `[` is a name first.
        vec![Found { path: path.to_owned(), partition: Vec::new() }]
    } else {
        globbed(text, namer)?
    };
    if let [only] = files.as_slice()
        && !only.path.exists()
    {
        return Err(missing(&only.path, namer));
    }
    if let Some((file, kind)) = files.iter().find_map(|file| Some((file, special(&file.path)?))) {
        return Err(Error::user(format!(
            "{} is {kind}: an input is read more than once",
            file.path.display()
        ))
        .hint("write what comes out of it to a file first, and name that"));
    }
    if files.is_empty() {
        return Err(Error::user(format!(
            "there is no file in {text}, but for names that begin with `.` or `_`"
        ))
        .hint(namer.another()));
    }
    let same = |a: &Found, b: &Found| {
        let (a, b) = (a.path.to_string_lossy(), b.path.to_string_lossy());
        b.strip_prefix(a.as_ref()).is_some_and(|rest| rest.starts_with('.'))
    };
    if let Some(both) = files.windows(2).find(|pair| same(&pair[0], &pair[1])) {
        return Err(Error::user(format!(
            "{} and {} look like the same rows twice",
            both[0].path.display(),
            both[1].path.display()
        ))
        .hint(namer.one_of_both()));
    }
    Ok(files)
}

/// Refuses a file that is given twice, by whatever names.
///
/// # Errors
/// User: both names.
pub(in crate::batch) fn distinct(files: &[Found]) -> Result<()> {
    let mut seen = std::collections::BTreeMap::new();
    for file in files {
        let place = file.path.canonicalize().unwrap_or_else(|_| file.path.clone());
        if let Some(first) = seen.insert(place, &file.path) {
            return Err(Error::user(format!("{} is given twice", file.path.display()))
                .context(if *first == file.path { "--input".to_owned() } else { first.display().to_string() })
                .hint("its rows would be there twice: name it once"));
        }
    }
    Ok(())
}

fn globbed(text: &str, namer: Namer) -> Result<Vec<Found>> {
    let paths = glob::glob(text)
        .map_err(|e| Error::user(format!("`{text}` is no pattern of files: {e}")))?
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|e| Error::storage(format!("cannot list {text}: {e}")))?;
    let mut files: Vec<Found> = Vec::new();
    let seen = paths.len();
    for path in paths.into_iter().filter(|path| !is_hidden(path, text)) {
        if path.is_dir() {
            files.extend(walk(&path)?);
        } else {
            files.push(Found { path, partition: Vec::new() });
        }
    }
    if files.is_empty() && seen == 0 {
        return Err(missing(Path::new(text), namer));
    }
    Ok(files)
}

/// Whether a name on the way to a file that a pattern found is hidden, and not written out in the pattern.
fn is_hidden(path: &Path, pattern: &str) -> bool {
    let names = |path: &Path| -> Vec<String> {
        let named = path.components().filter(|part| *part != Component::CurDir);
        named.map(|part| part.as_os_str().to_string_lossy().into_owned()).collect()
    };
    let (names, parts) = (names(path), names(Path::new(pattern)));
    // `**` stands for any number of names: those before it are counted from the front, those behind it from the end.
    let many = parts.iter().position(|part| part == "**").unwrap_or(parts.len());
    let last = parts.iter().rposition(|part| part == "**").unwrap_or(many);
    let is_hidden_name = |part: &String| part.starts_with(['.', '_']);
    names.iter().enumerate().any(|(at, name)| {
        let behind = names.len() - at;
        let is_written = match parts.len().checked_sub(behind) {
            _ if at < many => parts.get(at).is_some_and(is_hidden_name),
            Some(part) if part > last => parts.get(part).is_some_and(is_hidden_name),
            // Between two of them it may be any part.
            _ => parts.get(many..last).unwrap_or_default().iter().any(|part| {
                is_hidden_name(part) && glob::Pattern::new(part).is_ok_and(|part| part.matches(name))
            }),
        };
        let is_folder = behind > 1 || path.is_dir();
        !is_written && is_passed_over(name, is_folder)
    })
}

/// Whether a name that was not written out is none of the input's.
fn is_passed_over(name: &str, is_folder: bool) -> bool {
    name.starts_with('.') || (name.starts_with('_') && !(is_folder && name.contains('=')))
}

/// Files under a folder.
fn walk(folder: &Path) -> Result<Vec<Found>> {
    let mut files = Vec::new();
    let mut todo = vec![(folder.to_owned(), Vec::new())];
    while let Some((place, partition)) = todo.pop() {
        for entry in std::fs::read_dir(&place).map_err(|e| io_error("list", &place, &e))? {
            let entry = entry.map_err(|e| io_error("list", &place, &e))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_folder = entry.path().is_dir();
            if is_passed_over(&name, is_folder) {
                continue;
            }
            let mut partition = partition.clone();
            if is_folder {
                partition.extend(folder_value(&name));
                todo.push((entry.path(), partition));
            } else {
                files.push(Found { path: entry.path(), partition });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    if let Some(odd) = files.iter().find(|file| !names(file).eq(names(&files[0]))) {
        return Err(Error::user(format!(
            "{} and {} are in folders of other columns",
            files[0].path.display(),
            odd.path.display()
        ))
        .hint("all files of a folder are in `column=value` folders of the same columns"));
    }
    Ok(files)
}

fn names(file: &Found) -> impl Iterator<Item = &String> {
    file.partition.iter().map(|(column, _)| column)
}

/// The file of its folder that is called most like a path that is none.
fn nearest_file(path: &Path) -> Option<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let wanted = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let names: Vec<String> = std::fs::read_dir(folder)
        .map(|entries| entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    nearest(&wanted, names.iter().map(String::as_str)).map(|near| folder.join(near))
}

/// A path that is no file.
pub(super) fn missing(path: &Path, namer: Namer) -> Error {
    let error = Error::user(format!("there is no file {}", path.display()));
    let advice = format!("{}; data/README.md says where the real sets are had", Namer::Job.another());
    match (nearest_file(path), namer) {
        (Some(near), Namer::Job) => error.hint(format!("did you mean `{}`? {advice}", near.display())),
        (None, Namer::Job) => error.hint(advice),
        (Some(near), Namer::Statement) => error.hint(format!("did you mean '{}'?", near.display())),
        (None, Namer::Statement) => error.hint("a path is from the folder where the command runs"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "a\n").unwrap();
        }
        folder
    }

    fn found(folder: &tempfile::TempDir, pattern: &str) -> Result<Vec<String>> {
        let files = find(folder.path().join(pattern).to_str().unwrap(), Namer::Job)?;
        let name = |f: &Found| f.path.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned();
        Ok(files.iter().map(|f| format!("{}{:?}", name(f), f.partition)).collect())
    }

    #[test]
    fn a_file_a_glob_and_a_folder_of_values() {
        let folder =
            folder(&["a1.csv", "b[1].csv", "h/y=2/m=1/x.csv", "h/y=1/m=2/x.csv", "h/.hidden", "h/_x"]);
        assert_eq!(found(&folder, "a1.csv").unwrap(), ["a1.csv[]"]);
        assert_eq!(found(&folder, "b[1].csv").unwrap(), ["b[1].csv[]"]);
        assert_eq!(found(&folder, "a*.csv*").unwrap(), ["a1.csv[]"]);
        assert_eq!(
            found(&folder, "h").unwrap(),
            [r#"h/y=1/m=2/x.csv[("y", "1"), ("m", "2")]"#, r#"h/y=2/m=1/x.csv[("y", "2"), ("m", "1")]"#]
        );
    }

    #[test]
    fn a_file_is_given_once_by_whatever_name() {
        let folder = folder(&["a.csv", "b.csv", "h/a.csv"]);
        let file = |name: &str| Found { path: folder.path().join(name), partition: Vec::new() };
        assert!(distinct(&[file("a.csv"), file("b.csv"), file("h/a.csv")]).is_ok());
        let error = distinct(&[file("a.csv"), file("b.csv"), file("h/../a.csv")]).unwrap_err();
        assert!(error.to_string().contains("a.csv is given twice"), "{error}");
    }

    #[test]
    fn hidden_names_are_read_where_they_are_written_out() {
        let folder = folder(&[
            "d/part-0.csv",
            "d/.part-0.csv.crc",
            "d/_SUCCESS",
            "d/_temporary/0/part-1.csv",
            "h/_batch=1/x.csv",
            "h/_batch=2/_x.csv",
            "_old/a.csv",
            "_old/_b.csv",
        ]);
        for pattern in ["d", "d/*", "d/**/*", "d*"] {
            assert_eq!(found(&folder, pattern).unwrap(), ["d/part-0.csv[]"], "{pattern}");
        }
        assert_eq!(found(&folder, "d/.part*").unwrap(), ["d/.part-0.csv.crc[]"]);
        assert_eq!(found(&folder, "d/_temporary/*/*").unwrap(), ["d/_temporary/0/part-1.csv[]"]);
        assert_eq!(found(&folder, "d/_SUCCESS").unwrap(), ["d/_SUCCESS[]"]);
        assert_eq!(found(&folder, "h").unwrap(), [r#"h/_batch=1/x.csv[("_batch", "1")]"#]);
        assert_eq!(found(&folder, "h/*/*.csv").unwrap(), ["h/_batch=1/x.csv[]"]);
        assert_eq!(found(&folder, "_old/*").unwrap(), ["_old/a.csv[]"]);
        assert_eq!(found(&folder, "_old/_*").unwrap(), ["_old/_b.csv[]"]);
        assert_eq!(found(&folder, "**/_old/**/a*").unwrap(), ["_old/a.csv[]"]);
        assert!(found(&folder, "d/_S*x").unwrap_err().to_string().contains("no file"));
        assert!(found(&folder, "d/[._]*S").unwrap_err().to_string().contains("begin with `.` or `_`"));
    }

    #[cfg(unix)]
    #[test]
    fn what_cannot_be_read_twice_is_named() {
        let folder = folder(&["a.csv", "h/y=1/a.csv"]);
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("b.csv")).unwrap();
        let _deeper = std::os::unix::net::UnixListener::bind(folder.path().join("h/y=1/b.csv")).unwrap();
        for pattern in ["b.csv", "*.csv", "h"] {
            let error = found(&folder, pattern).unwrap_err().to_string();
            assert!(error.contains("b.csv is a socket"), "{pattern}: {error}");
        }
        assert!(find("/dev/null", Namer::Job).unwrap_err().to_string().starts_with("/dev/null is a device"));
        assert_eq!(found(&folder, "a.csv").unwrap(), ["a.csv[]"]);
    }

    #[test]
    fn what_is_missing_or_there_twice_is_an_error() {
        let folder = folder(&["orders.csv", "orders.csv.gz", "h/y=1/a.csv", "h/b.csv"]);
        let error = found(&folder, "order.csv").unwrap_err();
        assert!(error.next_step().unwrap().contains("orders.csv`?"), "{error}");
        assert!(found(&folder, "orders.csv*").unwrap_err().to_string().contains("the same rows twice"));
        assert!(found(&folder, "h").unwrap_err().to_string().contains("other columns"));
        assert!(found(&folder, "x*.csv").is_err());
        // A statement has no --input.
        for pattern in ["order.csv", "x.csv", "x*.csv", "orders.csv*"] {
            let step = |namer| {
                let error = find(folder.path().join(pattern).to_str().unwrap(), namer).unwrap_err();
                error.next_step().unwrap().to_owned()
            };
            assert!(step(Namer::Job).contains("--input"), "{pattern}: {}", step(Namer::Job));
            let of_statement = step(Namer::Statement);
            assert!(!of_statement.contains("--input"), "{pattern}: {of_statement}");
        }
    }
}
