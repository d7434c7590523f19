//! `tidemill data generate`: data sets with the shape of real ones.

use std::path::Path;

use tidemill_core::Error;

use crate::bars::Bar;
use crate::cli::GenerateArgs;
use crate::exit::{Done, Outcome};
use crate::generate::write_chicago_crimes;
use crate::style;

/// `tidemill data generate chicago-crimes`.
pub(crate) fn chicago_crimes(args: &GenerateArgs) -> Done {
    generate(args.rows, args.seed, &args.out)?;
    Ok(Outcome::Done)
}

/// Writes the file with a progress bar. Used by the demo too.
pub(super) fn generate(rows: u64, seed: u64, path: &Path) -> Result<(), Error> {
    let bar = Bar::rows("generate", Some(rows));
    write_chicago_crimes(rows, seed, path, &mut |done| bar.set(done))?;
    let place = if path.as_os_str() == "-" { "stdout".to_string() } else { style::folder(path) };
    bar.finish(&format!("{} of crimes to {place}", style::rows(rows)));
    Ok(())
}
