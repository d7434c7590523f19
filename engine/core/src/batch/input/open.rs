//! An input before it is read: its files, and the columns that they have.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use encoding_rs::Encoding;

use super::find::Namer;
use super::strict::words;
use super::{
    EXPANSION, Input, InputFile, archive, bytes, csv, find, forms, infer, json_kinds, nulls, parquet,
};
use crate::error::{Error, Result, io_error};
use crate::error::{nearest, suggestion};
use crate::project::{CsvOptions, FileColumns, InputConfig, InputFormat};

/// What an input says of files whose columns differ.
const WHICH_COLUMNS: &str = "files of an input have the same columns, in any order; columns = \"first\" drops those that the first file has not, columns = \"union\" takes all of them, null where a file has none";

/// What it says of a file that lacks one: columns = "first" drops, but adds none.
const UNION: &str = "files of an input have the columns of the first, in any order; columns = \"union\" takes those of all, null where a file has none";

impl Input {
    /// Finds the files and reads their headers. `given` are the files of `--input`, instead of the job's path.
    ///
    /// # Errors
    /// User: no file, no header, a typed column that the file lacks (the nearest is named), files whose columns differ;
    /// Data: unreadable.
    pub(in crate::batch) async fn open(
        config: &InputConfig,
        given: Option<&[PathBuf]>,
        job: &str,
    ) -> Result<Input> {
        let encoding = bytes::encoding(config.encoding.as_deref())?;
        let found = match (given, &config.path) {
            (Some(paths), _) => {
                let mut all = Vec::new();
                for path in paths {
                    all.extend(find::find(&path.to_string_lossy(), Namer::Job)?);
                }
                find::distinct(&all)?;
                all
            }
            (None, Some(path)) => find::find(path, Namer::Job)?,
            (None, None) => {
                return Err(Error::user(format!(
                    "`{job}` has no file to read for its input `{}`",
                    config.name
                ))
                .hint(format!("tidemill run {job} --input {}=FILE…", config.name)));
            }
        };
        let mut files = Vec::with_capacity(found.len());
        for found in found {
            files.push(file(config, found)?);
        }
        if let Some(forms) = &config.forms {
            let schema = forms::schema(forms, &files).await?;
            let own_columns = schema.fields().len();
            let config = config.clone();
            return Ok(Input { config, files, schema, encoding, own_columns, found_types: None });
        }
        let mut config = config.clone();
        let mut fields = own_fields(&config, encoding, &mut files)?;
        let own_columns = fields.len();
        let mut found_types = None;
        let is_text = files.first().is_some_and(|file| file.format.is_text());
        if config.auto_types && is_text {
            let found = infer::types(&config, &files, encoding)?;
            for field in &mut fields {
                let kind = found.get(field.name()).cloned().unwrap_or(DataType::Utf8);
                *field = Field::new(field.name(), kind, true);
            }
            let told = fields.iter().map(|field| {
                let kind = match field.data_type() {
                    DataType::Utf8 => "TEXT".to_owned(),
                    other => words(other),
                };
                format!("{} {}", field.name(), kind.split(' ').next().unwrap_or_default())
            });
            found_types = Some(told.collect::<Vec<_>>().join(", "));
            config.types = found;
        }
        fields.extend(config.row_number.iter().map(|name| Field::new(name, DataType::Int64, false)));
        let folders = files.first().map(|file| file.partition.clone()).unwrap_or_default();
        for (column, _) in folders {
            let kind = config.types.get(&column).cloned().unwrap_or(DataType::Utf8);
            fields.push(Field::new(column, kind, true));
        }
        let mut seen = HashSet::new();
        if let Some(twice) = fields.iter().find(|field| !seen.insert(field.name())) {
            return Err(Error::user(format!("there are two columns `{}`", twice.name()))
                .context(files.first().map(|file| file.path.display().to_string()).unwrap_or_default())
                .hint("rename one of them in the file, or the job's row_number or file_name"));
        }
        if let Some(typed) = config.types_text.keys().find(|typed| !seen.contains(typed)) {
            let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
            return Err(Error::user(format!("there is no column `{typed}`, which the job gives a type"))
                .context(files.first().map(InputFile::headed).unwrap_or_default())
                .hint(suggestion(typed, "columns", &names)));
        }
        let schema = Arc::new(Schema::new(fields));
        Ok(Input { config, files, schema, encoding, own_columns, found_types })
    }

