//! The tables of jobs/README.md that are made of lists. A test fails where one is not; this writes them:
//!
//! ```text
//! TIDEMILL_BLESS=1 cargo test --workspace --lib -- documented
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use tidemill_ml::{METRICS, STEPS, Takes, TargetKind, Task};

/// Compares the rows of the table with this header, or writes them.
fn check(header: &str, rows: &[String]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../jobs/README.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.iter().position(|line| line.starts_with(header)).unwrap() + 2;
    let end = first + lines[first..].iter().take_while(|line| line.starts_with('|')).count();
    if std::env::var_os("TIDEMILL_BLESS").is_some() {
        let rows = rows.iter().map(String::as_str);
        let all: Vec<&str> =
            lines[..first].iter().copied().chain(rows).chain(lines[end..].iter().copied()).collect();
        std::fs::write(&path, all.join("\n") + "\n").unwrap();
        return;
    }
    assert_eq!(lines[first..end].join("\n"), rows.join("\n"));
}

#[test]
fn the_tables_of_steps_and_metrics_are_made_of_the_lists() {
    let steps = STEPS.iter().map(|of| {
        let settings: BTreeMap<String, Value> = of.kind.defaults().into_iter().collect();
        let written = settings.iter().map(|(key, value)| match value {
            Value::Null => format!("`{key}`"),
            value => format!("`{key} = {value}`"),
        });
        let settings = written.collect::<Vec<_>>().join(", ");
        let settings = if settings.is_empty() { settings } else { format!("; {settings}") };
        let takes = if of.takes == Takes::Texts { "texts" } else { "numbers" };
        let online = if of.learns_online { "yes" } else { "no" };
        format!("| `{}` | {takes} | {online} | {}{settings} |", of.name, of.summary)
    });
    check("| step | takes", &steps.collect::<Vec<_>>());
    let metrics = METRICS.iter().map(|of| {
        let models = match (of.task(), of.is_of(TargetKind::Binary), of.is_of(TargetKind::Classes)) {
            (Task::Classify, true, true) => "classes",
            (Task::Classify, true, false) => "two classes",
            (Task::Classify, ..) => "many classes",
            (Task::Regress, ..) => "numbers",
            (Task::Cluster, ..) => "clusters",
            _ => "outliers",
        };
        let better = format!("{:?}", of.better).to_lowercase();
        let cell = |text: &str| text.replace('|', "\\|");
        format!("| `{}` | {models} | {better} | {} | {} |", of.name, cell(of.formula), cell(of.source))
    });
    check("| metric | of", &metrics.collect::<Vec<_>>());
}
