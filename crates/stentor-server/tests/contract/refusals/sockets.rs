//! Clients that send the head of a request first, and its body later.

use std::fmt::{self, Write};
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::{assert_none_fails, pause, tries};
use crate::harness::{Response, Server, TIMEOUT, until_no_client_is_left};

const SMALL: usize = 5;
const LARGE: usize = 300_000;

/// A request that is refused by its head: the head without its last line, and the status.
#[derive(Clone, Copy)]
pub(super) struct Refusal(pub(super) &'static str, pub(super) u16);

pub(super) const HOST: Refusal = Refusal("POST /topics/t HTTP/1.1\r\nHost: evil.example\r\n", 403);
const ORIGIN: Refusal =
    Refusal("POST /topics/t HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n", 403);
const PATH: Refusal = Refusal("POST /nowhere HTTP/1.1\r\nHost: localhost\r\n", 404);
const METHOD: Refusal = Refusal("PATCH /topics/t HTTP/1.1\r\nHost: localhost\r\n", 405);
const ROOT: Refusal = Refusal("POST / HTTP/1.1\r\nHost: localhost\r\n", 405);
const TOPIC: Refusal = Refusal("POST /topics/a//b HTTP/1.1\r\nHost: localhost\r\n", 400);
const QUERY: Refusal = Refusal("POST /topics?x=1 HTTP/1.1\r\nHost: localhost\r\n", 400);
const PACKED: Refusal =
    Refusal("POST /topics/t HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\n", 415);

pub(super) const REFUSALS: [Refusal; 8] = [HOST, ORIGIN, PATH, METHOD, ROOT, TOPIC, QUERY, PACKED];

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.0.lines().next().unwrap_or_default();
        write!(f, "{line} -> {}", self.1)
    }
}

/// The form of a body.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    Length(usize),
    Chunked(usize),
    /// `Expect: 100-continue`; the client sends the body although it got no `100 Continue`.
    Expect(usize),
}

pub(super) const FORMS: [Form; 6] = [
    Form::Length(SMALL),
    Form::Length(LARGE),
    Form::Chunked(SMALL),
    Form::Chunked(LARGE),
    Form::Expect(SMALL),
    Form::Expect(LARGE),
];

/// A refused request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) refusal: Refusal,
    pub(super) form: Form,
    /// `true` if the request has the header `Connection: close`.
    pub(super) closes: bool,
}

impl Case {
    /// Returns every refusal with every form of a body.
    pub(super) fn all(refusals: &[Refusal]) -> Vec<Case> {
        let mut cases = Vec::new();
        for refusal in refusals {
            for form in FORMS {
                for closes in [false, true] {
                    cases.push(Case { refusal: *refusal, form, closes });
                }
            }
        }
        cases
    }

    pub(super) fn head(&self) -> String {
        let mut head = self.refusal.0.to_owned();
        let _ = match self.form {
            Form::Length(bytes) => write!(head, "Content-Length: {bytes}\r\n"),
            Form::Chunked(_) => write!(head, "Transfer-Encoding: chunked\r\n"),
            Form::Expect(bytes) => {
                write!(head, "Expect: 100-continue\r\nContent-Length: {bytes}\r\n")
            }
        };
        head + if self.closes { "Connection: close\r\n\r\n" } else { "\r\n" }
    }

    pub(super) fn body(&self) -> Vec<u8> {
        match self.form {
            Form::Length(bytes) | Form::Expect(bytes) => vec![b'x'; bytes],
            Form::Chunked(bytes) => {
                let mut body = Vec::new();
                for piece in vec![b'x'; bytes].chunks(10_000) {
                    body.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                    body.extend_from_slice(piece);
                    body.extend_from_slice(b"\r\n");
                }
                body.extend_from_slice(b"0\r\n\r\n");
                body
            }
        }
    }
}

/// Sends the head of a request, and its body after a pause. Checks that the response has the status of
/// the refusal. If `checks_end`, also checks that the connection then is closed cleanly or can be used
/// again, as the response says.
pub(super) async fn refused_after_pause(
    mut socket: impl AsyncRead + AsyncWrite + Unpin,
    case: Case,
    checks_end: bool,
) -> Result<(), String> {
    let attempt = async {
        socket.write_all(case.head().as_bytes()).await.map_err(|error| error.to_string())?;
        sleep(pause()).await;
        // The server may have closed the connection already.
        let _ = socket.write_all(&case.body()).await;
        let response = response(&mut socket).await?;
        if response.status != case.refusal.1 {
            return Err(format!("{response:?}"));
        }
        if !checks_end {
            return Ok(());
        }
        if response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            return closed(&mut socket).await;
        }
        if case.closes {
            return Err(format!("no `Connection: close`: {response:?}"));
        }
        let next = "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n";
        socket.write_all(next.as_bytes()).await.map_err(|error| format!("next: {error}"))?;
        let next = self::response(&mut socket).await.map_err(|error| format!("next: {error}"))?;
        if next.status == 200 { Ok(()) } else { Err(format!("next: {next:?}")) }
    };
    timeout(TIMEOUT, attempt).await.unwrap_or_else(|_| Err("no response in time".to_owned()))
}

