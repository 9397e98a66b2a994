//! The options of a load test, as the caller gives them.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Options that contradict each other or cannot work, as opposed to a failure of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidOptions(String);

impl InvalidOptions {
    pub(crate) fn new(message: impl Into<String>) -> InvalidOptions {
        InvalidOptions(message.into())
    }
}

impl fmt::Display for InvalidOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidOptions {}

/// Options of a load test. [`LoadTest::new`](crate::LoadTest::new) checks them.
///
/// In `url`, `publish`, `subscribe_body` and `body`, `{topic}` is replaced by the number of the topic.
#[derive(Clone, Debug)]
pub struct Options {
    /// URL of a stream. Without a path the server is assumed to be Stentor, with topics `bench/0`, `bench/1`, ….
    pub url: String,
    /// URL to which events are posted. If `None`, and `url` has a path, events are only received.
    pub publish: Option<String>,
    /// Headers of all requests.
    pub headers: Vec<Header>,
    /// Bearer token of all requests.
    pub token: Option<String>,
    /// Bearer token used if `token` is `None` and the server is assumed to be Stentor.
    pub stentor_token: Option<String>,
    /// PEM file with root certificates that are trusted in addition to those of the system. For `https://` only.
    pub root_certificate: Option<PathBuf>,
    /// Number of subscribers, slow ones included; 0 only publishes.
    pub subscribers: u32,
    /// Number of topics, at least 1. Subscribers and events are spread over them.
    pub topics: u32,
    /// Subscribes over HTTP/2; without TLS with prior knowledge. Events are published over HTTP/1.1.
    pub http2: bool,
    /// Number of streams, each of one subscriber, that share a connection with `http2`; at least 1.
    pub streams_per_connection: u32,
    /// Number of subscribers that read 1 KiB a second. They are not part of the results. HTTP/1.1 only.
    pub slow: u32,
    /// Connects started per second; `None` connects as fast as the server accepts.
    pub ramp: Option<f64>,
    /// Maximum number of concurrent connects that wait for their response.
    pub connecting: u32,
    /// Share of the subscribers, in (0, 1], that drops its connection in each storm and reconnects at once.
    pub storm: Option<f64>,
    /// Time from the end of one storm, when all subscribers are back, to the next.
    pub storm_every: Duration,
    /// Instead of publishing, opens this many more connections; each is closed when its response head has arrived.
    pub churn: Option<u32>,
    /// Time to wait after connecting, before memory is measured.
    pub settle: Duration,
    /// Headers of the subscribers' requests only.
    pub subscribe_headers: Vec<Header>,
    /// Body that subscribers POST; `None` sends a GET.
    pub subscribe_body: Option<String>,
    /// Pace of publishing.
    pub pace: Pace,
    /// Number of events to publish. 0 measures only connects and memory; `None` publishes until `span` is over.
    pub events: Option<u32>,
    /// Time to publish or to listen. Default: 10 s, or 1 min if `events` or `churn` is given.
    pub span: Option<Duration>,
    /// Time to publish before the measurement starts.
    pub warm_up: Duration,
    /// Size of an event's body in bytes.
    pub size: u32,
    /// Body of an event. `{mark}` is replaced by the marker, `{pad}` fills the body up to `size`.
    pub body: String,
    /// Content type of the body.
    pub content_type: String,
    /// Headers of the publish requests only.
    pub publish_headers: Vec<Header>,
    /// Maximum number of connections that publish, each with one request at a time. They are opened as needed.
    pub publishers: u16,
    /// Silence after which missing events count as lost.
    pub patience: Duration,
    /// Maximum time of the whole run, connecting and waiting included. Default: four times `span`, plus 1 min.
    pub limit: Option<Duration>,
    /// Polls sockets without sleeping. This uses a whole core.
    pub spin: bool,
    /// Process of the server; its CPU time and memory, with those of its descendants, are part of the report.
    pub pid: Option<u32>,
}

impl Options {
    /// Options with the defaults of `stentor bench`: 100 subscribers of one topic, 100 events of 200 bytes a second.
    pub fn new(url: impl Into<String>) -> Options {
        Options {
            url: url.into(),
            publish: None,
            headers: Vec::new(),
            token: None,
            stentor_token: None,
            root_certificate: None,
            subscribers: 100,
            topics: 1,
            http2: false,
            streams_per_connection: 1,
            slow: 0,
            ramp: None,
            connecting: 64,
            storm: None,
            storm_every: Duration::from_secs(2),
            churn: None,
            settle: Duration::ZERO,
            subscribe_headers: Vec::new(),
            subscribe_body: None,
            pace: Pace::Rate(100.0),
            events: None,
            span: None,
            warm_up: Duration::from_secs(1),
            size: 200,
            body: "{mark}{pad}".to_owned(),
            content_type: "text/plain".to_owned(),
            publish_headers: Vec::new(),
            publishers: 16,
            patience: Duration::from_secs(2),
            limit: None,
            spin: false,
            pid: None,
        }
    }
}

/// Pace of publishing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Open loop: this many events a second, independent of the server.
    Rate(f64),
    /// Closed loop: as fast as possible, with at most this many events that have not reached all subscribers.
    Window(usize),
}

/// One header line of a request.
///
/// ```
/// use stentor_load::Header;
///
/// assert!("Authorization: Bearer abc".parse::<Header>().is_ok());
/// assert!("X-A: b\r\nX-C: d".parse::<Header>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header(String);

impl Header {
    /// The line with its line break.
    pub(crate) fn line(&self) -> &str {
        &self.0
    }
}

impl FromStr for Header {
    type Err = String;

    /// Parses `Name: value`.
    ///
    /// # Errors
    ///
    /// A sentence for the user, if the name is not valid or the value contains control characters.
    fn from_str(text: &str) -> Result<Header, String> {
        let (name, value) = text.split_once(':').ok_or("write it as 'Name: value'")?;
        http::HeaderName::try_from(name)
            .map_err(|_| format!("{name:?} is not a valid header name"))?;
        let value = value.trim();
        if !value.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..)) {
            return Err("a header value must be one line without control characters".to_owned());
        }
        Ok(Header(format!("{name}: {value}\r\n")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_cannot_break_out_of_its_line() {
        let parse = |text: &str| text.parse::<Header>();
        assert_eq!(parse("X-A:b c ").map(|header| header.0).as_deref(), Ok("X-A: b c\r\n"));
        for text in ["X", "X Y: z", "X: a\r\nY: b", "X: \u{7f}", ": x"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
