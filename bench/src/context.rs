//! Settings that all benchmarks share.

use std::path::PathBuf;

use anyhow::Context as _;

/// Settings that all benchmarks share.
pub(crate) struct Context {
    /// The server binary.
    pub(crate) stentor: PathBuf,
    /// Parent of temporary data directories.
    pub(crate) dir: PathBuf,
    pub(crate) repeats: usize,
}

impl Context {
    pub(crate) fn temp_dir(&self) -> anyhow::Result<tempfile::TempDir> {
        let made = tempfile::Builder::new().prefix("stentor-bench-").tempdir_in(&self.dir);
        made.with_context(|| format!("cannot create a directory in {}", self.dir.display()))
    }
}
