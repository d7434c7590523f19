//! The generated sample that a job without data can be tried on.

use std::path::Path;

use tidemill_core::Error;
use tidemill_core::project::BatchJob;

use crate::invocation;

/// The error of a run, with the command that makes a sample where the job has one and its data were never there: in a
/// folder that is there, it would replace files.
pub(super) fn offer(error: Error, job: &BatchJob) -> Error {
    let Some(command) = command(job).filter(|_| error.to_string().contains("no file")) else { return error };
    let next = error.next_step().map(|step| format!("; or {step}")).unwrap_or_default();
    error.hint(format!("make a sample: {} {command}{next}", invocation::of_this_process()))
}

fn command(job: &BatchJob) -> Option<String> {
    let rows = match job.name.as_str() {
        "olist" => 5_000,
        "online-retail" => 50_000,
        "chicago-crimes" => {
            return Some("data generate chicago-crimes --rows 100000 --out crimes.csv".to_owned());
        }
        _ => return None,
    };
    let folder = Path::new(job.inputs.first()?.path.as_deref()?).parent()?;
    let out = invocation::quoted(folder.to_str()?);
    (!folder.exists()).then(|| format!("data generate {} --rows {rows} --out {out}", job.name))
}
