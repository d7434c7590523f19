//! How the user has called this program, so that the commands that it prints run as they stand.

use std::path::{Path, PathBuf};

/// `tidemill`, a path to it, or `cargo run --release --`.
pub(crate) fn of_this_process() -> String {
    let argv0 = std::env::args().next().unwrap_or_default();
    // Cargo sets it for what it runs, and for nothing else.
    describe(&argv0, std::env::var_os("CARGO_MANIFEST_DIR").is_some())
}

/// The file of this program, to run it once more.
pub(crate) fn this_program() -> Option<PathBuf> {
    // On Linux it is this file also where another one has been put in its place since.
    let of_process = Path::new("/proc/self/exe");
    if cfg!(target_os = "linux") && of_process.exists() {
        return Some(of_process.to_owned());
    }
    std::env::current_exe().ok()
}

fn describe(argv0: &str, under_cargo: bool) -> String {
    let path = Path::new(argv0);
    let folders: Vec<_> = path.parent().into_iter().flat_map(Path::iter).collect();
    if under_cargo && folders.iter().any(|folder| *folder == "target") {
        let release = folders.last().is_some_and(|folder| *folder == "release");
        return if release { "cargo run --release --" } else { "cargo run --" }.to_string();
    }
    if argv0.is_empty() { "tidemill".to_string() } else { quoted(argv0) }
}

/// The text as one word of a POSIX shell.
pub(crate) fn quoted(text: &str) -> String {
    let plain =
        |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | ',' | ':' | '@' | '=');
    if !text.is_empty() && text.chars().all(plain) {
        text.to_string()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_printed_as_they_were_typed() {
        assert_eq!(describe("target/release/tidemill", true), "cargo run --release --");
        assert_eq!(describe("/home/me/tidemill/target/debug/tidemill", true), "cargo run --");
        assert_eq!(describe("target/release/tidemill", false), "target/release/tidemill");
        assert_eq!(describe("tidemill", false), "tidemill");
        assert_eq!(describe("/opt/my tools/tidemill", false), "'/opt/my tools/tidemill'");
        assert_eq!(describe("", false), "tidemill");
    }

    #[test]
    fn a_word_survives_the_shell() {
        assert_eq!(quoted("demo"), "demo");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("$HOME"), "'$HOME'");
    }
}
