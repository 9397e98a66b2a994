//! Each task of a driver is killed once: what readers see, what readiness says, and that it recovers.

use std::io;
use std::net::{SocketAddr, TcpStream as StdTcpStream};
use std::time::Duration;

use futures_util::FutureExt;
use stentor_hub::{Filters, Hub, Start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::handle::Kill;
use super::{Driver, RESTARTS_MAX, ShardHandle};
use crate::context::Stentor;
use crate::metrics::Metrics;
use crate::serve::{bind, serve};
use crate::shard::{Arrival, Connection, Trust};
use crate::stream::options::StreamOptions;
use crate::stream::session::Session;

/// A test that takes longer hangs.
const HANG: Duration = Duration::from_secs(30);

impl Kill {
    pub(super) fn act(self, watchers: &mut JoinSet<()>) -> io::Result<()> {
        match self {
            Kill::Panic => panic!("a test kills the shard"),
            Kill::Error => Err(io::Error::other("a test fails the shard")),
            Kill::Watchers => {
                watchers.abort_all();
                Ok(())
            }
        }
    }
}

/// A server on a runtime of the test.
struct Server {
    stentor: Stentor,
    address: SocketAddr,
    task: tokio::task::JoinHandle<io::Result<()>>,
}

impl Server {
    fn start() -> Server {
        let stentor = Stentor::new(Hub::memory());
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(serve(listener, stentor.clone(), stentor.clone()));
        Server { stentor, address, task }
    }

    fn shard(&self) -> ShardHandle {
        let shard = self.stentor.shards().running().pop().expect("a shard");
        ShardHandle::of(shard).unwrap()
    }

    fn is_up(&self) -> bool {
        self.stentor.shards().running().iter().all(|shard| shard.is_up())
    }

    /// Sends a request and returns the connection.
    async fn request(&self, target: &str) -> TcpStream {
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        connection
    }

    /// Opens a stream of the topic `news`, and waits for its position.
    async fn open(&self) -> TcpStream {
        let mut stream = self.request("/topics/news").await;
        read_until(&mut stream, "stentor.cursor").await;
        stream
    }

    /// The status and the body of `/health/ready`.
    async fn ready(&self) -> String {
        let mut connection = self.request("/health/ready").await;
        connection.shutdown().await.unwrap();
        read_to_end(&mut connection).await
    }

    async fn publish(&self, data: &str) {
        self.stentor.hub().send(&"news".parse().unwrap(), data).await.unwrap();
    }

    fn restarts(&self) -> String {
        let text = self.stentor.metrics().to_text(self.stentor.hub());
        let line = text.lines().find(|line| line.contains("{task=\"shard\"}")).unwrap_or_default();
        line.rsplit(' ').next().unwrap_or_default().to_owned()
    }

    async fn wait_until_up(&self) {
        let waits = async {
            while !self.is_up() {
                tokio::task::yield_now().await;
            }
        };
        timeout(HANG, waits).await.expect("the shard is started again");
    }

    async fn wait_until_down(&self) {
        let waits = async {
            while self.is_up() {
                tokio::task::yield_now().await;
            }
        };
        timeout(HANG, waits).await.expect("the shard is down");
    }
}

async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut read = Vec::new();
    let reads = async {
        while !String::from_utf8_lossy(&read).contains(text) {
            assert!(stream.read_buf(&mut read).await.unwrap() > 0, "the stream ended");
        }
    };
    timeout(HANG, reads).await.unwrap_or_else(|_| panic!("no {text:?} arrives"));
    String::from_utf8(read).unwrap()
}

/// Reads to the end or to a reset.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let _ = timeout(HANG, stream.read_to_end(&mut read)).await.expect("the stream ends");
    String::from_utf8(read).unwrap()
}

