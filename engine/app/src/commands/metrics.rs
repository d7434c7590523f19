//! `tidemill metrics`: what each model scored at each batch, models and lakes beside each other, the best one.

use arrow::array::{Array, RecordBatch};
use arrow::compute::concat_batches;
use datafusion::prelude::SessionContext;
use tidemill_core::lake::Lake;
use tidemill_core::learn::Task;
use tidemill_core::project::{Job, Settings};
use tidemill_core::{Error, catalog};

use super::{environment, lake, project};
use crate::bars::Bar;
use crate::cli::{Evaluation, GlobalArgs, MetricsArgs};
use crate::exit::{Done, Outcome};
use crate::notes::note;
use crate::output::{Format, Room, write_rows};
use crate::{compare, invocation, series, style, table};

/// Every column, in the order in which they are printed.
pub(crate) const COLUMNS: &str = "job, batch_id, model, version, evaluation, \"rows\", accuracy, auc, log_loss, \
     \"precision\", recall, f1, tp, fp, tn, \"fn\", train_ms, inertia, silhouette, \
     silhouette_river, cohesion, separation, ssw, ssb, bic, xie_beni, calinski_harabasz, davies_bouldin, rmse, mae, r2, median_absolute_error";

/// Prints the rows, ordered by batch, model and evaluation.
pub(crate) async fn run(global: &GlobalArgs, args: &MetricsArgs) -> Done {
    let lake = lake(global);
    let session = catalog::open_session(&lake).await?;
    let models = model_names(&session, &lake, &args.job).await?;
    if models.is_empty() {
        return Err(no_metrics(global, &args.job)?.into());
    }
    for model in args.model.iter().chain(args.compare.iter().flatten()) {
        check_model(&args.job, model, &models)?;
    }
    if args.exact {
        return print(&exact(&lake, args).await?, args.output.format);
    }
    let evaluation = match args.evaluation {
        Some(evaluation) => evaluation,
        None => usual_evaluation(&session, &lake, &args.job).await?,
    };
    if let Some(names) = &args.compare {
        let rows = two_models(&session, &lake, args, names, evaluation).await?;
        return print(&rows, args.output.format);
    }
    if let Some(folder) = &args.compare_lake {
        let rows = two_lakes(&session, &lake, args, &Lake::new(folder), evaluation).await?;
        return print(&rows, args.output.format);
    }
    let by = args.by.map_or(
        match evaluation {
            Evaluation::Sample => "silhouette",
            Evaluation::Holdout | Evaluation::Prequential => "auc",
        },
        |metric| metric.name,
    );
    let statement = if args.best { best(&args.job, by, evaluation) } else { statement(args) };
    let batches = catalog::query(&session, &lake, &statement).await?;
    let Some(schema) = batches.first().map(RecordBatch::schema) else {
        return Err(Error::internal("system.metrics answered without a schema").into());
    };
    let rows = concat_batches(&schema, &batches).map_err(Error::from)?;
    if args.best && rows.num_rows() == 0 {
        return Err(Error::user(format!("no model of {} has a value of {by} at the last batch", args.job))
            .hint("AUC and F1 need rows of both classes, a silhouette needs two clusters: try another --by, or look at all batches without --best")
            .into());
    }
    print(&rows, args.output.format)
}

/// Prints rows, without what a terminal has no room for.
fn print(rows: &RecordBatch, format: Format) -> Done {
    let mut rows = rows.clone();
    if format == Format::Table {
        rows = without_empty_columns(&rows)?;
        if let Some(width) = Room::of_stdout().width {
            let left_out;
            (rows, left_out) = fitted(rows, usize::from(width))?;
            if !left_out.is_empty() {
                note(format_args!(
                    "Not shown for lack of room: {}. --format csv has them.",
                    left_out.join(", ")
                ));
            }
        }
    }
    write_rows(
        &mut std::io::stdout().lock(),
        &rows.schema(),
        std::slice::from_ref(&rows),
        format,
        Room::of_stdout(),
    )?;
    Ok(Outcome::Done)
}

/// An error that names the nearest model, if this is none of them.
fn check_model(job: &str, model: &str, models: &[String]) -> Result<(), Error> {
    if models.iter().any(|known| known == model) {
        return Ok(());
    }
    Err(Error::unknown("model", model, models).context(format!("job {job}")))
}

