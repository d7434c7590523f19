//! From rows of a table to JSON: a SELECT over the lake, or over a file with the same columns, in the order it says.
//!
//! ```text
//! -- table: olist.wide            what it reads: a table of the lake, or --input FILE.parquet, FILE.csv, FILE.csv.gz
//! -- key: customer_unique_id      the column that is the message's key (optional)
//! SELECT … FROM wide ORDER BY …
//! ```
//!
//! An order over all rows needs them all: they are in memory, unlike those of a file that is sent as it comes.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::json::LineDelimitedWriter;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::options::ReadOptions;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::prelude::{CsvReadOptions, DataFrame, ParquetReadOptions, SessionConfig, SessionContext};
use tidemill_core::lake::Lake;
use tidemill_core::{Context, Error, Result, calendar, catalog, sql};

use super::messages::Lines;

/// Rows of one slice that is written as JSON at once.
const SLICE: usize = 4096;

/// The rows of the SELECT that are still to be sent, the last ones first.
pub(super) struct RowMessages {
    left: Vec<RecordBatch>,
    key: Option<String>,
}

/// The value of a `-- name: value` line of a SQL text.
pub(super) fn header<'a>(sql: &'a str, name: &str) -> Option<&'a str> {
    let of_line = |line: &'a str| line.trim().strip_prefix("-- ")?.strip_prefix(name)?.strip_prefix(':');
    sql.lines().find_map(of_line).map(str::trim)
}

impl RowMessages {
    /// Runs the SELECT over `table` of the lake, or over `input` in its place.
    ///
    /// # Errors
    /// User: no such table or file, SQL that is none, no such key; Data: the file cannot be read.
    pub(super) async fn open(
        text: &str,
        table: &str,
        lake: &Lake,
        input: Option<&Path>,
        message: &SchemaRef,
    ) -> Result<RowMessages> {
        let context = match input {
            Some(path) => of_file(path, table, message).await?,
            None => catalog::open_session(lake).await.map_err(|e| no_table(e, table))?,
        };
        let frame: DataFrame = sql::frame(&context, text).await.map_err(|e| match input {
            None => no_table(Error::from(e), table),
            Some(path) => Error::from(e).context(path.display().to_string()),
        })?;
        let key = header(text, "key").map(String::from);
        if let Some(key) = key.as_ref().filter(|key| frame.schema().field_with_unqualified_name(key).is_err())
        {
            return Err(Error::user(format!(
                "the messages have no column `{key}`, which is to be their key"
            )));
        }
        let rows = sql::collect(frame).await?;
        let slices = rows.iter().flat_map(|rows| {
            (0..rows.num_rows()).step_by(SLICE).map(|at| rows.slice(at, SLICE.min(rows.num_rows() - at)))
        });
        let mut left: Vec<RecordBatch> = slices.collect();
        left.reverse();
        Ok(RowMessages { left, key })
    }

    /// The next messages; `None` at the end.
    ///
    /// # Errors
    /// Data: a value that has no form in JSON.
    pub(super) fn next_lines(&mut self) -> Result<Option<Lines>> {
        let Some(rows) = self.left.pop() else { return Ok(None) };
        calendar::check(&rows)?;
        let mut json = Vec::with_capacity(rows.num_rows() * 1024);
        let mut writer = LineDelimitedWriter::new(&mut json);
        writer.write_batches(&[&rows])?;
        writer.finish()?;
        let keys = match self.key.as_deref().and_then(|key| rows.column_by_name(key)) {
            None => Vec::new(),
            Some(column) => {
                let texts = cast(column, &DataType::Utf8)?;
                texts.as_string::<i32>().iter().map(|key| key.map(Box::from)).collect()
            }
        };
        Ok(Some(Lines { json, keys }))
    }
}

