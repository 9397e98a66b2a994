//! Why a storage did not do what it was asked.

/// Why a storage did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// The disk is full. Reading goes on; writing will again when there is space.
    #[error("the disk is full: nothing was stored; free some space and try again")]
    Full,
    /// The storage cannot be used now, and perhaps later.
    #[error("the log cannot be used now ({reason}); try again later")]
    Unavailable {
        /// What happened.
        reason: String,
    },
    /// What is on the disk can no longer be vouched for: nothing more is written until a restart.
    #[error(
        "the log has failed ({reason}) and takes no more events; look at the disk, then restart"
    )]
    Failed {
        /// What happened.
        reason: String,
    },
}
