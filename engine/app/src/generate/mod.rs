//! `tidemill data generate`: data sets that were made up, with the shape of real ones.
//!
//! ```text
//! codes (what) ─┐
//! places (where) ├─> crimes (a row from a seed) ──> a file, gzip, or stdout
//! city (which block) ─┘
//! olist (nine files), online_retail (one) ──> a folder with the names of the published files
//! ```
//!
//! The tables behind the rows come from fixed seeds and the rows from the caller's: two files with different seeds are
//! two samples of one world.

mod city;
mod codes;
mod crimes;
mod draw;
mod folder;
mod olist;
mod online_retail;
mod places;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use tidemill_core::{Error, Result};

use crimes::generate_chicago_crimes;
pub(crate) use olist::write_olist;
pub(crate) use online_retail::write_online_retail;

/// Writes generated crimes to a file: gzip if its name ends in `.gz`, stdout if it is `-`.
///
/// A file is written beside its place and renamed when it is whole, so nothing half-written is ever seen under its
/// name; what stands there before is replaced. `on_progress` is told the rows written so far.
///
/// # Errors
/// User: the file cannot be created; Storage: it cannot be written.
pub(crate) fn write_chicago_crimes(
    rows: u64,
    seed: u64,
    out: &Path,
    on_progress: &mut dyn FnMut(u64),
) -> Result<()> {
    let cannot = |e: io::Error| Error::storage(format!("cannot write {}: {e}", out.display()));
    if out.as_os_str() == "-" {
        return match generate_chicago_crimes(rows, seed, &mut io::stdout().lock(), on_progress) {
            // The reader has seen enough (`| head`).
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(|e| Error::storage(format!("cannot write to stdout: {e}"))),
        };
    }
    // A device or pipe must not be replaced by a file.
    let special = std::fs::metadata(out).is_ok_and(|found| !found.is_file());
    let path = if special { out.to_owned() } else { sibling(out) };
    let file = File::create(&path).map_err(|e| {
        Error::user(format!("cannot create {}: {e}", out.display()))
            .hint("--out names a file in a folder that exists and can be written to, or `-` for stdout")
    })?;
    let gzip = out.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"));
    let mut written = write_to(file, gzip, rows, seed, on_progress);
    if !special {
        written = written.and_then(|()| std::fs::rename(&path, out));
        if written.is_err() {
            // The error that counts is the one in hand.
            let _ = std::fs::remove_file(&path);
        }
    }
    written.map_err(cannot)
}

fn write_to(
    file: File,
    gzip: bool,
    rows: u64,
    seed: u64,
    on_progress: &mut dyn FnMut(u64),
) -> io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 17, file);
    if gzip {
        let mut encoder = GzEncoder::new(file, Compression::fast());
        generate_chicago_crimes(rows, seed, &mut encoder, on_progress)?;
        encoder.finish()?.flush()
    } else {
        generate_chicago_crimes(rows, seed, &mut file, on_progress)
    }
}

/// A hidden name in the same folder, so that the rename stays within one file system.
fn sibling(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.partial", std::process::id()))
}

#[cfg(test)]
mod tests;