    /// Files that a statement names itself, with types as they are found in them and the delimiter that they seem to have.
    ///
    /// # Errors
    /// User: no such file, one that does not say how it is written, files whose columns differ; Data: unreadable.
    pub(super) async fn look(path: &str, auto_types: bool) -> Result<Input> {
        let mut config = InputConfig {
            name: path.to_owned(),
            path: Some(path.to_owned()),
            auto_types,
            ..InputConfig::default()
        };
        let first = find::find(path, Namer::Statement)?.into_iter().next();
        let first = first.map(|first| file(&config, first)).transpose()?;
        if let Some(first) = first.filter(|file| file.format.is_text()) {
            config.csv.delimiter = csv::other_delimiter(&first, &config.csv, bytes::encoding(None)?)?;
        }
        Input::open(&config, None, "").await.map_err(|error| match error.next_step() {
            Some(step) if step == WHICH_COLUMNS || step.ends_with(UNION) => {
                error.hint("name one of them, or read them as the input of a job: jobs/README.md")
            }
            _ => error,
        })
    }
}

/// A file that was found, not yet opened.
fn file(config: &InputConfig, found: find::Found) -> Result<InputFile> {
    let size = std::fs::metadata(&found.path).map_err(|e| io_error("read", &found.path, &e))?.len();
    let format = match config.format {
        Some(format) => format,
        None if config.forms.is_some() => InputFormat::Csv,
        None => {
            format_of(&found.path, &found.path).or_else(|error| match archive::zipped_name(&found.path)? {
                Some(inside) => format_of(&PathBuf::from(inside), &found.path),
                None => Err(error),
            })?
        }
    };
    if !format.is_text() && config.csv != CsvOptions::default() {
        return Err(Error::user(
            "keys of CSV (delimiter, header, null_values and others) for a file that is none",
        )
        .context(found.path.display().to_string())
        .hint("take them out of the job, or say how the file is written: format = \"csv\""));
    }
    let is_packed = format == InputFormat::Parquet || bytes::is_compressed(&found.path);
    // As if the file was in a folder of its name: that is how its rows are told from those of others.
    let named = config.file_name.iter().map(|name| (name.clone(), found.path.display().to_string()));
    let partition = found.partition.into_iter().chain(named).collect();
    Ok(InputFile {
        path: found.path,
        bytes: size,
        text_bytes: if is_packed { size * EXPANSION } else { size },
        format,
        partition,
        header: Vec::new(),
        header_line: 0,
        is_checked: false,
        is_strict: false,
    })
}

