//! The body of a stream, piece by piece, until it ends or breaks.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::kills::connection::{Broken, head_end};

/// Maximum silence of a stream. The server sends a keep-alive every 18 s at the latest.
const SILENCE_MAX: Duration = Duration::from_mins(1);
/// Number of bytes read at a time.
const PIECE_BYTES: usize = 64 << 10;

/// The transport of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A socket that the server may take over.
    Socket,
    /// A socket, after a request with a body. The server leaves it to its HTTP library.
    Body,
    /// `curl`, a separate process that can be stopped.
    Curl,
    /// `curl` with HTTP/2.
    Http2,
}

/// An open stream. Dropping it closes the connection.
pub struct Stream {
    source: Source,
    buffer: Vec<u8>,
    /// Number of bytes of the current chunk that have not arrived, with its line break.
    rest: usize,
    /// `true` after the last chunk.
    is_over: bool,
}

enum Source {
    /// With the chunk sizes of HTTP/1.1.
    Socket(TcpStream),
    /// Without chunk sizes.
    Curl(Box<Child>),
}

pub enum Opened {
    Stream(Stream),
    /// 204: the stream has ended for good.
    Finished,
}

impl Stream {
    /// Opens a stream, after a cursor if that is not empty.
    pub async fn open(
        address: &str,
        path: &str,
        accept: &str,
        cursor: &str,
        transport: Transport,
    ) -> Result<Opened, Broken> {
        let mut headers = vec![format!("Accept: {accept}")];
        if !cursor.is_empty() {
            headers.push(format!("Last-Event-ID: {cursor}"));
        }
        let source = match transport {
            Transport::Socket | Transport::Body => {
                let body = if transport == Transport::Body {
                    "Content-Length: 2\r\n\r\n{}"
                } else {
                    "\r\n"
                };
                let headers = headers.join("\r\n");
                let request =
                    format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n{body}");
                let mut socket = TcpStream::connect(address).await?;
                socket.write_all(request.as_bytes()).await?;
                Source::Socket(socket)
            }
            Transport::Curl | Transport::Http2 => Source::curl(
                &format!("http://{address}{path}"),
                &headers,
                transport == Transport::Http2,
            ),
        };
        let mut stream = Stream { source, buffer: Vec::new(), rest: 0, is_over: false };
        let end = loop {
            match head_end(&stream.buffer) {
                Some(end) => break end,
                None => stream.more().await?,
            }
        };
        let head: Vec<u8> = stream.buffer.drain(..end).collect();
        let head = String::from_utf8_lossy(&head);
        match head.split(' ').nth(1) {
            Some("200") => Ok(Opened::Stream(stream)),
            Some("204") => Ok(Opened::Finished),
            _ => panic!("unexpected response to {path}: {head}"),
        }
    }

    /// Returns the next bytes of the body, or `None` at its clean end.
    pub async fn piece(&mut self) -> Result<Option<Vec<u8>>, Broken> {
        loop {
            let mut piece = Vec::new();
            match self.source {
                Source::Socket(_) => self.unchunk(&mut piece),
                Source::Curl(_) => piece.append(&mut self.buffer),
            }
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
            if self.is_over {
                return Ok(None);
            }
            self.more().await?;
        }
    }

    /// Closes the connection with a reset.
    pub fn reset(self) {
        if let Source::Socket(socket) = self.source {
            let _ = socket.set_zero_linger();
        }
    }

    /// Reads nothing for a while. A process is stopped (SIGSTOP) meanwhile.
    pub async fn stall(&self, pause: Duration) {
        self.source.signal("STOP").await;
        sleep(pause).await;
        self.source.signal("CONT").await;
    }

    async fn more(&mut self) -> Result<(), Broken> {
        self.buffer.reserve(PIECE_BYTES);
        let buffer = &mut self.buffer;
        let read = timeout(SILENCE_MAX, async {
            match &mut self.source {
                Source::Socket(socket) => socket.read_buf(buffer).await,
                Source::Curl(curl) => curl.stdout.as_mut().unwrap().read_buf(buffer).await,
            }
        });
        let read = read.await;
        match read.unwrap_or_else(|_| panic!("a stream is silent for {SILENCE_MAX:?}"))? {
            0 => Err(Broken),
            _ => Ok(()),
        }
    }

    /// Moves the payload of the chunks that have arrived to `piece`.
    fn unchunk(&mut self, piece: &mut Vec<u8>) {
        let mut at = 0;
        while !self.is_over {
            let arrived = &self.buffer[at..];
            let take = self.rest.min(arrived.len());
            let payload = take.min(self.rest.saturating_sub(2));
            piece.extend_from_slice(&arrived[..payload]);
            self.rest -= take;
            at += take;
            let Some(line) = self.buffer[at..].windows(2).position(|pair| pair == b"\r\n") else {
                break;
            };
            let size = std::str::from_utf8(&self.buffer[at..at + line]).unwrap();
            let size =
                usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("a chunk of {size:?}"));
            at += line + 2;
            if size == 0 {
                self.is_over = true;
            } else {
                self.rest = size + 2;
            }
        }
        self.buffer.drain(..at);
    }
}

impl Source {
    fn curl(url: &str, headers: &[String], is_http2: bool) -> Source {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--no-buffer", "--include", "--noproxy", "*"]);
        curl.args(headers.iter().flat_map(|header| ["--header", header]));
        if is_http2 {
            curl.arg("--http2-prior-knowledge");
        }
        curl.arg(url).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        Source::Curl(Box::new(curl.spawn().expect("curl starts")))
    }

    /// Sends a signal to the process, if there is one.
    async fn signal(&self, name: &str) {
        let Source::Curl(curl) = self else { return };
        let Some(pid) = curl.id() else { return };
        let sent = Command::new("kill").args(["-s", name, &pid.to_string()]).status().await;
        assert!(sent.unwrap().success());
    }
}
