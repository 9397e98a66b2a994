//! A small SSE server with at most one fault.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No fault; the next three variants are not faults either.
    None,
    /// Its stream ends after three events.
    Finite,
    /// Wraps published data in a JSON object.
    Wraps,
    /// Requires a token, except for preflights, which must not carry one.
    Guarded,
    PlainAndGzip,
    GzipWhenAsked,
    Headers,
    Status404,
    RedirectLoop,
    WaitsForEvent,
    NoKeepAlive,
    Blocks,
    HoldsBack,
    SplitsAtLf,
    NoSpace,
    NoEmptyData,
    Loses,
    Mark,
    Escapes,
    NoBlankLine,
    Retry0,
    ForgetsReaders,
    Skips,
    OneId,
    UnknownIs400,
    Loops,
    Breaks,
    NoPreflight,
    HeadHangs,
}

/// Size of a buffer in bytes.
const BLOCK: usize = 4096;
/// Time between blocks, and between keep-alives.
const PAUSE: Duration = Duration::from_millis(150);

pub struct TestServer {
    address: String,
}

struct Shared {
    fault: Fault,
    /// The data of all events; the id of each is its number, from 1.
    log: watch::Sender<Vec<String>>,
}

/// A request.
struct Ask {
    method: String,
    path: String,
    head: String,
    body: Vec<u8>,
}

impl TestServer {
    pub async fn start(fault: Fault) -> TestServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let count = if fault == Fault::Blocks { 600 } else { 3 };
        let log = (1..=count).map(|number| format!("event {number:0>90}")).collect();
        let shared = Arc::new(Shared { fault, log: watch::Sender::new(log) });
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                // A client that disconnects ends its task with an error.
                tokio::spawn(async move { shared.answer(socket).await });
            }
        });
        TestServer { address }
    }

    pub fn url(&self) -> String {
        format!("http://{}/events", self.address)
    }
}

impl Shared {
    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn publish(&self, data: String) {
        self.log.send_modify(|log| log.push(data));
    }

    /// `true` if the stream ends after the existing events. Faults that need neither silence nor publishing
    /// are tested with a finite stream, which is faster.
    fn is_finite(&self) -> bool {
        !matches!(
            self.fault,
            Fault::None
                | Fault::Wraps
                | Fault::Guarded
                | Fault::NoKeepAlive
                | Fault::HoldsBack
                | Fault::SplitsAtLf
                | Fault::NoSpace
                | Fault::NoEmptyData
                | Fault::Loses
                | Fault::NoBlankLine
        )
    }

    async fn answer(&self, mut socket: TcpStream) -> std::io::Result<()> {
        let Some(ask) = Ask::read(&mut socket).await? else { return Ok(()) };
        let is_welcome = !self.has(Fault::Guarded)
            || (ask.method == "OPTIONS") == ask.header("authorization").is_none();
        let head = match ask.method.as_str() {
            _ if !is_welcome => "401 Unauthorized\r\n",
            "POST" => {
                let text = String::from_utf8(ask.body).unwrap();
                match self.fault {
                    Fault::Loses => {}
                    Fault::Wraps => self.publish(json!({ "text": text }).to_string()),
                    _ => self.publish(text),
                }
                "201 Created\r\n"
            }
            "OPTIONS" if self.has(Fault::NoPreflight) => "405 Method Not Allowed\r\n",
            "OPTIONS" => {
                "204 No Content\r\nAccess-Control-Allow-Origin: *\r\n\
                 Access-Control-Allow-Headers: Last-Event-ID\r\n"
            }
            "HEAD" if self.has(Fault::HeadHangs) => std::future::pending().await,
            "HEAD" => "200 OK\r\nContent-Type: text/event-stream\r\n",
            "GET" => return self.stream(&ask, socket).await,
            // HTTP/2.
            _ => return Ok(()),
        };
        let length = if head.starts_with("20") { "" } else { "Content-Length: 0\r\n" };
        let head = format!("HTTP/1.1 {head}Connection: close\r\n{length}\r\n");
        socket.write_all(head.as_bytes()).await
    }

    async fn stream(&self, ask: &Ask, mut socket: TcpStream) -> std::io::Result<()> {
        if self.has(Fault::WaitsForEvent) {
            std::future::pending::<()>().await;
        }
        let position = self.position(ask);
        let head = match position {
            None => "400 Bad Request\r\n\r\n".to_owned(),
            _ if self.has(Fault::Status404) => "404 Not Found\r\n\r\n".to_owned(),
            _ if self.has(Fault::RedirectLoop) => "302 Found\r\nLocation: ?\r\n\r\n".to_owned(),
            Some(position) if self.is_finite() && position == self.log.borrow().len() => {
                "204 No Content\r\n\r\n".to_owned()
            }
            Some(_) => self.head(ask),
        };
        socket.write_all(format!("HTTP/1.1 {head}").as_bytes()).await?;
        match position {
            Some(position) if head.starts_with("200") => self.events(ask, position, socket).await,
            _ => Ok(()),
        }
    }

