//! `tidemill predict`: what a trained model says of the rows of a file.

use std::io::Read;

use tidemill_core::predict::{Refused, Scored, Scorer};
use tidemill_core::project::Settings;
use tidemill_core::registry::ModelRef;
use tidemill_core::{Error, batch};

use super::{environment, lake, project};
use crate::cli::{GlobalArgs, PredictArgs};
use crate::exit::{Done, Outcome};
use crate::notes::note;
use crate::output::{Room, write_rows};
use crate::style;

/// Prints the rows with what the model says of each.
pub(crate) async fn run(global: &GlobalArgs, args: &PredictArgs) -> Done {
    let lake = lake(global);
    let name = ModelRef::of_job(&args.job, &args.model)?;
    let held;
    let path = if args.input.as_os_str() == "-" {
        held = stdin(args.input_format.extension())?;
        held.path().display().to_string()
    } else {
        args.input.display().to_string()
    };
    let batches = batch::rows_of_file(&path).await?;
    let Some(schema) = batches.first().map(|rows| rows.schema()) else {
        return Err(Error::internal("a file was read without its columns").into());
    };
    // Of a batch job the file says of what types its inputs are, where there is one.
    let of_input = |table: &str| {
        let settings = Settings { sets: Vec::new(), environment: environment() };
        let job = project(global).batch_job(&args.job, &settings).ok();
        job.map(|job| batch::input_types(&lake, &job, table)).unwrap_or_default()
    };
    let scorer = Scorer::open(&lake, &name, &schema, of_input).await?;
    let (mut scored, mut left_out, mut rows) = (Vec::new(), 0, 0);
    let mut refused = Refused::default();
    for batch in &batches {
        let Scored { rows: with_answers, without_features, refused: without } = scorer.score(batch).await?;
        left_out += without_features;
        refused.add(without);
        rows += with_answers.num_rows() as u64;
        scored.push(with_answers);
    }
    write_rows(
        &mut std::io::stdout().lock(),
        &scorer.schema(&schema)?,
        &scored,
        args.output.format,
        Room::of_stdout(),
    )?;
    let version = scorer.entry().version;
    note(format_args!(
        "{} by {} version {version}, features {}",
        style::rows(rows),
        args.model,
        if scorer.makes_features() { "by its SELECT" } else { "as they are given" }
    ));
    if left_out > 0 {
        note(format_args!(
            "{} have no features by the model's SELECT and no prediction",
            style::rows(left_out)
        ));
    }
    if let Some(why) = &refused.why {
        note(format_args!("no prediction for {}: {why}", style::rows(refused.rows)));
    }
    Ok(Outcome::Done)
}

/// What comes on stdin, as a file.
fn stdin(extension: &str) -> Result<tempfile::NamedTempFile, Error> {
    let cannot = |e: std::io::Error| Error::storage(format!("cannot keep what comes on stdin: {e}"));
    let mut file = tempfile::Builder::new().suffix(&format!(".{extension}")).tempfile().map_err(cannot)?;
    std::io::copy(&mut std::io::stdin().lock().by_ref(), &mut file).map_err(cannot)?;
    Ok(file)
}
