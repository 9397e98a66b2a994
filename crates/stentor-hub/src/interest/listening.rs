//! Registered listeners.

use std::sync::Arc;

use super::claim::Claim;
use super::listener::Listener;
use crate::consumer::Consumer;
use crate::cursor::Offset;

/// A listener in the index. Dropping it ends the notifications.
#[derive(Debug)]
pub(crate) struct Listening {
    listener: Arc<Listener>,
    claim: Arc<Claim>,
}

impl Listening {
    pub(super) fn new(claim: Arc<Claim>, consumer: Consumer, key: Option<usize>) -> Listening {
        let listener = Arc::new(Listener::new(consumer, key, claim.entries().len()));
        for (filter, entry) in claim.entries().iter().enumerate() {
            entry.add_listener(&listener, filter);
        }
        Listening { listener, claim }
    }

    /// Re-arms the listener. Call this before reading, so that no record is missed.
    ///
    /// If the listener was notified since it was last re-armed, returns the offset of the first record that it was
    /// notified of, or a lower one. Records that were committed in between do not match the filters.
    pub(crate) fn rearm(&self) -> Option<Offset> {
        self.listener.rearm()
    }

    /// Returns the offset of the first record that the listener was notified of since it was last re-armed.
    pub(crate) fn notified_of(&self) -> Option<Offset> {
        self.listener.notified_of()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        for (filter, entry) in self.claim.entries().iter().enumerate() {
            entry.remove_listener(&self.listener, filter);
        }
    }
}
