//! What serde says of a job file, told as its writer needs it: the line, the key, and what is expected there.
//! Values that may be secrets are never quoted.

use serde::de::DeserializeOwned;

use crate::error::nearest;
use crate::error::{Error, Result};

/// How the keys are written whose form is not plain from their name.
const EXAMPLES: [(&str, &str); 16] = [
    ("inputs", "[inputs.NAME], a heading for each input"),
    ("tables", "[[tables]], with two brackets, for each table"),
    ("models", "[[models]], with two brackets, for each model"),
    ("types", "types = { column = \"INT\" }, or \"auto\""),
    ("delimiter", "delimiter = \";\""),
    ("header", "header = false"),
    ("skip_rows", "skip_rows = 2"),
    ("null_values", "null_values = [\"NA\"]"),
    ("decimal_comma", "decimal_comma = true"),
    ("forms", "forms = [\"sql/JOB/form.sql\"]"),
    ("partition_by", "partition_by = [\"column\"]"),
    ("not_null", "not_null = [\"column\", \"other\"]"),
    ("unique", "unique = [[\"column\"], [\"two\", \"together\"]], a list of lists of columns"),
    ("accepted_values", "accepted_values = { column = [\"a\", \"b\"] }"),
    ("relationships", "relationships = [{ column = \"a\", to = \"table.b\" }]"),
    ("row_count", "row_count = { min = 1, max = 9 }"),
];

/// Whatever stands beside a key with one of these in its name is a secret.
const SECRET: [&str; 10] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "credential",
    "jaas",
    "api_key",
    "private",
    "ssl.key",
];

/// The values of a file as a `T`, from its text with what is laid over it.
pub(super) fn read<T: DeserializeOwned>(text: &str, values: toml::Table) -> Result<T> {
    serde_path_to_error::deserialize(toml::Value::Table(values))
        .map_err(|e| key_error::<T>(text, &e.path().to_string(), e.inner()))
}

/// The error of a file's text whose values, with what is laid over them, are no `T`. `path` is the whole key.
fn key_error<T: DeserializeOwned>(text: &str, path: &str, error: &toml::de::Error) -> Error {
    let message = error.message();
    let mut quoted = message.split('`').skip(1).step_by(2);
    if message.starts_with("unknown field")
        && let Some(key) = quoted.next()
    {
        let known: Vec<&str> = quoted.collect();
        let place = line_of(text, key).map(|line| format!("line {line}: ")).unwrap_or_default();
        let hint = match nearest(key, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`? Known here: {}", known.join(", ")),
            None => format!("known here: {}", known.join(", ")),
        };
        return Error::user(format!("{place}unknown key `{key}`")).hint(hint);
    }
    // What is laid over the file has no place in it, nor has what is missing.
    let written = toml::from_str::<T>(text).err();
    let written = written.filter(|e| e.message() == message && !message.starts_with("missing field"));
    let Some(start) = written.and_then(|e| e.span()).map(|span| span.start) else {
        // An unknown path is a dot.
        return match path.trim_matches('.') {
            "" => Error::user(in_words(message, true)),
            path => Error::user(format!("`{path}`: {}", in_words(message, is_secret(path)))),
        };
    };
    let line = text[..start].matches('\n').count() + 1;
    let Some(key) = key_at(text, start) else {
        return Error::user(in_words(message, true)).context(format!("line {line}"));
    };
    let hidden = is_secret(path) || is_secret(key);
    let error = Error::user(format!("line {line}: `{key}`: {}", in_words(message, hidden)));
    let line_start = text[..start].rfind('\n').map_or(0, |end| end + 1);
    let above = EXAMPLES.iter().filter_map(|(known, example)| {
        let at = text[line_start..start].rfind(&format!("{known} ="));
        at.map(|at| (at + 1, *example)).or_else(|| (*known == key).then_some((0, *example)))
    });
    match above.max_by_key(|(at, _)| *at) {
        Some((_, example)) => error.hint(format!("it is written {example}")),
        None => error.hint("jobs/README.md has the keys and their forms"),
    }
}

/// The line, from 1, that sets a key.
pub(super) fn line_of(text: &str, key: &str) -> Option<usize> {
    let sets = |line: &str| {
        line.trim_start().starts_with(key)
            || line.contains(&format!("{key} ="))
            || line.contains(&format!("[{key}]"))
    };
    text.lines().position(sets).map(|at| at + 1)
}

/// The key whose value has a byte of the text: of a heading `[key]`, or the one before the last `=`.
fn key_at(text: &str, start: usize) -> Option<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let heading = text[start..].trim_start_matches('[');
    let name = heading.split(|c| !is_name(c)).next().unwrap_or_default();
    if heading.len() < text[start..].len() && heading[name.len()..].starts_with(']') && !name.is_empty() {
        return Some(name);
    }
    let before = text[..start].rsplit_once('=')?.0.trim_end().trim_end_matches('"');
    before.rsplit(|c| !is_name(c)).next().filter(|name| !name.is_empty())
}

/// Whether what stands at the key is not to be printed: all that a client connects by, and whatever looks like a secret.
fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    key.split('.').any(|part| matches!(part, "options" | "kafka"))
        || SECRET.iter().any(|word| key.contains(word))
}

/// serde's names of types in TOML's. Values are not quoted where they are hidden.
fn in_words(message: &str, hidden: bool) -> String {
    let found = message.strip_prefix("invalid type: ").and_then(|rest| rest.split_once(", expected "));
    let Some((found, expected)) = found else { return message.to_owned() };
    let expected = match expected {
        "a sequence" => "an array `[…]`",
        "a map" => "a table `{…}`",
        "a boolean" => "true or false",
        "u64" | "u32" | "usize" => "a whole number, 0 or more",
        "f64" => "a number",
        struct_name if struct_name.starts_with("struct ") => "a table `{…}`",
        other => other,
    };
    let found = match found {
        text if hidden && text.starts_with("string ") => "a text".to_owned(),
        value if hidden && value.starts_with("integer ") => "a whole number".to_owned(),
        value if hidden && value.contains('`') => "a value of another kind".to_owned(),
        "sequence" => "an array".to_owned(),
        "map" => "a table".to_owned(),
        other => other.replace("integer `", "`").replace("floating point `", "`").replace("boolean `", "`"),
    };
    format!("{found}, where {expected} is expected")
}
