//! Plots of a stateful job's clusters: how many there should be, and where their centres went.

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, UInt64Type};
use tidemill_core::lake::Lake;
use tidemill_core::project::ModelSpec;
use tidemill_core::{Error, catalog};

use super::super::{lake, metrics::quoted};
use crate::cli::{GlobalArgs, PlotArgs};
use crate::exit::{Done, print_line};
use crate::plot::Chart;
use crate::series::Series;

/// K-means of several numbers of clusters on all customers as they are now: the numbers are printed, the curves given.
pub(super) async fn elbow(global: &GlobalArgs, args: &PlotArgs) -> Done<Vec<Chart>> {
    let (lake, range) = (lake(global), args.k.clone().unwrap_or(2..=12));
    let schema_name = args.job.replace('-', "_");
    let Some(view) = catalog::state(&lake, &schema_name).await? else {
        return Err(no_state(&args.job).into());
    };
    let model = model(&view.plan.program.models, args)?;
    let sweep = view.sweep(model, range).await?;
    print_line("clusters  inertia        silhouette")?;
    for point in &sweep.points {
        let silhouette = point.silhouette.map_or_else(|| "-".to_owned(), |s| format!("{s:.4}"));
        let mut marks = String::new();
        if sweep.elbow == Some(point.clusters) {
            marks.push_str("  elbow");
        }
        if sweep.best_silhouette == Some(point.clusters) {
            marks.push_str("  best silhouette");
        }
        print_line(&format!("{:>8}  {:<13.1}  {silhouette}{marks}", point.clusters, point.inertia))?;
    }
    let at = sweep.elbow.map_or_else(|| "no elbow".to_owned(), |k| format!("elbow at {k}"));
    let curve = |name: &str, value: fn(&tidemill_core::catalog::SweepPoint) -> Option<f64>| {
        let points = sweep.points.iter().map(|p| (u64::from(p.clusters), value(p))).collect();
        let series = Series { model: name.to_owned(), evaluation: String::new(), points };
        let title = format!("{}: {name} by number of clusters, {at}", args.job);
        let chart =
            Chart::with(title, "clusters", name.to_owned(), vec![series], |series| series.model.clone())?;
        Some(match sweep.elbow {
            Some(at) => chart.marked(u64::from(at), "elbow".to_owned()),
            None => chart,
        })
    };
    let mut charts = vec![curve("inertia", |p| Some(p.inertia)), curve("silhouette", |p| p.silhouette)];
    if args.metric.as_deref() == Some("silhouette") {
        charts.reverse();
    }
    Ok(charts.into_iter().flatten().collect())
}

/// The centres of one clustering by batch: in one feature if it is named, else a chart a feature.
pub(super) async fn centres(global: &GlobalArgs, args: &PlotArgs) -> Done<Vec<Chart>> {
    let lake = lake(global);
    let known = names(&lake, args).await?;
    let model = match &args.model {
        Some(name) => name.clone(),
        None => first_model(&lake, args, &known).await?,
    };
    let mut features: Vec<&str> =
        known.iter().filter(|(m, _)| *m == model).map(|(_, f)| f.as_str()).collect();
    if features.is_empty() {
        return Err(no_model(&args.job, &model, known.iter().map(|(model, _)| model.as_str())).into());
    }
    if let Some(name) = &args.metric {
        let error = || {
            Error::user(format!("the centres of `{model}` have no `{name}`"))
                .hint(format!("they have: {}", features.join(", ")))
        };
        features = vec![features.iter().find(|f| *f == name).copied().ok_or_else(error)?];
    }
    let mut charts = Vec::new();
    for feature in features {
        charts.push(chart_of(&lake, args, &model, feature).await?);
    }
    Ok(charts)
}

