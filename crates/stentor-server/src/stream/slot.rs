//! The place of a stream in the body of its response.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use stentor_hub::Subscription;

use super::options::StreamOptions;
use super::session::OpenSession;
use crate::context::Stentor;
use crate::metrics::OpenCount;
use crate::shard::pipe::PipeInput;

/// An accepted stream, with all that a shard needs.
pub(crate) struct NewStream {
    pub(crate) stentor: Stentor,
    pub(crate) subscription: Box<Subscription>,
    pub(crate) options: StreamOptions,
    pub(crate) session: Option<OpenSession>,
    pub(crate) open: OpenCount,
}

/// Holds a [`NewStream`] in the body of its response until a shard writes it. After that, it holds the
/// pipe to the shard.
pub(crate) struct StreamSlot(Arc<Mutex<Slot>>);

/// Finds the slot of a response's body, from the extensions of the response.
///
/// It cannot show that the body was left alone: a layer may have wrapped it. So only a server whose
/// program vouches for its layers takes the stream by it. Once the body was dropped, it finds nothing.
#[derive(Clone)]
pub(crate) struct SlotLink(Weak<Mutex<Slot>>);

struct Slot {
    /// Boxed, because the slot lives as long as the body. `None` once it was taken.
    stream: Option<Box<NewStream>>,
    /// `None` until a shard writes the stream into a pipe.
    pipe: Option<PipeInput>,
    /// `true` if the client has closed its sending side.
    is_half_closed: bool,
}

impl StreamSlot {
    pub(crate) fn new(stream: NewStream) -> StreamSlot {
        let slot = Slot { stream: Some(Box::new(stream)), pipe: None, is_half_closed: false };
        StreamSlot(Arc::new(Mutex::new(slot)))
    }

    pub(crate) fn link(&self) -> SlotLink {
        SlotLink(Arc::downgrade(&self.0))
    }

    /// Takes the stream. Returns `None` if it was taken before.
    pub(crate) fn take(&self) -> Option<NewStream> {
        self.slot().stream.take().map(|stream| *stream)
    }

    /// Sets the pipe of the stream.
    pub(crate) fn set_pipe(&self, pipe: PipeInput) {
        let mut slot = self.slot();
        if slot.is_half_closed {
            pipe.half_close();
        }
        slot.pipe = Some(pipe);
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Reports that the client of the stream has closed its sending side. The stream then ends after the
    /// last event.
    pub(crate) fn half_close(&self) {
        let Some(slot) = self.0.upgrade().map(StreamSlot) else { return };
        let mut slot = slot.slot();
        slot.is_half_closed = true;
        if let Some(pipe) = &slot.pipe {
            pipe.half_close();
        }
    }
}