#[tokio::test]
async fn a_shard_that_panics_or_fails_is_started_again() {
    for kill in [Kill::Panic, Kill::Error] {
        let server = Server::start();
        let mut stream = server.open().await;
        server.shard().kill(kill);
        // Readers: the connection is closed without an end of the stream, so they reconnect.
        let rest = read_to_end(&mut stream).await;
        assert!(!rest.contains("0\r\n\r\n"), "{kill:?}: {rest}");
        // While it is down, no stream waits for it: each is asked to reconnect.
        assert!(!server.is_up());
        let ready = server.ready().await;
        assert!(ready.starts_with("HTTP/1.1 503"), "{kill:?}: {ready}");
        assert!(ready.contains("shard"), "{kill:?}: {ready}");
        let refused = read_to_end(&mut server.request("/topics/news").await).await;
        assert!(refused.contains("retry: ") && refused.ends_with("0\r\n\r\n"), "{refused}");
        // It recovers.
        server.wait_until_up().await;
        assert_eq!(server.restarts(), "1");
        assert!(server.ready().await.starts_with("HTTP/1.1 200"));
        let mut again = server.open().await;
        server.publish("after").await;
        read_until(&mut again, "data: after").await;
        let metrics = server.stentor.metrics();
        assert_eq!(metrics.streams_open.get(), 1, "{kill:?}");
        server.stentor.drain().cancel();
        timeout(HANG, server.task).await.unwrap().unwrap().unwrap();
        assert_eq!(metrics.connections_open.get(), 0, "{kill:?}");
        assert_eq!(metrics.reader_bytes.get(), 0, "{kill:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_with_a_thread_of_its_own_is_started_again() {
    let server = Server::start();
    let mut stream = server.open().await;
    server.shard().kill(Kill::Panic);
    read_to_end(&mut stream).await;
    server.wait_until_up().await;
    server.open().await;
    server.stentor.drain().cancel();
    timeout(HANG, server.task).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_shard_that_fails_again_and_again_stops_the_server_with_an_error() {
    let server = Server::start();
    server.open().await;
    for _ in 0..RESTARTS_MAX {
        server.shard().kill(Kill::Panic);
        server.wait_until_down().await;
        server.wait_until_up().await;
    }
    server.shard().kill(Kill::Panic);
    let error = timeout(HANG, server.task).await.unwrap().unwrap().unwrap_err();
    assert!(error.to_string().contains("shard"), "{error}");
    assert!(server.stentor.is_draining(), "the other cores stop too");
}

#[tokio::test]
async fn a_server_stops_while_a_shard_is_down() {
    let server = Server::start();
    server.open().await;
    server.shard().kill(Kill::Error);
    server.wait_until_down().await;
    server.stentor.drain().cancel();
    timeout(HANG, server.task).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn streams_are_drained_also_after_the_task_that_waits_for_it_was_killed() {
    let server = Server::start();
    let mut stream = server.open().await;
    server.shard().kill(Kill::Watchers);
    // Another turn, in which the shard learns of it.
    server.open().await;
    server.stentor.drain().cancel();
    let rest = read_to_end(&mut stream).await;
    assert!(rest.contains("retry: ") && rest.ends_with("0\r\n\r\n"), "{rest}");
    timeout(HANG, server.task).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_server_that_is_dropped_closes_its_streams() {
    let server = Server::start();
    let mut stream = server.open().await;
    server.task.abort();
    read_to_end(&mut stream).await;
}

/// A stream of a service, with a socket whose other end the client has.
async fn arrival(stentor: &Stentor) -> (Box<Arrival<Connection>>, TcpStream) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (socket, _) = listener.accept().await.unwrap();
    let socket: StdTcpStream = socket.into_std().unwrap();
    let filters = Filters::new(["news".parse().unwrap()]).unwrap();
    let options = StreamOptions::new(http::Version::HTTP_11);
    let mut response = stentor.stream(filters, Start::Now, options).await.unwrap();
    let taken = Arrival::take(&mut response, http::Version::HTTP_11, Trust::Types).unwrap();
    (Box::new(taken.with_transport(Connection::Tcp(socket, None))), client)
}

#[tokio::test]
async fn a_service_whose_readers_have_left_is_freed() {
    let own = Stentor::new(Hub::memory());
    let driver = Driver::new(own.metrics().clone()).unwrap();
    let handle = driver.handle();
    let running = driver.start(&own).unwrap();
    let other = Stentor::new(Hub::memory());
    let weak = other.downgrade();
    let (first, mut client) = arrival(&other).await;
    handle.adopt(first).unwrap();
    read_until(&mut client, "stentor.cursor").await;
    drop(other);
    assert!(!weak.is_gone(), "it has a reader");
    drop(client);
    let freed = async {
        while !weak.is_gone() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::pause();
    timeout(HANG, freed).await.expect("nothing keeps the service");
    drop(running);
}

#[tokio::test]
async fn a_shard_that_hangs_refuses_readers_and_holds_a_bounded_number() {
    let stentor = Stentor::new(Hub::memory());
    let driver = Driver::new(stentor.metrics().clone()).unwrap();
    // It is not started, so it takes no messages.
    let handle = driver.handle();
    let mut refused = None;
    for _ in 0..=super::handle::ARRIVALS_MAX {
        let filters = Filters::new(["news".parse().unwrap()]).unwrap();
        let options = StreamOptions::new(http::Version::HTTP_11);
        let mut response = stentor.stream(filters, Start::Now, options).await.unwrap();
        let taken = Arrival::take(&mut response, http::Version::HTTP_11, Trust::Types).unwrap();
        let (writer, reader) = crate::shard::pipe::pipe(stentor.metrics().reader_bytes.clone());
        let arrival = Box::new(taken.with_transport(Connection::Pipe(writer)));
        if let Err(arrival) = handle.adopt(arrival) {
            refused = Some((arrival, reader));
            break;
        }
    }
    let (arrival, mut reader) = refused.expect("the inbox has a bound");
    arrival.refuse();
    let text = std::future::poll_fn(|cx| reader.poll_take(cx)).await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&text).contains("retry: "), "it is asked to reconnect");
    let open = stentor.metrics().streams_open.get();
    assert_eq!(usize::try_from(open).unwrap(), super::handle::ARRIVALS_MAX);
    drop(driver);
    drop(handle);
    assert_eq!(stentor.metrics().streams_open.get(), 0);
}

#[tokio::test]
async fn readiness_asks_a_shard_for_a_turn() {
    let stentor = Stentor::new(Hub::memory());
    let driver = Driver::new(stentor.metrics().clone()).unwrap();
    let shard = driver.handle().into_shard();
    stentor.shards().add(driver.place.unwrap(), &shard);
    tokio::time::pause();
    let problem = crate::routes::health::ready(&stentor).await.unwrap_err();
    assert!(format!("{problem:?}").contains("shard"), "{problem:?}");
    tokio::time::resume();
    let running = driver.start(&stentor).unwrap();
    assert!(crate::routes::health::ready(&stentor).await.is_ok());
    drop(running);
}

#[tokio::test]
async fn a_check_of_a_shard_that_ends_does_not_wait_for_its_turn() {
    let driver = Driver::new(Metrics::default()).unwrap();
    let handle = driver.handle();
    let shard = handle.clone().into_shard();
    let asked_before = shard.turned();
    assert!(handle.end());
    assert!(asked_before.now_or_never().is_some());
    assert!(shard.turned().now_or_never().is_some());
}

#[tokio::test]
async fn a_key_that_is_closed_again_and_again_takes_one_place_in_the_inbox() {
    let stentor = Stentor::new(Hub::memory());
    let session = stentor.keys().open(Session::new().with_key("ann")).unwrap();
    let driver = Driver::new(stentor.metrics().clone()).unwrap();
    let (handle, mut messages) = (driver.handle(), Vec::new());
    stentor.shards().add(driver.place.unwrap(), &handle.clone().into_shard());
    for _ in 0..2 {
        for _ in 0..1_000 {
            stentor.close_streams("ann");
        }
        messages.clear();
        handle.take(&mut messages);
        assert_eq!(messages.len(), 1);
    }
    drop(session);
}
