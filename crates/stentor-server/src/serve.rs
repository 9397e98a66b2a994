//! Listening, accepting, and stopping.

mod listener;

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::listener::Listener;
use crate::capacity::{Admission, Capacity};
use crate::connection::lazy::LazyStream;
use crate::connection::refused::refuse;
use crate::connection::stop::Stop;
use crate::connection::{self, ByShard, Terms};
use crate::context::Stentor;
use crate::driver::{Driver, ShardHandle};
use crate::http_service::HttpService;
use crate::metrics::OpenCount;
use crate::peer::FromPeer;
use crate::refusal_log::{log_accept_error, log_full};
use crate::shard::Trust;
use crate::stream::shards::Place;

/// Maximum number of connections that the kernel holds until they are accepted. After a restart all
/// subscribers reconnect at once. Linux limits this to `net.core.somaxconn` (4096 by default); clients
/// beyond it retry after a second.
const BACKLOG: i32 = 32_768;
/// Maximum number of unsent bytes that the kernel buffers for a connection. It bounds the memory that
/// slow subscribers use.
const NOT_SENT_BYTES_MAX: u32 = 128 << 10;
/// Maximum time that sent bytes stay unacknowledged before the kernel closes the connection.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);
/// Time of silence after which the kernel probes the peer.
const PROBE_AFTER: Duration = Duration::from_mins(1);
/// Pause after an accept failed for lack of file descriptors or memory, and while too many connections are refused.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Time without a request after which a connection is closed: as in nginx.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// Maximum time that connections and streams have to finish once the server stops.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(5);

