//! What fits are measured on: three sizes, each with all cores and once with one, and the options of every bench.
//!
//! ```text
//! cargo bench -p tidemill-ml                             all: three and a half minutes on two busy cores, once built
//! cargo bench -p tidemill-ml --bench trees               one file
//! cargo bench -p tidemill-ml -- 'forest.*rows, 1 core'   what a pattern finds: of a bench, its rows and cores
//! cargo bench -p tidemill-ml -- --skip 1000000           all but the largest
//! ```
//!
//! A case takes samples for two seconds, so that a fit of a million rows has few of them (one at least) and a short one
//! as many as its bench says. The same rows serve all cases of one size.

use divan::Divan;
use std::fmt::{self, Debug, Display};
use std::sync::OnceLock;
use std::time::Duration;

const ROWS: [usize; 3] = [10_000, 100_000, 1_000_000];

/// Rows, and how many threads work on them.
#[derive(Clone, Copy)]
pub struct Case {
    size: usize,
    one_core: bool,
}

/// Every size with all cores, then with one.
pub const CASES: [Case; 6] = [
    Case { size: 0, one_core: false },
    Case { size: 1, one_core: false },
    Case { size: 2, one_core: false },
    Case { size: 0, one_core: true },
    Case { size: 1, one_core: true },
    Case { size: 2, one_core: true },
];

impl Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows{}", ROWS[self.size], if self.one_core { ", 1 core" } else { "" })
    }
}

impl Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl Case {
    /// Rows of the case.
    pub fn rows(self) -> usize {
        ROWS[self.size]
    }

    /// What `make` makes of its number of rows, once for each size.
    pub fn of<T>(self, made: &'static [OnceLock<T>; 3], make: fn(usize) -> T) -> &'static T {
        made[self.size].get_or_init(|| make(self.rows()))
    }

    /// The threads of the case.
    pub fn pool(self) -> rayon::ThreadPool {
        let threads = if self.one_core { 1 } else { 0 };
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
    }
}

/// Runs the benches of a file.
pub fn main() {
    Divan::default().max_time(Duration::from_secs(2)).config_with_args().main();
}
