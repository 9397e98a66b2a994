//! Setting up an event source.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use stentor_sse::Decoder;

use crate::connection::Connection;
use crate::cursor::{Committer, CursorStore};
use crate::error::BuildError;
use crate::event_source::EventSource;
use crate::http_client::{HttpClient, how_it_connects};
use crate::idle::Idle;
use crate::reconnect::{Backoff, Mode, Reconnect};
use crate::renewal::Renewal;
use crate::request::Request;
use crate::server_url;
use crate::transport::Transport;

/// What an [`EventSource`] can be told before it begins.
///
/// ```
/// use std::time::Duration;
/// use stentor_client::EventSource;
///
/// let source = EventSource::builder("https://example.com/events")
///     .header("authorization", "Bearer secret")
///     .last_event_id("42")
///     .idle_timeout(Duration::from_secs(60))
///     .build()?;
/// # Ok::<(), stentor_client::BuildError>(())
/// ```
///
/// A stream that is the answer to a question, which is asked again at each reconnect:
///
/// ```
/// use stentor_client::EventSource;
///
/// let source = EventSource::builder("https://example.com/completions")
///     .header("content-type", "application/json")
///     .body(r#"{"prompt":"hello","stream":true}"#)
///     .attempts_max(5)
///     .build()?;
/// # Ok::<(), stentor_client::BuildError>(())
/// ```
///
/// A stream of this machine, as a browser would follow it:
///
/// ```
/// use stentor_client::EventSource;
/// use stentor_client::reconnect::Mode;
///
/// # #[cfg(unix)]
/// let source = EventSource::builder("http://localhost/topics/news")
///     .unix_socket("/run/stentor.sock")
///     .mode(Mode::Spec)
///     .build()?;
/// # Ok::<(), stentor_client::BuildError>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct EventSourceBuilder {
    url: String,
    method: Option<String>,
    headers: Vec<(String, String)>,
    body: Option<Bytes>,
    renewal: Option<Renewal>,
    http: HttpClient,
    last_event_id: String,
    committer: Committer,
    mode: Mode,
    reconnection_time: Duration,
    backoff_extra_max: Duration,
    attempts_max: u32,
    healthy_after: Duration,
    idle_timeout: Option<Duration>,
    event_bytes_max: usize,
}

/// What is asked for.
impl EventSourceBuilder {
    pub(crate) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            method: None,
            headers: Vec::new(),
            body: None,
            renewal: None,
            http: HttpClient::new(EventSource::CONNECT_TIMEOUT),
            last_event_id: String::new(),
            committer: Committer::without_store(),
            mode: Mode::default(),
            reconnection_time: EventSource::RECONNECTION_TIME,
            backoff_extra_max: Backoff::EXTRA_MAX,
            attempts_max: u32::MAX,
            healthy_after: Reconnect::HEALTHY_AFTER,
            idle_timeout: None,
            event_bytes_max: Decoder::EVENT_BYTES_MAX,
        }
    }

    /// Asks with this method, such as `QUERY`. GET unless told otherwise, and POST with a body.
    pub fn method(mut self, method: impl Into<String>) -> Self {
        self.method = Some(method.into());
        self
    }

    /// Sends this header too. It goes to the origin of the address only: a redirect to another one
    /// leaves it out, for it may be a secret.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sends this body, at each reconnect anew. It goes to the origin of the address only: a
    /// redirect that would take it to another one is an error.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Answers a 401 with a new `Authorization`, which this function gives, and asks again at once.
    /// An error of it is tried again after a wait, as if the server could not be reached; a 401 to
    /// the new value is fatal. Has no effect in [`Mode::Spec`].
    ///
    /// ```
    /// # async fn log_in() -> Result<String, std::io::Error> { Ok("secret".to_owned()) }
    /// use stentor_client::EventSource;
    ///
    /// let source = EventSource::builder("https://example.com/events")
    ///     .renew_authorization(|| async {
    ///         let token = log_in().await?;
    ///         Ok::<_, std::io::Error>(format!("Bearer {token}"))
    ///     })
    ///     .build()?;
    /// # Ok::<(), stentor_client::BuildError>(())
    /// ```
    pub fn renew_authorization<R, E>(
        mut self,
        renew: impl Fn() -> R + Send + Sync + 'static,
    ) -> Self
    where
        R: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.renewal = Some(Renewal::new(renew));
        self
    }

    /// Begins behind the event with this id, if no [`cursor`](Self::cursor) says otherwise.
    pub fn last_event_id(mut self, id: impl Into<String>) -> Self {
        self.last_event_id = id.into();
        self
    }

    /// Begins behind the id that is stored here, if one is, and stores there what is
    /// [committed](EventSource::commit).
    pub fn cursor(mut self, store: impl CursorStore) -> Self {
        self.committer = Committer::new(store);
        self
    }

    /// The bound of an event's data and of a line, in bytes; [`Decoder::EVENT_BYTES_MAX`] unless
    /// told otherwise. What is over it is a fatal error.
    pub fn event_bytes_max(mut self, bytes: usize) -> Self {
        self.event_bytes_max = bytes;
        self
    }
}

