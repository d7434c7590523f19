//! `tidemill models export`: a version of a model as a file for other programs.

use std::path::{Path, PathBuf};

use tidemill_core::files::write_atomically;
use tidemill_core::predict::onnx;
use tidemill_core::project::Settings;
use tidemill_core::registry::{Entry, ModelRef};
use tidemill_core::{Error, batch, memory};

use super::{environment, lake, project};
use crate::cli::{ExportArgs, ExportFormat, GlobalArgs};
use crate::exit::{Done, Outcome};
use crate::notes::note;

/// Writes the file.
pub(crate) async fn run(global: &GlobalArgs, args: &ExportArgs) -> Done {
    let path = place(&args.output)?;
    let name = ModelRef::of_job(&args.job, &args.model)?;
    let lake = lake(global);
    let of_batch = async |entry: &Entry, features: &[String]| {
        let settings = Settings { sets: Vec::new(), environment: environment() };
        let job = project(global).batch_job(&args.job, &settings)?;
        let limit = memory::given().unwrap_or_else(memory::limit);
        batch::categories(&lake, &job, entry, features, Some(limit)).await
    };
    let (bytes, entry) = match args.format {
        ExportFormat::Onnx => onnx(&lake, &name, of_batch).await?,
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
