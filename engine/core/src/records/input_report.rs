//! What a batch job has read: rows by file, and those that are not in the table.

use serde::{Deserialize, Serialize};

/// Why a row is [dropped](Dropped) that could not be read and is kept with the version.
pub(crate) const DEAD_LETTER: &str = "dead letter";

/// What one input gave to one table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct InputReport {
    /// Name of the input.
    pub input: String,
    /// The file.
    pub path: String,
    /// The form that the file has, where the input comes in forms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<String>,
    /// Size of the file as it lies there.
    pub bytes: u64,
    /// Seconds that its reader took to decompress, decode and parse it (with forms, to clean it), without those that it
    /// waited for whoever takes the rows. Files are read beside each other: the sum may be more than the run took. `None`
    /// where this run did not read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Rows read: `rows_out` and all dropped.
    pub rows_read: u64,
    /// Rows that the SELECT was given.
    pub rows_out: u64,
    /// Rows of a Parquet file that were not read, for its statistics say that the WHERE takes none of them.
    #[serde(default)]
    pub rows_skipped: u64,
    /// The others, by reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<Dropped>,
    /// The types that `types = "auto"` found in the cells of the input's files, `id BIGINT, name TEXT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found_types: Option<String>,
    /// Whether the dead letters of the file are kept with this version: of the tables that read it, with one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keeps_letters: bool,
}

impl InputReport {
    /// Whether rows were set aside.
    pub(crate) fn has_letters(&self) -> bool {
        self.dropped.iter().any(|dropped| dropped.reason == DEAD_LETTER)
    }

    /// What tells it from those of other files.
    pub(crate) fn file(&self) -> (String, String) {
        (self.input.clone(), self.path.clone())
    }
}

/// Rows that are not in the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Why, `duplicate id` say.
    pub reason: String,
    /// How many.
    pub rows: u64,
}
