//! Setting up an event source.

use std::time::Duration;

use fastrand::Rng;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::error::BuildError;
use crate::event_source::EventSource;
use crate::idle::Idle;
use crate::reconnect::Reconnect;
use crate::server_url;
use crate::transport::{self, Transport};

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
#[derive(Clone, Debug)]
#[must_use]
pub struct EventSourceBuilder {
    url: String,
    headers: Vec<(String, String)>,
    last_event_id: String,
    reconnection_time: Duration,
    connect_timeout: Duration,
    idle_timeout: Option<Duration>,
}

impl EventSourceBuilder {
    pub(crate) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            headers: Vec::new(),
            last_event_id: String::new(),
            reconnection_time: EventSource::RECONNECTION_TIME,
            connect_timeout: EventSource::CONNECT_TIMEOUT,
            idle_timeout: None,
        }
    }

    /// Sends this header too. It goes to the origin of the address only: a redirect to another one
    /// leaves it out, for it may be a secret.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Begins behind the event with this id.
    pub fn last_event_id(mut self, id: impl Into<String>) -> Self {
        self.last_event_id = id.into();
        self
    }

    /// How long to wait before a reconnect until the stream asks for another time, at most 1 h;
    /// [`EventSource::RECONNECTION_TIME`] unless told otherwise.
    pub fn reconnection_time(mut self, time: Duration) -> Self {
        self.reconnection_time = time;
        self
    }

    /// How long it may take to connect (name, TCP, TLS); [`EventSource::CONNECT_TIMEOUT`] unless
    /// told otherwise. The answer may take longer: some servers hold it back until the first event.
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.connect_timeout = time;
        self
    }

    /// Reconnects when nothing at all comes for so long, keep-alives and the answer's head included.
    /// Off unless told otherwise, for a server need not send keep-alives; those of Stentor come
    /// after at most 18 s.
    pub fn idle_timeout(mut self, time: Duration) -> Self {
        self.idle_timeout = Some(time);
        self
    }

    /// The source.
    pub fn build(self) -> Result<EventSource, BuildError> {
        let mut headers = HeaderMap::new();
        for (name, value) in self.headers {
            let header = HeaderName::try_from(&name).ok().zip(HeaderValue::try_from(value).ok());
            let (header, value) = header.ok_or(BuildError::Header { name })?;
            headers.append(header, value);
        }
        let url = server_url::parse(&self.url)?;
        let client = transport::client(&url, self.connect_timeout)?;
        let transport = Transport { client, url, headers };
        let reconnect = Reconnect::new(self.reconnection_time, Rng::new());
        let idle = Idle::new(self.idle_timeout);
        Ok(EventSource::begin(transport, reconnect, idle, self.last_event_id))
    }
}
