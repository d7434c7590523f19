//! Batch jobs: inputs, and a folder of SELECTs that become tables. The format is told in [`crate::batch`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::batch_model::{BatchModel, BatchModelFile};
use super::forms::Forms;
use super::input::{InputConfig, InputFile};
use super::key_error;
use super::{Project, is_plain_name, model};
use crate::error::nearest;
use crate::error::{Error, Result};

/// A job that makes tables of files.
#[derive(Debug, Clone)]
pub struct BatchJob {
    /// Name as on the command line: `chicago-crimes`.
    pub name: String,
    /// Name as a SQL schema and folder: `chicago_crimes`.
    pub schema_name: String,
    /// One line that says what the job is.
    pub description: String,
    /// The folder of its SQL in the project.
    pub sql_folder: String,
    /// What is read, by name.
    pub inputs: Vec<InputConfig>,
    /// What is made, by name.
    pub tables: Vec<TableConfig>,
    /// SELECTs of bad rows, by name.
    pub audits: Vec<SqlFile>,
    /// What is learned of its tables and inputs, in the order of the file.
    pub models: Vec<BatchModel>,
}

/// A file with one SELECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlFile {
    /// Name of the file without `.sql`.
    pub name: String,
    /// Path in the project.
    pub path: String,
    /// The first comment.
    pub description: String,
    /// The text.
    pub sql: String,
}

/// One table: its SELECT and its settings.
#[derive(Debug, Clone)]
pub struct TableConfig {
    /// The SELECT; its name is the table's.
    pub file: SqlFile,
    /// How its files are written.
    pub format: TableFormat,
    /// Columns whose values name the folders `column=value` that the rows are in.
    pub partition_by: Vec<String>,
    /// Built-in audits.
    pub audits: TableAudits,
}

/// How a table's files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TableFormat {
    /// Parquet with zstd.
    #[default]
    Parquet,
    /// CSV with a header.
    Csv,
    /// One JSON object a line.
    Json,
}

/// `audits = { … }` of a table: what must hold of its rows.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TableAudits {
    /// Columns without nulls.
    pub not_null: Vec<String>,
    /// Lists of columns whose values together are there once.
    pub unique: Vec<Vec<String>>,
    /// By column, the values that there are; null is always one.
    pub accepted_values: BTreeMap<String, Vec<toml::Value>>,
    /// Columns whose values another table has.
    pub relationships: Vec<Relationship>,
    /// Bounds of the number of rows.
    pub row_count: Option<RowCount>,
}

/// Each value of `column` (nulls aside) is in the column `to`, `table.column`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relationship {
    /// Column of the audited table.
    pub column: String,
    /// `table.column`.
    pub to: String,
}

/// Bounds, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowCount {
    /// Fewest rows.
    pub min: Option<u64>,
    /// Most rows.
    pub max: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchFile {
    #[serde(default)]
    description: String,
    sql: String,
    #[serde(default)]
    inputs: BTreeMap<String, InputFile>,
    #[serde(default)]
    tables: Vec<TableFile>,
    #[serde(default)]
    models: Vec<BatchModelFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TableFile {
    name: String,
    #[serde(default)]
    format: TableFormat,
    #[serde(default)]
    partition_by: Vec<String>,
    #[serde(default)]
    audits: TableAudits,
}

impl SqlFile {
    /// Reads the description out of a file's text.
    pub fn new(path: &str, sql: String) -> SqlFile {
        let name = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".sql").to_owned();
        let first = sql.lines().map_while(|line| line.trim_start().strip_prefix("--")).map(str::trim).next();
        SqlFile { name, path: path.to_owned(), description: first.unwrap_or_default().to_owned(), sql }
    }
}

