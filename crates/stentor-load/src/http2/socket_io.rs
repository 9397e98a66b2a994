//! A mio socket as tokio's `AsyncRead` and `AsyncWrite`.

use std::io::{self, ErrorKind, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http::socket::{Socket, is_not_ready};

const NOT_HTTP2: &str =
    "the server answered with HTTP/1.1; it does not support HTTP/2 here, so leave out --http2";
const SILENT: &str =
    "the connection was closed without a response; does the server support HTTP/2 on this port?";

/// The socket of an HTTP/2 connection. It registers no wakers: after [`Readiness::set_ready`] the connection is polled.
pub(crate) struct SocketIo {
    socket: Socket,
    readiness: Readiness,
    has_read: bool,
}

/// Readiness and traffic of a socket, shared with its connection.
#[derive(Clone, Default)]
pub(crate) struct Readiness(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// `true` until a read has emptied the socket.
    may_read: AtomicBool,
    /// `true` if the server has closed its side. A short read is then not the last one.
    is_closed: AtomicBool,
    reads: AtomicU64,
    bytes: AtomicU64,
}

impl Readiness {
    pub(crate) fn set_ready(&self, is_closed: bool) {
        self.0.may_read.store(true, Relaxed);
        if is_closed {
            self.0.is_closed.store(true, Relaxed);
        }
    }

    /// Number of reads that returned bytes, and of these bytes, since the last call.
    pub(crate) fn take_traffic(&self) -> (u64, u64) {
        (self.0.reads.swap(0, Relaxed), self.0.bytes.swap(0, Relaxed))
    }
}

impl SocketIo {
    pub(crate) fn new(socket: Socket, readiness: Readiness) -> SocketIo {
        SocketIo { socket, readiness, has_read: false }
    }

    /// Checks the first bytes that the server sends. They are a SETTINGS frame.
    fn check_first(&mut self, bytes: &[u8]) -> io::Result<()> {
        if std::mem::replace(&mut self.has_read, true) {
            return Ok(());
        }
        if bytes.is_empty() {
            return Err(io::Error::other(SILENT));
        }
        if bytes.starts_with(b"HTTP/") {
            return Err(io::Error::other(NOT_HTTP2));
        }
        Ok(())
    }
}

impl AsyncRead for SocketIo {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let it = self.get_mut();
        let shared = it.readiness.0.clone();
        loop {
            if !shared.may_read.load(Relaxed) {
                return Poll::Pending;
            }
            let space = buffer.initialize_unfilled();
            let room = space.len();
            match it.socket.read(space) {
                Ok(count) => {
                    it.check_first(space.get(..count).unwrap_or_default())?;
                    shared.reads.fetch_add(u64::from(count > 0), Relaxed);
                    shared.bytes.fetch_add(count as u64, Relaxed);
                    let is_short = count < room && it.socket.is_drained_by_a_short_read();
                    if is_short && !shared.is_closed.load(Relaxed) {
                        shared.may_read.store(false, Relaxed);
                    }
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if is_not_ready(&error) => shared.may_read.store(false, Relaxed),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset && !it.has_read => {
                    return Poll::Ready(Err(io::Error::other(SILENT)));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for SocketIo {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let it = self.get_mut();
        poll(|| it.socket.write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let it = self.get_mut();
        poll(|| it.socket.flush())
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn poll<T>(mut operation: impl FnMut() -> io::Result<T>) -> Poll<io::Result<T>> {
    loop {
        match operation() {
            Err(error) if is_not_ready(&error) => return Poll::Pending,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return Poll::Ready(result),
        }
    }
}
