//! The file that a model is kept in, of whatever kind.
//!
//! ```text
//! bytes 0..8    magic: "TIDEMDL\0" for a classifier, "TIDEMKM\0" for k-means,
//!               "TIDEMCS\0" for a stream of clusters, "TIDEMPP\0" for preprocessing,
//!               "TIDEMPL\0" for a pipeline, "TIDEMMC\0" for a classifier of many classes,
//!               "TIDEMRG\0" for a regression, "TIDEMIF\0" for an isolation forest
//! bytes 8..12   format version of the kind, u32 little-endian
//! bytes 12..16  crc32 of the payload, u32 little-endian
//! bytes 16..    payload: postcard of the model
//! ```
//!
//! The same model is the same bytes. A file of another kind or version, or with any byte changed or missing, is an error,
//! and what is read is checked against the model's own invariants before anything is done with it.

use crate::Error;
use serde::Serialize;
use serde::de::DeserializeOwned;

const HEADER_BYTES: usize = 16;

/// Rows that a model in a file may have learned from, or batches: one that says more could not count on.
pub(crate) const MOST_ROWS: u64 = 1 << 60;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Classifier,
    KMeans,
    ClusterStream,
    Preprocessor,
    Pipeline,
    MultiClassifier,
    Regressor,
    IsolationForest,
}

impl Kind {
    const ALL: [Kind; 8] = [
        Kind::Classifier,
        Kind::KMeans,
        Kind::ClusterStream,
        Kind::Preprocessor,
        Kind::Pipeline,
        Kind::MultiClassifier,
        Kind::Regressor,
        Kind::IsolationForest,
    ];

    fn magic(self) -> &'static [u8; 8] {
        match self {
            Kind::Classifier => b"TIDEMDL\0",
            Kind::KMeans => b"TIDEMKM\0",
            Kind::ClusterStream => b"TIDEMCS\0",
            Kind::Preprocessor => b"TIDEMPP\0",
            Kind::Pipeline => b"TIDEMPL\0",
            Kind::MultiClassifier => b"TIDEMMC\0",
            Kind::Regressor => b"TIDEMRG\0",
            Kind::IsolationForest => b"TIDEMIF\0",
        }
    }

    fn format(self) -> u32 {
        match self {
            Kind::Classifier | Kind::Preprocessor => 6,
            Kind::ClusterStream => 3,
            Kind::KMeans | Kind::Pipeline | Kind::MultiClassifier | Kind::Regressor => 2,
            Kind::IsolationForest => 1,
        }
    }

    /// The oldest format that is still read: what is new in trees since then is written otherwise, and what was there is not.
    fn oldest(self) -> u32 {
        match self {
            Kind::Classifier | Kind::Preprocessor => 5,
            Kind::Pipeline | Kind::MultiClassifier | Kind::Regressor => 1,
            Kind::ClusterStream | Kind::KMeans | Kind::IsolationForest => self.format(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Classifier => "classifier",
            Kind::KMeans => "k-means",
            Kind::ClusterStream => "cluster stream",
            Kind::Preprocessor => "preprocessing",
            Kind::Pipeline => "pipeline",
            Kind::MultiClassifier => "classifier of many classes",
            Kind::Regressor => "regression",
            Kind::IsolationForest => "isolation forest",
        }
    }
}

/// The formats of all kinds of files that this build writes and reads, as one text: models of others have to be trained
/// anew.
///
/// ```
/// assert!(tidemill_ml::file_formats().contains("TIDEMKM"));
/// ```
pub fn file_formats() -> String {
    let each = Kind::ALL.map(|kind| {
        let magic = String::from_utf8_lossy(kind.magic());
        format!("{} {}", magic.trim_end_matches('\0'), kind.format())
    });
    each.join(", ")
}

/// A model as a file's bytes.
pub(crate) fn write<T: Serialize>(kind: Kind, model: &T) -> Result<Vec<u8>, Error> {
    let payload = postcard::to_stdvec(model).map_err(|error| Error::Encode(error.to_string()))?;
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.extend_from_slice(kind.magic());
    bytes.extend_from_slice(&kind.format().to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
    bytes.extend_from_slice(&payload);
    Ok(bytes)
}

/// What a file holds, by its first bytes.
pub(crate) fn kind_of(bytes: &[u8]) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| bytes.starts_with(kind.magic()))
}

/// Reads what [`write()`] wrote; `is_valid` says whether a model is as its fit makes it.
pub(crate) fn read<T: DeserializeOwned>(
    kind: Kind,
    bytes: &[u8],
    is_valid: impl Fn(&T) -> bool,
) -> Result<T, Error> {
    match kind_of(bytes) {
        None => return Err(Error::NotAModel),
        Some(found) if found != kind => {
            return Err(Error::OtherKind { expected: kind.name(), found: found.name() });
        }
        Some(_) => {}
    }
    let Some((header, payload)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Err(Error::CorruptModel("cut off"));
    };
    let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if !(kind.oldest()..=kind.format()).contains(&number(8)) {
        return Err(Error::OtherVersion { found: number(8), supported: kind.format() });
    }
    if number(12) != crc32fast::hash(payload) {
        return Err(Error::CorruptModel("checksum differs"));
    }
    // postcard reserves no more than serde's cautious limit ahead of what it has read.
    let (model, rest) =
        postcard::take_from_bytes::<T>(payload).map_err(|_| Error::CorruptModel("payload is not a model"))?;
    match rest.is_empty() && is_valid(&model) {
        true => Ok(model),
        false => Err(Error::CorruptModel("payload contradicts itself")),
    }
}
