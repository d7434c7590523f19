//! A project with a batch job that trains models, for the tests of these.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tidemill_core::lake::Lake;

use crate::support::{query, run, texts};

/// A project of one job, `bank`, with models, and its lake.
pub struct Bank(tempfile::TempDir);

pub const JOB: &str = r#"
sql = "sql/bank"

[inputs.customers]
path = "DATA/customers.csv"
types = { id = "INT", age = "INT", income = "DOUBLE", debt = "DOUBLE" }
"#;
pub const CHURN: &str = r#"
[[models]]
name = "churn"
algorithm = "random_forest"
features = "sql/bank/churn.sql"
key = ["id"]
label = "churned"
trees = 10
"#;
pub const GROUPS: &str = r#"
[[models]]
name = "groups"
algorithm = "kmeans"
features = "sql/bank/groups.sql"
key = ["id"]
clusters = 3
"#;
pub const FEATURES: &str = "SELECT id, age, income, region, churned FROM people";

/// Rows of customers from `from` on: the young leave, and some others.
pub fn customers(from: u64, count: u64, noise: u64) -> String {
    let mut rows = String::new();
    for id in from..from + count {
        let mut state = (id + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut next = |below: u64| {
            state ^= state >> 29;
            state = state.wrapping_mul(0xbf58_476d_1ce4_e5b9);
            state ^= state >> 32;
            state % below
        };
        let age = 18 + next(60);
        let income = 1_000 + 100 * next(40) + age;
        let region = ["north", "south", "west"][next(3) as usize];
        let churned = (age < 40) != (next(100) < noise);
        let debt = 0.5 * income as f64 + next(1_000) as f64 / 10.0;
        rows += &format!("{id},{age},{income},{region},{},{debt}\n", if churned { "yes" } else { "no" });
    }
    rows
}

impl Bank {
    pub fn new(models: &str) -> Bank {
        let bank = Bank(tempfile::tempdir().unwrap());
        let job = JOB.replace("DATA", bank.path().to_str().unwrap());
        bank.write("jobs/bank.toml", format!("{job}{models}"));
        bank.data(&customers(0, 600, 10));
        bank.write("sql/bank/people.sql", "SELECT * FROM customers");
        bank.write("sql/bank/churn.sql", FEATURES);
        if models.contains("kmeans") {
            bank.write("sql/bank/groups.sql", "SELECT id, age, income FROM people");
        }
        bank
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn data(&self, rows: &str) {
        self.write("customers.csv", format!("id,age,income,region,churned,debt\n{rows}"));
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
    }

    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path().join(name)).unwrap();
        assert!(text.contains(from), "{name} has no {from}");
        self.write(name, text.replace(from, to));
    }

    pub fn lake(&self) -> Lake {
        Lake::new(self.path().join("lake"))
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill"));
        command.arg("--lake").arg(self.lake().root()).arg("--project").arg(self.path()).args(arguments);
        command.env_remove("TIDEMILL_LAKE").env("NO_COLOR", "1");
        command
    }

    pub fn try_run(&self, arguments: &[&str]) -> Output {
        run(&mut self.command(&[&["run", "bank", "--format", "json"], arguments].concat()))
    }

    /// `step table outcome` of each table and model, in the order of the report.
    pub fn run(&self, arguments: &[&str]) -> Vec<String> {
        let output = self.try_run(arguments);
        assert!(output.status.success(), "{}", texts(&output).1);
        steps(&output)
    }

    /// Standard error of a run that is to fail.
    pub fn refused(&self, arguments: &[&str]) -> String {
        let output = self.try_run(arguments);
        assert!(!output.status.success(), "{}", texts(&output).0);
        texts(&output).1
    }

    /// What a command prints.
    pub fn says(&self, arguments: &[&str]) -> String {
        let output = run(&mut self.command(arguments));
        assert!(output.status.success(), "{arguments:?}: {}", texts(&output).1);
        texts(&output).0
    }

    pub async fn rows(&self, sql: &str) -> Vec<String> {
        query(&self.lake(), sql).await.into_iter().map(|row| row.join("|")).collect()
    }

    /// All files of the lake that hold rows or models, by their paths.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let (mut todo, mut files) = (vec![self.lake().root().to_owned()], BTreeMap::new());
        while let Some(folder) = todo.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                // Records and logs have times.
                let is_record = name == "_checkpoint" || name == "_delta_log";
                if is_record || folder.ends_with("lake") && name == "system" {
                    continue;
                }
                match path.is_dir() {
                    true => todo.push(path),
                    // Of the newest version's files these are second names.
                    false if folder.join("_versions").is_dir() => {}
                    false => {
                        let bytes = std::fs::read(&path).unwrap();
                        files.insert(path.strip_prefix(self.path()).unwrap().to_owned(), bytes);
                    }
                }
            }
        }
        files
    }

    pub fn model(&self, version: u64) -> Vec<u8> {
        let path = format!("bank/_models/churn/batch-{version:08}.model");
        std::fs::read(self.lake().resolve(&path)).unwrap()
    }
}

pub fn steps(output: &Output) -> Vec<String> {
    let rows: Vec<Value> = serde_json::from_str(&texts(output).0).unwrap();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    let is_step = |row: &&Value| row["step"] == "build" || row["step"] == "train";
    let of = |row: &Value| format!("{} {} {}", text(row, "step"), text(row, "table"), text(row, "outcome"));
    rows.iter().filter(is_step).map(of).collect()
}
