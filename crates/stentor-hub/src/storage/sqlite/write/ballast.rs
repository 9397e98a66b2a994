//! The ballast: reserved disk space, with which events can be deleted on a full disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A file that only occupies disk space. It is emptied while the disk is full.
///
/// The write-ahead log can be overwritten from its start only after it was copied into the database file. Until then
/// every deletion extends it. The copy makes the database file grow. Before an event is committed, the ballast is
/// therefore as large as that growth plus [`Ballast::BYTES`]. On a full disk this has two effects:
///
/// - The copy always fits.
/// - After the copy, deletions and trims overwrite the write-ahead log, and can use `BYTES` of additional space.
///
/// The file stays open, so that a publish does not depend on a free file descriptor.
#[derive(Debug)]
pub(crate) struct Ballast {
    path: PathBuf,
    /// The open file; `None` until it could be opened.
    file: Option<File>,
    /// Size of the ballast: zero, or at least `BYTES`.
    bytes: u64,
    /// Maximum size. Tests simulate a full disk with it.
    bytes_max: Option<u64>,
}

impl Ballast {
    /// Minimum size, and the size of one step of growth: 4 MiB.
    pub(crate) const BYTES: u64 = 4 << 20;
    /// Name of the file.
    pub(crate) const FILE: &str = "ballast";

    /// Opens the ballast that the last run left in `dir`.
    pub(crate) fn find(dir: &Path, bytes_max: Option<u64>) -> Ballast {
        let path = dir.join(Self::FILE);
        // A log that never holds a ballast gets no file.
        let is_used = bytes_max != Some(0) || path.exists();
        let file = if is_used { open(&path).ok() } else { None };
        let found = file.as_ref().and_then(|file| file.metadata().ok());
        let bytes = found.map_or(0, |found| found.len());
        let bytes = if bytes < Self::BYTES { 0 } else { bytes };
        Ballast { path, file, bytes, bytes_max }
    }

    /// Returns the size of the ballast.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns `true` if space is reserved.
    pub(crate) fn is_held(&self) -> bool {
        self.bytes > 0
    }

    /// Reserves space for a database file that will grow by `growth` bytes when the write-ahead log is copied.
    pub(crate) fn hold(&mut self, growth: u64) -> io::Result<()> {
        let wanted = Self::BYTES + growth.next_multiple_of(Self::BYTES);
        if self.bytes < wanted {
            if let Err(error) = self.grow(wanted) {
                self.cut(self.bytes);
                return Err(error);
            }
            self.bytes = wanted;
        }
        Ok(())
    }

    /// Shrinks the ballast to `bytes`, but not below the minimum size.
    pub(crate) fn shrink(&mut self, bytes: u64) {
        let bytes = bytes.max(Self::BYTES);
        if self.bytes > bytes {
            self.cut(bytes);
            self.bytes = bytes;
        }
    }

    /// Empties the file, which frees its space.
    pub(crate) fn release(&mut self) {
        self.bytes = 0;
        self.cut(0);
    }

    /// Returns `true` if `bytes` fit on the disk: it writes and deletes them. Call it only while no space is reserved.
    pub(crate) fn has_room(&mut self, bytes: u64) -> bool {
        let fits = self.grow(bytes).is_ok();
        self.cut(0);
        fits
    }

    /// Extends the file with random bytes, which no file system can compress or skip.
    fn grow(&mut self, wanted: u64) -> io::Result<()> {
        const CHUNK: u64 = 64 << 10;
        if self.bytes_max.is_some_and(|max| wanted > max) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut file = match &self.file {
            Some(file) => file,
            None => self.file.insert(open(&self.path)?),
        };
        file.seek(SeekFrom::Start(self.bytes))?;
        let mut chunk = Vec::new();
        let mut at = self.bytes;
        while at < wanted {
            chunk.resize(usize::try_from(CHUNK.min(wanted - at)).unwrap_or_default(), 0);
            fastrand::fill(&mut chunk);
            file.write_all(&chunk)?;
            at += chunk.len() as u64;
        }
        file.sync_all()
    }

    fn cut(&self, bytes: u64) {
        if let Some(file) = &self.file
            && let Err(error) = file.set_len(bytes)
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot shrink the ballast file");
        }
    }
}

/// Opens the file, and creates it if it does not exist.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).open(path)
}
