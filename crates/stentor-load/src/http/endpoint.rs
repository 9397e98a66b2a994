//! URLs of the server under test, and the requests that are sent to them.

use std::io::Write;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Request, Uri};

use crate::http::template::Template;
use crate::mark::Mark;

/// Maximum time of the first connect to an address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The parts of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    /// `true` for `https`.
    pub(crate) is_encrypted: bool,
    /// Host and port, as in the `Host` header.
    authority: String,
    pub(crate) host: String,
    port: u16,
    /// Path and query; never empty.
    pub(crate) path: String,
}

impl Url {
    pub(crate) fn parse(text: &str) -> anyhow::Result<Url> {
        let Some((scheme, rest)) = text.split_once("://") else {
            bail!("{text:?} is not a URL; write it as http://host:port/path");
        };
        let is_encrypted = scheme.eq_ignore_ascii_case("https");
        if !is_encrypted && !scheme.eq_ignore_ascii_case("http") {
            bail!("{text}: only http:// and https:// are supported");
        }
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            bail!(
                "{text:?} contains blanks or characters outside ASCII; percent-encode them, such as %20"
            );
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            bail!("{text}: send user and password as a header: --header 'Authorization: Basic …'");
        }
        let port_at = authority
            .rfind(':')
            .filter(|at| !authority.get(*at..).is_some_and(|port| port.contains(']')));
        let (host, port) = authority.split_at(port_at.unwrap_or(authority.len()));
        let port = match port.strip_prefix(':') {
            None if is_encrypted => 443,
            None => 80,
            Some(port) => port
                .parse()
                .ok()
                .with_context(|| format!("{text}: {port:?} is not a valid port number"))?,
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            bail!("{text} has no host name");
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Url { is_encrypted, authority: authority.to_owned(), host, port, path })
    }

    /// Resolves the host and returns its first address that accepts a connection.
    pub(crate) fn resolve(&self) -> anyhow::Result<SocketAddr> {
        let Url { is_encrypted, authority, host, port, .. } = self;
        let addresses = (host.as_str(), *port).to_socket_addrs();
        let addresses = addresses.with_context(|| format!("cannot resolve the host {host:?}"))?;
        let mut errors = Vec::new();
        for address in addresses {
            match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                Ok(_) => return Ok(address),
                Err(error) => errors.push(format!("{address}: {error}")),
            }
        }
        let scheme = if *is_encrypted { "https" } else { "http" };
        bail!("cannot connect to {scheme}://{authority} ({})", errors.join("; "))
    }
}

/// Destination of a request without a body.
#[derive(Clone, Copy, Debug)]
pub(crate) enum BareTarget<'a> {
    Topic(usize),
    Path(&'a str),
}

/// The destination and the template of one kind of request.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) url: Url,
    path: Template,
    /// Complete lines, each with its line break.
    headers: String,
    body: Option<Template>,
}

impl Endpoint {
    pub(crate) fn new(url: Url, headers: String, body: Option<&str>) -> Endpoint {
        let path = Template::parse(&url.path);
        Endpoint { url, path, headers, body: body.map(Template::parse) }
    }

    /// Returns `true` if the path or the body contains `{topic}`.
    pub(crate) fn has_topic(&self) -> bool {
        self.path.has_topic() || self.body.as_ref().is_some_and(Template::has_topic)
    }

    /// Writes a request that opens a stream, after the event `last_id` if that is not empty.
    pub(crate) fn subscribe(&self, topic: usize, last_id: &[u8], out: &mut Vec<u8>) {
        self.head(if self.body.is_some() { "POST" } else { "GET" }, topic, out);
        out.extend_from_slice(b"Accept: text/event-stream\r\nCache-Control: no-store\r\n");
        if !last_id.is_empty() {
            out.extend_from_slice(b"Last-Event-ID: ");
            out.extend_from_slice(last_id);
            out.extend_from_slice(b"\r\n");
        }
        let mut body = Vec::new();
        if let Some(template) = &self.body {
            template.write_url(topic, &mut body);
            let _ = write!(out, "Content-Length: {}\r\n", body.len());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&body);
    }

    /// The request of [`subscribe`](Endpoint::subscribe) and its body for HTTP/2.
    pub(crate) fn subscribe_http2(
        &self,
        topic: usize,
        last_id: &[u8],
    ) -> http::Result<(Request<()>, Bytes)> {
        let mut path = Vec::new();
        self.path.write_url(topic, &mut path);
        let scheme = if self.url.is_encrypted { "https" } else { "http" };
        let uri = Uri::builder().scheme(scheme).authority(self.url.authority.as_str());
        let method = if self.body.is_some() { "POST" } else { "GET" };
        let mut request = Request::builder()
            .method(method)
            .uri(uri.path_and_query(path).build()?)
            .header("accept", "text/event-stream")
            .header("cache-control", "no-store");
        for (name, value) in self.headers.lines().filter_map(|line| line.split_once(": ")) {
            request = request.header(name, value);
        }
        if !last_id.is_empty() {
            request = request.header("last-event-id", last_id);
        }
        let mut body = Vec::new();
        if let Some(template) = &self.body {
            template.write_url(topic, &mut body);
        }
        Ok((request.body(())?, body.into()))
    }

