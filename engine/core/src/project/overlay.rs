//! From the text of a job file to the values that hold: `${ENV:-default}` and `${file:PATH}` filled in, then the environment
//! (`TIDEMILL__SOURCE__MAX_OFFSETS_PER_TRIGGER`), then flags and `--set key=value`, the later over the earlier.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use crate::error::{Error, Result};

/// What overrides a job file.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// `--set` pairs in the order given: dotted key, value as TOML or bare text.
    pub sets: Vec<(String, String)>,
    /// The process environment, or what a test puts in its place.
    pub environment: BTreeMap<String, String>,
}

impl Settings {
    /// No flags, the environment of this process.
    pub fn from_environment() -> Settings {
        Settings { sets: Vec::new(), environment: std::env::vars().collect() }
    }
}

/// Prefix of the variables that override a key; nesting is a double underscore.
const PREFIX: &str = "TIDEMILL__";

/// Parses `text` and lays `settings` over it.
pub(super) fn resolve(text: &str, settings: &Settings) -> Result<Table> {
    lay_over(parse(text)?, settings)
}

/// The text alone.
pub(super) fn parse(text: &str) -> Result<Table> {
    text.parse().map_err(|error: toml::de::Error| {
        let message = error.message();
        match error.span() {
            Some(span) => Error::user(format!("{}: {message}", place(text, span.start))),
            None => Error::user(message),
        }
    })
}

/// Line and column of a byte of the text, with the key that its line sets. What the key is set to may be a
/// secret and is not quoted.
fn place(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let (line, column) = (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1);
    let is_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '"' | '\'' | ' ');
    let key =
        text[line_start..].lines().next().and_then(|line| line.split_once('=')).map(|(key, _)| key.trim());
    match key.filter(|key| !key.is_empty() && key.chars().all(is_key)) {
        Some(key) => format!("line {line}, column {column} (`{key} = …`)"),
        None => format!("line {line}, column {column}"),
    }
}

/// Names of the models whose hold-out key is the file's own: no flag or variable says another.
pub(super) fn own_holdout_keys(text: &str, settings: &Settings) -> Result<BTreeSet<String>> {
    const MARK: &str = "of the file";
    let mut table = parse(text)?;
    let models = table.get_mut("models").and_then(Value::as_array_mut);
    for model in models.into_iter().flatten() {
        let key = model.get_mut("evaluate").and_then(|evaluate| evaluate.get_mut("holdout_key"));
        key.into_iter().for_each(|key| *key = Value::from(MARK));
    }
    let table = lay_over(table, settings)?;
    let models = table.get("models").and_then(Value::as_array).into_iter().flatten();
    let has_mark = |model: &&Value| {
        let key = model.get("evaluate").and_then(|evaluate| evaluate.get("holdout_key"));
        key.and_then(Value::as_str) == Some(MARK)
    };
    let name = |model: &Value| model.get("name").and_then(Value::as_str).map(String::from);
    Ok(models.filter(has_mark).filter_map(name).collect())
}

fn lay_over(mut table: Table, settings: &Settings) -> Result<Table> {
    for (key, value) in table.iter_mut() {
        fill(value, key, &settings.environment)?;
    }
    for (name, text) in &settings.environment {
        if let Some(key) = name.strip_prefix(PREFIX) {
            let path: Vec<String> = key.split("__").map(str::to_lowercase).collect();
            set(&mut table, &path, parse_value(text))
                .map_err(|e| e.context(format!("environment variable {name}")))?;
        }
    }
    for (key, text) in &settings.sets {
        let path: Vec<String> = key.split('.').map(String::from).collect();
        set(&mut table, &path, parse_value(text)).map_err(|e| e.context(format!("--set {key}")))?;
    }
    Ok(table)
}

/// Fills in what stands at `key`, which errors name in place of the text: that may be a secret.
fn fill(value: &mut Value, key: &str, environment: &BTreeMap<String, String>) -> Result<()> {
    match value {
        Value::String(text) => {
            *text = interpolate(text, environment).map_err(|e| e.context(format!("`{key}`")))?;
        }
        Value::Array(items) => items.iter_mut().try_for_each(|item| fill(item, key, environment))?,
        Value::Table(table) => {
            table
                .iter_mut()
                .try_for_each(|(inner, item)| fill(item, &format!("{key}.{inner}"), environment))?;
        }
        _ => {}
    }
    Ok(())
}