impl BatchJob {
    /// The forms that the files of the job come in, for who reads such a file row by row.
    ///
    /// # Errors
    /// User: none of the inputs has forms.
    pub fn forms(&self) -> Result<&Forms> {
        self.inputs.iter().find_map(|input| input.forms.as_ref()).ok_or_else(|| {
            Error::user(format!("`{}` has no input with forms", self.name))
                .hint("chicago-crimes shows what forms are")
        })
    }

    /// A table by its name.
    pub fn table(&self, name: &str) -> Option<&TableConfig> {
        self.tables.iter().find(|table| table.file.name == name)
    }
}

impl Project {
    /// The job in a batch job's file, of which `table` is the text with all settings.
    pub(super) fn parse_batch(&self, name: &str, text: &str, table: toml::Table) -> Result<BatchJob> {
        model::check_algorithms(&table)?;
        let file: BatchFile = key_error::read(text, table)?;
        let sql_folder = file.sql.trim_end_matches('/').to_owned();
        let mut sql_files = self.list(&sql_folder)?;
        let mut models = self.batch_models(text, file.models)?;
        // A form is no table, nor are the features of a model.
        sql_files.retain(|path| {
            !file.inputs.values().any(|input| input.forms.contains(path))
                && !models.iter().any(|model| model.spec.config.features == *path)
        });
        let settings = model_audits(&mut models, file.tables)?;
        let tables = self.tables(&sql_folder, &sql_files, settings)?;
        let inputs = file.inputs.into_iter().map(|(input, settings)| {
            let first = tables.first().map_or("", |table| table.file.name.as_str());
            self.input(&input, settings, first).map_err(|e| e.context(format!("[inputs.{input}]")))
        });
        let inputs = inputs.collect::<Result<Vec<_>>>()?;
        if let Some(both) = inputs.iter().find(|input| tables.iter().any(|t| t.file.name == input.name)) {
            return Err(Error::user(format!("`{}` is an input and a table", both.name))
                .hint("a SELECT that reads it could mean either: rename one"));
        }
        let taken = |name: &String| {
            tables.iter().any(|table| table.file.name == *name)
                || inputs.iter().any(|input| input.name == *name)
        };
        for (at, model) in models.iter().enumerate() {
            let own = std::iter::once(model.name().to_owned()).chain(model.tables());
            let of_others = |name: &String| {
                models[..at].iter().any(|other| other.name() == name || other.tables().contains(name))
            };
            if let Some(both) = own.into_iter().find(|name| taken(name) || of_others(name)) {
                return Err(Error::user(format!(
                    "`{both}` is of the model `{}`, and something else",
                    model.name()
                ))
                .hint("a model NAME has the tables NAME_rows and, of clusters, NAME_profile: rename one"));
            }
        }
        Ok(BatchJob {
            name: name.to_owned(),
            schema_name: name.replace('-', "_"),
            description: file.description,
            inputs,
            tables,
            audits: self.sql_files(&sql_files, &format!("{sql_folder}/audits/"))?,
            models,
            sql_folder,
        })
    }

    fn tables(
        &self,
        folder: &str,
        sql_files: &[String],
        settings: Vec<TableFile>,
    ) -> Result<Vec<TableConfig>> {
        let files = self.sql_files(sql_files, &format!("{folder}/"))?;
        if files.is_empty() {
            return Err(Error::user(format!("there is no SQL file in {folder}"))
                .hint("each file of that folder is one SELECT and becomes the table of its name"));
        }
        if let Some(odd) = files.iter().find(|file| !is_sql_name(&file.name)) {
            return Err(Error::user(format!("{}: `{}` is no name of a table", odd.path, odd.name))
                .hint("small letters, digits and `_`, the first a letter"));
        }
        let mut settings = settings;
        let tables = files.into_iter().map(|file| {
            let own = settings.iter().position(|table| table.name == file.name).map(|at| settings.remove(at));
            let (format, partition_by, audits) =
                own.map_or_else(Default::default, |own| (own.format, own.partition_by, own.audits));
            TableConfig { file, format, partition_by, audits }
        });
        let tables: Vec<TableConfig> = tables.collect();
        if let Some(stray) = settings.first() {
            let names = || tables.iter().map(|table| table.file.name.as_str());
            if names().any(|name| name == stray.name) {
                return Err(Error::user(format!("two [[tables]] are called `{}`", stray.name)));
            }
            let near = nearest(&stray.name, names()).map(|near| format!("did you mean `{near}`? "));
            return Err(Error::user(format!("[[tables]] `{}` has no SQL file", stray.name)).hint(format!(
                "{}{folder}/{}.sql would be its SELECT",
                near.unwrap_or_default(),
                stray.name
            )));
        }
        Ok(tables)
    }

