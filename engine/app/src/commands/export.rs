//! `tidemill models export`: a version of a model as a file for other programs.

use std::path::{Path, PathBuf};

use tidemill_core::Error;
use tidemill_core::files::write_atomically;
use tidemill_core::predict::onnx;
use tidemill_core::registry::ModelRef;

use super::lake;
use crate::cli::{ExportArgs, ExportFormat, GlobalArgs};
use crate::exit::{Done, Outcome};
use crate::notes::note;

/// Writes the file.
pub(crate) async fn run(global: &GlobalArgs, args: &ExportArgs) -> Done {
    let path = place(&args.output)?;
    let name = ModelRef::of_job(&args.job, &args.model)?;
    let (bytes, entry) = match args.format {
        ExportFormat::Onnx => onnx(&lake(global), &name).await?,
    };
    write_atomically(&path, &bytes)?;
    note(format_args!(
        "{} version {} is in {}, {} bytes",
        entry.outcome.name,
        entry.version,
        args.output.display(),
        bytes.len()
    ));
    Ok(Outcome::Done)
}

/// Where the file is put, in the place of what is there.
fn place(output: &Path) -> Result<PathBuf, Error> {
    let cannot = |why: &str| Error::user(format!("cannot write {}: {why}", output.display()));
    // What is there itself: /dev/stdout is a link, and leads to a file where it is redirected.
    if std::fs::symlink_metadata(output).is_ok_and(|there| !there.is_file()) {
        return Err(cannot("that is a folder, a link or a device").hint("name a new file, or one to replace"));
    }
    let path = std::path::absolute(output).map_err(|error| cannot(&error.to_string()))?;
    if path.parent().is_some_and(|folder| !folder.is_dir()) {
        return Err(cannot("there is no such folder").hint("make it first, or name another place"));
    }
    Ok(path)
}
