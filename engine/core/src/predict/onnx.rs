//! A version of a model as a file of ONNX.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use chrono::Utc;
use serde_json::Value;
use tidemill_ml::Fitted;
use tidemill_ml::onnx::Export;

use super::scorer::table_of;
use crate::error::{Context, Error, Result};
use crate::lake::Lake;
use crate::registry::{Entry, ModelRef, Registry};
use crate::rowwise::RowSql;
use crate::table::read::{committed_files, read_rows, read_schema};

/// A version of a model as the bytes of a file, and which one it is; the same version is the same bytes.
///
/// Trees keep hashes of rare categories, and a file of ONNX wants their names: these are looked up in the job's table. Of a batch
/// job `of_batch` finds them in the rows that the version was trained on, by the names of its text features.
///
/// # Errors
/// User: there is no such model or version, or a part of it has no form in ONNX; Storage or Corrupt: the lake.
pub async fn onnx(
    lake: &Lake,
    name: &ModelRef,
    of_batch: impl AsyncFnOnce(&Entry, &[String]) -> Result<BTreeMap<String, Vec<String>>>,
) -> Result<(Vec<u8>, Entry)> {
    let registry = Registry::open(lake, &name.job)?;
    let entry = registry.find(&name.model, &name.at)?;
    let model = registry.load(&entry)?;
    let mut export = Export {
        name: format!("{}.{}", entry.job, entry.outcome.name),
        doc: doc(&registry, &entry, &model)?,
        classes: class_names(&entry.outcome.classes),
        ..Export::default()
    };
    let file = match export.file(&model) {
        Err(tidemill_ml::Error::NotInOnnx { .. }) if !model.categorical_names().is_empty() => {
            export.categories = match registry.is_batch() {
                true => of_batch(&entry, model.categorical_names()).await?,
                false => categories(lake, &registry, &entry, &model).await?,
            };
            export.file(&model)
        }
        file => file,
    };
    let file = file
        .map_err(Error::from)
        .context_with(|| format!("model `{}`, version {}", entry.outcome.name, entry.version))?;
    Ok((file, entry))
}

/// The names of classes; none where they are their numbers, or false and true.
fn class_names(classes: &[Value]) -> Vec<String> {
    let is_its_number = |(number, class): (usize, &Value)| match class {
        Value::Bool(class) => usize::from(*class) == number,
        class => class.as_f64() == Some(number as f64),
    };
    match classes.iter().enumerate().all(is_its_number) {
        true => Vec::new(),
        false => {
            let name = |class: &Value| class.as_str().map_or_else(|| class.to_string(), str::to_owned);
            classes.iter().map(name).collect()
        }
    }
}

/// What is said of a model in its file.
fn doc(registry: &Registry, entry: &Entry, model: &Fitted) -> Result<String> {
    let spec = registry.spec(entry)?;
    Ok(format!(
        "Tidemill model {}.{}, version {}: {}, of {} rows, seed {}.\nIts inputs are what this SELECT makes:\n{}",
        entry.job,
        entry.outcome.name,
        entry.version,
        entry.outcome.algorithm.name(),
        model.training_rows(),
        entry.outcome.seed,
        spec.features_sql.trim()
    ))
}

/// By text feature, all that the job's table has of it.
async fn categories(
    lake: &Lake,
    registry: &Registry,
    entry: &Entry,
    model: &Fitted,
) -> Result<BTreeMap<String, Vec<String>>> {
    let spec = registry.spec(entry)?;
    let table = table_of(&spec)?;
    let files = committed_files(lake, &entry.job, &format!("{}.{table}", entry.job))?;
    let Some(newest) = files.last() else { return Ok(BTreeMap::new()) };
    let sql = RowSql::new(&spec.features_sql, &table, read_schema(lake, newest)?, &[]).await?;
    let mut found = Categories::of(model.categorical_names());
    let now = Utc::now();
    for file in &files {
        found.add(&sql.run(&read_rows(lake, file)?, now).await?.rows)?;
    }
    Ok(found.listed())
}

/// By text feature, all that some rows have of it.
pub(crate) struct Categories<'a> {
    names: &'a [String],
    found: BTreeMap<String, BTreeSet<String>>,
}

impl<'a> Categories<'a> {
    pub(crate) fn of(names: &'a [String]) -> Categories<'a> {
        Categories { names, found: BTreeMap::new() }
    }

    /// Looks at more rows.
    ///
    /// # Errors
    /// Data: a column is no text.
    pub(crate) fn add(&mut self, rows: &RecordBatch) -> Result<()> {
        for name in self.names {
            let Some(column) = rows.column_by_name(name) else { continue };
            let texts = cast(column, &DataType::Utf8)?;
            let known = self.found.entry(name.clone()).or_default();
            for text in texts.as_string::<i32>().iter().flatten() {
                if !known.contains(text) {
                    known.insert(text.to_owned());
                }
            }
        }
        Ok(())
    }

    /// In the order of their names.
    pub(crate) fn listed(self) -> BTreeMap<String, Vec<String>> {
        self.found.into_iter().map(|(name, texts)| (name, texts.into_iter().collect())).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::class_names;

    #[test]
    fn classes_are_named_where_they_are_not_their_numbers() {
        for (classes, names) in [
            (json!([]), vec![]),
            (json!([false, true]), vec![]),
            (json!([0, 1.0, 2]), vec![]),
            (json!(["no", "yes"]), vec!["no", "yes"]),
            (json!([7, 9]), vec!["7", "9"]),
            (json!([true, false]), vec!["true", "false"]),
        ] {
            assert_eq!(class_names(classes.as_array().unwrap()), names, "{classes}");
        }
    }
}
