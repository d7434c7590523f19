//! Rows of a file, each with what a model says of it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{CastOptions, cast_with_options, take};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type};
use chrono::{DateTime, Utc};
use datafusion::sql::resolve::resolve_table_references;

use super::transform::columns_of;
use super::{Predictor, Refused};
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::project::ModelSpec;
use crate::records::{Plan, RecordList};
use crate::registry::{Entry, Loaded, ModelRef, Registry};
use crate::rowwise::RowSql;
use crate::sql;
use crate::state::KeyedState;
use crate::table::read::{committed_files, read_schema};

/// The column that says which row of the input a row of features is of.
const ROW: &str = "_row";

/// A model, ready for rows with these columns.
///
/// | the rows have | |
/// | --- | --- |
/// | what the model's features SELECT reads | it makes the features of them; the label need not be there |
/// | else all features of the model | they are taken as they are |
/// | neither | an error that names both |
pub struct Scorer {
    predictor: Predictor,
    /// Makes the features, where the rows do not have them.
    features: Option<RowSql>,
    /// The columns of the rows, of the types that they are taken as: a cell of a CSV file is a text.
    taken: SchemaRef,
    /// What `now()` means in the SELECT.
    now: DateTime<Utc>,
}

/// Rows with what a model says of each.
pub struct Scored {
    /// They.
    pub rows: RecordBatch,
    /// How many the features SELECT leaves out, or cannot compute.
    pub without_features: u64,
    /// Those that a step of the model refuses.
    pub refused: Refused,
}

impl Scorer {
    /// Looks the model up and finds its features in rows with these columns. `of_input` has the types of the table that its
    /// features SELECT reads where the lake does not have that: an input of a batch job.
    ///
    /// # Errors
    /// User: there is no such model or version, or the rows have not what it needs; Storage or Corrupt: the lake.
    pub async fn open(
        lake: &Lake,
        name: &ModelRef,
        input: &SchemaRef,
        of_input: impl FnOnce(&str) -> Vec<(String, DataType)>,
    ) -> Result<Scorer> {
        let registry = Registry::open(lake, &name.job)?;
        let entry = registry.find(&name.model, &name.at)?;
        let model = registry.load(&entry)?;
        let spec = registry.spec(&entry)?;
        let loaded = Arc::new(Loaded { model, entry: entry.clone() });
        let now = Utc::now();
        named_once(input)?;
        let made = async {
            let table = table_of(&spec)?;
            let mut types = table_types(lake, &entry, &table).await?;
            if types.is_empty() {
                types = of_input(&table);
            }
            let taken = of_types(input, &types);
            let label = spec.config.label.as_ref().map(|label| {
                let of = types.iter().find(|(name, _)| name == label).map(|(_, of)| of.clone());
                Field::new(label, of.unwrap_or(DataType::Boolean), true)
            });
            let sql = RowSql::new(&spec.features_sql, &table, with_more(&taken, label), &[ROW]).await?;
            Ok::<_, Error>((taken, sql))
        };
        let unmade = match made.await {
            Ok((taken, sql)) => {
                let predictor = Predictor::new(loaded, sql.schema())?;
                return Ok(Scorer { predictor, features: Some(sql), taken, now });
            }
            Err(error) => error,
        };
        let taken = of_types(input, &feature_types(&loaded));
        let predictor = Predictor::new(loaded, &taken).map_err(|missing| {
            let what = format!("{missing}, nor can they be made by its SELECT: {unmade}");
            let hint = format!("give the rows that {} reads, or those features", spec.config.features);
            Error::user(what).hint(hint)
        })?;
        Ok(Scorer { predictor, features: None, taken, now })
    }

    /// Whether the features SELECT makes the features of the rows, or the rows have them.
    pub fn makes_features(&self) -> bool {
        self.features.is_some()
    }

    /// Which version it asks.
    pub fn entry(&self) -> &Entry {
        &self.predictor.loaded.entry
    }

    /// The rows with a column `prediction` and, of a classifier, `probability` (of many classes `probability_CLASS` for each),
    /// of an isolation forest `score`; null for a row that the features SELECT leaves out or cannot compute, or that a step of
    /// the model refuses.
    ///
    /// # Errors
    /// User: the rows have such columns already, or are of other types than was said; Data.
    pub async fn score(&self, rows: &RecordBatch) -> Result<Scored> {
        let mut fields: Vec<Field> =
            rows.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
        let mut columns = rows.columns().to_vec();
        let mut left_out = 0;
        let typed = typed(rows, &self.taken)?;
        let (answers, refused) = match &self.features {
            None => self.predictor.answers(&typed)?,
            Some(sql) => {
                let output = sql.run(&numbered(&typed)?, self.now).await?.rows;
                let places =
                    output.column_by_name(ROW).map(|column| column.as_primitive::<UInt32Type>().clone());
                let places =
                    places.ok_or_else(|| Error::internal("features without the number of their row"))?;
                left_out = (rows.num_rows() - places.len()) as u64;
                let mut of_row: Vec<Option<u32>> = vec![None; rows.num_rows()];
                for (at, &row) in (0u32..).zip(places.values()) {
                    of_row[row as usize] = Some(at);
                }
                let of_row = UInt32Array::from(of_row);
                let (answers, refused) = self.predictor.answers(&output)?;
                let answers =
                    answers.into_iter().map(|(name, values)| Ok((name, take(&values, &of_row, None)?)));
                (answers.collect::<Result<Vec<_>>>()?, refused)
            }
        };
        for (name, values) in answers {
            if fields.iter().any(|field| *field.name() == name) {
                return Err(Error::user(format!("the rows have a column `{name}` already"))
                    .hint("call it otherwise: the answers are `prediction`, `probability` (of many classes `probability_CLASS`) and `score`"));
            }
            fields.push(Field::new(name, values.data_type().clone(), true));
            columns.push(values);
        }
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
        Ok(Scored { rows, without_features: left_out, refused })
    }

