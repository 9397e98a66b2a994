//! Space put aside, so that a full disk can still be cleared from within.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file that holds nothing but its place on the disk. While the disk is full it is let go, and
/// what it held is enough to delete and trim.
#[derive(Debug)]
pub(super) struct Ballast {
    path: PathBuf,
    held: bool,
}

impl Ballast {
    /// How much is put aside.
    pub(super) const BYTES: usize = 4 << 20;
    /// The name of the file.
    pub(super) const FILE: &str = "ballast";

    /// The ballast of a log as the last run left it.
    pub(super) fn find(dir: &Path) -> Ballast {
        let path = dir.join(Self::FILE);
        let held = fs::metadata(&path).is_ok_and(|file| file.len() == Self::BYTES as u64);
        Ballast { path, held }
    }

    /// Whether the space is put aside.
    pub(super) fn is_held(&self) -> bool {
        self.held
    }

    /// Puts the space aside, if it is not already.
    pub(super) fn hold(&mut self) -> io::Result<()> {
        if !self.held {
            self.write().inspect_err(|_| {
                let _ = fs::remove_file(&self.path);
            })?;
            self.held = true;
        }
        Ok(())
    }

    /// Gives the space back to the file system.
    pub(super) fn release(&mut self) {
        self.held = false;
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "the ballast could not be released");
        }
    }

    /// Writes bytes that no file system can leave out or press together.
    fn write(&self) -> io::Result<()> {
        const PIECE: usize = 64 << 10;
        let mut file = File::create(&self.path)?;
        let mut piece = vec![0; PIECE];
        for _ in 0..Self::BYTES / PIECE {
            fastrand::fill(&mut piece);
            file.write_all(&piece)?;
        }
        file.sync_all()
    }
}
