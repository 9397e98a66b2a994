//! The log lines of a server: requests, refusals, and web pages that are not allowed.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue panics")]

use std::fmt::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use stentor_hub::Hub;
use stentor_server::{Guard, Stentor, bind, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Metadata, Subscriber};

/// Maximum time a test waits. Far longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Collects the lines that Stentor logs on this thread.
#[derive(Clone)]
struct Log {
    level: Level,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Log {
    fn start(level: Level) -> (Log, DefaultGuard) {
        let log = Log { level, lines: Arc::default() };
        let guard = tracing::subscriber::set_default(log.clone());
        (log, guard)
    }

    /// The lines with this text.
    fn lines_with(&self, text: &str) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        lines.iter().filter(|line| line.contains(text)).cloned().collect()
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("stentor") && *metadata.level() <= self.level
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.lines.lock().unwrap().push(line.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

async fn call(guard: &Guard, method: &str, headers: &[(&str, &str)]) -> u16 {
    let mut request = Request::builder().method(method).uri("/topics/news");
    if headers.iter().all(|(name, _)| *name != "host") {
        request = request.header("host", "localhost");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from_static(b"hello"))).unwrap();
    let mut service = guard.wrap(Stentor::new(Hub::memory()));
    service.call(request).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn the_first_page_of_a_kind_that_is_not_allowed_is_a_warning_with_the_option() {
    let (log, _guard) = Log::start(Level::WARN);
    let guard = Guard::new().with_any_host().with_option_names("--host", "--cors-origin");
    for _ in 0..3 {
        assert_eq!(call(&guard, "GET", &[("origin", "null")]).await, 200);
        assert_eq!(call(&guard, "POST", &[("origin", "https://a.example")]).await, 403);
        assert_eq!(call(&guard, "POST", &[("origin", "https://b.example")]).await, 403);
        assert_eq!(call(&guard, "POST", &[("origin", "http://localhost:5173")]).await, 201);
    }
    assert_eq!(log.lines_with("--cors-origin null").len(), 1);
    assert_eq!(log.lines_with("--cors-origin https://a.example").len(), 1);
    assert_eq!(log.lines_with("").len(), 2, "{:?}", log.lines_with(""));
}

#[tokio::test]
async fn a_refusal_is_logged_with_its_status_its_reason_and_the_option() {
    let (log, _guard) = Log::start(Level::INFO);
    let guard = Guard::new().with_option_names("--host", "--cors-origin");
    assert_eq!(call(&guard, "GET", &[("host", "news.example")]).await, 403);
    let lines = log.lines_with("refused a request");
    let [line] = &lines[..] else { panic!("{lines:?}") };
    for text in ["INFO", "status=403", "code=\"host\"", "news.example", "--host NAME"] {
        assert!(line.contains(text), "no {text} in {line}");
    }
    assert_eq!(call(&guard, "GET", &[("host", "news.example")]).await, 403);
    assert_eq!(log.lines_with("refused a request").len(), 1, "at most one line a second");
}

#[tokio::test]
async fn each_request_is_one_line_at_debug() {
    let (log, _guard) = Log::start(Level::DEBUG);
    let stentor = Stentor::new(Hub::memory());
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(serve(listener, stentor.clone(), stentor.clone()));
    let mut socket = TcpStream::connect(address).await.unwrap();
    for (request, end) in [
        ("POST /topics/news?retry=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi", "\"}\n"),
        ("GET /topics/news?last_event_id=secret HTTP/1.1\r\nHost: x\r\n\r\n", "stentor.gap"),
    ] {
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        while !response.contains(end) {
            let mut bytes = [0; 1024];
            let count = timeout(PATIENCE, socket.read(&mut bytes)).await.unwrap().unwrap();
            assert!(count > 0, "the connection closed after {response:?}");
            response.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        }
    }
    stentor.drain().cancel();
    drop(socket);
    timeout(PATIENCE, server).await.unwrap().unwrap().unwrap();

    let lines = log.lines_with("path=\"/topics/news\"");
    let [publish, stream, ended] = &lines[..] else { panic!("{lines:?}") };
    for text in ["DEBUG", "method=POST", "status=201", "duration=", "bytes="] {
        assert!(publish.contains(text), "no {text} in {publish}");
    }
    for text in ["DEBUG", "method=GET", "status=200", "duration=", "stream"] {
        assert!(stream.contains(text), "no {text} in {stream}");
    }
    for text in ["DEBUG", "method=GET", "status=200", "duration=", "stream ended"] {
        assert!(ended.contains(text), "no {text} in {ended}");
    }
    assert!(log.lines_with("secret").is_empty(), "queries are not logged");
}
