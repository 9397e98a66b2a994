//! Decides which requests are admitted, and answers CORS preflights.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use http::header::Entry;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};

use super::origin::AllowedOrigin;
use crate::body::Body;
use crate::problem::{Code, Problem};
use crate::refusal_log::OriginWarnings;
use crate::request_head::{self, Unusable};

const ALLOWED_METHODS: &str = "GET, POST, PUT, DELETE";
const ALLOWED_HEADERS: &str =
    "Last-Event-ID, Idempotency-Key, Content-Type, Authorization, Cache-Control";
/// Time for which a browser may cache a preflight, in seconds.
const PREFLIGHT_MAX_AGE: &str = "7200";

/// The hosts and origins that a server accepts. Cheap to clone.
///
/// By default only requests for a loopback name (`localhost`, `127.0.0.1`) are accepted. Otherwise a web
/// page could reach a server on a loopback address through a host name of its own that resolves to that
/// address (DNS rebinding). A server that other machines can reach needs [`Guard::with_any_host`], or
/// [`Guard::with_hosts`] with its names.
///
/// Web pages from a loopback origin, with any port, may read and publish: a front end's development
/// server is one. Pages from other origins may do so only if they are listed. A request of a page from
/// an unlisted origin is refused with 403 if it would change something, or if the browser says that the
/// page is of another site (`Sec-Fetch-Site: cross-site`). Otherwise the response has no CORS headers,
/// and the browser hides it from the page. A link from another site is followed.
///
/// ```
/// use stentor_server::Guard;
///
/// let guard = Guard::new()
///     .with_hosts(["api.example.org".to_owned()])
///     .with_origins(["https://example.org".parse()?]);
/// # Ok::<(), stentor_server::OriginError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Guard(Arc<Rules>);

#[derive(Clone, Debug, Default)]
struct Rules {
    origins: Vec<AllowedOrigin>,
    hosts: Hosts,
    options: Option<OptionNames>,
    warnings: OriginWarnings,
}

/// The hosts that are accepted.
#[derive(Clone, Debug)]
enum Hosts {
    Any,
    /// Loopback names, and these.
    Local(Vec<String>),
}

impl Default for Hosts {
    fn default() -> Hosts {
        Hosts::Local(Vec::new())
    }
}

/// The names of command-line options that a refusal advises to use.
#[derive(Clone, Copy, Debug)]
struct OptionNames {
    host: &'static str,
    origin: &'static str,
}

impl Guard {
    /// Creates a guard that accepts loopback hosts only, and web pages of that host and of loopback
    /// origins.
    pub fn new() -> Guard {
        Guard::default()
    }

    /// Allows web pages from these origins too. Replaces the list of an earlier call.
    #[must_use]
    pub fn with_origins(mut self, origins: impl IntoIterator<Item = AllowedOrigin>) -> Guard {
        Arc::make_mut(&mut self.0).origins = origins.into_iter().collect();
        self
    }

    /// Accepts requests whose `Host` is a loopback name or one of `hosts`, with or without a port.
    /// Replaces the list of an earlier call.
    #[must_use]
    pub fn with_hosts(mut self, hosts: impl IntoIterator<Item = String>) -> Guard {
        Arc::make_mut(&mut self.0).hosts = Hosts::Local(hosts.into_iter().collect());
        self
    }

    /// Accepts requests for any host. For a listener that other machines can reach, by names that you do
    /// not know.
    #[must_use]
    pub fn with_any_host(mut self) -> Guard {
        Arc::make_mut(&mut self.0).hosts = Hosts::Any;
        self
    }

    /// Names the command-line options of your program that call [`Guard::with_hosts`] and
    /// [`Guard::with_origins`], such as `--host` and `--cors-origin`. Refusals then advise to use the
    /// option instead of the method.
    #[must_use]
    pub fn with_option_names(mut self, host: &'static str, origin: &'static str) -> Guard {
        Arc::make_mut(&mut self.0).options = Some(OptionNames { host, origin });
        self
    }

