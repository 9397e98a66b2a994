//! Listening: accept loops, one per core, and the way they stop.

mod listener;

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::num::NonZero;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::listener::Listener;
use crate::app::App;
use crate::connection;
use crate::connection::lazy::LazyStream;
use crate::connection::stop::Stop;
use crate::driver::Driver;
use crate::metrics::{Metrics, Open};

/// Connections that the kernel holds until they are accepted: after a restart all readers come back at
/// once. Linux cuts it to `net.core.somaxconn`, which is 4096 unless set; clients beyond that try again
/// after a second.
const BACKLOG: i32 = 32_768;
/// Unsent bytes that the kernel holds for a connection, so that slow readers do not eat its memory.
const NOT_SENT_BYTES_MAX: u32 = 128 << 10;
/// How long sent bytes may stay unacknowledged before the peer is taken for gone.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);
/// Silence after which the kernel asks whether the peer is still there.
const PROBE_AFTER: Duration = Duration::from_mins(1);
/// The pause after an accept that failed for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long connections have to finish once the server stops.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(5);

/// Opens a listener as [`serve`] wants it. Port 0 lets the system choose one.
///
/// An address in use is an error that says so, also when another server of this kind uses it.
pub fn bind(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // What is set here is inherited by every connection.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(NOT_SENT_BYTES_MAX)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBE_AFTER))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// How a server uses its machine.
#[derive(Clone, Copy, Debug)]
pub struct ServeOptions {
    /// How many cores serve: each accepts, answers, and has a shard of the readers. One for each core
    /// of the machine unless told otherwise.
    pub shards: NonZero<usize>,
    /// Whether the sockets of readers are taken from hyper, which is much cheaper. Otherwise each stream
    /// is a body of hyper's, as over HTTP/2.
    pub takeover: bool,
}

impl Default for ServeOptions {
    fn default() -> ServeOptions {
        let shards = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        ServeOptions { shards, takeover: true }
    }
}

/// Serves connections on this runtime until `shutdown` is cancelled, then lets them finish for at most
/// 5 s. The listener is one of [`bind`]'s.
pub async fn serve(
    listener: StdListener,
    app: impl App,
    metrics: Metrics,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let driver = Driver::new(metrics.clone())?;
    serve_beside(Some(driver), listener, app, metrics, shutdown).await
}

/// The same with this shard, or without one.
async fn serve_beside(
    driver: Option<Driver>,
    listener: StdListener,
    app: impl App,
    metrics: Metrics,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let mut listener = Listener::new(listener)?;
    let shard = driver.as_ref().map(Driver::handle);
    let driver = driver.map(Driver::start).transpose()?;
    let connections = TaskTracker::new();
    let abandoned = CancellationToken::new();
    let stop = Stop { begun: shutdown.clone(), abandoned: abandoned.clone() };
    while let Some(stream) = accept(&mut listener, &shutdown).await {
        metrics.connections.inc();
        let open = Open::count(&metrics.connections_open);
        let served = connection::serve(stream, app.clone(), stop.clone(), shard.clone());
        connections.spawn(async move {
            served.await;
            drop(open);
        });
    }
    drop(listener);
    connections.close();
    let deadline = Instant::now() + DRAIN_TIME_MAX;
    if timeout_at(deadline, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "connections did not finish in time");
        abandoned.cancel();
        connections.wait().await;
    }
    // Readers came from connections, so none comes any more.
    if let Some(shard) = shard {
        shard.close();
    }
    if let Some(driver) = driver
        && timeout_at(deadline, driver.ended()).await.is_err()
    {
        tracing::warn!("readers did not finish in time");
    }
    Ok(())
}

/// Serves on several cores: one single-threaded runtime each, all accepting from the same listener.
/// Blocks until `shutdown` is cancelled and all connections are done.
pub fn serve_on_cores(
    options: ServeOptions,
    listener: &StdListener,
    app: &impl App,
    metrics: &Metrics,
    shutdown: &CancellationToken,
) -> io::Result<()> {
    let cores = options.shards.get();
    std::thread::scope(|scope| {
        let mut threads = Vec::with_capacity(cores);
        for core in 0..cores {
            let listener = listener.try_clone()?;
            let (app, metrics) = (app.clone(), metrics.clone());
            let thread = std::thread::Builder::new().name(format!("stentor-{core}"));
            threads.push(thread.spawn_scoped(scope, move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                // If one core fails, the others must not go on without it.
                let stop = shutdown.clone().drop_guard();
                let served = runtime.block_on(async {
                    let driver = options.takeover.then(|| Driver::new(metrics.clone()));
                    let driver = driver.transpose()?;
                    serve_beside(driver, listener, app, metrics, shutdown.clone()).await
                });
                drop(stop);
                served
            })?);
        }
        let results = threads.into_iter().map(|thread| {
            thread.join().unwrap_or_else(|_| Err(io::Error::other("a core of the server panicked")))
        });
        results.fold(Ok(()), Result::and)
    })
}

/// The next connection; `None` when the server stops.
async fn accept(listener: &mut Listener, shutdown: &CancellationToken) -> Option<LazyStream> {
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(stream) => return Some(LazyStream::new(stream)),
            // The client was gone before it was accepted: that is its own affair.
            Err(error) if is_of_client(&error) => {}
            Err(error) => {
                tracing::error!(%error, "accepting pauses");
                tokio::select! {
                    () = shutdown.cancelled() => return None,
                    () = sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }
}

fn is_of_client(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted | Kind::ConnectionReset | Kind::ConnectionRefused
    )
}
