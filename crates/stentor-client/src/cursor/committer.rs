//! Commits cursors to a store.

use std::fmt;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::error::CursorError;
use super::store::{CursorStore, DynCursorStore};

/// Commits event ids of an [`EventSource`](crate::EventSource) from another task. Cheap to clone.
///
/// Use it when other tasks process the events, or when the source is wrapped in stream adapters.
///
/// Committing an id states that its event *and all earlier events* are processed, so commit in the order of the
/// stream. For an event without an id, commit the [`last_event_id`](crate::EventSource::last_event_id) that the source
/// had when it returned the event.
#[derive(Clone)]
pub struct Committer(Option<Arc<Shared>>);

struct Shared {
    store: Box<dyn DynCursorStore>,
    /// The stored id, or an empty text if nothing is stored; `None` if unknown.
    ///
    /// Locked during a save: ids are saved in the order of their commits.
    saved: Mutex<Option<String>>,
}

impl Committer {
    /// Creates a committer for a source without a store.
    pub(crate) fn without_store() -> Self {
        Self(None)
    }

    pub(crate) fn new(store: impl CursorStore) -> Self {
        Self(Some(Arc::new(Shared { store: Box::new(store), saved: Mutex::default() })))
    }

    pub(crate) fn has_store(&self) -> bool {
        self.0.is_some()
    }

    /// Loads the stored id.
    pub(crate) async fn load(self) -> Result<Option<String>, CursorError> {
        let Some(shared) = self.0 else { return Ok(None) };
        let mut saved = shared.saved.lock().await;
        let id = shared.store.load().await?;
        *saved = Some(id.clone().unwrap_or_default());
        Ok(id)
    }

    /// Stores `id`: its event and all earlier events are processed.
    ///
    /// The id is durable when this returns. Does nothing if the id is already stored, or if the source has no store.
    ///
    /// # Errors
    ///
    /// The error of the store. The source is not affected, and a later commit stores the newer id.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the id may or may not be stored. A later commit works normally.
    pub async fn commit_id(&self, id: &str) -> Result<(), CursorError> {
        let Some(shared) = &self.0 else { return Ok(()) };
        let mut saved = shared.saved.lock().await;
        if saved.as_deref() == Some(id) {
            return Ok(());
        }
        // The stored id is unknown until the save is done. This also holds if this future is dropped.
        *saved = None;
        shared.store.save(id).await?;
        *saved = Some(id.to_owned());
        Ok(())
    }
}

impl fmt::Debug for Committer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Committer").field("has_store", &self.has_store()).finish()
    }
}
