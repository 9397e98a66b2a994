//! The file `unclosed`: a server has opened the log, and has not closed it properly.
//!
//! While it exists, the log needs its write-ahead log, and the file says what a crash may have done to that.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::options::Durability;

/// A run of a server that has not closed the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LastRun {
    /// Durability of its commits.
    pub(super) durability: Durability,
    /// Identity of the time between two starts of the operating system; `None` if unknown.
    boot: Option<String>,
}

impl LastRun {
    /// Name of the file.
    pub(super) const FILE: &str = "unclosed";

    /// Returns this run.
    pub(super) fn current(durability: Durability) -> LastRun {
        LastRun { durability, boot: boot() }
    }

    /// Reads the file in `dir`. Returns `None` if there is none, or a crash has torn it.
    pub(super) fn read(dir: &Path) -> io::Result<Option<LastRun>> {
        let text = match fs::read(dir.join(Self::FILE)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => String::from_utf8_lossy(&text?).into_owned(),
        };
        Ok(LastRun::parse(&text))
    }

    /// Returns `true` if the operating system was not started again since then.
    pub(super) fn is_of_this_boot(&self) -> bool {
        self.boot.is_some() && self.boot == boot()
    }

    /// Writes the file in `dir`, and syncs both.
    pub(super) fn write(&self, dir: &Path) -> io::Result<()> {
        let text = self.to_text();
        let path = dir.join(Self::FILE);
        // In place: this works on a full disk if there was a file.
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        file.write_all_at(text.as_bytes(), 0)?;
        file.set_len(text.len() as u64)?;
        file.sync_all()?;
        sync(dir)
    }

    /// Removes the file from `dir`, and syncs that.
    pub(super) fn remove(dir: &Path) -> io::Result<()> {
        match fs::remove_file(dir.join(Self::FILE)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.and_then(|()| sync(dir)),
        }
    }

    fn to_text(&self) -> String {
        let durability = match self.durability {
            Durability::Fsync => "fsync",
            Durability::Os => "os",
        };
        let boot = self.boot.as_deref().unwrap_or("-");
        format!("durability {durability}\nboot {boot}\nend\n")
    }

    fn parse(text: &str) -> Option<LastRun> {
        let (durability, rest) = text.strip_prefix("durability ")?.split_once("\nboot ")?;
        let boot = rest.strip_suffix("\nend\n")?;
        let durability = match durability {
            "fsync" => Durability::Fsync,
            "os" => Durability::Os,
            _ => return None,
        };
        Some(LastRun { durability, boot: (boot != "-").then(|| boot.to_owned()) })
    }
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Returns an id that changes when the operating system starts, or `None` if there is none.
fn boot() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}