    /// Writes a request that publishes an event. `body` is a buffer to build the body in.
    pub(crate) fn publish(
        &self,
        (topic, mark): (usize, Mark),
        bytes: usize,
        body: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) {
        body.clear();
        if let Some(template) = &self.body {
            template.write(topic, mark, bytes, body);
        }
        self.head("POST", topic, out);
        let _ = write!(out, "Content-Length: {}\r\n\r\n", body.len());
        out.extend_from_slice(body);
    }

    /// Writes a request without a body to another path of the server, or to the path of `topic`.
    pub(crate) fn bare(&self, method: &str, target: BareTarget<'_>, out: &mut Vec<u8>) {
        match target {
            BareTarget::Topic(topic) => self.head(method, topic, out),
            BareTarget::Path(path) => {
                let (host, headers) = (&self.url.authority, &self.headers);
                // Writing to memory cannot fail.
                let _ = write!(out, "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}");
            }
        }
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    }

    fn head(&self, method: &str, topic: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(method.as_bytes());
        out.push(b' ');
        self.path.write_url(topic, out);
        // Writing to memory cannot fail.
        let _ = write!(out, " HTTP/1.1\r\nHost: {}\r\n{}", self.url.authority, self.headers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (String, u16, String) {
        let url = Url::parse(text).unwrap();
        (url.host, url.port, url.path)
    }

    #[test]
    fn a_url_is_split_into_its_parts() {
        let of = |host: &str, port, path: &str| (host.to_owned(), port, path.to_owned());
        assert_eq!(parts("http://localhost:8080"), of("localhost", 8080, "/"));
        assert_eq!(parts("HTTP://h/a/{topic}?b=c#d"), of("h", 80, "/a/{topic}?b=c"));
        assert_eq!(parts("http://h?b=/"), of("h", 80, "/?b=/"));
        assert_eq!(parts("http://[::1]:81/x"), of("::1", 81, "/x"));
        assert_eq!(parts("http://[::1]/x"), of("::1", 80, "/x"));
        assert_eq!(parts("https://h/x"), of("h", 443, "/x"));
    }

    #[test]
    fn an_unusable_url_is_refused_with_the_reason() {
        for (text, why) in [
            ("localhost", "is not a URL"),
            ("ftp://h/", "only http:// and https://"),
            ("http://a:b@h/", "as a header"),
            ("http://h:x/", "is not a valid port"),
            ("http://:80/", "has no host"),
            ("http://h/a b", "%20"),
            ("http://h/\r\nX: y", "%20"),
        ] {
            let error = Url::parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_subscriber_requests_the_stream_after_its_last_event() {
        let url = Url::parse("http://h:1/t{topic}").unwrap();
        let endpoint = Endpoint::new(url, "X: y\r\n".to_owned(), None);
        let mut out = Vec::new();
        endpoint.subscribe(7, b"id", &mut out);
        let text = "GET /t7 HTTP/1.1\r\nHost: h:1\r\nX: y\r\nAccept: text/event-stream\r\n\
                    Cache-Control: no-store\r\nLast-Event-ID: id\r\n\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }

    #[test]
    fn a_subscriber_requests_the_stream_over_http2_with_the_headers_of_http1() {
        let url = Url::parse("http://h:1/t{topic}?a=b").unwrap();
        let endpoint = Endpoint::new(url, "X: y\r\nZ: 1: 2\r\n".to_owned(), Some("b{topic}"));
        let (request, body) = endpoint.subscribe_http2(7, b"id").unwrap();
        assert_eq!((request.method().as_str(), &body[..]), ("POST", &b"b7"[..]));
        assert_eq!(request.uri(), "http://h:1/t7?a=b");
        let headers = request.headers();
        for (name, value) in
            [("x", "y"), ("z", "1: 2"), ("last-event-id", "id"), ("accept", "text/event-stream")]
        {
            assert_eq!(headers.get(name).unwrap(), value, "{name}");
        }
    }

    #[test]
    fn an_event_is_posted_with_its_length() {
        let url = Url::parse("http://h/").unwrap();
        let endpoint = Endpoint::new(url, String::new(), Some("t={topic}&d={mark}{pad}"));
        let (mut body, mut out) = (Vec::new(), Vec::new());
        endpoint.publish((3, Mark { run: 1, number: 2 }), 26, &mut body, &mut out);
        let text = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 26\r\n\r\n\
                    t=3&d=~0000000100000002~xx";
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }
}
