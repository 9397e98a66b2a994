//! What a user of the embedded log may choose.

/// How an embedded log is kept.
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
    /// What an event that was acknowledged survives.
    pub durability: Durability,
    /// How many bytes the log may take on the disk before its oldest records go; `None` for no limit.
    ///
    /// All that the database holds counts, indices too. It is a goal and not a wall: what is appended
    /// faster than it can be trimmed goes beyond it for a while.
    pub bytes_max: Option<u64>,
}

impl SqliteOptions {
    /// How many bytes a log may take unless told otherwise: 1 GiB.
    pub const BYTES_MAX: u64 = 1 << 30;
}

impl Default for SqliteOptions {
    fn default() -> SqliteOptions {
        SqliteOptions { durability: Durability::default(), bytes_max: Some(Self::BYTES_MAX) }
    }
}

/// What an event that was acknowledged survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The end of the program, of the system, and of the power: every commit waits for the disk.
    #[default]
    Fsync,
    /// The end of the program, however it ends. What the system had not yet brought to the disk
    /// by itself is lost with the system: the newest events, never one in the middle. Readers that had
    /// them are told a gap, for offsets are not used twice in this case either.
    Os,
}
