//! `tidemill models reproduce`: a version trained again, and whether it is the same to the byte.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, UInt64Array};
use tidemill_core::learn::Reproduced;
use tidemill_core::records::Maker;
use tidemill_core::registry::{Entry, Registry};
use tidemill_core::{Error, ErrorKind};

use super::print;
use crate::cli::OutputArgs;
use crate::exit::{Done, Outcome};
use crate::notes::note;

/// Prints one row: what was trained again, and whether its bytes are those of the record.
pub(super) fn run(
    registry: &Registry,
    entry: &Entry,
    found: &Reproduced,
    restore: bool,
    output: &OutputArgs,
) -> Done {
    let (name, version) = (&entry.outcome.name, entry.version);
    print(&row(registry, entry, found)?, output)?;
    note(format_args!("{name} version {version}: {} in {:.1} s", learned(registry, found), found.seconds));
    if !found.is_same() {
        return Err(other(entry, found).into());
    }
    note(format_args!("the bytes are those of its record"));
    // Also one that is damaged.
    if restore && registry.load(entry).is_err() {
        registry.restore(entry, &found.bytes)?;
        note(format_args!("{} is back, and stays until it is archived", entry.file.path));
    } else if restore {
        note(format_args!("{} is there", entry.file.path));
    }
    Ok(Outcome::Done)
}

/// The command that brings the file of a version back.
pub(super) fn command(entry: &Entry) -> String {
    let job = entry.job.replace('_', "-");
    format!("tidemill models reproduce {job} {}@{} --restore", entry.outcome.name, entry.version)
}

/// What was trained, and on what.
fn learned(registry: &Registry, found: &Reproduced) -> String {
    let last = found.versions.last().copied().unwrap_or_default();
    match found.versions.as_slice() {
        [first, _, ..] => {
            let count = found.versions.len();
            format!("it goes on from the one before, so {count} versions from {first} on were trained again")
        }
        _ if registry.is_batch() => "trained again from the tables of then".to_owned(),
        _ => format!("trained again from the rows of batches 0 to {last}"),
    }
}

/// The error of other bytes.
fn other(entry: &Entry, found: &Reproduced) -> Error {
    let (name, version) = (&entry.outcome.name, entry.version);
    let what = match found.first_other {
        Some(first) if first != version => format!(
            "version {version} of model `{name}` is not the same again: version {first}, from which it goes on, is the first other one"
        ),
        _ => format!("version {version} of model `{name}` is not the same again"),
    };
    let this = Maker::this();
    let (now, kind) = (&this.version, &this.processor);
    let hint = match &found.made_by {
        Some(then) if *then == this => {
            "the same version of Tidemill trained it on the same kind of processor: a defect, or its rows are others now \
             (`tidemill doctor`)"
                .to_owned()
        }
        Some(Maker { version, processor }) => format!(
            "Tidemill {version} trained it on {processor}, and this is {now} on {kind}: the same bytes are promised of one \
             version on one kind of processor"
        ),
        None => format!("an older Tidemill trained it, and this is {now}: the same bytes are promised of one version"),
    };
    Error::new(ErrorKind::Data, what).hint(hint)
}

fn row(registry: &Registry, entry: &Entry, found: &Reproduced) -> Result<RecordBatch, Error> {
    let text = |text: &str| Arc::new(StringArray::from_iter_values([text])) as ArrayRef;
    let count = |count: u64| Arc::new(UInt64Array::from_iter_values([count])) as ArrayRef;
    let batches = (!registry.is_batch()).then_some(entry.version + 1);
    let columns: [(&str, ArrayRef); 9] = [
        ("job", text(&entry.job)),
        ("model", text(&entry.outcome.name)),
        ("version", count(entry.version)),
        ("is_same", Arc::new(BooleanArray::from(vec![found.is_same()]))),
        ("batches", Arc::new(UInt64Array::from(vec![batches]))),
        ("versions_trained", count(found.versions.len() as u64)),
        ("seconds", Arc::new(Float64Array::from_iter_values([found.seconds]))),
        ("bytes", count(found.bytes.len() as u64)),
        ("xxh3", text(&entry.file.xxh3)),
    ];
    Ok(RecordBatch::try_from_iter(columns)?)
}