/// `--compare`: two models of one lake.
async fn two_models(
    session: &SessionContext,
    lake: &Lake,
    args: &MetricsArgs,
    names: &[String],
    evaluation: Evaluation,
) -> Result<RecordBatch, Error> {
    let [first, second] = names else { return Err(Error::user("--compare takes two models")) };
    if first == second {
        return Err(Error::user("--compare takes two different models")
            .hint("for one model of two lakes: --compare-lake DIR --model NAME"));
    }
    let mut pairs = Vec::new();
    let found = series::read_all(session, lake, &args.job, &compare::metrics(), Some(evaluation)).await?;
    for (metric, all) in compare::metrics().into_iter().zip(found) {
        let of = |name: &str| all.iter().find(|s| s.model == name).map_or(Vec::new(), |s| s.points.clone());
        let (mut first, second) = (of(first), of(second));
        only_last(&mut first, args.last);
        pairs.extend(compare::paired(None, metric, &first, &second));
    }
    if pairs.is_empty() {
        let evaluation = evaluation.as_str();
        return Err(Error::user(format!("{first} and {second} share no batch with {evaluation} scores"))
            .hint(format!("see what there is: tidemill metrics {} --format csv", args.job)));
    }
    Ok(compare::rows(&pairs, [first, second], args.output.format.is_for_people())?)
}

/// `--compare-lake`: the models that two lakes share.
async fn two_lakes(
    session: &SessionContext,
    lake: &Lake,
    args: &MetricsArgs,
    other: &Lake,
    evaluation: Evaluation,
) -> Result<RecordBatch, Error> {
    let other_session = catalog::open_session(other).await?;
    let evaluation = Some(evaluation);
    let mut pairs = Vec::new();
    let ours = series::read_all(session, lake, &args.job, &compare::metrics(), evaluation).await?;
    let theirs = series::read_all(&other_session, other, &args.job, &compare::metrics(), evaluation).await?;
    for (metric, (ours, theirs)) in compare::metrics().into_iter().zip(ours.into_iter().zip(theirs)) {
        for ours in ours {
            let model = ours.model.as_str();
            if args.model.as_deref().is_some_and(|only| only != model) {
                continue;
            }
            if let Some(theirs) = theirs.iter().find(|s| s.model == model) {
                let mut points = ours.points.clone();
                only_last(&mut points, args.last);
                pairs.extend(compare::paired(Some(model), metric, &points, &theirs.points));
            }
        }
    }
    if pairs.is_empty() {
        return Err(Error::user(format!(
            "the lakes {} and {} share no model and batch of job {}",
            style::folder(lake.root()),
            style::folder(other.root()),
            args.job
        ))
        .hint("both need metrics of the same job: stream it in both"));
    }
    // Model by model; within one the metrics stay in their order.
    pairs.sort_by(|a, b| a.model.cmp(&b.model));
    Ok(compare::rows(&pairs, ["this", "other"], args.output.format.is_for_people())?)
}

/// Keeps the newest `last` points.
fn only_last(points: &mut Vec<(u64, Option<f64>)>, last: Option<u64>) {
    let last = last.map_or(points.len(), |last| usize::try_from(last).unwrap_or(usize::MAX));
    points.drain(..points.len().saturating_sub(last));
}

/// `--exact`: the newest clusterings on the whole state.
async fn exact(lake: &Lake, args: &MetricsArgs) -> Result<RecordBatch, Error> {
    let Some(view) = catalog::state(lake, &args.job.replace('-', "_")).await? else {
        return Err(Error::user(format!("the job {} keeps no state in this lake", args.job)).hint(
            "--exact is for the clusterings of stateful jobs; others are scored on all held-out rows",
        ));
    };
    let models = view.plan.program.models.iter().filter(|spec| spec.config.task() == Task::Cluster);
    let models: Vec<_> =
        models.filter(|spec| args.model.as_ref().is_none_or(|only| *only == spec.config.name)).collect();
    let keys = view.state.len() as u64;
    let bar = Bar::rows("score", Some(keys * models.len() as u64));
    let mut scored = Vec::new();
    for (done, model) in (0..).zip(models) {
        bar.set(done * keys);
        bar.say(model.config.name.clone());
        scored.push(view.exact_metrics(lake, &args.job, model).await?);
    }
    drop(bar);
    let Some(schema) = scored.first().map(RecordBatch::schema) else {
        let names: Vec<&str> =
            view.plan.program.models.iter().map(|spec| spec.config.name.as_str()).collect();
        return Err(Error::user(format!("the job {} has no such model any more", args.job))
            .hint(format!("at its newest batch it had: {}", names.join(", "))));
    };
    let rows = concat_batches(&schema, &scored)?;
    // In the order of the columns that are printed otherwise.
    let names = COLUMNS.split(',').map(|name| name.trim().trim_matches('"'));
    let places = names.map(|name| rows.schema().index_of(name)).collect::<Result<Vec<_>, _>>()?;
    Ok(rows.project(&places)?)
}

