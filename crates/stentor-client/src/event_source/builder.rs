//! Builder of an event source.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use stentor_sse::Decoder;

use super::EventSource;
use super::authorization::RenewAuthorization;
use super::connection::Connection;
use super::idle::{IdleTimeout, IdleTimer};
use super::request::Request;
use super::transport::Transport;
use crate::build_error::BuildError;
use crate::cursor::{Committer, CursorStore};
use crate::http_client::{HttpClient, connection_options, parse_headers};
use crate::reconnect::{Backoff, Mode, Reconnect};
use crate::server_url;

/// Builder of an [`EventSource`]. Created by [`EventSource::builder`].
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
/// A stream that is the response to a POST request. The request is sent again at each reconnect:
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
/// A stream from a Unix socket, with the rules of a browser:
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
    renew_authorization: Option<RenewAuthorization>,
    http: HttpClient,
    last_event_id: String,
    committer: Committer,
    mode: Mode,
    reconnection_time: Duration,
    backoff_extra_max: Duration,
    attempts_max: u32,
    healthy_after: Duration,
    idle_timeout: IdleTimeout,
    event_bytes_max: usize,
}

impl EventSource {
    /// Creates a source for an http or https URL. It connects when it is first polled.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if the URL is not valid.
    pub fn new(url: impl AsRef<str>) -> Result<EventSource, BuildError> {
        EventSource::builder(url).build()
    }

    /// Returns a builder, to set headers, a start position, a cursor store, timeouts and more.
    pub fn builder(url: impl AsRef<str>) -> EventSourceBuilder {
        EventSourceBuilder::new(url.as_ref())
    }
}

/// Request and start position.
impl EventSourceBuilder {
    fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            method: None,
            headers: Vec::new(),
            body: None,
            renew_authorization: None,
            http: HttpClient::new(),
            last_event_id: String::new(),
            committer: Committer::without_store(),
            mode: Mode::default(),
            reconnection_time: EventSource::RECONNECTION_TIME,
            backoff_extra_max: Backoff::EXTRA_MAX,
            attempts_max: u32::MAX,
            healthy_after: Reconnect::HEALTHY_AFTER,
            idle_timeout: IdleTimeout::default(),
            event_bytes_max: Decoder::EVENT_BYTES_MAX,
        }
    }

    /// Sets the HTTP method, such as `QUERY` (default: GET, or POST with a body).
    pub fn method(mut self, method: impl Into<String>) -> Self {
        self.method = Some(method.into());
        self
    }

    /// Adds a request header.
    ///
    /// After a redirect to another origin the header is not sent, because it may contain a secret.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the request body. It is sent again at each reconnect.
    ///
    /// A redirect to another origin that would keep the body is an error, because the body may contain a secret.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sets a callback that obtains a new `Authorization` value after a 401.
    ///
    /// The source sends the request again at once with the new value. If the callback fails, the source waits and
    /// retries, as if the server were unreachable. A 401 to the new value is fatal. In [`Mode::Spec`] the callback is
    /// not used.
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
        self.renew_authorization = Some(RenewAuthorization::new(renew));
        self
    }

    /// Starts after the event with this id. An id stored in a [`cursor`](Self::cursor) has priority.
    pub fn last_event_id(mut self, id: impl Into<String>) -> Self {
        self.last_event_id = id.into();
        self
    }

    /// Sets a cursor store. The source starts after the stored id, and [`commit`](EventSource::commit) stores the
    /// current one.
    pub fn cursor(mut self, store: impl CursorStore) -> Self {
        self.committer = Committer::new(store);
        self
    }

    /// Sets the maximum size of the data of an event, and of a line, in bytes (default: 16 MiB,
    /// [`Decoder::EVENT_BYTES_MAX`]). A larger one is a fatal error.
    pub fn event_bytes_max(mut self, bytes: usize) -> Self {
        self.event_bytes_max = bytes;
        self
    }
}

