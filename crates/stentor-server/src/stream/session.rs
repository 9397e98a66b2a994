//! Sessions: the facts about a reader that only some readers have.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::log::StreamLog;

/// The identity and the expiry of a reader. A reader without them has no session, and costs nothing
/// for it.
///
/// At its expiry, or when [`Stentor::close_streams`](crate::Stentor::close_streams) closes its key, a
/// stream ends between two events, cleanly and with a `retry:`. The subscriber reconnects, and your
/// program decides again whether it may read.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use stentor_server::Session;
///
/// let session = Session::new().with_key("user-7").expiring_in(Duration::from_mins(15));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Session {
    pub(crate) key: Option<Arc<str>>,
    pub(crate) expires_at: Option<Instant>,
}

impl Session {
    /// Creates a session without a key and an expiry.
    pub fn new() -> Session {
        Session::default()
    }

    /// Sets the key, for example the id of a user. Several streams can have the same key.
    #[must_use]
    pub fn with_key(self, key: impl Into<Arc<str>>) -> Session {
        Session { key: Some(key.into()), ..self }
    }

    /// Sets the time from now at which the stream ends.
    #[must_use]
    pub fn expiring_in(self, lifetime: Duration) -> Session {
        // A time that cannot be expressed is never reached.
        Session { expires_at: Instant::now().checked_add(lifetime), ..self }
    }

    /// Sets the time at which the stream ends.
    #[must_use]
    pub fn expiring_at(self, time: Instant) -> Session {
        Session { expires_at: Some(time), ..self }
    }
}

/// The session of an open stream.
#[derive(Debug)]
pub(crate) struct OpenSession {
    pub(crate) expires_at: Option<Instant>,
    pub(crate) key: Option<HeldKey>,
    /// Logs the end of the stream.
    pub(crate) log: Option<StreamLog>,
}

/// A key that an open stream holds.
#[derive(Debug)]
pub(crate) struct HeldKey {
    key: Arc<Key>,
    /// Number of closings of the key before the stream was opened.
    closings_before: u64,
}

/// A key that at least one stream holds. All streams of a service with equal keys share it.
#[derive(Debug)]
pub(crate) struct Key {
    text: Arc<str>,
    closings: AtomicU64,
    keys: Keys,
}

/// The keys of the open streams of a service. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys(Arc<Mutex<HashMap<Arc<str>, Weak<Key>>>>);

impl Keys {
    /// Opens a session. Returns `None` if it has no facts.
    pub(crate) fn open(&self, session: Session) -> Option<OpenSession> {
        let Session { key, expires_at } = session;
        if key.is_none() && expires_at.is_none() {
            return None;
        }
        Some(OpenSession { expires_at, key: key.map(|key| self.hold(key)), log: None })
    }

    fn hold(&self, text: Arc<str>) -> HeldKey {
        let mut map = self.map();
        let known = map.get(&text).and_then(Weak::upgrade);
        let key = known.unwrap_or_else(|| {
            let (closings, keys) = (AtomicU64::new(0), self.clone());
            let key = Arc::new(Key { text: Arc::clone(&text), closings, keys });
            map.insert(text, Arc::downgrade(&key));
            key
        });
        let closings_before = key.closings.load(Ordering::Acquire);
        HeldKey { key, closings_before }
    }

    /// Marks the streams that hold a key now as closed, also those that no shard has yet. Returns the
    /// key, or `None` if no stream holds it.
    pub(crate) fn close(&self, text: &str) -> Option<Arc<Key>> {
        let key = self.map().get(text).and_then(Weak::upgrade)?;
        key.closings.fetch_add(1, Ordering::AcqRel);
        Some(key)
    }

    fn map(&self) -> MutexGuard<'_, HashMap<Arc<str>, Weak<Key>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldKey {
    /// Returns `true` if the key was closed after the stream was opened.
    pub(crate) fn is_closed(&self) -> bool {
        self.key.closings.load(Ordering::Acquire) != self.closings_before
    }

    /// Returns a number that differs between keys.
    pub(crate) fn id(&self) -> KeyId {
        self.key.id()
    }
}

/// Identifies a key while a stream holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct KeyId(usize);

impl Key {
    pub(crate) fn id(self: &Arc<Key>) -> KeyId {
        KeyId(Arc::as_ptr(self).addr())
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        let mut map = self.keys.map();
        // By now another stream may have added the same key again.
        if map.get(&self.text).is_some_and(|key| key.strong_count() == 0) {
            map.remove(&self.text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(keys: &Keys, key: &str) -> HeldKey {
        keys.open(Session::new().with_key(key)).unwrap().key.unwrap()
    }

    #[test]
    fn closing_a_key_closes_the_streams_that_are_open_and_no_later_ones() {
        let keys = Keys::default();
        let (ann, ben) = (hold(&keys, "ann"), hold(&keys, "ben"));
        assert!(keys.close("ann").is_some());
        assert!(ann.is_closed() && !ben.is_closed());
        assert!(!hold(&keys, "ann").is_closed());
        assert!(keys.close("nobody").is_none());
    }

    #[test]
    fn a_key_is_forgotten_with_its_last_stream() {
        let keys = Keys::default();
        let streams: Vec<_> = (0..3).map(|_| hold(&keys, "ann")).collect();
        assert_eq!(keys.map().len(), 1);
        drop(streams);
        assert!(keys.map().is_empty());
    }

    #[test]
    fn a_session_without_facts_is_none() {
        assert!(Keys::default().open(Session::new()).is_none());
    }
}
