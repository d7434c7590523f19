//! Parquet files of a lake as a table for DataFusion.
//!
//! What a footer says of floating point numbers is not used: least and greatest value leave NaN out, so that a file of 1.0,
//! NaN, 1.0 is one of which every row is 1.0 to DataFusion 55, which puts a constant in place of the column
//! (apache/datafusion#24804 mends pruning), answers `max` without reading, and leaves row groups out for `x > 2`. The files may also be of
//! a version that wrote a NaN or a zero with a sign: see [`one_nan`](crate::sql::one_nan).

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use async_trait::async_trait;
use bytes::Bytes;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{DataFusionError, Result, Statistics as FileStatistics, internal_datafusion_err};
use datafusion::datasource::MemTable;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::file_format::{FileFormat, FileMeta};
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl, PartitionedFile,
};
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{
    FileScanConfig, FileScanConfigBuilder, FileSource, ParquetFileReaderFactory, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::logical_expr::ScalarUDF;
use datafusion::object_store::{ObjectMeta, ObjectStore};
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::expressions::Column;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use futures::FutureExt;
use futures::future::BoxFuture;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::basic::{LogicalType, Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;

use super::evolve::nullable;
use super::partitioned::partitioned_table;
use crate::sql::OfItsType;

/// What the footer of a file says of whose columns of floating point numbers each NaN and each zero is the one of SQL.
pub(crate) const ONE_NAN: &str = "tidemill.one_nan";

/// Of so many files it is looked whether they say so.
const FEW_FILES: usize = 16;

/// A table over these Parquet files; without a schema, the last one's holds.
///
/// # Errors
/// Storage: a file that cannot be opened.
pub(crate) async fn parquet_table(
    paths: &[PathBuf],
    schema: Option<SchemaRef>,
) -> Result<Arc<dyn TableProvider>> {
    if paths.is_empty() {
        let schema = schema.unwrap_or_else(|| Arc::new(Schema::empty()));
        return Ok(Arc::new(MemTable::try_new(schema, vec![Vec::new()])?));
    }
    let schema = schema.map_or_else(|| newest_schema(paths), Ok)?;
    let urls = paths.iter().map(|path| file_url(path)).collect::<Result<Vec<_>>>()?;
    let options = ListingOptions::new(Arc::new(LakeParquet::over(paths))).with_file_extension(".parquet");
    let config =
        ListingTableConfig::new_with_multi_paths(urls).with_listing_options(options).with_schema(schema);
    Ok(Arc::new(ListingTable::try_new(config)?))
}

/// The files of a table's version as a table again. Columns that are in the names of their folders come last.
///
/// # Errors
/// Storage: a file cannot be read.
pub(crate) async fn version_table(
    paths: &[PathBuf],
    partition_columns: &[(String, String)],
) -> crate::Result<Arc<dyn TableProvider>> {
    match partition_columns {
        [] => Ok(parquet_table(paths, None).await?),
        columns => partitioned_table(paths, columns),
    }
}

/// The columns of the last of these files.
pub(super) fn newest_schema(paths: &[PathBuf]) -> Result<SchemaRef> {
    let newest = paths.last().ok_or_else(|| internal_datafusion_err!("a table without files"))?;
    // Files of a stream are of several schemas where its transform has got columns since, which older ones lack.
    Ok(match (ParquetRecordBatchReaderBuilder::try_new(File::open(newest)?)?.schema(), paths.len()) {
        (only, 1) => only.clone(),
        (newest, _) => nullable(newest),
    })
}

/// Where a file is, for DataFusion. Not parsed from text: a folder may be called `runs[1]`, which a text would make a glob.
pub(super) fn file_url(path: &Path) -> Result<ListingTableUrl> {
    let path = whole(path)?;
    let url = url::Url::from_file_path(&path)
        .map_err(|()| DataFusionError::Execution(format!("{} has no form as a URL", path.display())))?;
    ListingTableUrl::try_new(url, None)
}

/// The path of a file from the root, without the `..` that no URL has; of one whose folder is gone, as it is written:
/// whoever reads it finds out.
pub(crate) fn whole(path: impl AsRef<Path>) -> std::io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    Ok(match (folder, path.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => path,
    })
}

fn says_one_nan(path: &Path) -> bool {
    let metadata = File::open(path).map_err(ParquetError::from).and_then(|file| {
        ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Skip).parse_and_finish(&file)
    });
    // Whoever reads the file finds out what is wrong with it.
    metadata.is_ok_and(|metadata| {
        let entries = metadata.file_metadata().key_value_metadata();
        entries.into_iter().flatten().any(|entry| entry.key == ONE_NAN)
    })
}