/// What models are compared by where the command does not say: the hold-out, or the sample of a job that has none.
async fn usual_evaluation(session: &SessionContext, lake: &Lake, job: &str) -> Result<Evaluation, Error> {
    let of_job = format!("FROM system.metrics WHERE job = {}", quoted(job));
    let kinds = texts(session, lake, &format!("SELECT DISTINCT evaluation {of_job}")).await?;
    let is_sample = kinds.iter().any(|kind| kind == Evaluation::Sample.as_str());
    let has_holdout = kinds.iter().any(|kind| kind == Evaluation::Holdout.as_str());
    Ok(if is_sample && !has_holdout { Evaluation::Sample } else { Evaluation::Holdout })
}

/// The SELECT of `--best`.
fn best(job: &str, by: &str, evaluation: Evaluation) -> String {
    let of = format!(
        "FROM system.metrics WHERE job = {} AND evaluation = {}",
        quoted(job),
        quoted(evaluation.as_str())
    );
    let order = if series::higher_is_better(by) { "DESC" } else { "ASC" };
    format!(
        "SELECT {COLUMNS} {of} AND batch_id = (SELECT max(batch_id) {of}) AND {by} IS NOT NULL \
         ORDER BY {by} {order}, model LIMIT 1"
    )
}

/// The SELECT that the arguments ask for.
fn statement(args: &MetricsArgs) -> String {
    let mut conditions = vec![format!("job = {}", quoted(&args.job))];
    if let Some(last) = args.last {
        let ids = format!("SELECT DISTINCT batch_id FROM system.metrics WHERE {}", conditions.join(" AND "));
        conditions.push(format!("batch_id IN ({ids} ORDER BY batch_id DESC LIMIT {last})"));
    }
    conditions.extend(args.model.as_ref().map(|model| format!("model = {}", quoted(model))));
    conditions.extend(args.evaluation.map(|e| format!("evaluation = {}", quoted(e.as_str()))));
    format!(
        "SELECT {COLUMNS} FROM system.metrics WHERE {} ORDER BY batch_id, model, evaluation",
        conditions.join(" AND ")
    )
}

/// A text as an SQL literal.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The models that a job has metrics of, sorted.
pub(super) async fn model_names(
    session: &SessionContext,
    lake: &Lake,
    job: &str,
) -> Result<Vec<String>, Error> {
    let of_job = format!("FROM system.metrics WHERE job = {}", quoted(job));
    texts(session, lake, &format!("SELECT DISTINCT model {of_job} ORDER BY 1")).await
}

/// The first column of the answer, as text.
async fn texts(session: &SessionContext, lake: &Lake, statement: &str) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    for batch in catalog::query(session, lake, statement).await? {
        if let Some(column) = tidemill_core::calendar::shown(&batch)?.columns().first() {
            let options = arrow::util::display::FormatOptions::default();
            let formatter = arrow::util::display::ArrayFormatter::try_new(column.as_ref(), &options)?;
            found.extend((0..column.len()).map(|row| formatter.value(row).to_string()));
        }
    }
    Ok(found)
}

/// Why there is nothing to show: a job that does not exist (the error of the project, with the nearest name), or one
/// that has learned nothing here yet.
pub(super) fn no_metrics(global: &GlobalArgs, job: &str) -> Result<Error, Error> {
    let settings = Settings { sets: Vec::new(), environment: environment() };
    let found = project(global).job(job, &settings)?;
    let lake = global.lake_dir();
    let lake_flag = if lake.as_os_str() == "lake" {
        String::new()
    } else {
        format!("--lake {} ", invocation::quoted(&lake.to_string_lossy()))
    };
    Ok(Error::user(format!("job {job} has no metrics in the lake {} yet", style::folder(&lake))).hint(
        match found {
            Job::Stream(of) if !of.program.models.is_empty() => {
                format!("stream it first: tidemill {lake_flag}stream {job} --available-now")
            }
            Job::Batch(of) if !of.models.is_empty() => {
                format!("run it first: tidemill {lake_flag}run {job} --input FILE…")
            }
            _ => format!("it has no [[models]]: add one to jobs/{job}.toml"),
        },
    ))
}

