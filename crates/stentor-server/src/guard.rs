//! Who may ask: the `Host`, the `Origin`, and CORS. Safe from the first day.

use std::mem;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HOST, ORIGIN, VARY,
};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::Either;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::body::Body;
use crate::problem::Problem;

const METHODS: &str = "GET, POST, DELETE";
const HEADERS: &str = "Last-Event-ID, Idempotency-Key, Content-Type, Authorization";
/// How long a browser may remember a preflight, in seconds.
const PREFLIGHT_SECONDS: &str = "7200";

/// Which hosts and origins a server answers.
///
/// Pages of loopback origins (any port: a front-end's development server) may read and publish;
/// other origins only if they are listed. A request that changes something and comes from a page of
/// neither is refused, also where the browser would not have let the page see the answer.
#[derive(Clone, Debug, Default)]
pub struct Guard(Arc<Rules>);

#[derive(Debug, Default)]
struct Rules {
    origins: Vec<String>,
    /// `None`: any host.
    hosts: Option<Vec<String>>,
}

impl Guard {
    /// Any host; pages of this host and of loopback origins only.
    pub fn new() -> Guard {
        Guard::default()
    }

    /// Pages of these origins too, such as `https://example.org`. `null` and `*` are possible.
    #[must_use]
    pub fn with_origins(self, origins: impl IntoIterator<Item = String>) -> Guard {
        let origins = origins.into_iter().collect();
        Guard(Arc::new(Rules { origins, hosts: self.0.hosts.clone() }))
    }

    /// Only requests whose `Host` is this machine's loopback or one of these names: for a listener
    /// on a loopback address, which DNS rebinding could otherwise reach.
    #[must_use]
    pub fn with_local_hosts(self, hosts: impl IntoIterator<Item = String>) -> Guard {
        let hosts = hosts.into_iter().collect();
        Guard(Arc::new(Rules { origins: self.0.origins.clone(), hosts: Some(hosts) }))
    }

    /// The service behind this guard.
    pub fn wrap<S>(&self, inner: S) -> Guarded<S> {
        Guarded { guard: self.clone(), inner }
    }

    /// Looks at a request: it passes, or it is answered here (refused, or a preflight).
    pub(crate) fn admit<B>(&self, request: &Request<B>) -> Result<Pass, Box<Response<Body>>> {
        let host = host(request);
        if !self.is_our_host(host, request.version()) {
            let detail = "this server answers on loopback names only; name others with --host NAME";
            let problem = Problem::foreign_host(detail);
            return Err(Box::new(problem.into_response()));
        }
        let Some(origin) = header(request.headers(), ORIGIN) else { return Ok(Pass::default()) };
        let ours = header(request.headers(), "sec-fetch-site") == Some("same-origin")
            || host.is_some_and(|host| {
                authority(origin).is_some_and(|origin| origin.eq_ignore_ascii_case(host))
            });
        let allowed = self.allowed(origin);
        let pass = Pass { allow_origin: allowed };
        if request.method() == Method::OPTIONS
            && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        {
            return Err(Box::new(pass.preflight(ours)));
        }
        let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        if changes && !ours && pass.allow_origin.is_none() {
            return Err(Box::new(pass.finish(foreign(origin).into_response())));
        }
        Ok(pass)
    }

    fn is_our_host(&self, host: Option<&str>, version: Version) -> bool {
        let Some(names) = &self.0.hosts else { return true };
        match host {
            None => version <= Version::HTTP_10,
            Some(host) => {
                let name = without_port(host);
                is_loopback(name)
                    || names.iter().any(|known| {
                        known.eq_ignore_ascii_case(host) || known.eq_ignore_ascii_case(name)
                    })
            }
        }
    }

    /// What `Access-Control-Allow-Origin` says to this origin.
    fn allowed(&self, origin: &str) -> Option<HeaderValue> {
        let listed = self.0.origins.iter().any(|known| known.eq_ignore_ascii_case(origin));
        let local = authority(origin).is_some_and(|host| is_loopback(without_port(host)));
        if listed || local {
            return HeaderValue::from_str(origin).ok();
        }
        self.0.origins.iter().any(|known| known == "*").then(|| HeaderValue::from_static("*"))
    }
}

fn foreign(origin: &str) -> Problem {
    let detail =
        format!("pages of {origin} may not do this; allow them with --cors-origin {origin}");
    Problem::foreign_origin(detail)
}

/// A request that may go on, and what its answer tells the browser.
#[derive(Debug, Default)]
pub(crate) struct Pass {
    allow_origin: Option<HeaderValue>,
}

impl Pass {
    /// The answer with its CORS headers: every answer has them, errors too.
    fn finish<B>(self, mut response: Response<B>) -> Response<B> {
        let headers = response.headers_mut();
        if let Some(origin) = self.allow_origin {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
        let vary = match headers.get(VARY).and_then(|value| value.to_str().ok()) {
            Some(vary) if vary.contains("Origin") => return response,
            Some(vary) => HeaderValue::from_str(&format!("{vary}, Origin")).ok(),
            None => Some(HeaderValue::from_static("Origin")),
        };
        if let Some(vary) = vary {
            headers.insert(VARY, vary);
        }
        response
    }

    fn preflight(self, ours: bool) -> Response<Body> {
        if self.allow_origin.is_none() && !ours {
            let detail = "pages of this origin may not do this; allow them with --cors-origin";
            let problem = Problem::foreign_origin(detail);
            return self.finish(problem.into_response());
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(HEADERS));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_SECONDS));
        self.finish(response)
    }
}

/// The host that was asked for: `:authority` of HTTP/2, else the header.
fn host<B>(request: &Request<B>) -> Option<&str> {
    let authority = request.uri().authority().map(Authority::as_str);
    authority.or_else(|| header(request.headers(), HOST))
}

