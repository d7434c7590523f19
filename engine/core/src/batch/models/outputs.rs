//! The tables of a model: what it says of each row, and what its clusters are like.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, UInt32Array, UInt64Array,
};
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, Float64Type, UInt32Type};

use crate::error::{Context, Error, Result, suggestion};
use crate::learn::Side;
use crate::predict::{Predictor, Refused};
use crate::project::BatchModel;
use crate::registry::Loaded;
use tidemill_ml::{Fitted, Task};

/// Rows that are answered at a time: their features are held beside the answers.
const AT_A_TIME: usize = 1 << 16;

/// Of each row its key, its label, what the model says, and on which side of the split it is.
///
/// # Errors
/// User: the rows have not the features of the version in use; Data.
pub(super) fn rows(
    model: &BatchModel,
    loaded: &Arc<Loaded>,
    rows: &RecordBatch,
    sides: &[Option<Side>],
) -> Result<RecordBatch> {
    let schema = rows.schema();
    let mut columns: Vec<(String, ArrayRef)> = Vec::new();
    for name in &model.key {
        columns.push((name.clone(), rows.column(schema.index_of(name)?).clone()));
    }
    let config = &model.spec.config;
    if let Some(label) = &config.label {
        columns.push(("label".to_owned(), rows.column(schema.index_of(label)?).clone()));
    }
    columns.extend(answers(model, loaded, rows)?);
    if config.evaluate.holdout > 0.0 {
        let held_out = sides.iter().map(|side| side.map(|side| side == Side::HeldOut));
        columns.push(("held_out".to_owned(), Arc::new(held_out.collect::<BooleanArray>())));
    }
    if model.folds.is_some() {
        let fold = sides.iter().map(|side| match side {
            Some(Side::Training(fold)) => Some(*fold),
            _ => None,
        });
        columns.push(("fold".to_owned(), Arc::new(fold.collect::<UInt32Array>())));
    }
    let nullable = columns.into_iter().map(|(name, column)| (name, column, true));
    Ok(RecordBatch::try_from_iter_with_nullable(nullable)?)
}

/// How many clusters a model has; of one after steps they are in the columns of these.
fn centres(model: &Fitted) -> usize {
    match model {
        Fitted::Pipeline(pipeline) => pipeline.model().centres().len(),
        model => model.centres().len(),
    }
}

/// What a version says of all rows.
///
/// # Errors
/// User: it was made for others; Data.
fn answers(model: &BatchModel, loaded: &Arc<Loaded>, rows: &RecordBatch) -> Result<Vec<(String, ArrayRef)>> {
    let predictor = match loaded.model.task() == model.spec.config.task() {
        true => Predictor::new(loaded.clone(), &rows.schema()),
        false => Err(Error::user(format!("version {} is a model of another task", loaded.entry.version))),
    };
    let predictor = predictor.map_err(|error| {
        let (job, name) = (loaded.entry.job.replace('_', "-"), model.name());
        error.hint(format!(
            "version {} is pinned and was made for other rows. So that the new one is in use: tidemill models unpin {job} {name}; one \
             that has these: tidemill models promote {job} {name}@VERSION",
            loaded.entry.version
        ))
    })?;
    let is_cluster = loaded.model.task() == Task::Cluster;
    let mut parts: Vec<Vec<ArrayRef>> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    let mut refused = Refused::default();
    for start in (0..rows.num_rows()).step_by(AT_A_TIME) {
        let some = rows.slice(start, AT_A_TIME.min(rows.num_rows() - start));
        let (answers, without) = predictor.answers(&some)?;
        refused.add(without);
        for (at, (name, column)) in answers.into_iter().enumerate() {
            if parts.len() <= at {
                parts.push(Vec::new());
                names.push(if is_cluster { "cluster".to_owned() } else { name.to_owned() });
            }
            parts[at].push(column);
        }
    }
    refused.tell(loaded);
    let whole = parts.iter().map(|parts| {
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        Ok(concat(&parts)?)
    });
    Ok(names.into_iter().zip(whole.collect::<Result<Vec<_>>>()?).collect())
}

/// Of each cluster its number, its rows, their share of all rows that have one, and the mean of each feature that is named,
/// missing values aside.
///
/// # Errors
/// User: a name that is no feature; Internal.
pub(super) fn profile(
    model: &BatchModel,
    loaded: &Loaded,
    rows: &RecordBatch,
    said: &RecordBatch,
) -> Result<RecordBatch> {
    let features = loaded.model.numeric_names();
    let named = model.profile.as_deref().unwrap_or(features);
    if let Some(other) = named.iter().find(|name| !features.contains(name)) {
        let known: Vec<&str> = features.iter().map(String::as_str).collect();
        return Err(Error::user(format!("profile: `{other}` is no feature"))
            .hint(suggestion(other, "features", &known)));
    }
    let clusters = said.column_by_name("cluster").ok_or_else(|| Error::internal("rows without a cluster"))?;
    let clusters = clusters.as_primitive::<UInt32Type>();
    let count = centres(&loaded.model).max(1);
    let mut sizes = vec![0u64; count];
    clusters.iter().flatten().for_each(|cluster| sizes[cluster as usize] += 1);
    let all: u64 = sizes.iter().sum();
    let mut columns: Vec<(String, ArrayRef)> = vec![
        ("cluster".to_owned(), Arc::new(UInt32Array::from_iter_values((0u32..).take(count)))),
        ("rows".to_owned(), Arc::new(UInt64Array::from(sizes.clone()))),
        (
            "share".to_owned(),
            Arc::new(Float64Array::from_iter_values(sizes.iter().map(|&of| of as f64 / all.max(1) as f64))),
        ),
    ];
    for name in named {
        let column = rows.column_by_name(name).ok_or_else(|| Error::internal("a feature that is gone"))?;
        let values = cast(column, &DataType::Float64).map_err(Error::from).context_with(|| name.clone())?;
        let (mut sums, mut counts) = (vec![0.0; count], vec![0u64; count]);
        for (cluster, value) in clusters.iter().zip(values.as_primitive::<Float64Type>()) {
            if let (Some(cluster), Some(value)) = (cluster, value.filter(|value| value.is_finite())) {
                sums[cluster as usize] += value;
                counts[cluster as usize] += 1;
            }
        }
        let means = sums.iter().zip(&counts).map(|(sum, &count)| (count > 0).then(|| sum / count as f64));
        columns.push((format!("mean_{name}"), Arc::new(means.collect::<Float64Array>())));
    }
    let nullable = columns.into_iter().map(|(name, column)| (name, column, true));
    Ok(RecordBatch::try_from_iter_with_nullable(nullable)?)
}
