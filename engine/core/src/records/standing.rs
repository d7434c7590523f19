//! What a gate remembers.

use serde::{Deserialize, Serialize};

/// What a gate remembers of its decisions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// What the last accepted models were worth, oldest first; where that is the reference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<f64>,
    /// Rejections since the last acceptance.
    #[serde(default)]
    pub rejected: u32,
    /// After the last of them learning has begun again from the champion, and goes on from there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub begun_again: bool,
}

impl Standing {
    /// Whether the next version begins again from the champion: one was rejected so often, and none has begun since.
    pub fn begins_again(&self, patience: u32) -> bool {
        self.rejected > 0 && self.rejected.is_multiple_of(patience) && !self.begun_again
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Standing::default()
    }
}
