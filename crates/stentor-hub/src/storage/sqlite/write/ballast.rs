//! The ballast: disk space that is reserved, so that a full disk can be cleared by deleting events.

use std::fs::{self, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A file that only occupies disk space. It is deleted while the disk is full.
///
/// Until the write-ahead log is copied into the database file, it cannot be overwritten from its start, so every
/// deletion makes it longer. The copy makes the database file grow. The ballast is therefore as large as that
/// growth, plus [`Ballast::BYTES`], and no event is committed before it is. So on a full disk the copy always
/// fits, and after it deletions and trims overwrite the write-ahead log, with `BYTES` for what they need beyond
/// it.
#[derive(Debug)]
pub(crate) struct Ballast {
    path: PathBuf,
    /// Size of the ballast: zero, or at least `BYTES`.
    bytes: u64,
    /// Maximum size. Tests simulate a full disk with it.
    most: Option<u64>,
}

impl Ballast {
    /// Minimum size, and the size of one step of growth: 4 MiB.
    pub(crate) const BYTES: u64 = 4 << 20;
    /// Name of the file.
    pub(crate) const FILE: &str = "ballast";

    /// Returns the ballast that the last run left in `dir`.
    pub(crate) fn find(dir: &Path, most: Option<u64>) -> Ballast {
        let path = dir.join(Self::FILE);
        let found = fs::metadata(&path).map_or(0, |file| file.len());
        let bytes = if found < Self::BYTES { 0 } else { found };
        Ballast { path, bytes, most }
    }

    /// Size of the ballast.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns `true` if space is reserved.
    pub(crate) fn is_held(&self) -> bool {
        self.bytes > 0
    }

    /// Reserves the space that is needed while the database file still has to grow by `growth` bytes.
    pub(crate) fn hold(&mut self, growth: u64) -> io::Result<()> {
        let wanted = Self::BYTES + growth.next_multiple_of(Self::BYTES);
        if self.bytes < wanted {
            self.grow(wanted).inspect_err(|_| self.cut(self.bytes))?;
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

    /// Deletes the file, which frees its space.
    pub(crate) fn release(&mut self) {
        self.bytes = 0;
        self.cut(0);
    }

    /// Returns `true` if `bytes` fit on the disk. It writes them to find out. Only while nothing is reserved.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        let fits = self.grow(bytes).is_ok();
        self.cut(0);
        fits
    }

    /// Writes random bytes, which no file system can compress or leave out.
    fn grow(&self, wanted: u64) -> io::Result<()> {
        const CHUNK: u64 = 64 << 10;
        if self.most.is_some_and(|most| wanted > most) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let open = OpenOptions::new().write(true).create(true).truncate(false).open(&self.path);
        let mut file = open?;
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
        let cut = match bytes {
            0 => fs::remove_file(&self.path),
            bytes => {
                OpenOptions::new().write(true).open(&self.path).and_then(|file| file.set_len(bytes))
            }
        };
        if let Err(error) = cut
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot shrink the ballast file");
        }
    }
}