/// Opens a listener with the socket options that [`serve`] needs. With port 0 the system chooses a port.
///
/// # Errors
///
/// Returns an error if the address is in use, also by another server of this kind, or if a socket
/// cannot be opened.
pub fn bind(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // Every accepted connection inherits these options.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(NOT_SENT_BYTES_MAX)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBE_AFTER))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Options of [`serve_on_cores`].
#[derive(Clone, Copy, Debug)]
pub struct ServeOptions {
    /// Number of serving threads. Each accepts connections, handles requests, and writes the streams
    /// of its readers. Default: the number of cores.
    pub shards: NonZero<usize>,
    /// `true` if the server takes the sockets of subscribers over from hyper, which costs much less
    /// memory and time. With `false` every stream is a response body, as over HTTP/2. Default: `true`.
    ///
    /// A socket is taken over only if the body of the response is known to be untouched: its type is
    /// [`Body`](crate::Body), also behind a [`Guard`](crate::Guard). An axum `Router` boxes its bodies,
    /// so its streams stay response bodies, unless `streams_pass_unchanged` is set.
    pub takeover: bool,
    /// `true` promises that no layer of the service replaces, wraps or reads the body of a stream. The
    /// server then takes sockets over also if the body is boxed, and **bypasses a layer that does so
    /// nevertheless**: its changes never reach the reader. Layers that only look at requests, statuses
    /// and headers are fine. Default: `false`.
    pub streams_pass_unchanged: bool,
    /// Maximum number of open connections, also those of streams. A client beyond it gets 503, or a stream with
    /// only a `retry:`, and is disconnected. Default, and never more: what the limit of open files leaves
    /// when the server starts, less 64 for the log. See [`raise_file_limit`](crate::raise_file_limit).
    pub connections: Option<NonZero<usize>>,
    /// Time without a request after which a connection is closed. A request head that has begun has 30 s.
    /// Default: 75 s.
    pub idle_timeout: Duration,
}

impl Default for ServeOptions {
    fn default() -> ServeOptions {
        let shards = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        ServeOptions {
            shards,
            takeover: true,
            streams_pass_unchanged: false,
            connections: None,
            idle_timeout: IDLE_TIMEOUT,
        }
    }
}

impl ServeOptions {
    /// Returns the responses whose sockets are taken over. `None` if none are.
    fn trust(self) -> Option<Trust> {
        let trust = if self.streams_pass_unchanged { Trust::Layers } else { Trust::Types };
        self.takeover.then_some(trust)
    }
}

/// Serves `service` on the current tokio runtime until [`Stentor::drain`] is cancelled. Then streams
/// end, and open connections have 5 s to finish.
///
/// `stentor` is the service itself, or the one that `service` wraps or routes to. Its metrics count the
/// connections. Open the listener with [`bind`].
///
/// # Errors
///
/// Returns an error if the listener or the shard cannot be registered with the system.
///
/// # Examples
///
/// ```no_run
/// use stentor_hub::Hub;
/// use stentor_server::{Guard, Stentor, bind, serve};
///
/// # async fn run() -> std::io::Result<()> {
/// let stentor = Stentor::new(Hub::memory());
/// let listener = bind("127.0.0.1:8080".parse().unwrap())?;
/// serve(listener, Guard::new().wrap(stentor.clone()), stentor).await
/// # }
/// ```
pub async fn serve(
    listener: StdListener,
    service: impl HttpService,
    stentor: Stentor,
) -> io::Result<()> {
    serve_with(ServeOptions::default(), listener, service, stentor).await
}

/// Serves like [`serve`], with options. `shards` has no effect: there is one for the current runtime.
///
/// # Errors
///
/// Returns an error if the listener or the shard cannot be registered with the system.
pub async fn serve_with(
    options: ServeOptions,
    listener: StdListener,
    service: impl HttpService,
    stentor: Stentor,
) -> io::Result<()> {
    let capacity = Capacity::new(options.connections, stentor.metrics());
    let starting = Starting::of(NonZero::<usize>::MIN, capacity);
    run_core(options, listener, service, &stentor, &starting).await
}

/// Serves on several cores. Each is a thread with a single-threaded runtime, and all accept from the
/// same listener.
///
/// Blocks until [`Stentor::drain`] is cancelled and all connections are closed. No connection is accepted
/// before all cores are set up. See [`serve`] for the arguments.
///
/// # Errors
///
/// Returns the error of the first core that failed. If one core fails, all stop.
pub fn serve_on_cores(
    options: ServeOptions,
    listener: StdListener,
    service: &impl HttpService,
    stentor: &Stentor,
) -> io::Result<()> {
    let cores = options.shards.get();
    let capacity = Capacity::new(options.connections, stentor.metrics());
    let starting = &Starting::of(options.shards, capacity);
    std::thread::scope(|scope| {
        // If one core fails, or its thread cannot be started, the others stop too.
        let _stop_all = stentor.drain().clone().drop_guard();
        let mut threads = Vec::with_capacity(cores);
        for core in 0..cores {
            let listener = listener.try_clone()?;
            let service = service.clone();
            let thread = std::thread::Builder::new().name(format!("stentor-{core}"));
            threads.push(thread.spawn_scoped(scope, move || {
                let stop_all = stentor.drain().clone().drop_guard();
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                let core = run_core(options, listener, service, stentor, starting);
                let result = runtime.block_on(core);
                drop(stop_all);
                result
            })?);
        }
        // The cores hold it now. Once they stop, new connections are refused, and clients try again at once.
        drop(listener);
        let results = threads.into_iter().map(|thread| {
            thread.join().unwrap_or_else(|_| Err(io::Error::other("a core of the server panicked")))
        });
        results.fold(Ok(()), Result::and)
    })
}

/// Accepts connections and runs them, together with a shard, until the server has stopped.
async fn run_core(
    options: ServeOptions,
    listener: StdListener,
    service: impl HttpService,
    stentor: &Stentor,
    starting: &Starting,
) -> io::Result<()> {
    let (metrics, drain) = (stentor.metrics(), stentor.drain());
    let mut listener = Listener::new(listener)?;
    let driver = Driver::new(metrics.clone())?;
    let shard = driver.handle();
    let mut driver = driver.start(stentor)?;
    if let Some(place) = Place::current() {
        stentor.shards().add(place, &shard.clone().into_shard());
    }
    let by_shard = options.trust().map(|trust| ByShard { shard: shard.clone(), trust });
    let terms = Terms { by_shard, idle_timeout: options.idle_timeout };
    let connections = TaskTracker::new();
    let aborted = CancellationToken::new();
    let stop = Stop { drained: drain.clone(), aborted: aborted.clone() };
    let (accepts, open_connections) = (shard.clone(), connections.clone());
    let capacity = Arc::clone(&starting.capacity);
    let accepting = async move {
        // Its first turn has opened what the shard needs.
        accepts.clone().into_shard().turned().await;
        starting.wait_for_all(drain).await;
        capacity.begin();
        while let Some((stream, address)) =
            accept_for(&accepts, stentor, &capacity, &mut listener).await
        {
            metrics.connections.inc();
            let service = FromPeer::new(service.clone(), address);
            let stop = stop.clone();
            match capacity.admit() {
                Admission::Serve(permit) => {
                    let open = OpenCount::one(&metrics.connections_open);
                    let connection =
                        connection::run(stream, service, stop, terms.clone(), Some(permit));
                    open_connections.spawn(async move {
                        connection.await;
                        drop(open);
                    });
                }
                Admission::Refuse(refusal) => {
                    log_full(capacity.connections());
                    open_connections.spawn(async move {
                        refuse(stream, service, stop).await;
                        drop(refusal);
                    });
                }
                Admission::Drop => log_full(capacity.connections()),
            }
        }
    };
    let failed = tokio::select! {
        biased;
        ended = driver.ended() => ended,
        () = accepting => Ok(()),
    };
    // A core without a shard is of no use. All cores stop.
    if failed.is_err() {
        drain.cancel();
    }
    connections.close();
    let deadline = Instant::now() + DRAIN_TIME_MAX;
    if timeout_at(deadline, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "closing connections that did not finish");
        aborted.cancel();
        connections.wait().await;
    }
    // Readers come from connections, so no more will arrive.
    shard.close();
    if timeout_at(deadline, driver.ended()).await.is_err() {
        // Dropping the driver closes them.
        tracing::warn!("closing streams that did not finish");
    }
    failed
}

