//! The jobs and SQL that are compiled in, so that the binary alone runs from any folder: all files of `jobs/` and `sql/`,
//! as `build.rs` lists them.

/// `(path in a project, text)` of every built-in file.
pub(super) const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/builtin_files.rs"));
