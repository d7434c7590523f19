//! The forms that a table's files come in, and which of them a file has.
//!
//! A form is a SQL file. Its first comment says what it is; `-- header:` is the header line that such files have, and
//! `-- optional:` headings that some of them have too. The order of the columns does not matter, and a file may have
//! others besides.

use crate::error::{Error, Result};

/// One form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// Name of its file, without folder and `.sql`.
    pub name: String,
    /// Path in the project.
    pub path: String,
    /// The first comment.
    pub description: String,
    /// Headings that a file of this form has.
    pub header: Vec<String>,
    /// Headings that it may have.
    pub optional: Vec<String>,
    /// The SELECT.
    pub sql: String,
}

impl Form {
    /// Reads the comments above the SELECT.
    ///
    /// # Errors
    /// User: there is no `-- header:` line.
    pub fn parse(path: &str, sql: &str) -> Result<Form> {
        let comments: Vec<&str> =
            sql.lines().map_while(|line| line.trim_start().strip_prefix("--")).map(str::trim).collect();
        let list = |key: &str| {
            let line = comments.iter().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            line.map(|names| headings(names.trim()))
        };
        let header = list("header").filter(|names| !names.is_empty()).ok_or_else(|| {
            Error::user(format!("{path} does not say which files it reads"))
                .hint("above the SELECT: `-- header: ` and the header line of such files")
        })?;
        let name = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".sql");
        Ok(Form {
            name: name.to_owned(),
            path: path.to_owned(),
            description: comments.first().copied().unwrap_or_default().to_owned(),
            header,
            optional: list("optional").unwrap_or_default(),
            sql: sql.to_owned(),
        })
    }

    /// Columns of the table `input`: the named headings. One without a name cannot be asked for in SQL.
    pub(crate) fn columns(&self) -> Vec<String> {
        self.header.iter().chain(&self.optional).filter(|name| !name.is_empty()).cloned().collect()
    }

    fn missing<'a>(&'a self, header: &[String]) -> Vec<&'a str> {
        self.header.iter().filter(|name| !header.contains(name)).map(String::as_str).collect()
    }
}

/// All forms of one table.
#[derive(Debug, Clone)]
pub struct Forms {
    /// The table's name.
    pub table: String,
    /// The column that a row is known by.
    pub key: String,
    /// The forms, as the job lists them.
    pub list: Vec<Form>,
}

impl Forms {
    /// The form of a file with these headings: the one whose headings it has, and of several the one with most of them.
    ///
    /// # Errors
    /// User: it has none; the nearest is named with what it lacks, and all known ones are listed.
    pub(crate) fn recognise(&self, header: &[String]) -> Result<&Form> {
        let fits = self.list.iter().filter(|form| form.missing(header).is_empty());
        if let Some(form) = fits.max_by_key(|form| form.header.len()) {
            return Ok(form);
        }
        let near = self
            .list
            .iter()
            .min_by_key(|form| form.missing(header).len())
            .filter(|form| form.missing(header).len() * 2 < form.header.len());
        let what = match near {
            Some(form) => {
                let missing = form.missing(header);
                format!(
                    "the header is of no known form: for `{}` it lacks the column{} {}",
                    form.name,
                    if missing.len() == 1 { "" } else { "s" },
                    missing
                        .iter()
                        .map(|n| if n.is_empty() { "\"\"" } else { n })
                        .collect::<Vec<_>>()
                        .join(", ")
                )
            }
            None => "the header is of no known form".to_owned(),
        };
        let known: Vec<String> = self
            .list
            .iter()
            .map(|form| format!("{}: {}\n  {}", form.name, form.description, form.header.join(",")))
            .collect();
        Err(Error::user(what).hint(format!("the known forms are\n{}", known.join("\n"))))
    }
}

/// The cells of a line of headings; empty if it is none.
fn headings(line: &str) -> Vec<String> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).trim(csv::Trim::All).from_reader(line.as_bytes());
    let cells = reader.records().next().and_then(std::result::Result::ok).unwrap_or_default();
    cells.iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_comments_say_what_a_form_is() {
        let form =
            Form::parse("sql/x/two.sql", "-- Two columns.\n-- header: ,A,\"B, C\"\n-- optional: D\nSELECT 1")
                .unwrap();
        assert_eq!((form.name.as_str(), form.description.as_str()), ("two", "Two columns."));
        assert_eq!(form.header, ["", "A", "B, C"]);
        assert_eq!(form.columns(), ["A", "B, C", "D"]);
        let error = Form::parse("sql/x/none.sql", "-- No header.\nSELECT 1\n-- header: A").unwrap_err();
        assert!(error.to_string().contains("sql/x/none.sql") && error.next_step().is_some(), "{error}");
    }
}
