//! An accepted stream of which nothing was sent yet.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use stentor_hub::Subscription;

use super::options::StreamOptions;
use super::session::OpenSession;
use crate::context::Stentor;
use crate::metrics::OpenCount;

/// An accepted stream, with all that a shard needs.
pub(crate) struct NewStream {
    pub(crate) stentor: Stentor,
    pub(crate) subscription: Box<Subscription>,
    pub(crate) options: StreamOptions,
    pub(crate) session: Option<OpenSession>,
    pub(crate) open: OpenCount,
}

/// Holds a [`NewStream`] in the body of its response until a shard writes it.
pub(crate) struct StreamSlot(Arc<Mutex<Option<NewStream>>>);

/// Finds the slot of a response's body, from the extensions of the response.
///
/// It cannot show that the body was left alone: a layer may have wrapped it. So only a server whose
/// program vouches for its layers uses it. Once the body was dropped, it finds nothing.
#[derive(Clone)]
pub(crate) struct SlotLink(Weak<Mutex<Option<NewStream>>>);

impl StreamSlot {
    pub(crate) fn new(stream: NewStream) -> StreamSlot {
        StreamSlot(Arc::new(Mutex::new(Some(stream))))
    }

    pub(crate) fn link(&self) -> SlotLink {
        SlotLink(Arc::downgrade(&self.0))
    }

    /// Takes the stream. Returns `None` if it was taken before.
    pub(crate) fn take(&self) -> Option<NewStream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl SlotLink {
    /// Returns `true` if the body of the stream was not dropped.
    pub(crate) fn has_body(&self) -> bool {
        self.0.strong_count() > 0
    }

    /// Takes the stream. Returns `None` if it was taken before, or if the body was dropped.
    pub(crate) fn take(&self) -> Option<NewStream> {
        StreamSlot(self.0.upgrade()?).take()
    }
}
