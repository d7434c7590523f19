//! `tidemill data generate`: data sets with the shape of real ones.

use std::path::Path;

use tidemill_core::Error;

use crate::bars::Bar;
use crate::cli::{GenerateArgs, GenerateFolderArgs};
use crate::exit::{Done, Outcome};
use crate::generate::{write_chicago_crimes, write_olist, write_online_retail};
use crate::style;

/// `tidemill data generate chicago-crimes`.
pub(crate) fn chicago_crimes(args: &GenerateArgs) -> Done {
    generate(args.rows, args.seed, &args.out)?;
    Ok(Outcome::Done)
}

/// `tidemill data generate olist`.
pub(crate) fn olist(args: &GenerateFolderArgs) -> Done {
    let bar = Bar::rows("generate", Some(args.rows));
    write_olist(args.rows, args.seed, &args.out, &mut |done| bar.set(done))?;
    bar.finish(&format!("{} orders in nine files to {}", style::count(args.rows), style::folder(&args.out)));
    Ok(Outcome::Done)
}

/// `tidemill data generate online-retail`.
pub(crate) fn online_retail(args: &GenerateFolderArgs) -> Done {
    let bar = Bar::rows("generate", Some(args.rows));
    write_online_retail(args.rows, args.seed, &args.out, &mut |done| bar.set(done))?;
    bar.finish(&format!(
        "{} invoice lines to {}",
        style::count(args.rows),
        style::folder(&args.out.join("data.csv"))
    ));
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
