//! Who made what a record stands for: the same bytes are promised of one version on one kind of processor alone.

use serde::{Deserialize, Serialize};

/// A version of Tidemill, and the kind of processor that it ran on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maker {
    /// The version.
    pub version: String,
    /// The processor's architecture and, where sums may be taken in another order by it, its widest vectors.
    pub processor: String,
}

impl Maker {
    /// This one.
    pub fn this() -> Maker {
        let architecture = std::env::consts::ARCH;
        let processor = match widest() {
            Some(vectors) => format!("{architecture} {vectors}"),
            None => architecture.to_owned(),
        };
        Maker { version: env!("CARGO_PKG_VERSION").to_owned(), processor }
    }
}

#[cfg(target_arch = "x86_64")]
fn widest() -> Option<&'static str> {
    let found = [
        (is_x86_feature_detected!("avx512f"), "avx512"),
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"), "avx2 fma"),
        (is_x86_feature_detected!("avx"), "avx"),
    ];
    found.into_iter().find_map(|(has, name)| has.then_some(name))
}

#[cfg(not(target_arch = "x86_64"))]
fn widest() -> Option<&'static str> {
    None
}