/// The columns of the files, and their headings: those of the first file, which the others have too, in any order; or all,
/// where the job says so.
///
/// # Errors
/// User: no header, files whose columns differ; Data: unreadable.
pub(super) fn own_fields(
    config: &InputConfig,
    encoding: &'static Encoding,
    files: &mut [InputFile],
) -> Result<Vec<Field>> {
    let mut own: Vec<Field> = Vec::new();
    let mut kinds = json_kinds::Kinds::default();
    let first = files.first().map(|file| (file.format, file.path.clone()));
    let is_of_many = files.len() > 1;
    let first_path = first.as_ref().map_or(Path::new(""), |(_, path)| path);
    for (at, file) in files.iter_mut().enumerate() {
        if let Some((_, first)) = first.as_ref().filter(|(format, _)| *format != file.format) {
            return Err(Error::user(format!(
                "{} is written otherwise: the files of an input are all written alike",
                first.display()
            ))
            .context(file.path.display().to_string()));
        }
        let mut fields: Vec<Field> = match file.format {
            InputFormat::Csv | InputFormat::Tsv => {
                let header = csv::header(file, &config.csv, encoding)?;
                (file.header, file.header_line) = (header.names, header.line);
                let kind = |name: &String| config.types.get(name).cloned().unwrap_or(DataType::Utf8);
                file.header.iter().map(|name| Field::new(name, kind(name), true)).collect()
            }
            InputFormat::Json => {
                kinds.add(config, file, encoding)?;
                continue;
            }
            InputFormat::Parquet => parquet::fields(config, file)?,
        };
        if at > 0 && config.columns != Some(FileColumns::Union) {
            same_columns(&own, &fields, first_path, file, config.columns)?;
        }
        let mut seen = HashSet::new();
        if let Some(twice) = fields.iter().find(|field| !seen.insert(field.name())) {
            return Err(Error::user(format!("there are two columns `{}`", twice.name()))
                .context(file.headed())
                .hint("rename one of them in the file"));
        }
        if is_of_many {
            nulls::open_fields(&mut fields);
        }
        if at == 0 {
            own = fields;
            continue;
        }
        if file.format == InputFormat::Parquet {
            same_types(config, &own, &fields, first_path, file)?;
            nulls::fill(&mut own, &fields);
        }
        if config.columns == Some(FileColumns::Union) {
            let mut places: HashMap<String, usize> =
                own.iter().enumerate().map(|(at, field)| (field.name().clone(), at)).collect();
            for field in fields {
                match places.get(field.name()) {
                    None => {
                        places.insert(field.name().clone(), own.len());
                        own.push(field);
                    }
                    // A column of objects may have more fields.
                    Some(known) => {
                        let kind = nulls::widened(own[*known].data_type(), field.data_type());
                        own[*known].set_data_type(kind);
                    }
                }
            }
        }
    }
    let mut own = kinds.fields(config).unwrap_or(own);
    nulls::settle(&mut own, files)?;
    Ok(own)
}

/// The first of some columns, or of the fields of objects in them (`a.b`), that others lack. What is null everywhere may have
/// any fields.
pub(super) fn lacking(columns: &[Field], others: &[Field]) -> Option<String> {
    let known: HashMap<&str, &Field> = columns.iter().map(|field| (field.name().as_str(), field)).collect();
    let mut lacked: Vec<String> = others.iter().filter_map(|field| lacks(&known, field)).collect();
    lacked.sort_unstable();
    lacked.into_iter().next()
}

fn lacks(known: &HashMap<&str, &Field>, other: &Field) -> Option<String> {
    let Some(own) = known.get(other.name().as_str()) else { return Some(other.name().clone()) };
    let (mut own, mut other_kind) = (own.data_type(), other.data_type());
    while let (Some(item), Some(other_item)) = (item_of(own), item_of(other_kind)) {
        (own, other_kind) = (item, other_item);
    }
    let (DataType::Struct(own), DataType::Struct(others)) = (own, other_kind) else { return None };
    let known: HashMap<&str, &Field> =
        own.iter().map(|field| (field.name().as_str(), field.as_ref())).collect();
    let lacked = others.iter().filter_map(|field| lacks(&known, field)).min();
    lacked.map(|inner| format!("{}.{inner}", other.name()))
}

/// The type of the items of a list.
fn item_of(kind: &DataType) -> Option<&DataType> {
    match kind {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            Some(item.data_type())
        }
        _ => None,
    }
}

/// Whether a later file has the columns of the first; others are dropped where the job says so.
fn same_columns(
    own: &[Field],
    fields: &[Field],
    first: &Path,
    file: &InputFile,
    columns: Option<FileColumns>,
) -> Result<()> {
    let added = lacking(own, fields);
    if let Some(missing) = lacking(fields, own) {
        let others = fields.iter().map(|field| field.name().as_str());
        let near = nearest(&missing, others.filter(|name| own.iter().all(|field| field.name() != name)));
        let near = near.map(|near| format!("is it `{near}`? ")).unwrap_or_default();
        return Err(Error::user(format!("there is no column `{missing}`, which {} has", first.display()))
            .context(file.headed())
            .hint(format!("{near}{UNION}")));
    }
    match added.filter(|_| columns.is_none()) {
        Some(added) => Err(added_column(&added, first, file)),
        None => Ok(()),
    }
}

