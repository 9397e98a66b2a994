//! An accepted stream of which nothing was sent yet.

use std::sync::{Arc, Mutex, PoisonError};

use stentor_hub::Subscription;

use super::options::StreamOptions;
use crate::context::Stentor;
use crate::metrics::OpenCount;

/// An accepted stream, with all that a writer needs.
pub(crate) struct NewStream {
    pub(crate) stentor: Stentor,
    pub(crate) subscription: Box<Subscription>,
    pub(crate) options: StreamOptions,
    pub(crate) open: OpenCount,
}

/// Holds a [`NewStream`] until something writes it.
///
/// The body of the response and the extensions of the response each have a clone. If the server takes
/// the socket over, a shard takes the stream from the extensions; otherwise the body takes it when it
/// is polled first.
#[derive(Clone)]
pub(crate) struct StreamSlot(Arc<Mutex<Option<NewStream>>>);

impl StreamSlot {
    pub(crate) fn new(stream: NewStream) -> StreamSlot {
        StreamSlot(Arc::new(Mutex::new(Some(stream))))
    }

    /// Takes the stream. Returns `None` if it was taken before.
    pub(crate) fn take(&self) -> Option<NewStream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