    /// The SQL files directly in a folder.
    fn sql_files(&self, paths: &[String], folder: &str) -> Result<Vec<SqlFile>> {
        let direct = paths
            .iter()
            .filter(|path| path.strip_prefix(folder).is_some_and(|name| !name.contains('/')))
            .filter(|path| path.ends_with(".sql"));
        direct.map(|path| Ok(SqlFile::new(path, self.read(path)?))).collect()
    }
}

/// Takes the settings of models' tables out of those of all tables: their audits.
fn model_audits(models: &mut [BatchModel], settings: Vec<TableFile>) -> Result<Vec<TableFile>> {
    let mut left = Vec::new();
    for table in settings {
        let Some(model) = models.iter_mut().find(|model| model.tables().contains(&table.name)) else {
            left.push(table);
            continue;
        };
        if table.format != TableFormat::Parquet || !table.partition_by.is_empty() {
            return Err(Error::user(format!(
                "[[tables]] `{}` is of the model `{}`",
                table.name,
                model.name()
            ))
            .hint("its tables are Parquet without folders; of their settings there are `audits` alone"));
        }
        model.audits.push((table.name, table.audits));
    }
    Ok(left)
}

/// What SQL reads without quotes and a folder may be called.
pub(super) fn is_sql_name(text: &str) -> bool {
    is_plain_name(text)
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use arrow::datatypes::DataType;

    use super::*;
    use crate::project::Settings;

    fn project() -> Project {
        Project::open(Path::new("/nonexistent"))
    }

    fn job(name: &str) -> Result<BatchJob> {
        project().batch_job(name, &Settings::default())
    }

    #[test]
    fn the_built_in_job_knows_three_forms() {
        let job = job("chicago-crimes").unwrap();
        let forms = job.forms().unwrap();
        let names: Vec<&str> = forms.list.iter().map(|form| form.name.as_str()).collect();
        assert_eq!(names, ["portal", "kaggle", "spreadsheet"]);
        assert_eq!((job.schema_name.as_str(), forms.key.as_str()), ("chicago_crimes", "id"));
        let tables: Vec<&str> = job.tables.iter().map(|table| table.file.name.as_str()).collect();
        assert_eq!((tables.as_slice(), forms.table.as_str()), (["crimes"].as_slice(), "crimes"));
    }

    #[test]
    fn each_kind_of_job_names_the_verb_of_the_other() {
        let error = job("chicago-arrests").unwrap_err();
        assert!(error.next_step().unwrap().contains("tidemill stream chicago-arrests"), "{error}");
        let error = project().stream_job("chicago-crimes", &Settings::default()).unwrap_err();
        assert!(error.next_step().unwrap().contains("tidemill run chicago-crimes"), "{error}");
        let error = job("chicago-crime").unwrap_err();
        assert!(error.next_step().unwrap().contains("`chicago-crimes`"), "{error}");
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest() {
        let text = project().read("jobs/chicago-crimes.toml").unwrap().replace("key =", "keys =");
        let error = project().parse_batch("x", &text, text.parse().unwrap()).unwrap_err();
        assert!(error.next_step().unwrap().contains("`key`"), "{error}");
    }

    fn written(toml: &str, files: &[(&str, &str)]) -> Result<BatchJob> {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files.iter().chain([&("jobs/j.toml", toml)]) {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Project::open(folder.path()).batch_job("j", &Settings::default())
    }

    const SQL: (&str, &str) = ("sql/j/wide.sql", "-- All of it.\n-- more\nSELECT * FROM a");

    #[test]
    fn a_table_is_a_file_and_its_settings() {
        let toml = "sql = \"sql/j/\"\n[inputs.a]\npath = \"a.csv\"\ntypes = { p = \"DECIMAL(10,2)\" }\n[[tables]]\n\
            name = \"wide\"\nformat = \"csv\"\naudits = { not_null = [\"p\"], row_count = { min = 1 } }";
        let job = written(toml, &[SQL, ("sql/j/audits/none.sql", "SELECT 1")]).unwrap();
        let table = job.table("wide").unwrap();
        assert_eq!((table.file.description.as_str(), table.format), ("All of it.", TableFormat::Csv));
        assert_eq!(table.audits.row_count, Some(RowCount { min: Some(1), max: None }));
        assert_eq!(job.inputs[0].types["p"], DataType::Decimal128(10, 2));
        assert_eq!((job.tables.len(), job.audits[0].name.as_str()), (1, "none"));
    }

    #[test]
    fn a_value_of_another_type_is_told_with_line_key_and_form() {
        let head = "sql = \"sql/j\"\n[inputs.a]\npath = \"a.csv\"\n";
        let wide = "[[tables]]\nname = \"wide\"\n";
        for (toml, says, form) in [
            (
                format!("{wide}audits = {{ not_null = [\"p\"], unique = [\"day\"] }}"),
                "jobs/j.toml: line 6: `unique`: string \"day\", where an array `[…]` is expected",
                "unique = [[\"column\"]",
            ),
            (
                format!("{wide}audits = {{ accepted_values = {{ state = \"SP\" }} }}"),
                "line 6: `state`: string \"SP\", where an array `[…]` is expected",
                "accepted_values = { column = [",
            ),
            (
                format!("{wide}[tables.audits]\nrow_count = {{ min = -1 }}"),
                "line 7: `min`: invalid value: integer `-1`",
                "row_count = { min = 1",
            ),
            (
                "[tables]\nname = \"wide\"".to_owned(),
                "line 4: `tables`: a table, where an array `[…]` is expected",
                "[[tables]], with two brackets",
            ),
            (
                "row_number = true".to_owned(),
                "line 4: `row_number`: `true`, where a string is expected",
                "README",
            ),
            (
                "format = \"xlsx\"".to_owned(),
                "line 4: `format`: unknown variant `xlsx`, expected one of `csv`",
                "README",
            ),
        ] {
            let error = written(&format!("{head}{toml}"), &[SQL]).unwrap_err();
            assert!(error.to_string().contains(says), "{toml}: {error}");
            assert!(
                error.next_step().is_some_and(|step| step.contains(form)),
                "{toml}: {:?}",
                error.next_step()
            );
        }
    }

    #[test]
    fn what_does_not_fit_together_is_refused_with_a_next_step() {
        let head = "sql = \"sql/j\"\n";
        for (toml, says) in [
            ("[inputs.wide]\npath = \"a.csv\"", "is an input and a table"),
            ("[[tables]]\nname = \"wid\"", "has no SQL file"),
            ("[inputs.a]\npath = \"a.csv\"\ntypes = { p = \"MONEY\" }", "p"),
            ("[inputs.A]\npath = \"a.csv\"", "is no name"),
            ("[inputs.a]\nkey = \"id\"", "`forms`"),
        ] {
            let error = written(&format!("{head}{toml}"), &[SQL]).unwrap_err();
            assert!(error.to_string().contains(says), "{toml}: {error}");
        }
        let error = written("sql = \"sql/none\"", &[SQL]).unwrap_err();
        assert!(error.to_string().contains("no SQL file in sql/none"), "{error}");
    }
}
