//! A cursor in a file.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{CursorError, CursorStore};

/// A file that holds an id on a line of its own, for one reader.
///
/// It is replaced as a whole, never written in place: the new one is written and synced beside it,
/// under the same name with `.tmp` behind it, and then takes its place. Whenever the machine stops,
/// either the old id or the new one is there. A file that is missing or empty holds none.
#[derive(Clone, Debug)]
pub struct FileCursor(Arc<Place>);

#[derive(Debug)]
struct Place {
    path: PathBuf,
    saves: AtomicU64,
    /// The number of the newest save that has been written. Held while one is.
    newest: Mutex<u64>,
}

impl FileCursor {
    /// The bound of an id that a file can hold: 64 KiB.
    pub const ID_BYTES_MAX: usize = 64 * 1024;

    /// A cursor in this file, which need not be there yet; its folder must.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let (saves, newest) = (AtomicU64::new(0), Mutex::new(0));
        Self(Arc::new(Place { path: path.into(), saves, newest }))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }
}

impl CursorStore for FileCursor {
    /// # Errors
    ///
    /// The file cannot be read, or holds something else than one line.
    async fn load(&self) -> Result<Option<String>, CursorError> {
        let place = Arc::clone(&self.0);
        off_the_runtime(move || place.read()).await
    }

    /// # Errors
    ///
    /// The file cannot be written, or the id is longer than
    /// [`ID_BYTES_MAX`](FileCursor::ID_BYTES_MAX) or has more than one line.
    async fn save(&self, id: &str) -> Result<(), CursorError> {
        if let Some(fault) = fault(id) {
            return Err(self.0.error(format_args!("cannot hold this id, which {fault}")));
        }
        let (place, line) = (Arc::clone(&self.0), format!("{id}\n"));
        let number = place.saves.fetch_add(1, Ordering::Relaxed) + 1;
        off_the_runtime(move || place.write(number, &line)).await
    }
}

/// Why this is no id that a file can hold.
fn fault(id: &str) -> Option<&'static str> {
    if id.len() > FileCursor::ID_BYTES_MAX {
        return Some("is over 64 KiB");
    }
    id.contains(['\n', '\r', '\0']).then_some("has a line break or NUL within")
}

impl Place {
    fn read(&self) -> Result<Option<String>, CursorError> {
        let mut line = Vec::new();
        let bound = FileCursor::ID_BYTES_MAX + "\r\n".len() + 1;
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.and_then(|file| file.take(bound as u64).read_to_end(&mut line)),
        };
        file.map_err(|error| self.error(format_args!("cannot be read: {error}")))?;
        let advice = "delete it to begin anew, or name another";
        let Ok(line) = String::from_utf8(line) else {
            return Err(self.error(format_args!("is no cursor, for it is not UTF-8; {advice}")));
        };
        let id = line.strip_suffix('\n').map_or(&*line, |id| id.strip_suffix('\r').unwrap_or(id));
        match fault(id) {
            None if id.is_empty() => Ok(None),
            None => Ok(Some(id.to_owned())),
            Some(fault) => Err(self.error(format_args!("is no cursor, for it {fault}; {advice}"))),
        }
    }

    /// Writes a line, unless a later one has been written: a save whose future was dropped may come
    /// in behind the next.
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

/// Puts a file with this content in the place of the one that is there.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".tmp");
    let mut file = File::create(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    sync_folder_of(path)
}

/// Makes a rename last.
#[cfg(unix)]
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Other systems have no such call.
#[cfg(not(unix))]
fn sync_folder_of(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Runs what waits for a disk where it holds nobody up.
async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CursorError> + Send + 'static,
) -> Result<T, CursorError> {
    tokio::task::spawn_blocking(work).await.map_err(CursorError::new)?
}
