//! Requests to the endpoint, as a browser would send them.
//!
//! They go through reqwest, the client that the workspace has anyway, with all its kindness off: no
//! decompression, no redirects, no pool, HTTP/1.1 alone. What is left is hyper, which hands over the head
//! as it is and the bytes of the body as the socket gives them; and proxies, certificates and name look-up
//! work as in `stentor sub`.

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

/// The most connections at a time beside the one that watches: in all as many as one browser has.
const CONNECTIONS_MAX: usize = 5;

/// The most redirects that are followed, as browsers do.
const REDIRECTS_MAX: usize = 20;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Where the stream is, and how it is asked for.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) url: Url,
    /// How long what should come at once may take.
    pub(super) patience: Duration,
    client: Client,
    /// The socket to connect to instead of the host.
    unix_socket: Option<PathBuf>,
    /// What the caller wants to be sent, credentials among them.
    headers: HeaderMap,
    connections: Semaphore,
}

/// An answer. Its connection counts until this is dropped.
#[derive(Debug)]
pub(super) struct Answer<'e> {
    pub(super) response: Response,
    _connection: SemaphorePermit<'e>,
}

/// A request that was not answered.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// Nobody is there, or nobody who can be trusted.
    Unreachable(String),
    /// The connection broke, or what came was no HTTP.
    Broken(String),
    Silent(Duration),
}

/// What the first request led to.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) hops: Vec<Hop>,
    /// Why a redirect was not followed.
    pub(super) astray: Option<&'static str>,
    pub(super) response: Response,
    /// From the request to the head of the last answer, with connecting.
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
        patience: Duration,
    ) -> anyhow::Result<Endpoint> {
        if let Some(token) = token {
            headers.insert(AUTHORIZATION, bearer(token)?);
        }
        let client = build(&url, unix_socket.as_deref(), patience, |builder| {
            builder.http1_only().pool_max_idle_per_host(0)
        })?;
        let connections = Semaphore::new(CONNECTIONS_MAX);
        Ok(Endpoint { url, patience, client, unix_socket, headers, connections })
    }

    /// A client of HTTP/2: negotiated, or in the clear just spoken.
    pub(super) fn http2_client(&self) -> anyhow::Result<Client> {
        let is_clear = self.url.scheme() == "http";
        build(&self.url, self.unix_socket.as_deref(), self.patience, |builder| {
            if is_clear { builder.http2_prior_knowledge() } else { builder }
        })
    }

    /// The first request, which finds out where the stream really is; later ones go there at once.
    pub(super) async fn visit(&mut self, wait: Duration) -> Result<Visit, NoAnswer> {
        let (started, mut hops) = (Instant::now(), Vec::new());
        loop {
            let response = send(self.stream(), wait).await?;
            let target = redirect(&self.url, &response);
            let astray = match &target {
                None if response.status().is_redirection() => Some("it names no place to go to"),
                Some(target) if self.url.scheme() == "https" && target.scheme() != "https" => {
                    Some("it leads from https to http, which browsers refuse")
                }
                Some(_) if hops.len() == REDIRECTS_MAX => Some("it never comes to an end"),
                _ => None,
            };
            if let Some(target) = &target {
                hops.push(Hop { status: response.status(), target: target.to_string() });
            }
            match target.filter(|_| astray.is_none()) {
                Some(target) => self.move_to(target),
                None => return Ok(Visit { hops, astray, response, took: started.elapsed() }),
            }
        }
    }

    /// The caller's secrets are not for another origin.
    fn move_to(&mut self, target: Url) {
        if target.origin() != self.url.origin() {
            self.headers.clear();
        }
        self.url = target;
    }

    /// A request for the stream, as plain as it can be.
    pub(super) fn stream(&self) -> RequestBuilder {
        self.plain(&self.client, self.url.clone())
    }

    /// The same at another address.
    pub(super) fn stream_at(&self, url: Url) -> RequestBuilder {
        self.plain(&self.client, url)
    }

    /// The same by another client.
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

    /// The stream behind this id. An id that cannot be a header is left out, as browsers do.
    pub(super) fn resumed(&self, id: &str) -> RequestBuilder {
        match HeaderValue::from_bytes(id.as_bytes()) {
            Ok(id) if !id.is_empty() => self.stream().header(LAST_EVENT_ID, id),
            _ => self.stream(),
        }
    }

    /// A request with nothing but its method: browsers put no credentials into a preflight.
    pub(super) fn bare(&self, method: Method) -> RequestBuilder {
        self.client.request(method, self.url.clone())
    }

    /// A request to this address, with the caller's credentials if it is of the same origin.
    pub(super) fn post(&self, url: &Url) -> RequestBuilder {
        let authorization = self.headers.get(AUTHORIZATION).cloned();
        let request = self.client.post(url.clone());
        match authorization.filter(|_| url.origin() == self.url.origin()) {
            Some(authorization) => request.header(AUTHORIZATION, authorization),
            None => request,
        }
    }

    /// A request with the caller's own headers.
    pub(super) fn with_headers(&self, request: RequestBuilder) -> RequestBuilder {
        request.headers(self.headers.clone())
    }

    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Answer<'_>, NoAnswer> {
        let connection = self.connections.acquire().await;
        let connection = connection.map_err(|error| NoAnswer::Broken(error.to_string()))?;
        Ok(Answer { response: send(request, self.patience).await?, _connection: connection })
    }
}

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NoAnswer::Unreachable(cause) | NoAnswer::Broken(cause) => f.write_str(cause),
            NoAnswer::Silent(wait) => {
                write!(f, "no answer within {:.1} s", wait.as_secs_f32())
            }
        }
    }
}

/// `Bearer` and the token, which no report will show.
pub(super) fn bearer(token: &str) -> anyhow::Result<HeaderValue> {
    let value = HeaderValue::try_from(format!("Bearer {token}"));
    let mut value = value.context("the token holds characters that no header can have")?;
    value.set_sensitive(true);
    Ok(value)
}

fn build(
    url: &Url,
    unix_socket: Option<&Path>,
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
        kind(builder.redirect(reqwest::redirect::Policy::none()))
    };
    let mut client = builder().build();
    if client.is_err() && url.scheme() == "http" {
        // A machine without certificates can still do without encryption.
        client = builder().tls_certs_only([]).build();
    }
    client.context("the HTTP client cannot be set up")
}

async fn send(request: RequestBuilder, wait: Duration) -> Result<Response, NoAnswer> {
    match timeout(wait, request.send()).await {
        Err(_) => Err(NoAnswer::Silent(wait)),
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) if error.is_connect() => Err(NoAnswer::Unreachable(cause(error))),
        Ok(Err(error)) => Err(NoAnswer::Broken(cause(error))),
    }
}

fn redirect(url: &Url, response: &Response) -> Option<Url> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    url.join(response.headers().get(LOCATION)?.to_str().ok()?).ok()
}

/// The error with all its causes, without the address, which the reader knows.
pub(super) fn cause(error: reqwest::Error) -> String {
    format!("{:#}", anyhow::Error::new(error.without_url()))
}