/// Whether the columns of a later Parquet file are of types whose values those of the first hold, where the job gives none:
/// parts of a second and of a float are not looked at again.
fn same_types(
    config: &InputConfig,
    own: &[Field],
    fields: &[Field],
    first: &Path,
    file: &InputFile,
) -> Result<()> {
    for field in fields.iter().filter(|field| !config.types.contains_key(field.name())) {
        let Some(known) = own.iter().find(|known| known.name() == field.name()) else { continue };
        let (ours, theirs) = (known.data_type(), field.data_type());
        if !may_hold(ours, theirs) {
            return Err(Error::user(format!(
                "the column `{}` is {theirs} here, {ours} in {}",
                field.name(),
                first.display()
            ))
            .context(file.headed())
            .hint("write the files alike, give the column a type in the job, or read them as two inputs"));
        }
    }
    Ok(())
}

/// Whether values of another type can be read as a type, or are found out one by one where they cannot.
fn may_hold(ours: &DataType, theirs: &DataType) -> bool {
    use DataType::{Dictionary, Duration, Float16, Float32, List, Null, Struct, Time32, Time64, Timestamp};
    let finer = |a: &TimeUnit, b: &TimeUnit| a >= b;
    match (ours, theirs) {
        (Null, _) | (_, Null) => true,
        (a, b) if a == b => true,
        (Dictionary(_, a), b) => may_hold(a, b),
        (a, Dictionary(_, b)) => may_hold(a, b),
        // More fields are those of `columns`.
        (Struct(a), Struct(b)) => a.iter().all(|field| {
            b.iter()
                .find(|other| other.name() == field.name())
                .is_none_or(|other| may_hold(field.data_type(), other.data_type()))
        }),
        (List(a), List(b)) => may_hold(a.data_type(), b.data_type()),
        (a, b) if a.is_nested() || b.is_nested() => is_alike(a, b),
        (
            Timestamp(a, _) | Time32(a) | Time64(a) | Duration(a),
            Timestamp(b, _) | Time32(b) | Time64(b) | Duration(b),
        ) => finer(a, b),
        (Float16, _) => false,
        (Float32, b) => {
            matches!(b, Float16)
                || matches!(b, DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16)
        }
        _ => true,
    }
}

/// The same type, whatever may be null in it and however its parts are called.
fn is_alike(ours: &DataType, theirs: &DataType) -> bool {
    ours.is_null() || theirs.is_null() || ours.equals_datatype(theirs)
}

pub(super) fn added_column(added: &str, first: &Path, file: &InputFile) -> Error {
    Error::user(format!("there is a column `{added}`, which {} has not", first.display()))
        .context(file.headed())
        .hint(WHICH_COLUMNS)
}

impl InputFile {
    /// Where its columns are told.
    pub(in crate::batch) fn headed(&self) -> String {
        match self.format.is_text() {
            true => format!("{}, line {}", self.path.display(), self.header_line),
            false => self.path.display().to_string(),
        }
    }
}

/// The format that a file's name says, before the ending of a compression, or that of the one file in the archive `file`.
fn format_of(named: &Path, file: &Path) -> Result<InputFormat> {
    let name = named.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let plain = [".gz", ".zst", ".bz2", ".xz", ".zip"]
        .iter()
        .find_map(|ending| name.strip_suffix(ending))
        .unwrap_or(&name);
    match plain.rsplit_once('.').map(|(_, ending)| ending) {
        Some("csv") => Ok(InputFormat::Csv),
        Some("tsv" | "tab") => Ok(InputFormat::Tsv),
        Some("json" | "jsonl" | "ndjson") => Ok(InputFormat::Json),
        Some("parquet") => Ok(InputFormat::Parquet),
        _ => Err(Error::user(format!("the name of {} does not say how it is written", file.display()))
            .hint("say it in the job: format = \"csv\", \"tsv\", \"json\" or \"parquet\"")),
    }
}
