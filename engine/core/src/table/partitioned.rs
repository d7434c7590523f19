//! A table of which some columns are in the names of its files' folders, `month=3/state=IL`, as Hive writes them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray, StringArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::datasource::TableType;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::object_store::ObjectMeta;
use datafusion::physical_plan::ExecutionPlan;
use percent_encoding::percent_decode_str;

use super::scan::{LakeParquet, file_url, newest_schema};
use crate::error::{Context, Error, io_error};

/// The value of a folder whose rows have a null, as Hive writes it.
pub(crate) const NULL_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// What a folder `column=value` says. `%XX` is a byte of either.
pub(crate) fn folder_value(name: &str) -> Option<(String, String)> {
    let (column, value) = name.split_once('=')?;
    Some((decoded(column), decoded(value)))
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// A table over Parquet files in folders of these columns, which come behind the files' own. `columns` are their names and
/// types.
///
/// # Errors
/// Storage: a file cannot be read. Corrupt: a folder that does not say the columns' values.
pub(crate) fn partitioned_table(
    paths: &[PathBuf],
    columns: &[(String, String)],
) -> crate::Result<Arc<dyn TableProvider>> {
    let folders: Vec<FieldRef> = columns
        .iter()
        .map(|(name, kind)| {
            let kind = kind.parse::<DataType>();
            let kind = kind.map_err(|e| Error::corrupt(format!("the type of `{name}`: {e}")))?;
            Ok(Arc::new(Field::new(name, kind, true)))
        })
        .collect::<crate::Result<_>>()?;
    let files =
        paths.iter().map(|path| partitioned_file(path, &folders)).collect::<crate::Result<Vec<_>>>()?;
    // All are written with the same columns.
    let own = newest_schema(paths)?;
    let scan = LakeParquet::over(paths);
    let schema = TableSchema::builder(own).with_table_partition_cols(folders).build();
    Ok(Arc::new(PartitionedTable { files, schema, scan }))
}

/// A file with the values that its folders say.
fn partitioned_file(path: &Path, columns: &[FieldRef]) -> crate::Result<PartitionedFile> {
    let folders = path.parent().into_iter().flat_map(Path::iter);
    let said: Vec<_> = folders.filter_map(|name| folder_value(&name.to_string_lossy())).collect();
    // Folders further up may hold a `=` too.
    let said = &said[said.len().saturating_sub(columns.len())..];
    let values = columns.iter().zip(said).map(|(column, (_, value))| {
        value_of(value, column.data_type())
            .map_err(|e| Error::corrupt(format!("folder {}={value}: {e}", column.name())))
    });
    let values = values.collect::<crate::Result<Vec<_>>>().context_with(|| path.display().to_string())?;
    if values.len() != columns.len() {
        return Err(Error::corrupt(format!("{} is in no folders of its table", path.display())));
    }
    let about = std::fs::metadata(path).map_err(|e| io_error("read", path, &e))?;
    let url = file_url(path)?;
    let object = ObjectMeta {
        location: url.prefix().clone(),
        last_modified: about.modified().unwrap_or(std::time::UNIX_EPOCH).into(),
        size: about.len(),
        e_tag: None,
        version: None,
    };
    Ok(PartitionedFile::new_from_meta(object).with_partition_values(values))
}

/// The value of a folder.
fn value_of(text: &str, kind: &DataType) -> Result<ScalarValue> {
    if text == NULL_VALUE {
        return ScalarValue::try_from(kind);
    }
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let cell = cast_with_options(&StringArray::from(vec![text]), kind, &strict)?;
    ScalarValue::try_from_array(&cell, 0)
}

#[derive(Debug)]
struct PartitionedTable {
    files: Vec<PartitionedFile>,
    schema: TableSchema,
    scan: LakeParquet,
}

impl PartitionedTable {
    /// The files whose folders' values such conditions may hold for.
    fn chosen(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<PartitionedFile>> {
        let columns = self.schema.table_partition_cols();
        let is_folder = |name: &str| columns.iter().any(|column| column.name() == name);
        let of_folders = filters.iter().filter(|filter| {
            let read = filter.column_refs();
            !filter.is_volatile() && read.iter().all(|column| is_folder(&column.name))
        });
        let Some(condition) = conjunction(of_folders.cloned()) else { return Ok(self.files.clone()) };
        let schema: SchemaRef = Arc::new(Schema::new(columns.clone()));
        let cells = columns.iter().enumerate().map(|(at, column)| match self.files.as_slice() {
            [] => Ok(new_null_array(column.data_type(), 0)),
            files => ScalarValue::iter_to_array(files.iter().map(|file| file.partition_values[at].clone())),
        });
        let values = RecordBatch::try_new(schema.clone(), cells.collect::<Result<Vec<_>>>()?)?;
        let condition = state.create_physical_expr(condition, &DFSchema::try_from(schema)?)?;
        let holds = condition.evaluate(&values)?.into_array(values.num_rows())?;
        let holds = holds.as_boolean();
        let chosen = self.files.iter().enumerate().filter(|(at, _)| holds.is_valid(*at) && holds.value(*at));
        Ok(chosen.map(|(_, file)| file.clone()).collect())
    }
}

#[async_trait]
impl TableProvider for PartitionedTable {
    fn schema(&self) -> SchemaRef {
        self.schema.table_schema().clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let groups =
            FileGroup::new(self.chosen(state, filters)?).split_files(state.config().target_partitions());
        let source = self.scan.file_source(self.schema.clone());
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), source)
            .with_file_groups(groups)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit.filter(|_| filters.is_empty()))
            .build();
        self.scan.create_physical_plan(state, config).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_says_column_and_value() {
        let said = |name| folder_value(name).map(|(column, value)| format!("{column}: {value}"));
        assert_eq!(said("k=a%20b%2Fc"), Some("k: a b/c".to_owned()));
        assert_eq!(said("k%3D=ü=1"), Some("k=: ü=1".to_owned()));
        assert_eq!(said("k"), None);
    }

    #[test]
    fn a_value_is_of_its_columns_type_or_an_error() {
        assert_eq!(value_of("3", &DataType::Int32).unwrap(), ScalarValue::Int32(Some(3)));
        assert_eq!(value_of(NULL_VALUE, &DataType::Int32).unwrap(), ScalarValue::Int32(None));
        assert_eq!(value_of("2024-02-29", &DataType::Date32).unwrap(), ScalarValue::Date32(Some(19_782)));
        assert!(value_of("x", &DataType::Int32).is_err());
    }
}