/// Reads one response, and skips `100 Continue`.
async fn response(socket: &mut (impl AsyncRead + Unpin)) -> Result<Response, String> {
    let mut head = Vec::new();
    loop {
        match socket.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(error) => {
                return Err(format!("{error} after {:?}", String::from_utf8_lossy(&head)));
            }
        }
        if head.ends_with(b"\r\n\r\n") {
            if !head.starts_with(b"HTTP/1.1 100 ") {
                break;
            }
            head.clear();
        }
    }
    let mut response = Response::parse(&head);
    let length = response.header("content-length").map_or(0, |length| length.parse().unwrap());
    response.body = vec![0; length];
    let body = socket.read_exact(&mut response.body).await;
    body.map(|_| response).map_err(|error| format!("{error} in the body of the response"))
}

async fn closed(socket: &mut (impl AsyncRead + Unpin)) -> Result<(), String> {
    match socket.read_to_end(&mut Vec::new()).await {
        Ok(0) => Ok(()),
        // A client that sends a large body without waiting for `100 Continue` has its response by now.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Err("reset".to_owned()),
        other => Err(format!("{other:?} instead of the end")),
    }
}

#[tokio::test]
async fn a_refusal_arrives_when_the_body_comes_after_the_head() {
    let server = Server::in_memory().await;
    assert_none_fails(&Case::all(&REFUSALS), tries(20), async |case| {
        let socket = TcpStream::connect(&server.address).await.unwrap();
        refused_after_pause(socket, case, true).await
    })
    .await;
    until_no_client_is_left(&server).await;
}

#[tokio::test]
async fn a_refusal_arrives_when_the_body_is_larger_than_an_event_may_be() {
    const BYTES: usize = 9 << 20;
    let server = Server::in_memory().await;
    let publish = Refusal("POST /topics/t HTTP/1.1\r\nHost: localhost\r\n", 413);
    let cases: Vec<Case> = [publish, HOST, PATH]
        .into_iter()
        .flat_map(|refusal| {
            [false, true].map(|closes| Case { refusal, form: Form::Length(BYTES), closes })
        })
        .collect();
    assert_none_fails(&cases, tries(20).div_ceil(5), async |case| {
        let socket = TcpStream::connect(&server.address).await.unwrap();
        refused_after_pause(socket, case, true).await
    })
    .await;
}

#[tokio::test]
async fn a_head_that_is_too_large_or_not_http_is_refused_when_more_comes_later() {
    let server = Server::in_memory().await;
    let large = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}", "x".repeat(58_000));
    let cases = [(large.as_str(), 431), ("GET\r\n\r\n", 400), ("GET / HTTP/9.9\r\n\r\n", 400)];
    assert_none_fails(&cases, tries(20), async |(start, status)| {
        let mut socket = TcpStream::connect(&server.address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        // The server has read the first bytes, and waits, when the rest arrives.
        let (first, rest) = start.split_at(3);
        socket.write_all(first.as_bytes()).await.unwrap();
        sleep(pause()).await;
        socket.write_all(rest.as_bytes()).await.unwrap();
        sleep(pause()).await;
        let _ = socket.write_all(&[b'x'; SMALL]).await;
        let response = timeout(TIMEOUT, response(&mut socket)).await.unwrap()?;
        if response.status != status || response.header("connection") != Some("close") {
            return Err(format!("{response:?}"));
        }
        closed(&mut socket).await
    })
    .await;
    until_no_client_is_left(&server).await;
}

#[tokio::test]
async fn a_refused_body_without_an_end_is_cut_off_after_16_mib() {
    let server = Server::in_memory().await;
    let mut connection = server.connect().await;
    let head = "POST /nowhere HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    connection.send(head).await;
    connection.response().await.problem(404, "path");
    let mut socket = connection.into_socket();
    let chunk = [b"100000\r\n", vec![b'x'; 1 << 20].as_slice(), b"\r\n"].concat();
    let sent = async {
        let mut sent = 0;
        while socket.write_all(&chunk).await.is_ok() {
            sent += 1 << 20;
        }
        sent
    };
    // The kernel may hold a few MiB that the server never read.
    let sent = timeout(TIMEOUT, sent).await.expect("the server closes the connection");
    assert!((16 << 20..64 << 20).contains(&sent), "{sent} bytes were taken");
    until_no_client_is_left(&server).await;
}
