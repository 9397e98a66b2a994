//! Setting up a publisher.

use std::fmt;
use std::time::Duration;

use reqwest::header::AUTHORIZATION;

use super::Publisher;
use super::keys::Keys;
use super::retry::Limits;
use crate::builder::parse_headers;
use crate::error::BuildError;
use crate::http_client::{HttpClient, how_it_connects};
use crate::server_url::ServerUrl;

/// What a [`Publisher`] can be told before it begins.
///
/// ```
/// use std::time::Duration;
/// use stentor_client::Publisher;
///
/// let publisher = Publisher::builder("https://example.com/live")
///     .bearer_token("secret")
///     .attempts_max(5)
///     .retry_time(Duration::from_secs(20))
///     .build()?;
/// # Ok::<(), stentor_client::BuildError>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct PublisherBuilder {
    url: String,
    headers: Vec<(String, String)>,
    http: HttpClient,
    request_timeout: Duration,
    limits: Limits,
    keys: bool,
}

/// What is sent, and how often.
impl PublisherBuilder {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            headers: Vec::new(),
            http: HttpClient::new(Publisher::CONNECT_TIMEOUT),
            request_timeout: Publisher::REQUEST_TIMEOUT,
            limits: Limits { attempts: Publisher::ATTEMPTS_MAX, time: Publisher::RETRY_TIME },
            keys: true,
        }
    }

    /// Sends this header with each request.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sends this token with each request: `Authorization: Bearer …`.
    pub fn bearer_token(self, token: impl AsRef<str>) -> Self {
        self.header(AUTHORIZATION.as_str(), format!("Bearer {}", token.as_ref()))
    }

    /// How long an attempt may take from its start to the whole answer, and an
    /// [`upload`](Publisher::upload) from the end of its stream; [`Publisher::REQUEST_TIMEOUT`] unless
    /// told otherwise.
    pub fn request_timeout(mut self, time: Duration) -> Self {
        self.request_timeout = time;
        self
    }

    /// How many attempts a publish has, the first one included; [`Publisher::ATTEMPTS_MAX`] unless
    /// told otherwise. With 1 nothing is tried again.
    pub fn attempts_max(mut self, attempts: u32) -> Self {
        self.limits.attempts = attempts;
        self
    }

    /// How long after its first failure a publish is still tried; [`Publisher::RETRY_TIME`] unless
    /// told otherwise. A publish that may be in already is tried no longer than the server surely
    /// knows its key, which is 9 min.
    pub fn retry_time(mut self, time: Duration) -> Self {
        self.limits.time = time;
        self
    }

    /// Whether idempotency keys are made, which they are unless told otherwise. Without a key only
    /// those publishes are tried again that surely were not published.
    pub fn idempotency_keys(mut self, on: bool) -> Self {
        self.keys = on;
        self
    }
}

how_it_connects!(PublisherBuilder);

impl PublisherBuilder {
    /// The publisher.
    pub fn build(self) -> Result<Publisher, BuildError> {
        let server = ServerUrl::new(&self.url)?;
        let client = self.http.build(server.as_url())?;
        let headers = parse_headers(&self.headers)?;
        let keys = self.keys.then(Keys::new).transpose()?;
        let PublisherBuilder { limits, request_timeout, .. } = self;
        Ok(Publisher { client, server, headers, keys, limits, request_timeout })
    }
}

impl fmt::Debug for PublisherBuilder {
    /// What it holds may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublisherBuilder").field("limits", &self.limits).finish_non_exhaustive()
    }
}