    /// Returns the number of events that the client has.
    fn position(&self, ask: &Ask) -> Option<usize> {
        let id =
            ask.header("last-event-id").or_else(|| ask.path.split_once("last_event_id=")?.1.into());
        let count = self.log.borrow().len();
        let known = id.and_then(|id| id.parse().ok()).filter(|position| *position <= count);
        match (id, known) {
            (Some(_), Some(position)) if self.has(Fault::ForgetsReaders) && position < count => {
                Some(0)
            }
            (Some(_), None) if self.has(Fault::UnknownIs400) => None,
            (Some(_), Some(position)) if self.has(Fault::Loops) && position == count => Some(0),
            (Some(_), Some(position)) if self.has(Fault::Skips) => Some(count.min(position + 1)),
            (_, known) => Some(known.unwrap_or(0)),
        }
    }

    fn head(&self, ask: &Ask) -> String {
        let has_gzip = ask.header("accept-encoding").is_some_and(|names| names.contains("gzip"));
        let content_type = match self.fault {
            Fault::PlainAndGzip => "text/plain\r\nContent-Encoding: gzip",
            Fault::GzipWhenAsked if has_gzip => "text/event-stream\r\nContent-Encoding: gzip",
            Fault::Breaks => "text/event-stream\r\nTransfer-Encoding: chunked",
            _ => "text/event-stream",
        };
        let caching = match self.fault {
            Fault::Headers => "public, max-age=60\r\nX-Accel-Buffering: off",
            _ => "no-cache, no-transform\r\nX-Accel-Buffering: no",
        };
        format!(
            "200 OK\r\nContent-Type: {content_type}\r\nCache-Control: {caching}\r\n\
             Access-Control-Allow-Origin: *\r\nConnection: close\r\n\r\n"
        )
    }

    async fn events(
        &self,
        ask: &Ask,
        position: usize,
        mut socket: TcpStream,
    ) -> std::io::Result<()> {
        let mut log = self.log.subscribe();
        let has_gzip = ask.header("accept-encoding").is_some_and(|names| names.contains("gzip"));
        if self.has(Fault::GzipWhenAsked) && has_gzip {
            std::future::pending::<()>().await;
        }
        if self.has(Fault::Breaks) {
            // A chunk without the final chunk.
            return socket.write_all(b"6\r\n: ok\n\n\r\n").await;
        }
        let retry = if self.has(Fault::Retry0) { 0 } else { 2000 };
        let mut pending = format!("retry: {retry}\n: ok\n\n");
        match self.fault {
            Fault::Mark => pending += "\u{FEFF}: a forwarded file\n\n",
            Fault::Escapes => pending += "\x1b[2J: x\n\n",
            _ => {}
        }
        let mut sent = position;
        loop {
            let events = log.borrow_and_update().clone();
            for (at, data) in events.iter().enumerate().skip(sent) {
                pending += &self.frame(at + 1, data);
            }
            sent = events.len();
            let is_held_back = self.has(Fault::HoldsBack) && sent > 3 && pending.len() < BLOCK;
            if !is_held_back {
                self.write(&mut socket, &std::mem::take(&mut pending)).await?;
            }
            if self.is_finite() {
                return Ok(());
            }
            let is_silent =
                matches!(self.fault, Fault::NoKeepAlive | Fault::NoBlankLine | Fault::HoldsBack);
            if is_silent {
                log.changed().await.unwrap();
            } else if timeout(PAUSE, log.changed()).await.is_err() {
                socket.write_all(b":\n\n").await?;
            }
        }
    }

    async fn write(&self, socket: &mut TcpStream, text: &str) -> std::io::Result<()> {
        if !self.has(Fault::Blocks) {
            return socket.write_all(text.as_bytes()).await;
        }
        for block in text.as_bytes().chunks(BLOCK) {
            socket.write_all(block).await?;
            sleep(PAUSE).await;
        }
        Ok(())
    }

    fn frame(&self, number: usize, data: &str) -> String {
        let number = if self.has(Fault::OneId) { 1 } else { number };
        let mut frame = format!("id: {number}\n");
        if data.is_empty() && self.has(Fault::NoEmptyData) {
            return frame + "\n";
        }
        let data = match self.fault {
            Fault::SplitsAtLf => data.to_owned(),
            _ => data.replace("\r\n", "\n").replace('\r', "\n"),
        };
        let name = if self.has(Fault::NoSpace) { "data:" } else { "data: " };
        for line in data.split('\n') {
            frame.extend([name, line, "\n"]);
        }
        if self.has(Fault::NoBlankLine) { frame } else { frame + "\n" }
    }
}

impl Ask {
    async fn read(socket: &mut TcpStream) -> std::io::Result<Option<Ask>> {
        let mut bytes = Vec::new();
        let end = loop {
            if socket.read_buf(&mut bytes).await? == 0 {
                return Ok(None);
            }
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
        };
        let mut body = bytes.split_off(end + 4);
        let head = String::from_utf8_lossy(&bytes).into_owned();
        let mut words = head.split(' ').map(str::to_owned);
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let mut ask = Ask { method, path, head, body: Vec::new() };
        let length = ask.header("content-length").map_or(0, |length| length.parse().unwrap());
        while body.len() < length {
            socket.read_buf(&mut body).await?;
        }
        ask.body = body;
        Ok(Some(ask))
    }

    fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut values = fields.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value)
    }
}
