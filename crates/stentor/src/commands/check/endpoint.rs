//! Requests to the endpoint, as a browser sends them.
//!
//! They use reqwest without its conveniences: no decompression, no redirects, no connection pool, HTTP/1.1
//! only. So the head and the bytes of the body arrive as sent. Proxies, certificates and name lookup work
//! as in `stentor sub`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue,
    LOCATION,
};
use reqwest::{Client, ClientBuilder, Method, RequestBuilder, Response, StatusCode, Url};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use crate::values::RootCertificates;

/// Maximum number of connections besides the one that watches: six in all, as in a browser.
const CONNECTIONS_MAX: usize = 5;

/// Maximum number of redirects to follow, as in browsers.
const REDIRECTS_MAX: usize = 20;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The stream to check, and how to request it.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) url: Url,
    /// Maximum delay for something that should be immediate.
    pub(super) patience: Duration,
    client: Client,
    /// The socket to connect to instead of the host.
    unix_socket: Option<PathBuf>,
    /// Certificates to trust besides those of the system.
    roots: Option<RootCertificates>,
    /// Headers of the user, which can hold credentials.
    headers: HeaderMap,
    connections: Semaphore,
}

/// A response. Its connection counts until this is dropped.
#[derive(Debug)]
pub(super) struct OpenResponse<'e> {
    pub(super) response: Response,
    _connection: SemaphorePermit<'e>,
}

/// A request without a response.
#[derive(Debug)]
pub(super) enum NoResponse {
    /// There is no connection, or the certificate is not trusted.
    Unreachable(String),
    /// The connection broke, or the response is not HTTP.
    Broken(String),
    /// No response arrived within this time.
    Silent(Duration),
}

/// The response to the first request.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) hops: Vec<Hop>,
    /// The reason if a redirect was not followed.
    pub(super) bad_redirect: Option<&'static str>,
    pub(super) response: Response,
    /// Time from the request to the head of the last response, including connecting.
    pub(super) took: Duration,
}

#[derive(Debug)]
pub(super) struct Hop {
    pub(super) status: StatusCode,
    pub(super) target: String,
}

impl Endpoint {
    pub(super) fn new(
        url: Url,
        mut headers: HeaderMap,
        token: Option<&str>,
        unix_socket: Option<PathBuf>,
        roots: Option<RootCertificates>,
        patience: Duration,
    ) -> anyhow::Result<Endpoint> {
        if let Some(token) = token {
            headers.insert(AUTHORIZATION, bearer(token)?);
        }
        let client = build(&url, unix_socket.as_deref(), roots.as_ref(), patience, |builder| {
            builder.http1_only().pool_max_idle_per_host(0)
        })?;
        let connections = Semaphore::new(CONNECTIONS_MAX);
        Ok(Endpoint { url, patience, client, unix_socket, roots, headers, connections })
    }

    /// Returns an HTTP/2 client: negotiated over TLS, with prior knowledge without.
    pub(super) fn http2_client(&self) -> anyhow::Result<Client> {
        let is_cleartext = self.url.scheme() == "http";
        let (socket, roots) = (self.unix_socket.as_deref(), self.roots.as_ref());
        build(&self.url, socket, roots, self.patience, |builder| {
            if is_cleartext { builder.http2_prior_knowledge() } else { builder }
        })
    }

    /// Sends the first request and follows redirects. Later requests go to the final URL.
    pub(super) async fn visit(&mut self, wait: Duration) -> Result<Visit, NoResponse> {
        let (started, mut hops) = (Instant::now(), Vec::new());
        loop {
            let response = send(self.stream(), wait).await?;
            let target = redirect(&self.url, &response);
            let bad_redirect = match &target {
                None if response.status().is_redirection() => Some("it has no valid Location"),
                Some(target) if self.url.scheme() == "https" && target.scheme() != "https" => {
                    Some("it leads from https to http, which browsers refuse")
                }
                Some(_) if hops.len() == REDIRECTS_MAX => Some("there are too many redirects"),
                _ => None,
            };
            if let Some(target) = &target {
                hops.push(Hop { status: response.status(), target: target.to_string() });
            }
            match target.filter(|_| bad_redirect.is_none()) {
                Some(target) => self.move_to(target),
                None => return Ok(Visit { hops, bad_redirect, response, took: started.elapsed() }),
            }
        }
    }

    /// Follows a redirect. Headers of the user are not sent to another origin.
    fn move_to(&mut self, target: Url) {
        if target.origin() != self.url.origin() {
            self.headers.clear();
        }
        self.url = target;
    }

