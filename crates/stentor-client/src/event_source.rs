//! A stream of events that survives lost connections.

pub(crate) mod attempt;
pub(crate) mod authorization;
pub(crate) mod builder;
pub(crate) mod connection;
pub(crate) mod error;
pub(crate) mod idle;
pub(crate) mod json;
pub(crate) mod keep_alives;
pub(crate) mod open_stream;
pub(crate) mod redirect;
pub(crate) mod request;
pub(crate) mod response_head;
pub(crate) mod state;
pub(crate) mod transport;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use stentor_sse::{Event, Item};
use tokio::sync::watch;

use self::connection::Connection;
use self::error::EventSourceError;
use self::open_stream::Chunk;
use self::redirect::REDIRECTS_MAX;
use self::state::State;
use crate::cursor::{Committer, CursorError};
use crate::http_client::HttpClient;
use crate::server_url::redacted;

/// The events of a URL, received over as many connections as necessary.
///
/// ```no_run
/// use stentor_client::EventSource;
///
/// # async fn subscribe() -> Result<(), Box<dyn std::error::Error>> {
/// let mut source = EventSource::new("http://localhost:8080/topics/news?from=earliest")?;
/// while let Some(event) = source.next().await {
///     println!("{}", event?.data());
/// }
/// # Ok(())
/// # }
/// ```
///
/// A source follows the standard (WHATWG HTML, section 9.2). The default mode,
/// [`Mode::Resilient`](crate::reconnect::Mode::Resilient), adds what unattended programs need: it retries 429 and 5xx,
/// honors `Retry-After`, and can renew credentials after a 401. In both modes delays grow, with jitter, until the
/// stream makes progress.
///
/// # Runtime
///
/// A source works only while it is polled, inside a Tokio runtime. It spawns no task. Dropping it closes the
/// connection. A program that does not poll slows the server down through the flow control of the connection.
///
/// # Limits
///
/// - Memory: the bytes of one network read, and one event of at most 16 MiB
///   ([`event_bytes_max`](crate::EventSourceBuilder::event_bytes_max)).
/// - Response head: about 400 KiB, and 100 headers on HTTP/1.1.
/// - Redirects: 20 in a row.
pub struct EventSource {
    connection: Connection,
    committer: Committer,
}

impl EventSource {
    /// Default reconnection time, used until the stream sends its own: 2 s.
    pub const RECONNECTION_TIME: Duration = Duration::from_secs(2);

    /// Default timeout for connecting: 10 s.
    pub const CONNECT_TIMEOUT: Duration = HttpClient::CONNECT_TIMEOUT;

    /// Maximum number of consecutive redirects: 20.
    pub const REDIRECTS_MAX: usize = REDIRECTS_MAX;

    /// Returns the next event.
    ///
    /// Returns `None` at the end of the stream: after a 204, after an error, and after [`close`](Self::close).
    /// Reconnects while waiting, so this may wait without a time limit.
    ///
    /// # Errors
    ///
    /// Only a fatal error is returned, as the last item. See [`EventSourceError`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no event is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<Result<Event, EventSourceError>> {
        std::future::poll_fn(|cx| self.poll_event(cx)).await
    }

    /// Returns the next chunk of the stream, for access to raw bytes, comments and ids.
    ///
    /// Calls may be mixed with [`next`](Self::next). Each continues where the other stopped.
    ///
    /// # Errors
    ///
    /// Only a fatal error is returned, as the last item. See [`EventSourceError`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no chunk is lost if the future is dropped.
    pub async fn next_chunk(&mut self) -> Option<Result<Chunk, EventSourceError>> {
        std::future::poll_fn(|cx| self.connection.poll_chunk(cx)).await
    }

    /// Returns the last event id, which a reconnect sends. Empty means none.
    ///
    /// As the standard defines it, this is the id of the newest returned event that has an id. A later block with an
    /// id and without data replaces it.
    pub fn last_event_id(&self) -> &str {
        self.connection.last_event_id()
    }

    /// Stores the [`last_event_id`](Self::last_event_id) in the [cursor store](crate::cursor): all events returned so
    /// far are processed.
    ///
    /// The id is durable when the future completes. Does nothing before the first event, or without a store.
    ///
    /// # Errors
    ///
    /// The error of the store. The source is not affected, and a later commit stores the newer id.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the id may or may not be stored. A later commit works normally.
    pub fn commit(&self) -> impl Future<Output = Result<(), CursorError>> + Send + use<> {
        let (committer, id) =
            (self.committer.clone(), self.connection.id_to_commit().map(str::to_owned));
        async move {
            match id {
                Some(id) => committer.commit_id(&id).await,
                None => Ok(()),
            }
        }
    }

    /// Returns a handle to commit ids from another task.
    pub fn committer(&self) -> Committer {
        self.committer.clone()
    }

    /// Returns the current connection state.
    pub fn state(&self) -> State {
        self.connection.state().borrow().clone()
    }

    /// Returns a receiver that is notified when the connection state changes.
    ///
    /// It holds only the newest state. A state that is replaced quickly may be missed.
    pub fn states(&self) -> watch::Receiver<State> {
        self.connection.state().subscribe()
    }

    /// Closes the connection, or ends the current delay, and connects again at once after the last event id.
    ///
    /// Does nothing if the source is closed.
    pub fn reconnect(&mut self) {
        self.connection.reconnect();
    }

    /// Closes the source permanently. The stream then ends.
    pub fn close(&mut self) {
        self.connection.close();
    }

    pub(crate) fn from_connection(connection: Connection, committer: Committer) -> EventSource {
        EventSource { connection, committer }
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

impl fmt::Debug for EventSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSource")
            .field("url", &redacted(self.connection.url()))
            .field("state", &*self.connection.state().borrow())
            .field("last_event_id", &self.last_event_id())
            .finish_non_exhaustive()
    }
}