    /// Admits a request, or returns the response to send instead: a refusal, or the response to a
    /// preflight.
    pub(super) fn admit<B>(&self, request: &Request<B>) -> Result<Admission, Box<Response<Body>>> {
        let host =
            request_head::host(request).map_err(|refusal| Box::new(refusal.into_response()))?;
        self.admit_host(host, request.version())
            .map_err(|refusal| Box::new(refusal.into_response()))?;
        let origin = match request_head::only(request.headers(), ORIGIN) {
            Ok(Some(origin)) => origin,
            Ok(None) if self.admits_without_origin(request) => return Ok(Admission::default()),
            Ok(None) => return Err(self.refuse_origin("another site")),
            Err(Unusable::NotAscii) => {
                return Err(self.refuse_origin("an origin that is not ASCII"));
            }
            Err(Unusable::Several) => return Err(self.refuse_origin("several origins")),
        };
        let site = fetch_header(request, "sec-fetch-site");
        let same_origin = site == Some("same-origin")
            || host.is_some_and(|host| {
                authority(origin).is_some_and(|origin| origin.eq_ignore_ascii_case(host))
            });
        let admission = Admission { allow_origin: self.allow_origin(origin) };
        if admission.allow_origin.is_none() && !same_origin {
            self.0.warnings.warn_once(origin, || self.advice_for(origin));
        }
        if request.method() == Method::OPTIONS
            && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        {
            return Err(Box::new(if admission.allow_origin.is_none() && !same_origin {
                admission.with_headers(self.foreign_origin(origin).into_response())
            } else {
                admission.preflight()
            }));
        }
        let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        let is_refused = changes || site == Some("cross-site");
        if is_refused && !same_origin && admission.allow_origin.is_none() {
            return Err(Box::new(
                admission.with_headers(self.foreign_origin(origin).into_response()),
            ));
        }
        Ok(admission)
    }

    /// Admits a request for an accepted host.
    fn admit_host(&self, host: Option<&str>, version: Version) -> Result<(), Problem> {
        // Only HTTP/1.0 clients may omit it.
        let Some(host) = host else {
            return if version <= Version::HTTP_10 { Ok(()) } else { Err(self.foreign_host(None)) };
        };
        let is_accepted = match &self.0.hosts {
            Hosts::Any if is_authority(host) => true,
            Hosts::Any => return Err(malformed_host(host)),
            Hosts::Local(names) => {
                let name = without_port(host);
                is_loopback(name)
                    || names.iter().any(|known| {
                        known.eq_ignore_ascii_case(host) || known.eq_ignore_ascii_case(name)
                    })
            }
        };
        if is_accepted { Ok(()) } else { Err(self.foreign_host(Some(host))) }
    }

    /// Returns `true` unless a page of another site made this request, without an `Origin`: an image, a script, a
    /// frame. Links from other sites are admitted. Browsers send these headers to loopback addresses and over
    /// TLS (W3C Fetch Metadata).
    fn admits_without_origin<B>(&self, request: &Request<B>) -> bool {
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        if !reads || fetch_header(request, "sec-fetch-site") != Some("cross-site") {
            return true;
        }
        let is_link = fetch_header(request, "sec-fetch-mode") == Some("navigate")
            && fetch_header(request, "sec-fetch-dest") == Some("document");
        is_link || self.0.origins.iter().any(AllowedOrigin::is_any)
    }

    /// Returns the refusal of a page whose origin is not known. `from` describes the page.
    fn refuse_origin(&self, from: &str) -> Box<Response<Body>> {
        let advice = match self.0.options {
            Some(OptionNames { origin: option, .. }) => option,
            None => "`Guard::with_origins`",
        };
        let detail = format!(
            "web pages from {from} may not do this; allow the origin of the page with {advice}, and load images \
             and scripts with the attribute `crossorigin`"
        );
        let response = Problem::of(Code::ForeignOrigin, detail).into_response();
        Box::new(Admission::default().with_headers(response))
    }

    /// Returns the `Access-Control-Allow-Origin` for an origin, `None` if it is not allowed.
    fn allow_origin(&self, origin: &str) -> Option<HeaderValue> {
        let listed = self.0.origins.iter().any(|allowed| allowed.is(origin));
        let local = authority(origin).is_some_and(|host| is_loopback(without_port(host)));
        if listed || local {
            return HeaderValue::from_str(origin).ok();
        }
        self.0.origins.iter().any(AllowedOrigin::is_any).then(|| HeaderValue::from_static("*"))
    }

