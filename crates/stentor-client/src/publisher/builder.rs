//! Builder of a publisher.

use std::fmt;
use std::time::Duration;

use reqwest::header::AUTHORIZATION;

use super::Publisher;
use super::keys::KeyGenerator;
use super::retry::RetryLimits;
use crate::build_error::BuildError;
use crate::http_client::{HttpClient, connection_options, parse_headers};
use crate::server_url::ServerUrl;

/// Builder of a [`Publisher`]. Created by [`Publisher::builder`].
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
    limits: RetryLimits,
    idempotency_keys: bool,
}

impl Publisher {
    /// Creates a publisher for the server at `url`, with the default options.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if the URL is not valid.
    pub fn new(url: impl AsRef<str>) -> Result<Publisher, BuildError> {
        Publisher::builder(url).build()
    }

    /// Returns a builder, to set a token, timeouts, the number of attempts and more.
    pub fn builder(url: impl AsRef<str>) -> PublisherBuilder {
        PublisherBuilder::new(url.as_ref())
    }
}

/// Requests and retries.
impl PublisherBuilder {
    fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            headers: Vec::new(),
            http: HttpClient::new(),
            request_timeout: Publisher::REQUEST_TIMEOUT,
            limits: RetryLimits { attempts: Publisher::ATTEMPTS_MAX, time: Publisher::RETRY_TIME },
            idempotency_keys: true,
        }
    }

    /// Adds a header to each request.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets a bearer token, sent with each request as `Authorization: Bearer TOKEN`.
    pub fn bearer_token(self, token: impl AsRef<str>) -> Self {
        self.header(AUTHORIZATION.as_str(), format!("Bearer {}", token.as_ref()))
    }

    /// Sets the timeout of one attempt, from its start to the complete response (default: 1 min,
    /// [`Publisher::REQUEST_TIMEOUT`]).
    ///
    /// For an [`upload`](Publisher::upload), the time starts at the end of its stream.
    pub fn request_timeout(mut self, time: Duration) -> Self {
        self.request_timeout = time;
        self
    }

    /// Sets the maximum number of attempts of a publish, including the first (default: 20,
    /// [`Publisher::ATTEMPTS_MAX`]). 1 disables retries.
    pub fn attempts_max(mut self, attempts: u32) -> Self {
        self.limits.attempts = attempts;
        self
    }

    /// Sets the maximum time for retries, from the first failure to the last attempt (default: 1 min,
    /// [`Publisher::RETRY_TIME`]).
    ///
    /// A publish that may already be in the log is retried for at most 9 min, because the server remembers its key
    /// for 10 min.
    pub fn retry_time(mut self, time: Duration) -> Self {
        self.limits.time = time;
        self
    }

    /// Enables or disables the generation of idempotency keys (default: enabled).
    ///
    /// Without a key, a publish is retried only if it was certainly not published.
    pub fn idempotency_keys(mut self, on: bool) -> Self {
        self.idempotency_keys = on;
        self
    }
}

connection_options!(PublisherBuilder);

impl PublisherBuilder {
    /// Builds the publisher.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if the URL, a header, the proxy or a certificate is not valid.
    pub fn build(self) -> Result<Publisher, BuildError> {
        let server = ServerUrl::new(&self.url)?;
        let client = self.http.build(server.as_url())?;
        let headers = parse_headers(&self.headers)?;
        let keys = self.idempotency_keys.then(KeyGenerator::new).transpose()?;
        let PublisherBuilder { limits, request_timeout, .. } = self;
        Ok(Publisher { client, server, headers, keys, limits, request_timeout })
    }
}

impl fmt::Debug for PublisherBuilder {
    /// Omits everything that may contain a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublisherBuilder").field("limits", &self.limits).finish_non_exhaustive()
    }
}