/// DataFusion's Parquet, but for what it concludes about floating point numbers.
#[derive(Debug)]
pub(super) struct LakeParquet {
    parquet: ParquetFormat,
    /// No file has another NaN or zero.
    has_one_nan: bool,
}

impl LakeParquet {
    /// For these files.
    pub(super) fn over(paths: &[PathBuf]) -> LakeParquet {
        let has_one_nan = paths.len() <= FEW_FILES && paths.iter().all(|path| says_one_nan(path));
        LakeParquet { parquet: ParquetFormat::default(), has_one_nan }
    }
}

#[async_trait]
impl FileFormat for LakeParquet {
    fn get_ext(&self) -> String {
        self.parquet.get_ext()
    }

    fn get_ext_with_compression(&self, compression: &FileCompressionType) -> Result<String> {
        self.parquet.get_ext_with_compression(compression)
    }

    fn compression_type(&self) -> Option<FileCompressionType> {
        self.parquet.compression_type()
    }

    async fn infer_schema(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        objects: &[ObjectMeta],
    ) -> Result<SchemaRef> {
        self.parquet.infer_schema(state, store, objects).await
    }

    async fn infer_stats(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        table_schema: SchemaRef,
        object: &ObjectMeta,
    ) -> Result<FileStatistics> {
        let statistics = self.parquet.infer_stats(state, store, table_schema.clone(), object).await?;
        Ok(without_floats(statistics, &table_schema))
    }

    async fn infer_ordering(
        &self,
        _: &dyn Session,
        _: &Arc<dyn ObjectStore>,
        _: SchemaRef,
        _: &ObjectMeta,
    ) -> Result<Option<LexOrdering>> {
        Ok(None)
    }

    async fn infer_stats_and_ordering(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        table_schema: SchemaRef,
        object: &ObjectMeta,
    ) -> Result<FileMeta> {
        Ok(FileMeta::new(self.infer_stats(state, store, table_schema, object).await?))
    }

    async fn create_physical_plan(
        &self,
        state: &dyn Session,
        conf: FileScanConfig,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let source = conf.file_source().downcast_ref::<ParquetSource>().cloned();
        let source = source.ok_or_else(|| internal_datafusion_err!("a source that is not Parquet"))?;
        let runtime = state.runtime_env();
        let store = runtime.object_store(conf.object_store_url.clone())?;
        let cached =
            CachedParquetFileReaderFactory::new(store, runtime.cache_manager.get_file_metadata_cache());
        let source = source.with_parquet_file_reader_factory(Arc::new(FloatBlind(cached)));
        let conf = FileScanConfigBuilder::from(conf).with_source(Arc::new(source)).build();
        let plan = DataSourceExec::from_data_source(conf);
        if self.has_one_nan { Ok(plan) } else { one_nan_each(plan, state) }
    }

    fn file_source(&self, table_schema: TableSchema) -> Arc<dyn FileSource> {
        self.parquet.file_source(table_schema)
    }
}