    /// Returns the refusal of a host. It leaves out a user name and password, because refusals are logged.
    fn foreign_host(&self, host: Option<&str>) -> Problem {
        let named = host.map_or("a request without a Host header".to_owned(), |host| {
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            format!("a request for the host {host:?}")
        });
        let advice = match self.0.options {
            Some(OptionNames { host, .. }) => format!("start the server with {host} NAME"),
            None => "allow the host with `Guard::with_hosts`".to_owned(),
        };
        let detail = format!(
            "this server accepts loopback hosts and listed ones, and refuses {named}; use localhost, or \
             {advice}"
        );
        Problem::of(Code::Host, detail)
    }

    fn foreign_origin(&self, origin: &str) -> Problem {
        let advice = self.advice_for(origin);
        let detail = if origin == "null" {
            format!(
                "web pages with the origin `null` may not do this: the page was opened from a file or runs \
                 in a sandboxed frame; serve it over HTTP, or allow all such pages with {advice}"
            )
        } else {
            format!("web pages from {origin} may not do this; allow them with {advice}")
        };
        Problem::of(Code::ForeignOrigin, detail)
    }

    /// Returns the option or method that allows an origin.
    fn advice_for(&self, origin: &str) -> String {
        match self.0.options {
            Some(OptionNames { origin: option, .. }) => format!("{option} {origin}"),
            None => "`Guard::with_origins`".to_owned(),
        }
    }
}

/// An admitted request, with the CORS header that its response gets.
#[derive(Debug, Default)]
pub(super) struct Admission {
    allow_origin: Option<HeaderValue>,
}

impl Admission {
    /// Adds the CORS headers to a response. Error responses need them too, or a page could not read
    /// the error.
    pub(super) fn add_headers(&mut self, headers: &mut HeaderMap) {
        if let Some(origin) = self.allow_origin.take() {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
        match headers.entry(VARY) {
            Entry::Vacant(vary) => {
                vary.insert(HeaderValue::from_static("Origin"));
            }
            Entry::Occupied(mut vary) => {
                let names = vary.get().to_str().ok().filter(|names| !names.contains("Origin"));
                let names = names.map(|names| HeaderValue::from_str(&format!("{names}, Origin")));
                if let Some(Ok(names)) = names {
                    vary.insert(names);
                }
            }
        }
    }

    fn with_headers(mut self, mut response: Response<Body>) -> Response<Body> {
        self.add_headers(response.headers_mut());
        response
    }

    /// Returns the response to a preflight of a page that is allowed.
    fn preflight(self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(ALLOWED_METHODS));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ALLOWED_HEADERS));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_MAX_AGE));
        self.with_headers(response)
    }
}

fn fetch_header<'a, B>(request: &'a Request<B>, name: &'static str) -> Option<&'a str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

/// Returns the refusal of a text that no client can take from a URL.
fn malformed_host(host: &str) -> Problem {
    let detail = format!(
        "the host {host:?} is not valid; send the name of the server, and a port if needed"
    );
    Problem::of(Code::Head, detail)
}

/// The host and port of an origin; `None` for `null`.
fn authority(origin: &str) -> Option<&str> {
    origin.split_once("://").map(|(_, authority)| authority)
}

/// The host without a valid port. A text with another port is returned unchanged, and is no host then.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if is_port(port) => name,
        _ => host,
    }
}

/// Returns `true` for a number of at most 65,535, and for no number.
fn is_port(text: &str) -> bool {
    text.is_empty() || text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// Returns `true` for a host with an optional port (RFC 3986, 3.2.2), without a user name.
fn is_authority(text: &str) -> bool {
    let name = without_port(text);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte);
    match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !name.is_empty() && name.bytes().all(is_name),
    }
}

fn is_loopback(name: &str) -> bool {
    const LOCALHOST: &str = "localhost";
    if matches!(name, "127.0.0.1" | "[::1]") {
        return true;
    }
    let before = name.len().checked_sub(LOCALHOST.len()).and_then(|at| name.split_at_checked(at));
    if let Some((before, end)) = before
        && end.eq_ignore_ascii_case(LOCALHOST)
    {
        return before.is_empty() || before.strip_suffix('.').is_some_and(are_labels);
    }
    if let Some(address) = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        return address.parse().is_ok_and(|address: Ipv6Addr| address.to_canonical().is_loopback());
    }
    name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// Returns `true` for the labels of a host name, joined with dots.
fn are_labels(text: &str) -> bool {
    let is_in_label = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    text.split('.').all(|label| !label.is_empty() && label.bytes().all(is_in_label))
}

#[cfg(test)]
mod tests;
