//! Options of the SQLite log.

use crate::key::KeyLimits;

/// Options of a log on disk.
///
/// ```
/// use stentor_hub::storage::{Durability, SqliteOptions, SqliteStorage};
///
/// # let parent = tempfile::tempdir()?;
/// # let dir = parent.path().join("data");
/// let options = SqliteOptions { durability: Durability::Os, ..SqliteOptions::default() };
/// let log = SqliteStorage::open_with(&dir, options)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    /// Failures that an acknowledged event survives.
    pub durability: Durability,
    /// Maximum size of the log in bytes, indexes included; `None` for no limit. Default:
    /// [`SqliteOptions::BYTES_MAX`].
    ///
    /// When it is reached, the oldest records are deleted first. It is a target: the log exceeds it for a
    /// while if events arrive faster than old ones can be trimmed.
    pub bytes_max: Option<u64>,
    /// Bounds of the idempotency keys. Default: [`KeyLimits::sqlite`].
    pub keys: KeyLimits,
    /// Before a log of an older format is migrated, copies it into a folder in its directory and verifies the copy.
    /// Default: `true`.
    pub migration_backup: bool,
}

impl SqliteOptions {
    /// Default maximum size of a log: 1 GiB.
    pub const BYTES_MAX: u64 = 1 << 30;
}

impl Default for SqliteOptions {
    fn default() -> SqliteOptions {
        SqliteOptions {
            durability: Durability::default(),
            bytes_max: Some(Self::BYTES_MAX),
            keys: KeyLimits::sqlite(),
            migration_backup: true,
        }
    }
}

/// Failures that an acknowledged event survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// A crash of the program or of the operating system, and a power loss: every commit waits for the disk.
    #[default]
    Fsync,
    /// A crash of the program, but not of the operating system, and not a power loss.
    ///
    /// After such a crash the newest events may be missing, never one in the middle. Their offsets are not
    /// reused, so a reader that had received them gets a gap.
    Os,
}