/// The cores that are being set up. A core that cannot be set up stops all cores before a client has
/// connected to one of them.
struct Starting {
    /// Number of cores that are not set up yet.
    left: watch::Sender<usize>,
    /// The connections that all cores together may have.
    capacity: Arc<Capacity>,
}

impl Starting {
    fn of(cores: NonZero<usize>, capacity: Arc<Capacity>) -> Starting {
        Starting { left: watch::Sender::new(cores.get()), capacity }
    }

    /// Reports that a core is set up, and waits for all others or for the stop of the server.
    async fn wait_for_all(&self, drain: &CancellationToken) {
        self.left.send_modify(|left| *left = left.saturating_sub(1));
        let mut left = self.left.subscribe();
        tokio::select! {
            // The sender lives as long as `self`, so this is no error.
            _ = left.wait_for(|left| *left == 0) => {}
            () = drain.cancelled() => {}
        }
    }
}

/// Returns the next connection for a core, or `None` when the server stops. While the shard of the core
/// is down, other cores accept, if there are any.
async fn accept_for(
    shard: &ShardHandle,
    stentor: &Stentor,
    capacity: &Capacity,
    listener: &mut Listener,
) -> Option<(LazyStream, IpAddr)> {
    loop {
        while capacity.is_exhausted() {
            log_full(capacity.connections());
            if !pause(stentor.drain()).await {
                return None;
            }
        }
        if stentor.shards().running().iter().any(|other| other.is_up()) {
            tokio::select! {
                () = shard.not_down() => {}
                () = stentor.drain().cancelled() => return None,
            }
        }
        tokio::select! {
            biased;
            // It fails while no client connects.
            () = shard.failed(), if shard.runs() => {}
            accepted = accept(listener, stentor.drain()) => return accepted,
        }
    }
}

/// Returns the next connection, or `None` when the server stops.
async fn accept(
    listener: &mut Listener,
    drain: &CancellationToken,
) -> Option<(LazyStream, IpAddr)> {
    loop {
        let accepted = tokio::select! {
            biased;
            () = drain.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => return Some((LazyStream::new(stream), address.ip())),
            // The client disconnected before it was accepted.
            Err(error) if is_client_error(&error) => {}
            Err(error) => {
                log_accept_error(&error);
                if !pause(drain).await {
                    return None;
                }
            }
        }
    }
}

/// Waits for [`ACCEPT_PAUSE`]. Returns `false` when the server stops.
async fn pause(drain: &CancellationToken) -> bool {
    tokio::select! {
        () = drain.cancelled() => false,
        () = sleep(ACCEPT_PAUSE) => true,
    }
}

fn is_client_error(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted | Kind::ConnectionReset | Kind::ConnectionRefused
    )
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use stentor_hub::{Consumer, Hub};
    use tokio::time::timeout;

    use super::*;
    use crate::metrics::Metrics;

    fn starting(cores: usize) -> Starting {
        Starting::of(NonZero::new(cores).unwrap(), Capacity::new(None, &Metrics::default()))
    }

    #[test]
    fn no_core_accepts_before_all_are_set_up() {
        let (starting, drain) = (starting(3), CancellationToken::new());
        let mut first = Box::pin(starting.wait_for_all(&drain));
        let mut second = Box::pin(starting.wait_for_all(&drain));
        assert_eq!((first.as_mut().now_or_never(), second.as_mut().now_or_never()), (None, None));
        assert_eq!(starting.wait_for_all(&drain).now_or_never(), Some(()));
        assert_eq!((first.now_or_never(), second.now_or_never()), (Some(()), Some(())));
    }

    #[tokio::test]
    async fn a_core_whose_shard_fails_while_it_waits_leaves_the_next_client_to_another_core() {
        let stentor = Stentor::new(Hub::memory());
        let [own, other] =
            [(), ()].map(|()| Driver::new(stentor.metrics().clone()).unwrap().handle());
        other.up(Consumer::new());
        own.up(Consumer::new());
        stentor.shards().add(Place::current().unwrap(), &other.clone().into_shard());
        let capacity = Capacity::new(None, stentor.metrics());
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let mut listener = Listener::new(listener).unwrap();
        let mut accepting = Box::pin(accept_for(&own, &stentor, &capacity, &mut listener));
        assert!(accepting.as_mut().now_or_never().is_none(), "no client");
        own.fail();
        let _client = std::net::TcpStream::connect(address).unwrap();
        for _ in 0..100 {
            tokio::task::yield_now().await;
            assert!(accepting.as_mut().now_or_never().is_none(), "its shard is down");
        }
        own.up(Consumer::new());
        timeout(Duration::from_secs(30), accepting).await.unwrap().expect("the client");
    }

    #[test]
    fn a_core_does_not_wait_for_one_that_cannot_be_set_up() {
        let (starting, drain) = (starting(2), CancellationToken::new());
        let mut first = Box::pin(starting.wait_for_all(&drain));
        assert_eq!(first.as_mut().now_or_never(), None);
        drain.cancel();
        assert_eq!(first.now_or_never(), Some(()));
    }
}
