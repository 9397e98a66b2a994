//! Cursor store in a file.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::error::CursorError;
use super::store::CursorStore;

/// Cursor store in a file. The file contains the id as a single line of text.
///
/// A save never writes in place. It writes and syncs a second file with `.tmp` appended to the name, and renames it
/// over the first. After a crash or a power failure the file holds the old id or the new one. A missing or empty file
/// means no id.
///
/// Use one file per event source. There is no lock: if two sources use the same file, the last save wins.
///
/// File I/O runs on Tokio's blocking thread pool.
#[derive(Clone, Debug)]
pub struct FileCursor(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    /// Number of saves requested so far.
    saves: AtomicU64,
    /// Number of the newest save that was written. Locked during a write.
    newest: Mutex<u64>,
}

impl FileCursor {
    /// Maximum size of an id: 64 KiB.
    pub const ID_BYTES_MAX: usize = 64 * 1024;

    /// Creates a store for the file at `path`. The file does not have to exist; its directory does.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let (saves, newest) = (AtomicU64::new(0), Mutex::new(0));
        Self(Arc::new(Inner { path: path.into(), saves, newest }))
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }
}

impl CursorStore for FileCursor {
    /// # Errors
    ///
    /// The file cannot be read, or does not consist of one line.
    async fn load(&self) -> Result<Option<String>, CursorError> {
        let inner = Arc::clone(&self.0);
        run_blocking(move || inner.read()).await
    }

    /// # Errors
    ///
    /// The file cannot be written, the id is longer than [`ID_BYTES_MAX`](FileCursor::ID_BYTES_MAX), or the id
    /// contains a line break or NUL.
    async fn save(&self, id: &str) -> Result<(), CursorError> {
        if let Some(fault) = fault(id) {
            return Err(self.0.error(format_args!("cannot store this id: it {fault}")));
        }
        let (inner, line) = (Arc::clone(&self.0), format!("{id}\n"));
        let number = inner.saves.fetch_add(1, Ordering::Relaxed) + 1;
        run_blocking(move || inner.write(number, &line)).await
    }
}

/// Returns the reason why a file cannot store this id, as a predicate.
fn fault(id: &str) -> Option<&'static str> {
    if id.len() > FileCursor::ID_BYTES_MAX {
        return Some("is longer than 64 KiB");
    }
    id.contains(['\n', '\r', '\0']).then_some("contains a line break or NUL")
}

impl Inner {
    fn read(&self) -> Result<Option<String>, CursorError> {
        let mut line = Vec::new();
        let limit = FileCursor::ID_BYTES_MAX + "\r\n".len() + 1;
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.and_then(|file| file.take(limit as u64).read_to_end(&mut line)),
        };
        file.map_err(|error| self.error(format_args!("cannot be read: {error}")))?;
        let advice = "delete it to start over, or choose another file";
        let Ok(line) = String::from_utf8(line) else {
            return Err(self.error(format_args!("is not a cursor file: it is not UTF-8; {advice}")));
        };
        let id = line.strip_suffix('\n').map_or(&*line, |id| id.strip_suffix('\r').unwrap_or(id));
        match fault(id) {
            None if id.is_empty() => Ok(None),
            None => Ok(Some(id.to_owned())),
            Some(fault) => {
                Err(self.error(format_args!("is not a cursor file: its line {fault}; {advice}")))
            }
        }
    }

    /// Writes a line, unless a newer save has been written.
    ///
    /// The blocking task of a save continues when its future is dropped, so it may run after the next save.
    fn write(&self, number: u64, line: &str) -> Result<(), CursorError> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if number > *newest {
            let replaced = replace(&self.path, line.as_bytes());
            replaced.map_err(|error| self.error(format_args!("cannot be written: {error}")))?;
            *newest = number;
        }
        Ok(())
    }

    fn error(&self, what: std::fmt::Arguments<'_>) -> CursorError {
        CursorError::new(format!("the cursor file {} {what}", self.path.display()))
    }
}

/// Replaces the file atomically with the given content.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_directory_of(path)
}

/// Syncs the directory, which makes a rename durable.
#[cfg(unix)]
fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

/// Does nothing: other systems cannot sync a directory.
#[cfg(not(unix))]
fn sync_directory_of(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Runs blocking file I/O outside the async threads.
async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CursorError> + Send + 'static,
) -> Result<T, CursorError> {
    tokio::task::spawn_blocking(work).await.map_err(CursorError::new)?
}
