//! The line between browser and server, which can break and knows what was asked over it.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::driver::GLANCE;
use crate::harness::TIMEOUT;

/// Passes connections on to a server, until it is told otherwise.
pub struct Relay {
    pub address: String,
    line: Arc<Line>,
}

struct Line {
    /// How often the line has been cut; odd while it is down. A connection ends when it changes.
    cuts: watch::Sender<u32>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What the browser has sent, and the server: whole connections, interleaved.
    requests: Vec<u8>,
    answers: Vec<u8>,
    /// Bytes of answers that may still pass before the connection that has them is cut.
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

    /// Cuts every connection, and each new one at once, until [`Relay::mend`].
    pub fn cut(&self) {
        self.line.cuts.send_modify(|cuts| *cuts += 1);
    }

    pub fn mend(&self) {
        self.cut();
    }

    /// Cuts one connection, in the middle of whatever it is, after so many bytes of answers from now.
    pub fn cut_after(&self, bytes: usize) {
        self.line.state().left = Some(bytes);
    }

    /// How often a path was asked for, whatever the query.
    pub fn requests(&self, path: &str) -> usize {
        let state = self.line.state();
        let text = String::from_utf8_lossy(&state.requests);
        let asks = |line: &&str| {
            let target = line.strip_prefix("GET ").and_then(|line| line.strip_suffix(" HTTP/1.1"));
            target.and_then(|target| target.split('?').next()) == Some(path)
        };
        text.split("\r\n").filter(asks).count()
    }

    /// How many answers had this status.
    pub fn answers(&self, status: u16) -> usize {
        let state = self.line.state();
        let head = format!("HTTP/1.1 {status} ");
        String::from_utf8_lossy(&state.answers).matches(&head).count()
    }

    /// Waits until so many answers had this status.
    pub async fn until_answers(&self, status: u16, count: usize) {
        let reached = timeout(TIMEOUT, async {
            while self.answers(status) < count {
                sleep(GLANCE).await;
            }
        });
        assert!(reached.await.is_ok(), "{} answers of {status}", self.answers(status));
    }
}

impl Line {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what the browser sends.
    fn ask(&self, bytes: &[u8]) -> usize {
        self.state().requests.extend(bytes);
        bytes.len()
    }

    /// Notes what the server answers, and tells how much of it passes.
    fn answer(&self, bytes: &[u8]) -> usize {
        let mut state = self.state();
        state.answers.extend(bytes);
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

/// One connection: it ends with the first side that does.
async fn connect(browser: TcpStream, server: String, line: Arc<Line>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let (mut from_browser, mut to_browser) = browser.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::select! {
        () = pass(&mut from_browser, &mut to_server, |bytes| line.ask(bytes)) => {}
        () = pass(&mut from_server, &mut to_browser, |bytes| line.answer(bytes)) => {}
    }
}

/// Passes bytes on until an end, or until not all may pass.
async fn pass(
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
