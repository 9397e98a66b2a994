//! Files that the command line names.

use std::fs::File;
use std::io;
use std::path::Path;

use anyhow::{anyhow, bail};

/// Opens a file to read it. The caller adds the path to the error.
///
/// # Errors
/// The file cannot be opened, or is a directory; the text says what to do.
pub(crate) fn open_file(path: &Path) -> anyhow::Result<File> {
    if path.is_dir() {
        bail!("it is a directory; name a file");
    }
    File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => anyhow!("{error}; check the path"),
        io::ErrorKind::PermissionDenied => anyhow!("{error}; check its permissions"),
        _ => error.into(),
    })
}

/// Adds the action to the error of a log, unless the error names the directory itself.
pub(crate) fn with_log(error: impl Into<anyhow::Error>, action: &str, dir: &Path) -> anyhow::Error {
    let (error, dir) = (error.into(), dir.display().to_string());
    if error.to_string().contains(&dir) { error } else { error.context(format!("{action} {dir}")) }
}
