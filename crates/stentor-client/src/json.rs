//! Events as values of a type.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use serde::de::DeserializeOwned;
use stentor_sse::Event;
use thiserror::Error;

use crate::control::{Control, Gap};
use crate::error::EventSourceError;
use crate::event_source::EventSource;

/// The events of a source whose data is JSON, as values: what [`EventSource::json`] gives.
///
/// Of what a Stentor server says about the stream only a gap is told; the end of a topic shows in
/// that the stream ends.
pub struct JsonEvents<T> {
    source: EventSource,
    value: PhantomData<fn() -> T>,
}

/// Why there is no value.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum JsonError {
    /// The data of an event is no such value. Not fatal: the next event follows.
    #[error("the data of an event cannot be read as JSON of the type asked for: {cause}")]
    Data {
        /// The event.
        event: Box<Event>,
        /// What is wrong with it.
        cause: String,
    },
    /// A Stentor server tells that events were lost. Not fatal: the next one that there is follows.
    #[error("events were lost ({})", .0.reason)]
    Gap(Gap),
    /// Fatal, and the last item.
    #[error(transparent)]
    Source(#[from] EventSourceError),
}

impl<T: DeserializeOwned> JsonEvents<T> {
    pub(crate) fn new(source: EventSource) -> Self {
        Self { source, value: PhantomData }
    }

    /// The next value; `None` is the end, as with [`EventSource::next`].
    ///
    /// # Errors
    ///
    /// One for each event that is no such value, each loss, and a fatal one.
    pub async fn next(&mut self) -> Option<Result<T, JsonError>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<T> JsonEvents<T> {
    /// The source, to commit and to see its state.
    pub fn source(&self) -> &EventSource {
        &self.source
    }

    /// The source, to close or restart it.
    pub fn source_mut(&mut self) -> &mut EventSource {
        &mut self.source
    }

    /// The source, whose events are read on as they are.
    pub fn into_source(self) -> EventSource {
        self.source
    }
}

impl<T: DeserializeOwned> Stream for JsonEvents<T> {
    type Item = Result<T, JsonError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let event = match ready!(Pin::new(&mut self.source).poll_next(cx)) {
                Some(Ok(event)) => event,
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => return Poll::Ready(None),
            };
            match Control::of(&event) {
                None => return Poll::Ready(Some(read(event))),
                Some(Control::Gap(gap)) => return Poll::Ready(Some(Err(JsonError::Gap(gap)))),
                Some(_) => {}
            }
        }
    }
}

fn read<T: DeserializeOwned>(event: Event) -> Result<T, JsonError> {
    serde_json::from_str(event.data())
        .map_err(|error| JsonError::Data { event: Box::new(event), cause: error.to_string() })
}

impl<T> fmt::Debug for JsonEvents<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonEvents").field("source", &self.source).finish_non_exhaustive()
    }
}
