//! Telling what is processed.

use std::fmt;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::CursorError;
use super::store::{AnyStore, CursorStore};

/// Commits the ids of an [`EventSource`](crate::EventSource) from elsewhere: from a task that
/// processes its events, or when the source went into a chain of streams. Cheap to clone.
///
/// An id says that its event *and all before it* are processed, so commit in the order of the
/// stream. For an event without an id of its own, that is the id the source had when it handed it
/// out ([`last_event_id`](crate::EventSource::last_event_id)).
#[derive(Clone)]
pub struct Committer(Option<Arc<Store>>);

struct Store {
    store: Box<dyn AnyStore>,
    /// What is stored, empty for nothing, if that is known. Held for as long as the store is at
    /// work, so that ids are saved in the order of their commits.
    saved: Mutex<Option<String>>,
}

impl Committer {
    /// For a source without a store.
    pub(crate) fn without_store() -> Self {
        Self(None)
    }

    pub(crate) fn new(store: impl CursorStore) -> Self {
        Self(Some(Arc::new(Store { store: Box::new(store), saved: Mutex::default() })))
    }

    pub(crate) fn has_store(&self) -> bool {
        self.0.is_some()
    }

    /// The id that is stored.
    pub(crate) async fn load(self) -> Result<Option<String>, CursorError> {
        let Some(store) = self.0 else { return Ok(None) };
        let mut saved = store.saved.lock().await;
        let id = store.store.load().await?;
        *saved = Some(id.clone().unwrap_or_default());
        Ok(id)
    }

    /// Stores this id, unless it is stored already: its event and all before it are processed. It
    /// is stored for good when this returns. Does nothing for a source that has no store.
    ///
    /// # Errors
    ///
    /// Those of the store. The source goes on, and a later commit makes up for it.
    pub async fn commit_id(&self, id: &str) -> Result<(), CursorError> {
        let Some(store) = &self.0 else { return Ok(()) };
        let mut saved = store.saved.lock().await;
        if saved.as_deref() == Some(id) {
            return Ok(());
        }
        // Unknown until it is done, also if this future is dropped.
        *saved = None;
        store.store.save(id).await?;
        *saved = Some(id.to_owned());
        Ok(())
    }
}

impl fmt::Debug for Committer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Committer").field("has_store", &self.has_store()).finish()
    }
}
