//! `tidemill compact`: what a stream does between its batches, for all that is due at once.

use tidemill_core::stream::compact;

use super::dlq::check_checkpoint;
use super::{job, lake, project};
use crate::cli::{CompactArgs, GlobalArgs};
use crate::exit::{Done, Outcome};
use crate::notes::note;
use crate::{signals, style};

/// What is said at the first signal.
const ENDING: &str = "finishing the files in hand; once more stops at once";

/// Makes the many small files of a job's tables few.
pub(crate) async fn run(global: &GlobalArgs, args: &CompactArgs) -> Done {
    let lake = lake(global);
    let job = job(&project(global), &args.job, None, &args.sets)?;
    check_checkpoint(&lake, &job.name, &job.schema_name, "stream")?;
    let stop = signals::watch(ENDING)?;
    let done = tokio::task::block_in_place(|| compact(&job, &lake, &stop.flag()))?;
    note(format_args!(
        "{} files became {}; {} that earlier compactions took out were removed",
        style::count(done.files),
        style::count(done.into),
        style::count(done.removed)
    ));
    Ok(Outcome::Done)
}