/// Reconnection.
impl EventSourceBuilder {
    /// Determines which responses are fatal (default: [`Mode::Resilient`]).
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Sets the reconnection time until the stream sends its own with `retry:` (default: 2 s,
    /// [`EventSource::RECONNECTION_TIME`]; maximum: 1 h).
    pub fn reconnection_time(mut self, time: Duration) -> Self {
        self.reconnection_time = time;
        self
    }

    /// Sets the maximum of the random extra that is added to the reconnection time (default: 30 s,
    /// [`Backoff::EXTRA_MAX`]).
    pub fn backoff_extra_max(mut self, time: Duration) -> Self {
        self.backoff_extra_max = time;
        self
    }

    /// Sets the maximum number of consecutive attempts without progress, including the first (default: no limit).
    ///
    /// Progress is an event with a new id, or a stream that stayed open for [`healthy_after`](Self::healthy_after).
    pub fn attempts_max(mut self, attempts: u32) -> Self {
        self.attempts_max = attempts;
        self
    }

    /// Sets the time a stream must stay open to count as progress without a new id (default: 60 s,
    /// [`Reconnect::HEALTHY_AFTER`]).
    pub fn healthy_after(mut self, time: Duration) -> Self {
        self.healthy_after = time;
        self
    }

    /// Sets the idle timeout: reconnects if no bytes arrive for this time, or if the response head takes this long
    /// (default: three times the interval of the server's keep-alives, at least 30 s).
    ///
    /// Any bytes count, including keep-alives. The default applies only after the server has sent two keep-alives
    /// (comments after a silence) on one stream, or the comment `stentor`, with which a Stentor server starts a stream
    /// (54 s then). So a silent stream of a server without keep-alives stays open. Even without a timeout, TCP
    /// keep-alive probes (every 15 s) detect a machine that disappeared, after about one minute. They do not detect a
    /// proxy that keeps the connection open although its server is gone.
    pub fn idle_timeout(mut self, time: Duration) -> Self {
        self.idle_timeout = IdleTimeout::After(time);
        self
    }

    /// Waits for bytes without a time limit, although the server sends keep-alives.
    pub fn no_idle_timeout(mut self) -> Self {
        self.idle_timeout = IdleTimeout::Never;
        self
    }
}

connection_options!(EventSourceBuilder);

impl EventSourceBuilder {
    /// Builds the source. It connects when it is first polled.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if the URL, a header, the method, the proxy or a certificate is not valid.
    pub fn build(self) -> Result<EventSource, BuildError> {
        let url = server_url::parse(&self.url)?;
        let client = self.http.build(&url)?;
        let (method, headers) = (self.parse_method()?, parse_headers(&self.headers)?);
        let request = Request { method, url, headers, body: self.body };
        let transport =
            Transport { client, request, renew_authorization: self.renew_authorization };
        let backoff = Backoff::new(self.reconnection_time).with_extra_max(self.backoff_extra_max);
        let reconnect = Reconnect::new(self.mode, backoff)
            .with_attempts_max(self.attempts_max)
            .with_healthy_after(self.healthy_after);
        let connection = Connection::new(
            transport,
            reconnect,
            IdleTimer::new(self.idle_timeout),
            self.event_bytes_max,
            self.last_event_id,
            &self.committer,
        );
        Ok(EventSource::from_connection(connection, self.committer))
    }

    fn parse_method(&self) -> Result<Method, BuildError> {
        let default = if self.body.is_some() { "POST" } else { "GET" };
        let method = self.method.as_deref().unwrap_or(default);
        Method::from_bytes(method.as_bytes())
            .map_err(|_| BuildError::Method { method: method.to_owned() })
    }
}

impl fmt::Debug for EventSourceBuilder {
    /// Omits everything that may contain a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSourceBuilder").field("mode", &self.mode).finish_non_exhaustive()
    }
}
