//! How the user has called this program, so that the commands that it prints run as they stand.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tidemill_core::stream::GoesOn;

/// The option of a stream that ends after some batches.
const BATCHES: &str = "--batches";

/// Where a partition ends for a stream that takes what is available now, one word each: there may be many.
const UNTIL: &str = "--until=";

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

/// The same by the name that it was called by where it still is there: a process that is begun by it has that name too.
pub(crate) fn this_program_by_name() -> Option<PathBuf> {
    // Where another file was put in its place, Linux says that it was deleted.
    std::env::current_exe().ok().filter(|path| path.exists()).or_else(this_program)
}

/// The words that this program was called with, to go on with a stream that was to end after `most` batches.
pub(crate) fn words_of_what_is_left(
    words: impl IntoIterator<Item = OsString>,
    most: Option<u64>,
    goes_on: &GoesOn,
) -> Vec<OsString> {
    let mut words: Vec<OsString> = words.into_iter().collect();
    // Behind the program's own name, before what the user has said. They were there if this one has begun anew itself.
    let until =
        goes_on.until.iter().flatten().map(|(partition, end)| format!("{UNTIL}{partition}:{end}").into());
    let is_until = |word: &&OsString| word.to_str().is_some_and(|word| word.starts_with(UNTIL));
    let before = words.iter().skip(1).take_while(is_until).count();
    let own_name = words.len().min(1);
    words.splice(own_name..own_name + before, until);
    let Some(left) = most.map(|most| most.saturating_sub(goes_on.batches)) else { return words };
    if let Some(at) = words.iter().position(|word| word == BATCHES)
        && let Some(count) = words.get_mut(at + 1)
    {
        *count = left.to_string().into();
    }
    let with_count = |word: &&mut OsString| {
        word.to_str().and_then(|word| word.strip_prefix(BATCHES)).is_some_and(|rest| rest.starts_with('='))
    };
    if let Some(word) = words.iter_mut().find(with_count) {
        *word = format!("{BATCHES}={left}").into();
    }
    words
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
    fn a_stream_that_begins_anew_is_told_what_is_left() {
        let left = |words: &[&str], most, batches| {
            let goes_on = GoesOn { batches, until: None };
            let words = words_of_what_is_left(words.iter().map(OsString::from), most, &goes_on);
            words.into_iter().map(|word| word.into_string().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(
            left(&["t", "stream", "j", "--batches", "5", "-v"], Some(5), 3),
            ["t", "stream", "j", "--batches", "2", "-v"]
        );
        assert_eq!(
            left(&["t", "stream", "--batches=5", "j"], Some(5), 4),
            ["t", "stream", "--batches=1", "j"]
        );
        assert_eq!(left(&["t", "stream", "j"], None, 4), ["t", "stream", "j"]);
    }

    #[test]
    fn a_stream_that_begins_anew_ends_where_it_was_to_end() {
        let goes_on = GoesOn { batches: 1, until: Some([(0, 7), (12, 0)].into()) };
        let words = ["t", "-v", "stream", "j", "--available-now"].map(OsString::from);
        let once = words_of_what_is_left(words, None, &goes_on);
        assert_eq!(once, ["t", "--until=0:7", "--until=12:0", "-v", "stream", "j", "--available-now"]);
        assert_eq!(words_of_what_is_left(once.clone(), None, &goes_on), once);
        assert_eq!(words_of_what_is_left([], None, &goes_on), ["--until=0:7", "--until=12:0"]);
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
