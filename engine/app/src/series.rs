//! One metric of a job as lines over batches: what is compared and what is plotted.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, UInt64Type};
use datafusion::prelude::SessionContext;
use tidemill_core::lake::Lake;
use tidemill_core::learn::{Better, Metric};
use tidemill_core::{Error, catalog};

use crate::cli::Evaluation;
use crate::commands::metrics::quoted;

/// The values of one metric of one model under one evaluation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    /// The model.
    pub(crate) model: String,
    /// `holdout` or `prequential`.
    pub(crate) evaluation: String,
    /// Batch and value, ascending; `None` where the metric is not defined (AUC of one class).
    pub(crate) points: Vec<(u64, Option<f64>)>,
}

impl Series {
    /// The runs of batches that follow one another and have a value: a line is broken between them.
    pub(crate) fn runs(&self) -> Vec<Vec<(u64, f64)>> {
        let mut runs: Vec<Vec<(u64, f64)>> = Vec::new();
        for &(batch, value) in &self.points {
            let Some(value) = value.filter(|value| value.is_finite()) else { continue };
            match runs.last_mut() {
                Some(run) if run.last().is_some_and(|&(last, _)| last + 1 == batch) => {
                    run.push((batch, value))
                }
                _ => runs.push(vec![(batch, value)]),
            }
        }
        runs
    }
}

/// Whether a metric is the better the higher it is. Times, which are no metrics of a model, are not.
pub(crate) fn higher_is_better(metric: &str) -> bool {
    Metric::named(metric).is_some_and(|metric| metric.better == Better::Higher)
}

/// The metrics that a lake knows: the columns of `system.metrics` that hold fractions.
///
/// # Errors
/// Storage or Corrupt.
pub(crate) async fn metric_names(session: &SessionContext, lake: &Lake) -> Result<Vec<String>, Error> {
    let rows = catalog::query(session, lake, "SELECT * FROM system.metrics LIMIT 0").await?;
    let fields = rows.first().map(|batch| batch.schema().fields().clone()).unwrap_or_default();
    Ok(fields.iter().filter(|f| f.data_type().is_floating()).map(|f| f.name().clone()).collect())
}

/// Every line of a metric, by model and evaluation. Models without a single value of it are left out.
///
/// # Errors
/// User: there is no such metric; the nearest is named.
pub(crate) async fn read(
    session: &SessionContext,
    lake: &Lake,
    job: &str,
    metric: &str,
    evaluation: Option<Evaluation>,
) -> Result<Vec<Series>, Error> {
    let names = metric_names(session, lake).await?;
    if !names.iter().any(|name| name == metric) {
        return Err(Error::unknown("metric", metric, &names));
    }
    Ok(read_all(session, lake, job, &[metric], evaluation).await?.swap_remove(0))
}

/// The lines of each of these columns of `system.metrics`, which is read once: it has a file a batch.
///
/// # Errors
/// User: there is no such column; Storage or Corrupt.
pub(crate) async fn read_all(
    session: &SessionContext,
    lake: &Lake,
    job: &str,
    metrics: &[&str],
    evaluation: Option<Evaluation>,
) -> Result<Vec<Vec<Series>>, Error> {
    let of_evaluation = evaluation
        .map(|evaluation| format!(" AND evaluation = {}", quoted(evaluation.as_str())))
        .unwrap_or_default();
    let columns: String = metrics.iter().map(|metric| format!(", \"{metric}\"")).collect();
    let statement = format!(
        "SELECT model, evaluation, batch_id{columns} FROM system.metrics WHERE job = {}{of_evaluation} \
         ORDER BY model, evaluation, batch_id",
        quoted(job)
    );
    let mut found: Vec<Vec<Series>> = vec![Vec::new(); metrics.len()];
    for batch in catalog::query(session, lake, &statement).await? {
        let texts =
            |column: usize| arrow::compute::cast(batch.column(column), &arrow::datatypes::DataType::Utf8);
        let (models, evaluations) = (texts(0)?, texts(1)?);
        let (models, evaluations) = (models.as_string::<i32>(), evaluations.as_string::<i32>());
        let batches = batch.column(2).as_primitive::<UInt64Type>();
        for (found, column) in found.iter_mut().zip(&batch.columns()[3..]) {
            let values = column.as_primitive::<Float64Type>();
            for row in 0..batch.num_rows() {
                let (model, evaluation) = (models.value(row), evaluations.value(row));
                if found.last().is_none_or(|s| s.model != model || s.evaluation != evaluation) {
                    let (model, evaluation) = (model.to_owned(), evaluation.to_owned());
                    found.push(Series { model, evaluation, points: Vec::new() });
                }
                if let Some(series) = found.last_mut() {
                    let value = values.is_valid(row).then(|| values.value(row));
                    series.points.push((batches.value(row), value));
                }
            }
        }
    }
    for found in &mut found {
        found.retain(|series| series.points.iter().any(|(_, value)| value.is_some()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_broken_where_there_is_no_value() {
        let points = vec![(0, Some(0.5)), (1, Some(0.6)), (2, None), (3, Some(0.7)), (5, Some(0.8))];
        let series = Series { model: "m".into(), evaluation: "holdout".into(), points };
        assert_eq!(series.runs(), [vec![(0, 0.5), (1, 0.6)], vec![(3, 0.7)], vec![(5, 0.8)]]);
    }

    #[test]
    fn losses_and_times_are_better_low() {
        assert!(higher_is_better("auc") && higher_is_better("silhouette"));
        assert!(
            !higher_is_better("log_loss") && !higher_is_better("train_ms") && !higher_is_better("inertia")
        );
    }
}
