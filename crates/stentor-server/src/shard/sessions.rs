//! The sessions of readers. Most readers have none.

use std::collections::{BTreeSet, HashMap};

use tokio::time::Instant;

use super::ids::ReaderId;
use crate::stream::session::{KeyId, OpenSession};

/// The sessions of the readers of a shard, beside its slots: a reader without a session has no entry.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_reader: HashMap<ReaderId, OpenSession>,
    by_key: HashMap<KeyId, BTreeSet<ReaderId>>,
    /// The readers with an expiry, in the order in which they expire.
    expiries: BTreeSet<(Instant, ReaderId)>,
    /// Time of the timer that is set for the next expiry.
    timer: Option<Instant>,
}

impl Sessions {
    pub(super) fn insert(&mut self, id: ReaderId, session: OpenSession) {
        if let Some(key) = &session.key {
            self.by_key.entry(key.id()).or_default().insert(id);
        }
        if let Some(at) = session.expires_at {
            self.expiries.insert((at, id));
        }
        self.by_reader.insert(id, session);
    }

    /// Removes the session of a reader that leaves.
    pub(super) fn remove(&mut self, id: ReaderId) {
        if self.by_reader.is_empty() {
            return;
        }
        let Some(session) = self.by_reader.remove(&id) else { return };
        if let Some(at) = session.expires_at {
            self.expiries.remove(&(at, id));
        }
        if let Some(key) = session.key.map(|key| key.id())
            && let Some(readers) = self.by_key.get_mut(&key)
        {
            readers.remove(&id);
            if readers.is_empty() {
                self.by_key.remove(&key);
            }
        }
    }

    /// Returns the readers with this key.
    pub(super) fn with_key(&self, key: KeyId) -> Vec<ReaderId> {
        self.by_key.get(&key).into_iter().flatten().copied().collect()
    }

    /// Returns the time for which a timer must be set, so that the next session expires in time. `None`
    /// if one is set.
    pub(super) fn timer_needed(&mut self) -> Option<Instant> {
        let (next, _) = *self.expiries.first()?;
        if self.timer.is_some_and(|timer| timer <= next) {
            return None;
        }
        self.timer = Some(next);
        self.timer
    }

    /// Notes that a timer has fired. Returns `false` if an earlier one took its place.
    pub(super) fn timer_fired(&mut self, now: Instant) -> bool {
        self.timer.take_if(|timer| *timer <= now).is_some()
    }

    /// Returns a reader whose session has expired, once.
    pub(super) fn take_expired(&mut self, now: Instant) -> Option<ReaderId> {
        if self.expiries.first()?.0 > now {
            return None;
        }
        self.expiries.pop_first().map(|(_, id)| id)
    }
}