/// The first clustering of a stateful job as the job has them, else by name.
async fn first_model(lake: &Lake, args: &PlotArgs, known: &[(String, String)]) -> Result<String, Error> {
    let view = catalog::state(lake, &args.job.replace('-', "_")).await?;
    let of_job = view.iter().flat_map(|view| &view.plan.program.models).map(|spec| &spec.config.name);
    let mut names = of_job.chain(known.iter().map(|(model, _)| model));
    let first = names.find(|name| known.iter().any(|(model, _)| model == *name));
    first.cloned().ok_or_else(|| no_centres(&args.job))
}

async fn chart_of(lake: &Lake, args: &PlotArgs, model: &str, feature: &str) -> Done<Chart> {
    let session = catalog::open_session(lake).await?;
    let statement = format!(
        "SELECT CAST(cluster AS BIGINT UNSIGNED) AS number, batch_id, value FROM system.centres WHERE job = {} AND model = {} \
         AND feature = {} ORDER BY number, batch_id",
        quoted(&args.job),
        quoted(model),
        quoted(feature)
    );
    let mut lines: Vec<Series> = Vec::new();
    for rows in catalog::query(&session, lake, &statement).await? {
        let clusters = rows.column(0).as_primitive::<UInt64Type>();
        let batches = rows.column(1).as_primitive::<UInt64Type>();
        let values = rows.column(2).as_primitive::<Float64Type>();
        for row in 0..rows.num_rows() {
            let cluster = format!("cluster {}", clusters.value(row));
            if lines.last().is_none_or(|line| line.model != cluster) {
                lines.push(Series { model: cluster, evaluation: String::new(), points: Vec::new() });
            }
            if let Some(line) = lines.last_mut() {
                line.points.push((batches.value(row), Some(values.value(row))));
            }
        }
    }
    let title = format!("{}: centres of {model}, {}", args.job, feature.replace('_', " "));
    let chart = Chart::with(title, "batch", feature.replace('_', " "), lines, |line| line.model.clone());
    Ok(chart.ok_or_else(|| no_centres(&args.job))?)
}

/// Every clustering with its features, in the order of their names.
async fn names(lake: &Lake, args: &PlotArgs) -> Result<Vec<(String, String)>, Error> {
    let session = catalog::open_session(lake).await?;
    let statement = format!(
        "SELECT DISTINCT model, feature FROM system.centres WHERE job = {} ORDER BY model, feature",
        quoted(&args.job)
    );
    let mut found = Vec::new();
    for rows in catalog::query(&session, lake, &statement).await? {
        let texts = [cast(rows.column(0), &DataType::Utf8)?, cast(rows.column(1), &DataType::Utf8)?];
        let [models, features] = [texts[0].as_string::<i32>(), texts[1].as_string::<i32>()];
        found
            .extend((0..rows.num_rows()).map(|r| (models.value(r).to_owned(), features.value(r).to_owned())));
    }
    Ok(found)
}

fn model<'a>(models: &'a [ModelSpec], args: &PlotArgs) -> Result<&'a ModelSpec, Error> {
    let names = || models.iter().map(|spec| spec.config.name.as_str());
    let Some(wanted) = &args.model else {
        return models.first().ok_or_else(|| no_centres(&args.job));
    };
    models.iter().find(|spec| spec.config.name == *wanted).ok_or_else(|| no_model(&args.job, wanted, names()))
}

fn no_model<'a>(job: &str, wanted: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let mut known: Vec<&str> = known.collect();
    known.dedup();
    if known.is_empty() {
        return no_centres(job);
    }
    Error::unknown("model", wanted, &known)
}

fn no_state(job: &str) -> Error {
    Error::user(format!("the job {job} keeps no state in this lake"))
        .hint("`plot JOB elbow` is for stateful jobs, olist-rfm say, after their first batch; --lake DIR names another lake")
}

fn no_centres(job: &str) -> Error {
    Error::user(format!("no clustering of the job {job} has centres in this lake"))
        .hint("a clustering has some after its first batch; --lake DIR names another lake")
}
