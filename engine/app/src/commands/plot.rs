//! `tidemill plot`: a metric or centres over batches, numbers of clusters, or a job's figures, in the terminal or a file.

mod clusters;

use std::path::Path;

use tidemill_core::files::write_atomically;
use tidemill_core::learn::Task;
use tidemill_core::learn::tables::with_column;
use tidemill_core::{Error, catalog};

use super::lake;
use super::metrics::{model_names, no_metrics};
use crate::cli::{GlobalArgs, PlotArgs, PlotWhat};
use crate::exit::{Done, Outcome, print_line};
use crate::notes::note;
use crate::plot::{Chart, FileKind, figures, html, svg, terminal};
use crate::{series, style};

/// Draws what was asked for.
pub(crate) async fn run(global: &GlobalArgs, args: &PlotArgs) -> Done {
    // Before anything is read: a wrong name of a file is told at once.
    let kind = args.out.as_deref().map(FileKind::of).transpose()?;
    let charts = match args.what {
        PlotWhat::Eda => return eda(global, args, kind).await,
        PlotWhat::Metrics => vec![metrics(global, args).await?],
        PlotWhat::Elbow => clusters::elbow(global, args).await?,
        PlotWhat::Centres => clusters::centres(global, args).await?,
    };
    let (Some(path), Some(kind)) = (&args.out, kind) else {
        let width = comfy_table::Table::new().width().map_or(80, usize::from);
        for chart in &charts {
            print_line(terminal(chart, width, style::stdout_color()).trim_end_matches('\n'))?;
        }
        return Ok(Outcome::Done);
    };
    let text = match kind {
        FileKind::Svg => svg(&charts)?,
        FileKind::Html => html(&charts),
    };
    write(path, &text)
}

async fn metrics(global: &GlobalArgs, args: &PlotArgs) -> Done<Chart> {
    let lake = lake(global);
    let session = catalog::open_session(&lake).await?;
    if model_names(&session, &lake, &args.job).await?.is_empty() {
        return Err(no_metrics(global, &args.job)?.into());
    }
    // Of a job without classifiers, what its clusters are worth.
    let asked = args.metric.as_deref();
    let metrics = asked.map_or(vec!["auc", "silhouette"], |metric| vec![metric]);
    for metric in &metrics {
        let lines = series::read(&session, &lake, &args.job, metric, None).await?;
        if let Some(chart) = Chart::new(&args.job, metric, lines) {
            return Ok(chart);
        }
    }
    let error = Error::user(format!("no model of job {} has a value of {}", args.job, metrics.join(" or ")));
    let names = |task| {
        let of_task = with_column().filter(|metric| metric.task() == task);
        of_task.map(|metric| metric.name).collect::<Vec<_>>().join(", ")
    };
    let (classifiers, clusterings) = (names(Task::Classify), names(Task::Cluster));
    Err(error.hint(format!("classifiers have {classifiers}; clusterings have {clusterings}")).into())
}

/// Draws the figures of a job's exploratory tables.
async fn eda(global: &GlobalArgs, args: &PlotArgs, kind: Option<FileKind>) -> Done {
    let lake = lake(global);
    let session = catalog::open_session(&lake).await?;
    let figures = figures::read(&session, &lake, &args.job).await?;
    let (Some(path), Some(kind)) = (&args.out, kind) else {
        let width = comfy_table::Table::new().width().map_or(80, usize::from);
        print_line(figures::terminal(&figures, width, style::stdout_color()).trim_end_matches('\n'))?;
        return Ok(Outcome::Done);
    };
    let text = match kind {
        FileKind::Svg => figures::svg(&figures)?,
        FileKind::Html => figures::html(&args.job, &figures)?,
    };
    write(path, &text)
}

/// Writes a drawing to its file, whole or not at all.
fn write(path: &Path, text: &str) -> Done {
    // Absolute, so that there is a folder to write beside the file.
    let absolute = std::path::absolute(path)
        .map_err(|e| Error::user(format!("{} is no path to write to: {e}", path.display())))?;
    if absolute.parent().is_some_and(|folder| !folder.is_dir()) {
        return Err(Error::user(format!("there is no folder to write {} to", path.display()))
            .hint("make it first, or name another place with --out FILE")
            .into());
    }
    write_atomically(&absolute, text.as_bytes())?;
    note(format_args!("{}: {} written", path.display(), size(text.len())));
    Ok(Outcome::Done)
}

/// Bytes for people.
fn size(bytes: usize) -> String {
    match bytes {
        0..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}
