//! The caller of a group of publishes.

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::storage::{Outcome, StorageError};

pub(super) type Outcomes = Result<Vec<Outcome>, StorageError>;

/// A value that is dropped when a publish has left the queue, such as the permits of its request.
pub(crate) type Guard = Box<dyn Send>;

/// The caller of a group, with the permits and the guard that the group holds until its append is done.
pub(super) struct Waiter {
    /// Number of publishes.
    pub(super) count: usize,
    /// Fails to send if the caller gave up.
    pub(super) reply: oneshot::Sender<Outcomes>,
    /// The caller's runtime, on which a task can continue.
    pub(super) runtime: Option<Handle>,
    pub(super) permits: OwnedSemaphorePermit,
    pub(super) guard: Option<Guard>,
}

impl Waiter {
    /// The caller's runtime, unless the caller gave up.
    pub(super) fn runtime(&self) -> Option<&Handle> {
        self.runtime.as_ref().filter(|_| !self.reply.is_closed())
    }

    /// Answers the caller. Returns `false` if it gave up.
    pub(super) fn answer(self, outcomes: Outcomes) -> bool {
        let Waiter { reply, permits, guard, .. } = self;
        // Released before the answer, so that a caller with an answer finds them released.
        drop((permits, guard));
        reply.send(outcomes).is_ok()
    }
}
