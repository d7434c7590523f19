//! A file for one test, gone afterwards.

use std::path::{Path, PathBuf};

pub(crate) struct TestFile(PathBuf);

impl TestFile {
    /// `name` must be unique among the tests of this binary.
    pub(crate) fn new(name: &str, bytes: &[u8]) -> TestFile {
        let path = std::env::temp_dir().join(format!("tidemill-produce-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        TestFile(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