/// Leaves out the columns in which there is nothing (those of other kinds of model).
fn without_empty_columns(rows: &RecordBatch) -> Result<RecordBatch, Error> {
    let kept: Vec<usize> = (0..rows.num_columns())
        .filter(|&index| rows.num_rows() == 0 || rows.column(index).null_count() < rows.num_rows())
        .collect();
    Ok(rows.project(&kept)?)
}

/// Leaves out columns, the most dispensable first, until the rest fits the terminal. Names what was left out.
fn fitted(mut rows: RecordBatch, width: usize) -> Result<(RecordBatch, Vec<&'static str>), Error> {
    let dispensable = [
        "job",
        "version",
        "tp",
        "fp",
        "tn",
        "fn",
        "precision",
        "recall",
        "log_loss",
        "train_ms",
        "f1",
        "ssw",
        "ssb",
        "bic",
        "xie_beni",
        "separation",
        "cohesion",
        "silhouette_river",
        "calinski_harabasz",
        "davies_bouldin",
    ];
    let mut left_out = Vec::new();
    for name in dispensable {
        if table::natural_width(&rows)? <= width {
            break;
        }
        if let Ok(index) = rows.schema().index_of(name) {
            rows.remove_column(index);
            left_out.push(name);
        }
    }
    Ok((rows, left_out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::OutputArgs;

    #[test]
    fn the_statement_has_every_filter_that_was_asked_for() {
        let mut args = MetricsArgs {
            job: "o'hare".into(),
            model: None,
            evaluation: None,
            last: None,
            compare: None,
            compare_lake: None,
            best: false,
            by: None,
            exact: false,
            output: OutputArgs { format: Format::Table },
        };
        assert!(statement(&args).ends_with("WHERE job = 'o''hare' ORDER BY batch_id, model, evaluation"));
        args.model = Some("forest".into());
        args.evaluation = Some(Evaluation::Holdout);
        args.last = Some(2);
        let text = statement(&args);
        for part in ["model = 'forest'", "evaluation = 'holdout'", "ORDER BY batch_id DESC LIMIT 2)"] {
            assert!(text.contains(part), "{text}");
        }
        let best = |by| best("o'hare", by, Evaluation::Sample);
        assert!(best("log_loss").ends_with("log_loss IS NOT NULL ORDER BY log_loss ASC, model LIMIT 1"));
        assert!(best("accuracy").ends_with("ORDER BY accuracy DESC, model LIMIT 1"));
        assert!(best("davies_bouldin").ends_with("ORDER BY davies_bouldin ASC, model LIMIT 1"));
    }

    #[test]
    fn a_narrow_terminal_gets_the_columns_that_matter() {
        use std::sync::Arc;
        let column = || Arc::new(arrow::array::UInt64Array::from(vec![1])) as arrow::array::ArrayRef;
        let names = ["job", "batch_id", "model", "auc", "tp", "f1"];
        let rows = RecordBatch::try_from_iter(names.map(|name| (name, column()))).unwrap();
        assert_eq!(fitted(rows.clone(), 100).unwrap().1, Vec::<&str>::new());
        let (kept, left_out) = fitted(rows, 34).unwrap();
        assert_eq!(left_out, ["job", "tp"]);
        assert_eq!(kept.num_columns(), 4);
        assert!(table::natural_width(&kept).unwrap() <= 34);
    }

    #[test]
    fn only_columns_without_any_value_are_left_out() {
        use std::sync::Arc;
        let rows = RecordBatch::try_from_iter_with_nullable([
            (
                "a",
                Arc::new(arrow::array::Float64Array::from(vec![None, Some(1.0)])) as arrow::array::ArrayRef,
                true,
            ),
            (
                "b",
                Arc::new(arrow::array::Float64Array::from(vec![None, None])) as arrow::array::ArrayRef,
                true,
            ),
        ])
        .unwrap();
        let kept = without_empty_columns(&rows).unwrap();
        assert_eq!(kept.schema().fields().len(), 1);
        assert_eq!(without_empty_columns(&rows.slice(0, 0)).unwrap().num_columns(), 2);
    }
}
