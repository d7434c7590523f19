//! Batch jobs: `[[tables]]` instead of a source.

use serde::Deserialize;

use super::{Project, Settings, is_plain_name, key_error, overlay};
use crate::batch::{Form, Forms};
use crate::error::{Error, Result};

/// A job that makes a table of files.
#[derive(Debug, Clone)]
pub struct BatchJob {
    /// Name as on the command line: `chicago-crimes`.
    pub name: String,
    /// Name as a SQL schema and folder: `chicago_crimes`.
    pub schema_name: String,
    /// One line that says what the job is.
    pub description: String,
    /// The table, and the forms that its files come in.
    pub forms: Forms,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchFile {
    #[serde(default)]
    description: String,
    tables: Vec<BatchTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchTable {
    name: String,
    key: String,
    forms: Vec<String>,
}

impl Project {
    /// A batch job by its name.
    ///
    /// # Errors
    /// User: no such job (the nearest is named), a stream job, an unknown key, a form that does not say what it reads.
    pub fn batch_job(&self, name: &str) -> Result<BatchJob> {
        let (file, text) = self.job_file(name)?;
        self.parse_batch(name, &text).map_err(|e| e.context(file))
    }

    fn parse_batch(&self, name: &str, text: &str) -> Result<BatchJob> {
        let table = overlay::resolve(text, &Settings::default())?;
        if table.contains_key("source") {
            return Err(Error::user(format!("`{name}` is a stream job: it reads a topic, not files")).hint(
                format!("tidemill stream {name}, and tidemill produce {name} --input FILE to fill its topic"),
            ));
        }
        let file = BatchFile::deserialize(toml::Value::Table(table)).map_err(|e| key_error(text, &e))?;
        let [table] = file.tables.as_slice() else {
            return Err(Error::user(format!(
                "a batch job has one [[tables]] entry, this one {}",
                file.tables.len()
            )));
        };
        if !is_plain_name(&table.name) {
            return Err(Error::user(format!(
                "a table's name is letters, digits, `_` and `-`, not `{}`",
                table.name
            )));
        }
        let list = table
            .forms
            .iter()
            .map(|path| Form::parse(path, &self.read(path)?))
            .collect::<Result<Vec<_>>>()?;
        Ok(BatchJob {
            name: name.to_owned(),
            schema_name: name.replace('-', "_"),
            description: file.description,
            forms: Forms { table: table.name.clone(), key: table.key.clone(), list },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn project() -> Project {
        Project::open(Path::new("/nonexistent"))
    }

    #[test]
    fn the_built_in_job_knows_three_forms() {
        let job = project().batch_job("chicago-crimes").unwrap();
        let names: Vec<&str> = job.forms.list.iter().map(|form| form.name.as_str()).collect();
        assert_eq!(names, ["portal", "kaggle", "spreadsheet"]);
        assert_eq!((job.schema_name.as_str(), job.forms.key.as_str()), ("chicago_crimes", "id"));
    }

    #[test]
    fn each_kind_of_job_names_the_verb_of_the_other() {
        let error = project().batch_job("chicago-arrests").unwrap_err();
        assert!(error.next_step().unwrap().contains("tidemill stream chicago-arrests"), "{error}");
        let error = project().job("chicago-crimes", &Settings::default()).unwrap_err();
        assert!(error.next_step().unwrap().contains("tidemill run chicago-crimes"), "{error}");
        let error = project().batch_job("chicago-crime").unwrap_err();
        assert!(error.next_step().unwrap().contains("`chicago-crimes`"), "{error}");
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest() {
        let text = project().read("jobs/chicago-crimes.toml").unwrap().replace("key =", "keys =");
        let error = project().parse_batch("x", &text).unwrap_err();
        assert!(error.next_step().unwrap().contains("`key`"), "{error}");
    }
}
