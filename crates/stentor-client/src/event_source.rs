//! A stream of events that survives its connections.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use serde::de::DeserializeOwned;
use stentor_sse::{Event, Item};
use tokio::sync::watch;

use crate::builder::EventSourceBuilder;
use crate::connection::Connection;
use crate::cursor::{Committer, CursorError};
use crate::error::{BuildError, EventSourceError};
use crate::json::JsonEvents;
use crate::reading::Chunk;
use crate::server_url::shown;
use crate::state::State;

/// The events at an address, over as many connections as it takes.
///
/// It works while it is polled, within a tokio runtime, and needs no task of its own: dropping it is
/// all it takes to leave. What it holds in memory is bounded: what has come in one piece, and one
/// event ([`Decoder::EVENT_BYTES_MAX`](crate::Decoder::EVENT_BYTES_MAX), unless told otherwise). The
/// head of an answer is bounded too: 400 KiB or so, and on HTTP/1.1 100 headers. A reader that does
/// not poll holds the server back by the flow control of its connection.
///
/// The rules are those of the standard (HTML, section 9.2). What only a program needs is added by
/// the usual [`Mode::Resilient`](crate::reconnect::Mode::Resilient): 429 and 5xx are tried again,
/// `Retry-After` honoured, and a 401 can be answered with new credentials. In either mode waits
/// grow, with jitter, until the stream gets on.
pub struct EventSource {
    connection: Connection,
    committer: Committer,
}

impl EventSource {
    /// The reconnection time until a stream sets its own: 2 s.
    pub const RECONNECTION_TIME: Duration = Duration::from_secs(2);

    /// How long connecting may take, unless told otherwise: 10 s.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

    /// How many redirects in a row are followed: 20.
    pub const REDIRECTS_MAX: usize = 20;

    /// A source at this http or https address, which connects when it is first polled.
    pub fn new(url: impl AsRef<str>) -> Result<EventSource, BuildError> {
        EventSource::builder(url).build()
    }

    /// A source that needs headers, a start, a cursor or times of its own.
    pub fn builder(url: impl AsRef<str>) -> EventSourceBuilder {
        EventSourceBuilder::new(url.as_ref())
    }

    pub(crate) fn begin(connection: Connection, committer: Committer) -> EventSource {
        EventSource { connection, committer }
    }

    /// The next event. `None` is the end: the server has nothing more (204), or an error came before
    /// it, or the source was closed.
    ///
    /// Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// Only what no further attempt can mend; it is the last item.
    pub async fn next(&mut self) -> Option<Result<Event, EventSourceError>> {
        std::future::poll_fn(|cx| self.poll_event(cx)).await
    }

    /// The next piece of the stream, for those who want to see its bytes, comments or ids. Mixed
    /// with [`next`](Self::next), each goes on where the other stopped.
    ///
    /// # Errors
    ///
    /// As with [`next`](Self::next).
    pub async fn next_chunk(&mut self) -> Option<Result<Chunk, EventSourceError>> {
        std::future::poll_fn(|cx| self.connection.poll_chunk(cx)).await
    }

    /// The events as values of a type, from JSON.
    ///
    /// ```no_run
    /// use stentor_client::EventSource;
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Reading {
    ///     celsius: f32,
    /// }
    ///
    /// # async fn follow() -> Result<(), Box<dyn std::error::Error>> {
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
        JsonEvents::new(self)
    }

    /// The last event id, as the standard has it: that of the newest event that was handed out, or
    /// of an earlier one if it had none, or of a block without data behind it. It is what a reconnect
    /// sends. Empty means none.
    pub fn last_event_id(&self) -> &str {
        self.connection.last_event_id()
    }

    /// Stores the [`last_event_id`](Self::last_event_id) in the [cursor store](crate::cursor): all
    /// events that were handed out are processed. It is stored for good when this returns. Does
    /// nothing before the first event, or for a source that has no store.
    ///
    /// # Errors
    ///
    /// Those of the store. The source goes on, and a later commit makes up for it.
    pub fn commit(&self) -> impl Future<Output = Result<(), CursorError>> + Send + use<> {
        let (committer, id) =
            (self.committer.clone(), self.connection.reached().map(str::to_owned));
        async move {
            match id {
                Some(id) => committer.commit_id(&id).await,
                None => Ok(()),
            }
        }
    }

    /// To commit from elsewhere, by id.
    pub fn committer(&self) -> Committer {
        self.committer.clone()
    }

    /// How the connection fares.
    pub fn state(&self) -> State {
        self.connection.state().borrow().clone()
    }

    /// The same, to be told of changes. A state that another follows at once may go unseen.
    pub fn states(&self) -> watch::Receiver<State> {
        self.connection.state().subscribe()
    }

    /// Leaves the stream, or cuts the wait short, and connects at once, to go on behind the last
    /// event id. A closed source stays closed.
    pub fn reconnect(&mut self) {
        self.connection.reconnect();
    }

    /// Leaves for good, also while it waits.
    pub fn close(&mut self) {
        self.connection.close();
    }

    fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Event, EventSourceError>>> {
        loop {
            match ready!(self.connection.poll_chunk(cx)) {
                Some(Ok(Chunk { item: Some(Item::Event(event)), .. })) => {
                    return Poll::Ready(Some(Ok(event)));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl Stream for EventSource {
    type Item = Result<Event, EventSourceError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_event(cx)
    }
}

impl std::fmt::Debug for EventSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventSource")
            .field("url", &shown(self.connection.url()))
            .field("state", &*self.connection.state().borrow())
            .field("last_event_id", &self.last_event_id())
            .finish_non_exhaustive()
    }
}
