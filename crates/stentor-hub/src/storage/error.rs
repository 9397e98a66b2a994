//! Errors of a storage.

/// The reason why a storage operation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// The disk is full. Reads still work. Writes work again when there is space.
    #[error("the disk is full and nothing was stored; free some space and try again")]
    Full,
    /// The storage is not available now, and may be later.
    #[error("the log is not available now ({reason}); try again later")]
    Unavailable {
        /// The cause.
        reason: String,
    },
    /// Too many queries wait for the storage. Nothing is wrong with it.
    #[error("too many queries wait for the log; try again in a moment")]
    Busy,
    /// A row that the operation needs is damaged. Nothing was stored. Operations that do not need the row work.
    #[error("the log is damaged ({reason}) and nothing was stored; run `stentor log verify`")]
    Damaged {
        /// The row.
        reason: String,
    },
    /// The data on disk can no longer be trusted. Nothing is written until the log is opened again.
    #[error(
        "the log has failed ({reason}) and accepts no more events; check the disk, then restart"
    )]
    Failed {
        /// The cause.
        reason: String,
    },
}
