//! A bridge that lets a client of HTTP/1.1 use a server over HTTP/2.

use std::net::SocketAddr;
use std::thread::JoinHandle;

use http::header::{CONNECTION, HOST};
use http::{HeaderValue, Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// Accepts HTTP/1.1, and forwards each request over an HTTP/2 connection of its own. Bodies pass
/// unchanged, piece by piece.
///
/// It runs in a thread of its own, so that dropping it closes all its connections.
pub(super) struct Http2Bridge {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

impl Http2Bridge {
    /// Starts a bridge to the server at this address.
    pub(super) fn start(server: SocketAddr) -> Http2Bridge {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, server) => {}
                    _ = stopped => {}
                }
            });
        });
        Http2Bridge { address, stop: Some(stop), thread: Some(thread) }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Http2Bridge {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Its panic was printed.
            let _ = thread.join();
        }
    }
}

async fn accept(listener: std::net::TcpListener, server: SocketAddr) {
    let listener = TcpListener::from_std(listener).unwrap();
    while let Ok((client, _)) = listener.accept().await {
        client.set_nodelay(true).unwrap();
        let service = service_fn(move |request| forward(server, request));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(client), service));
    }
}

async fn forward(
    server: SocketAddr,
    mut request: Request<Incoming>,
) -> Result<Response<Incoming>, AnyError> {
    let socket = TcpStream::connect(server).await?;
    socket.set_nodelay(true)?;
    // A small window, so that a reader that stops is soon felt by the server.
    let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(32 << 10)
        .handshake(TokioIo::new(socket))
        .await?;
    tokio::spawn(connection);
    let host = request.headers_mut().remove(HOST).ok_or("no host")?;
    let path = request.uri().path_and_query().ok_or("no path")?.clone();
    let uri = Uri::builder().scheme("http").authority(host.as_bytes()).path_and_query(path);
    *request.uri_mut() = uri.build()?;
    let mut response = sender.send_request(request).await?;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(response)
}