/// A session in which the file is the table, by its bare and its full name.
async fn of_file(path: &Path, table: &str, message: &SchemaRef) -> Result<SessionContext> {
    let place = || path.display().to_string();
    if !path.is_file() {
        return Err(Error::user(format!("there is no file {}", path.display())));
    }
    let url = path.to_str().ok_or_else(|| Error::user(format!("{} is no text", path.display())))?;
    let context = sql::context(SessionConfig::new(), Arc::default());
    let bare = table.rsplit('.').next().unwrap_or(table);
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if name.ends_with(".parquet") {
        context.register_parquet(bare, url, ParquetReadOptions::default()).await.context_with(place)?;
    } else if name.ends_with(".csv") || name.ends_with(".csv.gz") {
        let (extension, kind) = match name.ends_with(".gz") {
            true => (".csv.gz", FileCompressionType::GZIP),
            false => (".csv", FileCompressionType::UNCOMPRESSED),
        };
        let options = CsvReadOptions::new()
            .has_header(true)
            .newlines_in_values(true)
            .file_extension(extension)
            .file_compression_type(kind);
        // Types are the message's own; a guess would make numbers of codes that begin with a zero.
        let guessed = options.to_listing_options(&context.copied_config(), context.copied_table_options());
        let url_of = ListingTableUrl::parse(url)?;
        let guessed = guessed.infer_schema(&context.state(), &url_of).await.context_with(place)?;
        let fields = guessed.fields().iter().map(|field| {
            let known = message.field_with_name(field.name()).map(|f| f.data_type().clone());
            Field::new(field.name(), known.unwrap_or(DataType::Utf8), true)
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        context.register_csv(bare, url, options.schema(&schema)).await.context_with(place)?;
    } else {
        return Err(Error::user(format!("{} is neither .parquet nor .csv nor .csv.gz", path.display()))
            .hint(format!(
                "its columns are to be those of {table}; without --input they are read from the lake"
            )));
    }
    Ok(context)
}

fn no_table(error: Error, table: &str) -> Error {
    let job = table.split('.').next().unwrap_or(table).replace('_', "-");
    error.hint(format!(
        "the messages are made of {table}: make it with `tidemill run {job}` in this lake, name the lake that has it \
         (--lake DIR), or give a Parquet or CSV file of its rows (--input FILE)"
    ))
}

#[cfg(test)]
mod tests {
    use tidemill_core::project::parse_schema;

    use super::*;
    use crate::produce::test_file::TestFile;

    const SQL: &str = "-- table: shop.sales\n-- key: who\nSELECT who, amount FROM sales ORDER BY amount";

    fn schema() -> SchemaRef {
        parse_schema("CREATE TABLE m (who TEXT NOT NULL, amount DOUBLE)").unwrap()
    }

    async fn open(file: &TestFile, sql: &str) -> Result<RowMessages> {
        RowMessages::open(sql, "shop.sales", &Lake::new("/nonexistent"), Some(file.path()), &schema()).await
    }

    #[tokio::test]
    async fn rows_of_a_csv_go_out_in_the_order_of_the_select_with_their_keys() {
        let file = TestFile::new("sales.csv", b"who,amount,zip\n007,2.5,01\n\"a\nb\",1,02\n");
        let mut messages = open(&file, SQL).await.unwrap();
        let lines = messages.next_lines().unwrap().unwrap();
        let text = String::from_utf8(lines.json).unwrap();
        assert_eq!(text, "{\"who\":\"a\\nb\",\"amount\":1.0}\n{\"who\":\"007\",\"amount\":2.5}\n");
        assert_eq!(lines.keys, [Some(Box::from("a\nb")), Some(Box::from("007"))]);
        assert!(messages.next_lines().unwrap().is_none());
    }

    #[tokio::test]
    async fn what_is_missing_is_named() {
        let file = TestFile::new("sales.csv", b"who,amount\n1,2\n");
        let error = open(&file, &SQL.replace("-- key: who", "-- key: nobody")).await.err().unwrap();
        assert!(error.to_string().contains("`nobody`"), "{error}");
        let lake = Lake::new("/nonexistent");
        let error = RowMessages::open(SQL, "shop.sales", &lake, None, &schema()).await.err().unwrap();
        assert!(error.next_step().unwrap().contains("tidemill run shop"), "{error}");
        let text = TestFile::new("sales.txt", b"");
        assert!(open(&text, SQL).await.err().unwrap().to_string().contains(".parquet"));
    }

    #[test]
    fn headers_are_lines_of_their_own() {
        assert_eq!((header(SQL, "table"), header(SQL, "key")), (Some("shop.sales"), Some("who")));
        assert_eq!(header("SELECT 1", "key"), None);
    }
}