/// `${NAME}` and `${NAME:-default}`; a name that is neither set nor has a default is an error. `${file:PATH}` is what a
/// file holds, without the line's end: so are secrets given to containers.
fn interpolate(text: &str, environment: &BTreeMap<String, String>) -> Result<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        out.push_str(&rest[..start]);
        let after = &rest[start + 2..];
        let end = after.find('}').ok_or_else(|| Error::user("`${` without its `}`"))?;
        let (name, default) = match after[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&after[..end], None),
        };
        if let Some(path) = name.strip_prefix("file:") {
            out.push_str(&file_text(path, default)?);
            rest = &after[end + 1..];
            continue;
        }
        match (environment.get(name).filter(|v| !v.is_empty()), default) {
            (Some(value), _) => out.push_str(value),
            (None, Some(default)) => out.push_str(default),
            (None, None) => {
                return Err(Error::user(format!("environment variable {name} is not set"))
                    .hint(format!("set it, or write `${{{name}:-default}}` in the job file")));
            }
        }
        rest = &after[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

/// The text of a file, or the default if there is no such file.
fn file_text(path: &str, default: Option<&str>) -> Result<String> {
    match (std::fs::read_to_string(path), default) {
        (Ok(text), _) => {
            Ok(text.strip_suffix('\n').map_or(text.as_str(), |text| text.trim_end_matches('\r')).to_owned())
        }
        (Err(error), Some(default)) if error.kind() == std::io::ErrorKind::NotFound => Ok(default.to_owned()),
        (Err(error), _) => {
            Err(Error::user(format!("the file `{path}` of `${{file:{path}}}` cannot be read: {error}"))
                .hint("a path is relative to the folder where the command is typed"))
        }
    }
}

/// A TOML value where the text is one, else the text itself.
fn parse_value(text: &str) -> Value {
    format!("v = {text}")
        .parse::<Table>()
        .ok()
        .and_then(|mut table| table.remove("v").filter(|_| table.is_empty()))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

/// Sets a nested key. An array of tables is indexed by position or by the `name` of its entries.
fn set(table: &mut Table, path: &[String], value: Value) -> Result<()> {
    let [key, rest @ ..] = path else {
        return Err(Error::user("an empty key"));
    };
    if rest.is_empty() {
        table.insert(key.clone(), value);
        return Ok(());
    }
    match table.entry(key.clone()).or_insert_with(|| Value::Table(Table::new())) {
        Value::Table(inner) => set(inner, rest, value),
        Value::Array(items) => {
            let (which, rest) = (&rest[0], &rest[1..]);
            let names: Vec<String> = items
                .iter()
                .filter_map(|item| item.get("name").and_then(Value::as_str).map(String::from))
                .collect();
            let at = which.parse::<usize>().ok().or_else(|| names.iter().position(|name| name == which));
            match at.and_then(|at| items.get_mut(at)) {
                Some(Value::Table(inner)) => set(inner, rest, value),
                _ => Err(Error::user(format!("`{key}` has no entry `{which}`"))
                    .hint(format!("there are: {}", names.join(", ")))),
            }
        }
        _ => Err(Error::user(format!("`{key}` is a value, it has no key `{}`", rest[0]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "[source]\nbroker = \"${B:-local}\"\nlimit = 10\n[[models]]\nname = \"a\"\ntrees = 1\n";

    fn with(sets: &[(&str, &str)], environment: &[(&str, &str)]) -> Result<Table> {
        let pairs = |list: &[(&str, &str)]| -> Vec<(String, String)> {
            list.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
        };
        resolve(TEXT, &Settings { sets: pairs(sets), environment: pairs(environment).into_iter().collect() })
    }

    #[test]
    fn the_default_holds_until_the_variable_is_set() {
        assert_eq!(with(&[], &[]).unwrap()["source"]["broker"].as_str(), Some("local"));
        assert_eq!(with(&[], &[("B", "far:9092")]).unwrap()["source"]["broker"].as_str(), Some("far:9092"));
    }

    #[test]
    fn a_flag_wins_over_the_environment_and_that_over_the_file() {
        let environment = [("TIDEMILL__SOURCE__LIMIT", "20")];
        assert_eq!(with(&[], &environment).unwrap()["source"]["limit"].as_integer(), Some(20));
        let both = with(&[("source.limit", "30")], &environment).unwrap();
        assert_eq!(both["source"]["limit"].as_integer(), Some(30));
    }

    #[test]
    fn a_hold_out_key_that_is_set_is_not_the_files_own() {
        let model =
            |name: &str| format!("[[models]]\nname = \"{name}\"\nevaluate = {{ holdout_key = [\"k\"] }}\n");
        let text = format!("{}{}[[models]]\nname = \"c\"\n", model("a"), model("b"));
        let own = |sets: &[(&str, &str)], environment: &[(&str, &str)]| {
            let pairs = |list: &[(&str, &str)]| -> Vec<(String, String)> {
                list.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
            };
            let environment = pairs(environment).into_iter().collect();
            let own = own_holdout_keys(&text, &Settings { sets: pairs(sets), environment }).unwrap();
            own.into_iter().collect::<Vec<_>>()
        };
        assert_eq!(own(&[("models.a.trees", "7"), ("models.a.evaluate.holdout", "0.2")], &[]), ["a", "b"]);
        assert_eq!(own(&[("models.a.evaluate.holdout_key", "[\"k\"]")], &[]), ["b"]);
        assert_eq!(own(&[("models.1.evaluate", "{ holdout = 0.2 }")], &[]), ["a"]);
        assert_eq!(own(&[], &[("TIDEMILL__MODELS__B__EVALUATE__HOLDOUT_KEY", "[\"x\"]")]), ["a"]);
    }

    #[test]
    fn a_model_is_addressed_by_its_name() {
        let table = with(&[("models.a.trees", "7")], &[]).unwrap();
        assert_eq!(table["models"][0]["trees"].as_integer(), Some(7));
        let error = with(&[("models.b.trees", "7")], &[]).unwrap_err();
        assert_eq!(error.next_step(), Some("there are: a"));
    }

    #[test]
    fn a_missing_variable_without_default_is_named() {
        let error = interpolate("x ${NOPE} y", &BTreeMap::new()).unwrap_err();
        assert!(error.to_string().contains("NOPE"), "{error}");
    }

    #[test]
    fn a_line_that_does_not_parse_is_named_without_its_value() {
        for (text, said) in [
            ("a = 1\npassword = \"hunter2\n", "line 2, column 20 (`password = …`): "),
            ("a = [\n  \"hunter2\",\n  hunter2\n]\n", "line 3, column 3: "),
            ("\"a.b\" = hunter2", "line 1, column 9 (`\"a.b\" = …`): "),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with(said) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_text_of_a_file_is_filled_in_without_its_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let of = |text: &str| {
            std::fs::write(&path, text).unwrap();
            interpolate(&format!("<${{file:{}}}>", path.display()), &BTreeMap::new()).unwrap()
        };
        assert_eq!(of("a b\n"), "<a b>");
        assert_eq!(of("a\r\n"), "<a>");
        assert_eq!(of(" a\n\n"), "< a\n>");
        let missing = format!("{}/none", folder.path().display());
        let error = interpolate(&format!("${{file:{missing}}}"), &BTreeMap::new()).unwrap_err();
        assert!(error.to_string().contains(&missing), "{error}");
        let with_default = format!("${{file:{missing}:-none}}");
        assert_eq!(interpolate(&with_default, &BTreeMap::new()).unwrap(), "none");
    }

    #[test]
    fn text_that_is_no_toml_value_is_text() {
        assert_eq!(parse_value("127.0.0.1:9092"), Value::String("127.0.0.1:9092".into()));
        assert_eq!(parse_value("1\nw = 2"), Value::String("1\nw = 2".into()));
    }
}