    /// The columns of what [`score`](Scorer::score) gives for rows with these.
    ///
    /// # Errors
    /// Internal.
    pub fn schema(&self, rows: &Schema) -> Result<SchemaRef> {
        let fields = rows.fields().iter().map(|field| field.as_ref().clone());
        Ok(Arc::new(Schema::new(fields.chain(self.predictor.answer_fields()?).collect::<Vec<_>>())))
    }
}

/// The columns that the features SELECT of a model runs on: those of the rows, a label that is not there, and their number.
fn with_more(input: &Schema, label: Option<Field>) -> SchemaRef {
    let mut fields: Vec<Field> =
        input.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    fields.extend(label.filter(|label| input.column_with_name(label.name()).is_none()));
    fields.push(Field::new(ROW, DataType::UInt32, false));
    Arc::new(Schema::new(fields))
}

/// The name of the table that a model's features SELECT reads.
pub(crate) fn table_of(spec: &ModelSpec) -> Result<String> {
    let statement = sql::parse(&spec.features_sql)?.pop();
    let statement = statement.ok_or_else(|| Error::internal("features without a SELECT"))?;
    match resolve_table_references(&statement, true)?.0.as_slice() {
        [table] => Ok(table.table().to_owned()),
        _ => Err(Error::user("its SELECT reads several tables")),
    }
}

/// The types of a job's table: of the newest file, or as the SELECT of a state gives them; none of an input.
async fn table_types(lake: &Lake, entry: &Entry, table: &str) -> Result<Vec<(String, DataType)>> {
    let job = &entry.job;
    let files = committed_files(lake, job, &format!("{job}.{table}"))?;
    let schema = match files.last() {
        Some(file) => Some(read_schema(lake, file)?),
        None => state_schema(lake, entry, table).await?,
    };
    let fields = schema.iter().flat_map(|schema| schema.fields().iter());
    Ok(fields.map(|field| (field.name().clone(), field.data_type().clone())).collect())
}

/// The columns of the state that a version has learned from, if it is called so.
async fn state_schema(lake: &Lake, entry: &Entry, table: &str) -> Result<Option<SchemaRef>> {
    let plans: RecordList<Plan> = RecordList::read_only(lake.checkpoint(&entry.job).join("offsets"));
    if !plans.has(entry.version) {
        return Ok(None);
    }
    let plan = plans.read(entry.version)?;
    let Some(state) = plan.program.state.as_ref().filter(|state| state.config.table == table) else {
        return Ok(None);
    };
    let columns = columns_of(lake, &entry.job, &plan).await?;
    let kept = KeyedState::new(state, &columns)?;
    Ok(Some(RowSql::new(&state.select_sql, table, kept.schema(), &[]).await?.schema().clone()))
}

/// What a model takes its features as.
fn feature_types(loaded: &Loaded) -> Vec<(String, DataType)> {
    let numbers = loaded.model.numeric_names().iter().map(|name| (name.clone(), DataType::Float64));
    let texts = loaded.model.categorical_names().iter().map(|name| (name.clone(), DataType::Utf8));
    numbers.chain(texts).collect()
}

/// The columns, those that are named as these types.
fn of_types(input: &Schema, types: &[(String, DataType)]) -> SchemaRef {
    let fields = input.fields().iter().map(|field| {
        let wanted = types.iter().find(|(name, _)| name == field.name()).map(|(_, of)| of.clone());
        Field::new(field.name(), wanted.unwrap_or_else(|| field.data_type().clone()), true)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Checks that each column has a name of its own.
///
/// # Errors
/// User: two have the same.
fn named_once(input: &Schema) -> Result<()> {
    for (at, field) in input.fields().iter().enumerate() {
        if input.index_of(field.name()).is_ok_and(|first| first != at) {
            return Err(Error::user(format!("the rows have two columns `{}`", field.name())));
        }
    }
    Ok(())
}

/// The rows with these types.
///
/// # Errors
/// Data: a value that is none of its type.
fn typed(rows: &RecordBatch, taken: &SchemaRef) -> Result<RecordBatch> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let columns = rows.columns().iter().zip(taken.fields()).map(|(column, field)| {
        let to = field.data_type();
        let cast = cast_with_options(column, to, &strict).or_else(|error| {
            // A boolean is a number to a model: true is 1. Other words for it are none.
            let truths = if is_of_truths(column) { column } else { return Err(error) };
            cast_with_options(&cast_with_options(truths, &DataType::Boolean, &strict)?, to, &strict)
        });
        cast.map_err(|error| {
            Error::data(format!("column `{}`: {error}", field.name())).hint("mend the cell, or empty it")
        })
    });
    Ok(RecordBatch::try_new(taken.clone(), columns.collect::<Result<Vec<ArrayRef>>>()?)?)
}

/// Whether a column of texts has no other than `true` and `false`.
fn is_of_truths(column: &ArrayRef) -> bool {
    let is_truth = |text: &str| ["true", "false"].iter().any(|truth| text.eq_ignore_ascii_case(truth));
    column.as_string_opt::<i32>().is_some_and(|texts| texts.iter().flatten().all(is_truth))
}

/// The rows with their numbers; a label that the SELECT asks for is null by itself where it is not there.
fn numbered(rows: &RecordBatch) -> Result<RecordBatch> {
    let mut columns = rows.columns().to_vec();
    columns.push(Arc::new((0u32..).take(rows.num_rows()).collect::<UInt32Array>()));
    Ok(RecordBatch::try_new(with_more(&rows.schema(), None), columns)?)
}
