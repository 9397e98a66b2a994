//! A TCP relay between browser and server. It can cut connections, and records requests and responses.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::driver::POLL_INTERVAL;
use crate::harness::TIMEOUT;

/// Forwards connections to a server.
pub struct Relay {
    pub address: String,
    line: Arc<Line>,
}

struct Line {
    /// Number of cuts and restores; odd while the relay is cut. Connections end when it changes.
    cuts: watch::Sender<u32>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// All bytes from the browser. The bytes of concurrent connections are interleaved.
    requests: Vec<u8>,
    /// All bytes from the server.
    responses: Vec<u8>,
    /// Number of response bytes to forward before the next cut.
    left: Option<usize>,
}

impl Relay {
    pub async fn to(server: &str) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let line = Arc::new(Line { cuts: watch::channel(0).0, state: Mutex::default() });
        tokio::spawn(accept(listener, server.to_owned(), line.clone()));
        Relay { address, line }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Closes all connections, and every new one at once, until [`Relay::restore`].
    pub fn cut(&self) {
        self.line.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Accepts connections again after [`Relay::cut`].
    pub fn restore(&self) {
        self.cut();
    }

    /// Closes one connection after the given number of response bytes, counted from now.
    pub fn cut_after(&self, bytes: usize) {
        self.line.state().left = Some(bytes);
    }

    /// Returns the number of requests for a path, with any query.
    pub fn requests(&self, path: &str) -> usize {
        let state = self.line.state();
        let text = String::from_utf8_lossy(&state.requests);
        let is_request = |line: &&str| {
            let target = line.strip_prefix("GET ").and_then(|line| line.strip_suffix(" HTTP/1.1"));
            target.and_then(|target| target.split('?').next()) == Some(path)
        };
        text.split("\r\n").filter(is_request).count()
    }

    /// Returns the number of responses with this status.
    pub fn responses(&self, status: u16) -> usize {
        let state = self.line.state();
        let head = format!("HTTP/1.1 {status} ");
        String::from_utf8_lossy(&state.responses).matches(&head).count()
    }

    /// Waits until `count` responses had this status.
    pub async fn until_responses(&self, status: u16, count: usize) {
        let reached = timeout(TIMEOUT, async {
            while self.responses(status) < count {
                sleep(POLL_INTERVAL).await;
            }
        });
        assert!(reached.await.is_ok(), "{} responses with status {status}", self.responses(status));
    }
}

impl Line {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records bytes from the browser. Returns the number of bytes to forward.
    fn record_request(&self, bytes: &[u8]) -> usize {
        self.state().requests.extend(bytes);
        bytes.len()
    }

    /// Records bytes from the server. Returns the number of bytes to forward.
    fn record_response(&self, bytes: &[u8]) -> usize {
        let mut state = self.state();
        state.responses.extend(bytes);
        let Some(left) = state.left else { return bytes.len() };
        let passes = left.min(bytes.len());
        state.left = (passes < left).then_some(left - passes);
        passes
    }
}

async fn accept(listener: TcpListener, server: String, line: Arc<Line>) {
    loop {
        let (browser, _) = listener.accept().await.unwrap();
        let mut cuts = line.cuts.subscribe();
        if *cuts.borrow_and_update() % 2 == 1 {
            continue;
        }
        let (server, line) = (server.clone(), line.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = connect(browser, server, line) => {}
                _ = cuts.changed() => {}
            }
        });
    }
}

/// Forwards one connection until one side closes it.
async fn connect(browser: TcpStream, server: String, line: Arc<Line>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let (mut from_browser, mut to_browser) = browser.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::select! {
        () = forward(&mut from_browser, &mut to_server, |bytes| line.record_request(bytes)) => {}
        () = forward(&mut from_server, &mut to_browser, |bytes| line.record_response(bytes)) => {}
    }
}

/// Forwards bytes until the connection ends, or until a cut.
async fn forward(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    allow: impl Fn(&[u8]) -> usize,
) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let passes = allow(&buffer[..read]);
        if to.write_all(&buffer[..passes]).await.is_err() || passes < read {
            return;
        }
    }
}
