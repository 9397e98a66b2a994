//! The reasons why a hub is not ready for publishes.

use std::time::Duration;

use crate::storage::StorageError;

/// The reason why a hub is not ready, see [`Hub::check_ready`](crate::Hub::check_ready).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// The append in flight takes longer than the deadline.
    #[error("an append to the log has been running for {running:?}; check the disk")]
    AppendOverdue {
        /// Time since the append started.
        running: Duration,
    },
    /// The storage did not answer a query within the deadline.
    #[error("the log did not answer a query within {deadline:?}; check the disk")]
    StorageOverdue {
        /// The deadline.
        deadline: Duration,
    },
    /// The storage answered with an error.
    #[error(transparent)]
    Storage(#[from] StorageError),
}
