//! Setting up a publisher.

#[cfg(unix)]
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Client;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use super::Publisher;
use super::keys::Keys;
use super::retry::Limits;
use crate::error::{BuildError, cause};
use crate::server_url::ServerUrl;

/// What a [`Publisher`] can be told before it begins.
///
/// ```
/// use std::time::Duration;
/// use stentor_client::Publisher;
///
/// let publisher = Publisher::builder("https://example.com/live")
///     .bearer_token("secret")
///     .attempts(5)
///     .retry_time(Duration::from_secs(20))
///     .build()?;
/// # Ok::<(), stentor_client::BuildError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct PublisherBuilder {
    url: String,
    headers: Vec<(String, Secret)>,
    connect_timeout: Duration,
    request_timeout: Duration,
    limits: Limits,
    keys: bool,
    #[cfg(unix)]
    unix_socket: Option<PathBuf>,
}

/// What is not shown.
#[derive(Clone)]
struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl PublisherBuilder {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            headers: Vec::new(),
            connect_timeout: Publisher::CONNECT_TIMEOUT,
            request_timeout: Publisher::REQUEST_TIMEOUT,
            limits: Limits { attempts: Publisher::ATTEMPTS, time: Publisher::RETRY_TIME },
            keys: true,
            #[cfg(unix)]
            unix_socket: None,
        }
    }

    /// Sends this header with each request.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), Secret(value.into())));
        self
    }

    /// Sends this token with each request: `Authorization: Bearer …`.
    pub fn bearer_token(self, token: impl AsRef<str>) -> Self {
        self.header(AUTHORIZATION.as_str(), format!("Bearer {}", token.as_ref()))
    }

    /// How long it may take to connect (name, TCP, TLS); [`Publisher::CONNECT_TIMEOUT`] unless told
    /// otherwise.
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.connect_timeout = time;
        self
    }

    /// How long an attempt may take from its begin to the whole answer, and an
    /// [`upload`](Publisher::upload) from the end of its stream; [`Publisher::REQUEST_TIMEOUT`] unless
    /// told otherwise.
    pub fn request_timeout(mut self, time: Duration) -> Self {
        self.request_timeout = time;
        self
    }

    /// How many attempts a publish has, the first one included; [`Publisher::ATTEMPTS`] unless told
    /// otherwise. With 1 nothing is tried again.
    pub fn attempts(mut self, attempts: u32) -> Self {
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

    /// Connects to this Unix socket, whatever the host of the address; that is still the `Host` that
    /// the server is told.
    #[cfg(unix)]
    pub fn unix_socket(mut self, path: impl AsRef<Path>) -> Self {
        self.unix_socket = Some(path.as_ref().to_owned());
        self
    }

    /// The publisher.
    pub fn build(self) -> Result<Publisher, BuildError> {
        let server = ServerUrl::new(&self.url)?;
        let headers = self.headers()?;
        let mut client = self.client(&headers).build();
        if client.is_err() && server.as_url().scheme() == "http" {
            // A machine without certificates (a minimal container) can do without encryption.
            client = self.client(&headers).tls_certs_only([]).build();
        }
        let client = client.map_err(|error| BuildError::Client { cause: cause(&error) })?;
        let keys = self.keys.then(Keys::new).transpose()?;
        let PublisherBuilder { limits, request_timeout, .. } = self;
        Ok(Publisher { client, server, keys, limits, request_timeout })
    }

    fn client(&self, headers: &HeaderMap) -> reqwest::ClientBuilder {
        let client = Client::builder()
            .user_agent(concat!("stentor-client/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(self.connect_timeout)
            .default_headers(headers.clone());
        #[cfg(unix)]
        if let Some(path) = &self.unix_socket {
            return client.unix_socket(path.as_path());
        }
        client
    }

    fn headers(&self) -> Result<HeaderMap, BuildError> {
        let mut headers = HeaderMap::new();
        for (name, Secret(value)) in &self.headers {
            let header = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
            let Some((header, mut value)) = header else {
                return Err(BuildError::Header { name: name.clone() });
            };
            value.set_sensitive(true);
            headers.append(header, value);
        }
        Ok(headers)
    }
}
