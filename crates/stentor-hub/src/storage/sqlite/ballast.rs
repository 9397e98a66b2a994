//! Space put aside, so that a full disk can still be cleared from within.

use std::fs::{self, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::fault::Fault;

/// A file that holds nothing but its place on the disk. While the disk is full it is let go.
///
/// As long as the write-ahead log is not copied, it cannot begin anew in its place, and whatever is deleted
/// makes it longer. So the ballast is as large as all that the file has yet to grow for the copy, and
/// [`BYTES`](Ballast::BYTES) more: no event is committed before that much is put aside. On a full disk the copy
/// fits then in any case, and from there on deleting and trimming write in the place of the write-ahead log,
/// with `BYTES` for what they need beyond it.
#[derive(Debug)]
pub(super) struct Ballast {
    path: PathBuf,
    /// How much is put aside; none, or `BYTES` and more.
    bytes: u64,
    /// How large it can become: stands in for a full disk in tests.
    most: Option<u64>,
}

impl Ballast {
    /// How much is put aside at least, and at a time.
    pub(super) const BYTES: u64 = 4 << 20;
    /// The name of the file.
    pub(super) const FILE: &str = "ballast";

    /// The ballast of a log as the last run left it.
    pub(super) fn find(dir: &Path, most: Option<u64>) -> Ballast {
        let path = dir.join(Self::FILE);
        let found = fs::metadata(&path).map_or(0, |file| file.len());
        let bytes = if found < Self::BYTES { 0 } else { found };
        Ballast { path, bytes, most }
    }

    /// How much is put aside.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether space is put aside.
    pub(super) fn is_held(&self) -> bool {
        self.bytes > 0
    }

    /// Puts the space aside that is needed while the file has yet to grow so much, if it is not already.
    pub(super) fn hold(&mut self, growth: u64) -> io::Result<()> {
        let wanted = Self::BYTES + growth.next_multiple_of(Self::BYTES);
        if self.bytes < wanted {
            self.grow(wanted).inspect_err(|_| self.cut(self.bytes))?;
            self.bytes = wanted;
        }
        Ok(())
    }

    /// Gives back what is beyond so much, except for what is always put aside.
    pub(super) fn ease(&mut self, bytes: u64) {
        let bytes = bytes.max(Self::BYTES);
        if self.bytes > bytes {
            self.cut(bytes);
            self.bytes = bytes;
        }
    }

    /// Gives the space back to the file system.
    pub(super) fn release(&mut self) {
        self.bytes = 0;
        self.cut(0);
    }

    /// Whether so much fits on the disk, where nothing is put aside: tries it.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        let fits = self.grow(bytes).is_ok();
        self.cut(0);
        fits
    }

    /// Writes bytes that no file system can leave out or press together.
    fn grow(&self, wanted: u64) -> io::Result<()> {
        const PIECE: u64 = 64 << 10;
        if self.most.is_some_and(|most| wanted > most) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let open = OpenOptions::new().write(true).create(true).truncate(false).open(&self.path);
        let mut file = open?;
        file.seek(SeekFrom::Start(self.bytes))?;
        let mut piece = Vec::new();
        let mut at = self.bytes;
        while at < wanted {
            piece.resize(usize::try_from(PIECE.min(wanted - at)).unwrap_or_default(), 0);
            fastrand::fill(&mut piece);
            file.write_all(&piece)?;
            at += piece.len() as u64;
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
            tracing::warn!(path = %self.path.display(), %error, "the ballast could not be released");
        }
    }
}

/// How much the file has yet to grow for what is in the write-ahead log, the transaction under way included.
pub(super) fn growth(connection: &Connection) -> Result<u64, Fault> {
    let number = |sql| {
        let mut statement = connection.prepare_cached(sql)?;
        statement.query_row([], |row| row.get::<_, i64>(0))
    };
    let whole = number("PRAGMA page_count")? * number("PRAGMA page_size")?;
    let file = connection.path().and_then(|path| fs::metadata(path).ok());
    Ok(u64::try_from(whole).unwrap_or_default().saturating_sub(file.map_or(0, |file| file.len())))
}
