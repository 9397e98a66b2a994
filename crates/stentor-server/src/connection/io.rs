//! The socket of a connection, as hyper sees it: with the bytes that were read before hyper started,
//! and with a timeout for stalled output.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::head_timer::HeadTimer;
use super::lazy::LazyStream;
use super::takeover::Takeover;
use crate::limits::{LINGER_TIME_MAX, PIECE_BYTES_MAX, STALL_TIME_MAX};

/// A socket whose first bytes were read to detect the protocol.
pub(crate) struct Io {
    stream: LazyStream,
    /// Bytes that were read and that hyper has not seen yet.
    prefix: Bytes,
    /// Runs from the first write that waits for room until all output is written, or [`PIECE_BYTES_MAX`] of it.
    stall: Option<Pin<Box<Sleep>>>,
    /// Bytes written since `stall` was started.
    progress: usize,
    takeover: Takeover,
    timer: HeadTimer,
    /// `true` once the sending side is shut down.
    is_shut: bool,
}

impl Io {
    pub(crate) fn new(
        stream: LazyStream,
        prefix: Bytes,
        takeover: Takeover,
        timer: HeadTimer,
    ) -> Io {
        Io { stream, prefix, stall: None, progress: 0, takeover, timer, is_shut: false }
    }

    /// Returns the bare socket, in non-blocking mode. The bytes that were read from it are lost.
    pub(crate) fn into_std(self) -> io::Result<std::net::TcpStream> {
        self.stream.into_std()
    }

    /// Closes the connection after its last byte was written. The sending side is shut down, if hyper
    /// has not done that, and at most `bytes_max` of input are discarded for a bounded time.
    pub(crate) async fn linger(mut self, bytes_max: usize) {
        use tokio::io::AsyncWriteExt;
        let drained = timeout(LINGER_TIME_MAX, async {
            if !self.is_shut {
                self.stream.shutdown().await?;
            }
            let mut scratch = [0; 4096];
            let mut left = bytes_max;
            loop {
                match self.stream.read(&mut scratch).await? {
                    0 => return io::Result::Ok(()),
                    bytes if bytes > left => return Ok(()),
                    bytes => left -= bytes,
                }
            }
        });
        // The connection is closed in either case.
        let _ = drained.await;
    }

    /// Applies the timeout for stalled output to a write.
    fn watch(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = &written {
            if self.stall.is_some() {
                self.takeover.set_unflushed(false);
                self.progress += result.as_ref().copied().unwrap_or_default();
                if self.progress >= PIECE_BYTES_MAX {
                    self.end_stall();
                }
            }
            return written;
        }
        self.takeover.set_unflushed(true);
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(STALL_TIME_MAX)));
        ready!(stall.as_mut().poll(cx));
        // A completed timer must not be polled again.
        stall.as_mut().reset(Instant::now() + STALL_TIME_MAX);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client stopped reading")))
    }

    fn end_stall(&mut self) {
        self.stall = None;
        self.progress = 0;
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.takeover.is_pending() {
            // The socket is taken over in this poll, so no wake-up is needed.
            return Poll::Pending;
        }
        if self.prefix.is_empty() {
            let filled = into.filled().len();
            let read = Pin::new(&mut self.stream).poll_read(cx, into);
            if into.filled().len() > filled {
                self.timer.note_input();
            }
            return read;
        }
        self.timer.note_input();
        let bytes = self.prefix.len().min(into.remaining());
        into.put_slice(self.prefix.get(..bytes).unwrap_or_default());
        self.prefix.advance(bytes);
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
        // `write` is cheaper in the kernel than `writev`. h2 copies small frames into one piece.
        let mut filled = pieces.iter().filter(|piece| !piece.is_empty());
        if let (Some(piece), None) = (filled.next(), filled.next()) {
            return self.poll_write(cx, piece);
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper does not read during a response, because clients may half-close. It flushes whenever it
        // has nothing to write.
        if self.takeover.is_streaming()
            && let Poll::Ready(closed) = self.stream.poll_half_closed(cx)
        {
            closed?;
            self.takeover.half_close();
        }
        // All output is written.
        self.end_stall();
        self.takeover.release_pieces();
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        self.is_shut = true;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_stops_reading_is_disconnected() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let mut io =
            Io::new(stream.into(), Bytes::new(), Takeover::default(), HeadTimer::default());
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
    async fn the_prefix_is_read_first() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        client.write_all(b" world").await.unwrap();
        drop(client);
        let mut text = String::new();
        let prefix = Bytes::from_static(b"hello");
        Io::new(stream.into(), prefix, Takeover::default(), HeadTimer::default())
            .read_to_string(&mut text)
            .await
            .unwrap();
        assert_eq!(text, "hello world");
    }
}
