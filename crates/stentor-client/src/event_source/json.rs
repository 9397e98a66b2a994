//! Events parsed from JSON.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use serde::de::DeserializeOwned;
use stentor_sse::Event;
use thiserror::Error;

use super::EventSource;
use super::error::EventSourceError;
use crate::control::{Control, Gap};

/// The events of a source, parsed from JSON as values of type `T`. Created by [`EventSource::json`].
///
/// A gap reported by a Stentor server is returned as [`JsonError::Gap`]. Stentor's other control events are skipped.
/// After the end of a topic the stream ends.
pub struct JsonEvents<T> {
    source: EventSource,
    value: PhantomData<fn() -> T>,
}

/// Error of [`JsonEvents`].
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum JsonError {
    /// The data of an event is not JSON of the requested type. Not fatal: the next event follows.
    #[error("cannot parse the data of an event as the requested type: {cause}")]
    Data {
        /// The event.
        event: Box<Event>,
        /// The error of the parser.
        cause: String,
    },
    /// A Stentor server reports lost events. Not fatal: the next available event follows.
    #[error("events were lost ({})", .0.reason)]
    Gap(Gap),
    /// The source failed. Fatal, and the last item.
    #[error(transparent)]
    Source(#[from] EventSourceError),
}

impl EventSource {
    /// Converts the source to a stream of values, parsed from the JSON data of the events.
    ///
    /// ```no_run
    /// use stentor_client::EventSource;
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Reading {
    ///     celsius: f32,
    /// }
    ///
    /// # async fn subscribe() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut readings = EventSource::new("http://localhost:8080/topics/kitchen")?.json::<Reading>();
    /// while let Some(reading) = readings.next().await {
    ///     match reading {
    ///         Ok(reading) => println!("{} °C", reading.celsius),
    ///         Err(error) => eprintln!("{error}"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn json<T: DeserializeOwned>(self) -> JsonEvents<T> {
        JsonEvents { source: self, value: PhantomData }
    }
}

impl<T: DeserializeOwned> JsonEvents<T> {
    /// Returns the next value; `None` at the end of the stream.
    ///
    /// # Errors
    ///
    /// See [`JsonError`]. Only [`JsonError::Source`] is fatal; after the others, continue with the next value.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no event is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<Result<T, JsonError>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<T> JsonEvents<T> {
    /// Returns the source, for example to commit or to observe the state.
    pub fn source(&self) -> &EventSource {
        &self.source
    }

    /// Returns the source, to close or reconnect it.
    pub fn source_mut(&mut self) -> &mut EventSource {
        &mut self.source
    }

    /// Returns the source. It continues with the next event, unparsed.
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
                None => return Poll::Ready(Some(parse(event))),
                Some(Control::Gap(gap)) => return Poll::Ready(Some(Err(JsonError::Gap(gap)))),
                Some(_) => {}
            }
        }
    }
}

fn parse<T: DeserializeOwned>(event: Event) -> Result<T, JsonError> {
    serde_json::from_str(event.data())
        .map_err(|error| JsonError::Data { event: Box::new(event), cause: error.to_string() })
}

impl<T> fmt::Debug for JsonEvents<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonEvents").field("source", &self.source).finish_non_exhaustive()
    }
}