    /// Returns a plain request for the stream.
    pub(super) fn stream(&self) -> RequestBuilder {
        self.plain(&self.client, self.url.clone())
    }

    /// Returns a plain request for another URL.
    pub(super) fn stream_at(&self, url: Url) -> RequestBuilder {
        self.plain(&self.client, url)
    }

    /// Returns a plain request for the stream through another client.
    pub(super) fn stream_by(&self, client: &Client) -> RequestBuilder {
        self.plain(client, self.url.clone())
    }

    fn plain(&self, client: &Client, url: Url) -> RequestBuilder {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        client.get(url).headers(headers).headers(self.headers.clone())
    }

    /// Returns a request for the stream after this id. An id that cannot be a header is left out, as in
    /// browsers.
    pub(super) fn resumed(&self, id: &str) -> RequestBuilder {
        match HeaderValue::from_bytes(id.as_bytes()) {
            Ok(id) if !id.is_empty() => self.stream().header(LAST_EVENT_ID, id),
            _ => self.stream(),
        }
    }

    /// Returns a request without headers, as browsers send no credentials in a preflight.
    pub(super) fn bare(&self, method: Method) -> RequestBuilder {
        self.client.request(method, self.url.clone())
    }

    /// Returns a POST to this URL, with the user's credentials if it has the same origin as the stream.
    pub(super) fn post(&self, url: &Url) -> RequestBuilder {
        let authorization = self.headers.get(AUTHORIZATION).cloned();
        let request = self.client.post(url.clone());
        match authorization.filter(|_| url.origin() == self.url.origin()) {
            Some(authorization) => request.header(AUTHORIZATION, authorization),
            None => request,
        }
    }

    /// Adds the headers of the user.
    pub(super) fn with_headers(&self, request: RequestBuilder) -> RequestBuilder {
        request.headers(self.headers.clone())
    }

    pub(super) async fn send(
        &self,
        request: RequestBuilder,
    ) -> Result<OpenResponse<'_>, NoResponse> {
        let connection = self.connections.acquire().await;
        let connection = connection.map_err(|error| NoResponse::Broken(error.to_string()))?;
        Ok(OpenResponse { response: send(request, self.patience).await?, _connection: connection })
    }
}

impl std::fmt::Display for NoResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NoResponse::Unreachable(cause) | NoResponse::Broken(cause) => f.write_str(cause),
            NoResponse::Silent(wait) => {
                write!(f, "no response within {:.1} s", wait.as_secs_f32())
            }
        }
    }
}

/// Returns the header value for the token. It is marked as sensitive, so that no report shows it.
pub(super) fn bearer(token: &str) -> anyhow::Result<HeaderValue> {
    let value = HeaderValue::try_from(format!("Bearer {token}"));
    let mut value = value.context("the token contains characters that a header cannot have")?;
    value.set_sensitive(true);
    Ok(value)
}

fn build(
    url: &Url,
    unix_socket: Option<&Path>,
    roots: Option<&RootCertificates>,
    patience: Duration,
    kind: impl Fn(ClientBuilder) -> ClientBuilder,
) -> anyhow::Result<Client> {
    let builder = || {
        let agent = concat!("stentor-check/", env!("CARGO_PKG_VERSION"));
        let builder = Client::builder().user_agent(agent).connect_timeout(patience);
        let builder = match unix_socket {
            Some(path) => builder.unix_socket(path),
            None => builder,
        };
        let builder = match roots {
            Some(roots) => builder.tls_certs_merge(roots.certificates()),
            None => builder,
        };
        kind(builder.redirect(reqwest::redirect::Policy::none()))
    };
    let mut client = builder().build();
    if client.is_err() && url.scheme() == "http" && roots.is_none() {
        // Without any root certificates, plain HTTP still works.
        client = builder().tls_certs_only([]).build();
    }
    client.context("cannot set up the HTTP client")
}

async fn send(request: RequestBuilder, wait: Duration) -> Result<Response, NoResponse> {
    match timeout(wait, request.send()).await {
        Err(_) => Err(NoResponse::Silent(wait)),
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) if error.is_connect() => Err(NoResponse::Unreachable(cause(error))),
        Ok(Err(error)) => Err(NoResponse::Broken(cause(error))),
    }
}

fn redirect(url: &Url, response: &Response) -> Option<Url> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    url.join(response.headers().get(LOCATION)?.to_str().ok()?).ok()
}

/// Returns the innermost cause of the error. The others only name parts of the HTTP library.
pub(super) fn cause(error: reqwest::Error) -> String {
    anyhow::Error::new(error.without_url()).root_cause().to_string()
}