/// The plan with one NaN and one zero in each of its columns of floating point numbers.
fn one_nan_each(plan: Arc<dyn ExecutionPlan>, state: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = plan.schema();
    if !schema.fields().iter().any(|field| field.data_type().is_floating()) {
        return Ok(plan);
    }
    let function = Arc::new(ScalarUDF::from(OfItsType::one_nan()));
    let columns = schema.fields().iter().enumerate().map(|(at, field)| {
        let mut expr: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), at));
        if field.data_type().is_floating() {
            let options = Arc::new(state.config_options().clone());
            expr = Arc::new(ScalarFunctionExpr::try_new(function.clone(), vec![expr], &schema, options)?);
        }
        Ok(ProjectionExpr { expr, alias: field.name().clone() })
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(ProjectionExec::try_new(columns, plan)?))
}

/// Statistics of a file without those that a NaN would not be in.
fn without_floats(mut statistics: FileStatistics, schema: &Schema) -> FileStatistics {
    for (column, field) in statistics.column_statistics.iter_mut().zip(schema.fields()) {
        if has_floats(field.data_type()) {
            column.min_value = Precision::Absent;
            column.max_value = Precision::Absent;
            column.sum_value = Precision::Absent;
            column.distinct_count = Precision::Absent;
        }
    }
    statistics
}

fn has_floats(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => has_floats(values),
        other => other.is_floating() || other.is_nested(),
    }
}

/// Readers whose footers say nothing of floating point numbers.
#[derive(Debug)]
struct FloatBlind(CachedParquetFileReaderFactory);

impl ParquetFileReaderFactory for FloatBlind {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let reader = self.0.create_reader(partition_index, file, metadata_size_hint, metrics)?;
        Ok(Box::new(FloatBlindReader(reader)))
    }
}

struct FloatBlindReader(Box<dyn AsyncFileReader + Send>);

impl AsyncFileReader for FloatBlindReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        self.0.get_bytes(range)
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        self.0.get_byte_ranges(ranges)
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        async move { float_blind(self.0.get_metadata(options).await?) }.boxed()
    }
}

/// A column of which no more is known than how many nulls it has, which is right.
fn without_bounds(column: &ColumnChunkMetaData) -> parquet::errors::Result<ColumnChunkMetaData> {
    let nulls = column.statistics().and_then(Statistics::null_count_opt);
    let builder = column.clone().into_builder();
    match column.column_type() {
        Type::DOUBLE => builder.set_statistics(Statistics::double(None, None, None, nulls, false)),
        Type::FLOAT => builder.set_statistics(Statistics::float(None, None, None, nulls, false)),
        _ => builder.clear_statistics(),
    }
    .build()
}

/// The footer without statistics of floating point numbers.
fn float_blind(metadata: Arc<ParquetMetaData>) -> parquet::errors::Result<Arc<ParquetMetaData>> {
    let columns = metadata.file_metadata().schema_descr().columns();
    let floats: Vec<bool> = columns
        .iter()
        .map(|column| {
            matches!(column.physical_type(), Type::FLOAT | Type::DOUBLE)
                || matches!(column.logical_type_ref(), Some(LogicalType::Float16))
        })
        .collect();
    if !floats.contains(&true) {
        return Ok(metadata);
    }
    let mut builder = ParquetMetaData::clone(&metadata).into_builder();
    let mut groups = builder.take_row_groups();
    for group in &mut groups {
        let columns = group.columns().iter().zip(&floats).map(|(column, is_float)| match is_float {
            true => without_bounds(column),
            false => Ok(column.clone()),
        });
        let columns = columns.collect::<parquet::errors::Result<Vec<_>>>()?;
        *group = group.clone().into_builder().set_column_metadata(columns).build()?;
    }
    let mut pages = builder.take_column_index();
    for columns in pages.iter_mut().flatten() {
        for (column, _) in columns.iter_mut().zip(&floats).filter(|(_, is_float)| **is_float) {
            *column = ColumnIndexMetaData::NONE;
        }
    }
    Ok(Arc::new(builder.set_row_groups(groups).set_column_index(pages).build()))
}
