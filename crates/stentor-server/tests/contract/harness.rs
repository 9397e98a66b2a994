//! A server in the threads of the test process, over real sockets.

mod http2_bridge;
mod options;

use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::thread::JoinHandle;
use std::time::Duration;

use stentor_server::{Guarded, Stentor, bind, serve_on_cores};
pub use stentor_testing::*;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::http2_bridge::Http2Bridge;
pub use self::options::Options;

/// A server on a free port with its own temporary directory. Dropping it stops the server and waits for its threads.
///
/// It dereferences to a [`TestClient`], which sends requests to it.
pub struct Server {
    client: TestClient,
    options: Options,
    /// The address of the server itself, which the client reaches through the bridge if there is one.
    address: SocketAddr,
    bridge: Option<Http2Bridge>,
    /// `None` while the server is stopped.
    running: Option<Running>,
    directory: TempDir,
}

/// The threads of a server.
struct Running {
    shutdown: CancellationToken,
    /// Resolves when the server has stopped and its log is closed.
    stopped: oneshot::Receiver<io::Result<()>>,
    thread: JoinHandle<()>,
}

impl Deref for Server {
    type Target = TestClient;

    fn deref(&self) -> &TestClient {
        &self.client
    }
}

impl RestartableServer for Server {
    async fn restart(&mut self) {
        Server::restart(self).await;
    }
}

impl Options {
    /// Starts a server with these options.
    pub async fn start(self) -> Server {
        // Shown with a test that fails.
        eprintln!("streams: {:?}", self.mode);
        let directory = tempfile::tempdir().unwrap();
        let free_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let (running, address) = spawn(self.clone(), directory.path(), free_port).await;
        let bridge = match self.mode {
            StreamMode::Http2 => Some(Http2Bridge::start(address)),
            _ => None,
        };
        let reached_at = bridge.as_ref().map_or(address, Http2Bridge::address);
        let client = TestClient::new(reached_at.to_string());
        Server { client, options: self, running: Some(running), address, bridge, directory }
    }
}

impl Server {
    /// Starts a server with its log on disk.
    pub async fn start() -> Server {
        Options::on_disk().start().await
    }

    /// Starts a server with its log in memory.
    pub async fn in_memory() -> Server {
        Options::in_memory().start().await
    }

    /// Starts a server with its log on disk and this implementation of streams.
    pub async fn start_with(mode: StreamMode) -> Server {
        Options::on_disk().mode(mode).start().await
    }

    /// Starts a server with its log in memory and this implementation of streams.
    pub async fn in_memory_with(mode: StreamMode) -> Server {
        Options::in_memory().mode(mode).start().await
    }

    /// Returns the directory of the log.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Begins to stop the server, and does not wait until it has stopped.
    pub fn shut_down(&self) {
        self.running.as_ref().expect("the server runs").shutdown.cancel();
    }

    /// Waits until the server has stopped, which must be without an error.
    pub async fn stopped(&mut self) {
        let Running { stopped, thread, .. } = self.running.take().expect("the server runs");
        let stopped = timeout(TIMEOUT, stopped).await.expect("the server stops in time");
        stopped.expect("no panic").expect("no error");
        thread.join().unwrap();
    }

    /// Stops the server and waits until it has stopped.
    pub async fn stop(&mut self) {
        self.shut_down();
        self.stopped().await;
    }

    /// Stops the server and starts it again with the same address and directory.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }

    /// Starts the server again with the same address and directory, after [`Server::stop`].
    pub async fn start_again(&mut self) {
        assert!(self.running.is_none(), "the server still runs");
        let (running, _) = spawn(self.options.clone(), self.directory.path(), self.address).await;
        self.running = Some(running);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(Running { shutdown, thread, .. }) = self.running.take() {
            shutdown.cancel();
            // Its connections keep the server from stopping.
            drop(self.bridge.take());
            // A panic of the server has been printed, and has failed the test in other ways.
            let _ = thread.join();
        }
    }
}

/// Starts the threads of a server and waits until it listens.
async fn spawn(options: Options, directory: &Path, address: SocketAddr) -> (Running, SocketAddr) {
    allow_many_files();
    let data = directory.join("data");
    let (listening, listens) = oneshot::channel();
    let (stop, stopped) = oneshot::channel();
    let thread = std::thread::Builder::new().name("test-server".to_owned());
    let thread = thread.spawn(move || {
        let _ = stop.send(run(&options, &data, address, listening));
    });
    let (address, shutdown) = listens.await.expect("the server listens");
    (Running { shutdown, stopped, thread: thread.unwrap() }, address)
}

/// Runs a server until it is shut down. Does what `stentor serve` does, without signals and log lines.
fn run(
    options: &Options,
    data: &Path,
    address: SocketAddr,
    listening: oneshot::Sender<(SocketAddr, CancellationToken)>,
) -> io::Result<()> {
    let stentor = Stentor::new(options.hub(data));
    let listener = bind(address)?;
    let app = options.guard().wrap(stentor.clone());

    let background =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    background.spawn(stentor.run_background(options.retention()));
    let (hub, drain) = (stentor.hub().clone(), stentor.drain().clone());
    background.spawn(async move {
        eprintln!("the log failed: {}", hub.failed().await);
        drain.cancel();
    });
    let _ = listening.send((listener.local_addr()?, stentor.drain().clone()));
    let served = match options.mode {
        StreamMode::Axum => serve_with_axum(listener, app, &stentor),
        _ => serve_on_cores(options.serve_options(), listener, &app, &stentor),
    };
    background.block_on(stentor.hub().close());
    served
}

/// Serves on a multi-threaded runtime until the service drains. Connections then have 5 s to finish.
fn serve_with_axum(
    listener: std::net::TcpListener,
    app: Guarded<Stentor>,
    stentor: &Stentor,
) -> io::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let app = axum::Router::new().fallback_service(app);
        let drain = stentor.drain().clone().cancelled_owned();
        let serving = axum::serve(listener, app).with_graceful_shutdown(drain).into_future();
        tokio::pin!(serving);
        tokio::select! {
            result = &mut serving => return result,
            () = stentor.drain().cancelled() => {}
        }
        timeout(Duration::from_secs(5), serving).await.unwrap_or(Ok(()))
    })
}

/// Raises the soft limit of open files of the test process to its hard limit, once.
///
/// Both ends of every connection are in this process, and tests run at the same time.
fn allow_many_files() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let pid = format!("--pid={}", std::process::id());
        let limits = std::process::Command::new("prlimit")
            .args([&pid, "--nofile", "--output=HARD", "--noheadings"])
            .output()
            .unwrap();
        let hard = String::from_utf8(limits.stdout).unwrap();
        let limits = format!("--nofile={}:", hard.trim());
        let raised = std::process::Command::new("prlimit").args([&pid, &limits]).status().unwrap();
        assert!(raised.success(), "prlimit {limits}");
    });
}
