//! The socket of a connection: what was read before hyper took over, and an eye on its progress.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::connection::lazy::LazyStream;
use crate::connection::takeover::Takeover;

/// How long output may wait without a byte of progress before the connection is given up. The reader
/// resumes by its last id.
const STALL_MAX: Duration = Duration::from_secs(30);

/// What is still read from a client after a clean close, so that it gets our last bytes and not a reset.
const LINGER_BYTES_MAX: usize = 64 << 10;
const LINGER_TIME_MAX: Duration = Duration::from_secs(1);

/// A socket whose first bytes were read to see which protocol it speaks.
#[derive(Debug)]
pub(crate) struct Io {
    stream: LazyStream,
    /// Bytes that hyper is still to see.
    ahead: Bytes,
    /// Runs while output waits.
    stall: Option<Pin<Box<Sleep>>>,
    takeover: Takeover,
}

impl Io {
    pub(crate) fn new(stream: LazyStream, ahead: Bytes, takeover: Takeover) -> Io {
        Io { stream, ahead, stall: None, takeover }
    }

    /// The bare socket, which does not block. What was read of it is lost.
    pub(crate) fn into_std(self) -> io::Result<std::net::TcpStream> {
        self.stream.into_std()
    }

    /// Ends the connection once all was written: our side is shut, and what the client still sends is
    /// read for a moment.
    pub(crate) async fn linger(mut self) {
        use tokio::io::AsyncWriteExt;
        let drained = timeout(LINGER_TIME_MAX, async {
            self.stream.shutdown().await?;
            let mut scratch = [0; 4096];
            let mut left = LINGER_BYTES_MAX;
            loop {
                match self.stream.read(&mut scratch).await? {
                    0 => return io::Result::Ok(()),
                    bytes if bytes > left => return Ok(()),
                    bytes => left -= bytes,
                }
            }
        });
        // However that went, the connection is over.
        let _ = drained.await;
    }

    /// Watches a write: one that waits too long without progress is an error.
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            if self.stall.take().is_some() {
                self.takeover.set_unflushed(false);
            }
            return written;
        }
        self.takeover.set_unflushed(true);
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(STALL_MAX)));
        ready!(stall.as_mut().poll(cx));
        // Asked again, it shall not claim to have been completed.
        stall.as_mut().reset(Instant::now() + STALL_MAX);
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client reads nothing any more",
        )))
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.takeover.is_pending() {
            // In this very poll the socket is taken, so nobody waits for a wake-up.
            return Poll::Pending;
        }
        if self.ahead.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, into);
        }
        let bytes = self.ahead.len().min(into.remaining());
        into.put_slice(self.ahead.get(..bytes).unwrap_or_default());
        self.ahead.advance(bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let mut io = Io::new(stream.into(), Bytes::new(), Takeover::default());
        let piece = vec![0; 64 << 10];
        let error = loop {
            if let Err(error) = io.write_all(&piece).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(client);
    }

    #[tokio::test]
    async fn what_was_read_ahead_comes_first() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        client.write_all(b" world").await.unwrap();
        drop(client);
        let mut text = String::new();
        Io::new(stream.into(), Bytes::from_static(b"hello"), Takeover::default())
            .read_to_string(&mut text)
            .await
            .unwrap();
        assert_eq!(text, "hello world");
    }
}