fn header(headers: &HeaderMap, name: impl http::header::AsHeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The host and port of an origin, scheme aside; `None` for `null`.
fn authority(origin: &str) -> Option<&str> {
    origin.split_once("://").map(|(_, authority)| authority)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn is_loopback(name: &str) -> bool {
    const LOCALHOST: &str = "localhost";
    if matches!(name, "127.0.0.1" | "[::1]") {
        return true;
    }
    let before = name.len().checked_sub(LOCALHOST.len()).and_then(|at| name.split_at_checked(at));
    before.is_some_and(|(before, end)| {
        end.eq_ignore_ascii_case(LOCALHOST) && (before.is_empty() || before.ends_with('.'))
    }) || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// A service that answers only whom its [`Guard`] admits.
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    guard: Guard,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: http_body::Body<Data = bytes::Bytes>,
{
    type Response = Response<GuardedBody<R>>;
    type Error = S::Error;
    type Future = GuardedAnswer<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.guard.admit(&request) {
            Ok(pass) => {
                GuardedAnswer { answer: Some(self.inner.call(request)), pass, refusal: None }
            }
            Err(refusal) => {
                GuardedAnswer { answer: None, pass: Pass::default(), refusal: Some(refusal) }
            }
        }
    }
}

pin_project! {
    /// The answer to come of a guarded service.
    #[derive(Debug)]
    pub struct GuardedAnswer<F> {
        // The service's own, of a request that passed.
        #[pin]
        answer: Option<F>,
        pass: Pass,
        // What the guard answers itself.
        refusal: Option<Box<Response<Body>>>,
    }
}

impl<F, R, E> Future for GuardedAnswer<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<GuardedBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let guarded = self.project();
        if let Some(answer) = guarded.answer.as_pin_mut() {
            let answer = ready!(answer.poll(cx))?;
            return Poll::Ready(Ok(mem::take(guarded.pass).finish(answer).map(Either::Left)));
        }
        match guarded.refusal.take() {
            Some(refusal) => Poll::Ready(Ok(refusal.map(Either::Right))),
            None => Poll::Pending,
        }
    }
}

/// The body of a guarded service's answer, or of the guard's own.
pub type GuardedBody<R> = Either<R, Body>;

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().method(method).uri("/topics/news");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    fn status(guard: &Guard, method: &str, headers: &[(&str, &str)]) -> u16 {
        guard
            .admit(&request(method, headers))
            .map_or_else(|answer| answer.status().as_u16(), |_| 200)
    }

    #[test]
    fn a_loopback_listener_answers_loopback_names_only() {
        let guard = Guard::new().with_local_hosts(["news.example".to_owned()]);
        for host in [
            "localhost",
            "localhost:8080",
            "a.localhost",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]:80",
            "news.example:80",
        ] {
            assert_eq!(status(&guard, "GET", &[("host", host)]), 200, "{host}");
        }
        for host in
            ["evil.example", "localhost.evil.example", "10.0.0.1", "128.0.0.1", "notlocalhost"]
        {
            assert_eq!(status(&guard, "GET", &[("host", host)]), 403, "{host}");
        }
        assert_eq!(status(&guard, "GET", &[]), 403);
    }

    #[test]
    fn a_page_of_a_foreign_origin_may_not_change_anything() {
        let guard = Guard::new();
        let foreign = [("host", "localhost:8080"), ("origin", "https://evil.example")];
        assert_eq!(status(&guard, "POST", &foreign), 403);
        assert_eq!(status(&guard, "DELETE", &foreign), 403);
        assert_eq!(status(&guard, "GET", &foreign), 200, "the browser keeps the answer from it");
    }

    #[test]
    fn our_own_pages_and_local_ones_may() {
        let guard = Guard::new();
        for origin in
            ["http://localhost:5173", "http://127.0.0.1", "https://app.localhost", "http://[::1]:3"]
        {
            assert_eq!(
                status(&guard, "POST", &[("host", "x"), ("origin", origin)]),
                200,
                "{origin}"
            );
        }
        assert_eq!(
            status(&guard, "POST", &[("host", "x.example"), ("origin", "https://x.example")]),
            200
        );
        let same =
            [("host", "proxy"), ("origin", "https://x.example"), ("sec-fetch-site", "same-origin")];
        assert_eq!(status(&guard, "POST", &same), 200);
        assert_eq!(status(&guard, "POST", &[("host", "x"), ("origin", "null")]), 403);
    }

    #[test]
    fn a_listed_origin_is_told_so_on_every_answer() {
        let guard =
            Guard::new().with_origins(["https://App.example".to_owned(), "null".to_owned()]);
        for origin in ["https://app.example", "null"] {
            let pass = guard.admit(&request("POST", &[("origin", origin)])).unwrap();
            let answer = pass.finish(Response::new(()));
            assert_eq!(answer.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], origin);
            assert_eq!(answer.headers()[VARY], "Origin");
        }
    }

    #[test]
    fn a_preflight_allows_what_a_resuming_reader_and_a_publisher_send() {
        let guard = Guard::new();
        let asks =
            [("origin", "http://localhost:5173"), ("access-control-request-method", "DELETE")];
        let answer = guard.admit(&request("OPTIONS", &asks)).unwrap_err();
        assert_eq!(answer.status(), 204);
        assert_eq!(answer.headers()[ACCESS_CONTROL_ALLOW_METHODS], METHODS);
        assert_eq!(answer.headers()[ACCESS_CONTROL_ALLOW_HEADERS], HEADERS);
        let asks =
            [("origin", "https://evil.example"), ("access-control-request-method", "DELETE")];
        assert_eq!(status(&guard, "OPTIONS", &asks), 403);
    }
}