/// When it connects again.
impl EventSourceBuilder {
    /// Which answers end it all; [`Mode::Resilient`] unless told otherwise.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// How long to wait before a reconnect until the stream asks for another time, at most 1 h;
    /// [`EventSource::RECONNECTION_TIME`] unless told otherwise.
    pub fn reconnection_time(mut self, time: Duration) -> Self {
        self.reconnection_time = time;
        self
    }

    /// The bound of what [`Backoff`] adds to that; [`Backoff::EXTRA_MAX`] unless told otherwise.
    pub fn backoff_extra_max(mut self, time: Duration) -> Self {
        self.backoff_extra_max = time;
        self
    }

    /// Gives up after so many attempts in a row without progress, the first included. There is no
    /// limit unless told otherwise.
    pub fn attempts_max(mut self, attempts: u32) -> Self {
        self.attempts_max = attempts;
        self
    }

    /// How long a stream must have been open to count as progress without a new id;
    /// [`Reconnect::HEALTHY_AFTER`] unless told otherwise.
    pub fn healthy_after(mut self, time: Duration) -> Self {
        self.healthy_after = time;
        self
    }

    /// Reconnects when nothing at all comes for so long, keep-alives included, or when the head of
    /// the answer takes so long. Off unless told otherwise, for a server need not send keep-alives;
    /// those of Stentor come after at most 18 s. A machine that is gone is noticed without it, after
    /// a minute, for TCP asks for a sign of life every 15 s.
    pub fn idle_timeout(mut self, time: Duration) -> Self {
        self.idle_timeout = Some(time);
        self
    }
}

how_it_connects!(EventSourceBuilder);

impl EventSourceBuilder {
    /// The source.
    pub fn build(self) -> Result<EventSource, BuildError> {
        let url = server_url::parse(&self.url)?;
        let client = self.http.build(&url)?;
        let (method, headers) = (self.parse_method()?, parse_headers(&self.headers)?);
        let request = Request { method, url, headers, body: self.body };
        let transport = Transport { client, request, renewal: self.renewal };
        let backoff = Backoff::new(self.reconnection_time).with_extra_max(self.backoff_extra_max);
        let reconnect = Reconnect::new(self.mode, backoff)
            .with_attempts_max(self.attempts_max)
            .with_healthy_after(self.healthy_after);
        let connection = Connection::new(
            transport,
            reconnect,
            Idle::new(self.idle_timeout),
            self.event_bytes_max,
            self.last_event_id,
            &self.committer,
        );
        Ok(EventSource::begin(connection, self.committer))
    }

    fn parse_method(&self) -> Result<Method, BuildError> {
        let usual = if self.body.is_some() { "POST" } else { "GET" };
        let method = self.method.as_deref().unwrap_or(usual);
        Method::from_bytes(method.as_bytes())
            .map_err(|_| BuildError::Method { method: method.to_owned() })
    }
}

/// Headers of the caller, which may be secret.
pub(crate) fn parse_headers(given: &[(String, String)]) -> Result<HeaderMap, BuildError> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let header = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
        let (header, mut value) =
            header.ok_or_else(|| BuildError::Header { name: name.clone() })?;
        value.set_sensitive(true);
        headers.append(header, value);
    }
    Ok(headers)
}

impl fmt::Debug for EventSourceBuilder {
    /// What it holds may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSourceBuilder").field("mode", &self.mode).finish_non_exhaustive()
    }
}
