//! `[inputs.NAME]` of a batch job: files that are read, and how.

use std::collections::BTreeMap;
use std::fmt;

use arrow::datatypes::{DataType, TimeUnit};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::batch::is_sql_name;
use super::csv_options::{CsvKeys, CsvOptions};
use super::forms::{Form, Forms};
use super::{Project, schema};
use crate::error::{Error, Result};

/// One `[inputs.NAME]`.
#[derive(Debug, Clone, Default)]
pub struct InputConfig {
    /// Name of the table that SELECTs read.
    pub name: String,
    /// File, glob or hive folder; without it, `--input` names the files.
    pub path: Option<String>,
    /// How the files are written; without it, their names say it.
    pub format: Option<InputFormat>,
    /// Types of cells by heading. What is not here is text.
    pub types: BTreeMap<String, DataType>,
    /// The types as they are written in the job, which decides whether a table is built again.
    pub types_text: BTreeMap<String, String>,
    /// `types = "auto"`: the types of cells are found in all of them.
    pub auto_types: bool,
    /// Label of the text's encoding, as browsers know it; UTF-8 without it.
    pub encoding: Option<String>,
    /// How CSV is written.
    pub csv: CsvOptions,
    /// Which columns there are, where the files do not have the same.
    pub columns: Option<FileColumns>,
    /// Name of a column that counts the rows of a file from 1.
    pub row_number: Option<String>,
    /// Name of a column that has the path of the file that a row is from.
    pub file_name: Option<String>,
    /// What a bad row does.
    pub on_error: OnError,
    /// The forms that the files come in, each with a SELECT that makes rows of text cells.
    pub forms: Option<Forms>,
}

impl InputConfig {
    /// What a number counts that is a time of this column; `None` where its type does not say it.
    pub(crate) fn number_unit(&self, column: &str) -> Option<TimeUnit> {
        schema::number_unit_of(self.types_text.get(column)?)
    }
}

/// How an input's files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InputFormat {
    /// Cells between commas.
    Csv,
    /// Cells between tabs.
    Tsv,
    /// One JSON object a line.
    Json,
    /// Parquet.
    Parquet,
}

impl InputFormat {
    /// Whether it is CSV, between whatever.
    pub fn is_text(self) -> bool {
        matches!(self, InputFormat::Csv | InputFormat::Tsv)
    }
}

/// Which columns an input has whose files do not have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileColumns {
    /// Those of the first file.
    First,
    /// All, by their names.
    Union,
}

/// What a row that cannot be read does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The tables that read it are not built.
    #[default]
    Fail,
    /// It is left out, counted, and kept in `system.dead_letters`.
    DeadLetter,
}

/// The keys as they are written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InputFile {
    path: Option<String>,
    format: Option<InputFormat>,
    #[serde(default)]
    types: Types,
    encoding: Option<String>,
    delimiter: Option<String>,
    quote: Option<String>,
    escape: Option<String>,
    header: Option<bool>,
    skip_rows: Option<u64>,
    comment: Option<String>,
    null_values: Option<Vec<String>>,
    decimal_comma: Option<bool>,
    thousands: Option<String>,
    columns: Option<FileColumns>,
    row_number: Option<String>,
    file_name: Option<String>,
    #[serde(default)]
    on_error: OnError,
    #[serde(default)]
    pub(super) forms: Vec<String>,
    key: Option<String>,
}

/// `types`: by column, or `"auto"`.
#[derive(Debug)]
enum Types {
    Auto,
    By(BTreeMap<String, String>),
}

impl Default for Types {
    fn default() -> Types {
        Types::By(BTreeMap::new())
    }
}

impl<'de> Deserialize<'de> for Types {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Types, D::Error> {
        struct Written;
        impl<'de> Visitor<'de> for Written {
            type Value = Types;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table `{…}` of types, or \"auto\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> std::result::Result<Types, E> {
                match text {
                    "auto" => Ok(Types::Auto),
                    other => Err(E::invalid_type(Unexpected::Str(other), &self)),
                }
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> std::result::Result<Types, M::Error> {
                BTreeMap::deserialize(MapAccessDeserializer::new(map))
                    .map(Types::By)
                    .map_err(M::Error::custom)
            }
        }
        deserializer.deserialize_any(Written)
    }
}

impl Project {
    /// An input of a job whose first table has this name.
    ///
    /// # Errors
    /// User: a name or type that is none, keys that do not go together, a form that does not say what it reads.
    pub(super) fn input(&self, name: &str, file: InputFile, first_table: &str) -> Result<InputConfig> {
        if !is_sql_name(name) {
            return Err(Error::user(format!("`{name}` is no name of a table"))
                .hint("small letters, digits and `_`, the first a letter"));
        }
        let (auto_types, types_text) = match file.types {
            Types::Auto => (true, BTreeMap::new()),
            Types::By(types) => (false, types),
        };
        let types =
            types_text.iter().map(|(column, text)| Ok((column.clone(), schema::sql_type(column, text)?)));
        let types = types.collect::<Result<_>>()?;
        let csv = CsvKeys {
            delimiter: file.delimiter,
            quote: file.quote,
            escape: file.escape,
            header: file.header,
            skip_rows: file.skip_rows,
            comment: file.comment,
            null_values: file.null_values,
            decimal_comma: file.decimal_comma,
            thousands: file.thousands,
        };
        let csv = csv.options()?;
        let forms = match (file.forms.is_empty(), file.key) {
            (true, None) => None,
            (true, Some(_)) => return Err(Error::user("`key` is for an input with `forms`")),
            (false, None) => {
                return Err(Error::user("`forms` needs `key`, the column that a row is known by"));
            }
            (false, Some(key)) => {
                let list = file
                    .forms
                    .iter()
                    .map(|path| Form::parse(path, &self.read(path)?))
                    .collect::<Result<Vec<_>>>()?;
                Some(Forms { table: first_table.to_owned(), key, list })
            }
        };
        if forms.is_some()
            && (file.format.is_some()
                || !types_text.is_empty()
                || auto_types
                || file.encoding.is_some()
                || csv != CsvOptions::default()
                || file.columns.is_some()
                || file.row_number.is_some()
                || file.file_name.is_some())
        {
            return Err(Error::user(
                "an input with `forms` has no format, types, encoding, row_number, file_name, columns or keys of CSV: its SELECTs say it all",
            ));
        }
        Ok(InputConfig {
            name: name.to_owned(),
            path: file.path,
            format: file.format,
            types,
            types_text,
            auto_types,
            encoding: file.encoding,
            csv,
            columns: file.columns,
            row_number: file.row_number,
            file_name: file.file_name,
            on_error: file.on_error,
            forms,
        })
    }
}
