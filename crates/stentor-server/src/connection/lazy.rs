//! A connection that is registered with tokio only when it first has to wait.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream as StdStream};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop;

/// Maximum number of bytes of one read before the connection is registered with tokio.
const FIRST_READ: usize = 4 << 10;

/// A stream that tries each read and write directly, and registers with tokio when one would block.
///
/// When many subscribers connect at once, the request is there when the connection is accepted, and then
/// a shard takes the socket over. Registering and deregistering would cost two system calls.
#[derive(Debug)]
pub(crate) struct LazyStream(State);

#[derive(Debug)]
enum State {
    Unregistered(StdStream),
    Registered(TcpStream),
    /// Registration failed.
    Failed,
}

impl LazyStream {
    /// Wraps a connection in non-blocking mode.
    pub(crate) fn new(stream: StdStream) -> LazyStream {
        LazyStream(State::Unregistered(stream))
    }

    /// Returns the bare socket, in non-blocking mode.
    pub(crate) fn into_std(self) -> io::Result<StdStream> {
        match self.0 {
            State::Unregistered(stream) => Ok(stream),
            State::Registered(stream) => stream.into_std(),
            State::Failed => Err(not_registered()),
        }
    }

    /// Returns `Ready` once the client has closed its sending side, with an error if the connection is
    /// broken. Reads nothing.
    pub(crate) fn poll_half_closed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.registered()?;
        let mut byte = [0; 1];
        match stream.poll_peek(cx, &mut ReadBuf::new(&mut byte)) {
            Poll::Ready(Ok(0)) => Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            // Input after the request hides the end of the input.
            Poll::Ready(Ok(_)) | Poll::Pending => Poll::Pending,
        }
    }

    /// Tries an operation directly. Returns `None` if it would block or if the stream is registered.
    /// It takes part in tokio's cooperative scheduling, so a task that never waits still yields.
    fn try_directly<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut attempt: impl FnMut(&mut &StdStream) -> io::Result<T>,
    ) -> Poll<Option<io::Result<T>>> {
        let State::Unregistered(stream) = &self.0 else { return Poll::Ready(None) };
        let budget = ready!(coop::poll_proceed(cx));
        loop {
            match attempt(&mut &*stream) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Poll::Ready(None);
                }
                result => {
                    budget.made_progress();
                    return Poll::Ready(Some(result));
                }
            }
        }
    }

    /// Returns the stream as tokio knows it, and registers it if necessary.
    fn registered(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        if matches!(self.0, State::Unregistered(_))
            && let State::Unregistered(stream) = std::mem::replace(&mut self.0, State::Failed)
        {
            self.0 = State::Registered(TcpStream::from_std(stream)?);
        }
        match &mut self.0 {
            State::Registered(stream) => Ok(Pin::new(stream)),
            State::Unregistered(_) | State::Failed => Err(not_registered()),
        }
    }
}

fn not_registered() -> io::Error {
    io::Error::new(
        io::ErrorKind::NotConnected,
        "the connection could not be registered with the runtime",
    )
}

#[cfg(test)]
impl From<TcpStream> for LazyStream {
    fn from(stream: TcpStream) -> LazyStream {
        LazyStream(State::Registered(stream))
    }
}

impl AsyncRead for LazyStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = into.remaining().min(FIRST_READ);
        let read = self.try_directly(cx, |stream| stream.read(into.initialize_unfilled_to(room)));
        match ready!(read) {
            Some(read) => Poll::Ready(read.map(|count| into.advance(count))),
            None => self.registered()?.poll_read(cx, into),
        }
    }
}

impl AsyncWrite for LazyStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match ready!(self.try_directly(cx, |stream| stream.write(bytes))) {
            Some(written) => Poll::Ready(written),
            None => self.registered()?.poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match ready!(self.try_directly(cx, |stream| stream.write_vectored(pieces))) {
            Some(written) => Poll::Ready(written),
            None => self.registered()?.poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            State::Unregistered(stream) => Poll::Ready(stream.shutdown(Shutdown::Write)),
            State::Registered(_) | State::Failed => self.registered()?.poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Returns a blocking client and the server's end of its connection.
    fn pair() -> (StdStream, LazyStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = StdStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        (client, LazyStream::new(stream))
    }

    fn is_registered(stream: &LazyStream) -> bool {
        matches!(stream.0, State::Registered(_))
    }

    #[tokio::test]
    async fn a_request_that_is_already_there_is_handled_without_registration() {
        let (mut client, mut stream) = pair();
        client.write_all(b"hello").unwrap();
        let mut request = [0; 5];
        stream.read_exact(&mut request).await.unwrap();
        assert_eq!(&request, b"hello");
        stream.write_all(b"welcome").await.unwrap();
        stream.shutdown().await.unwrap();
        assert!(!is_registered(&stream));
        let mut response = String::new();
        client.read_to_string(&mut response).unwrap();
        assert_eq!(response, "welcome");
    }

    #[tokio::test]
    async fn a_request_that_arrives_later_registers_the_stream() {
        let (mut client, mut stream) = pair();
        let reading = async {
            let mut request = String::new();
            stream.read_to_string(&mut request).await.unwrap();
            (request, stream)
        };
        let writing = async {
            // The other future has been polled and waits.
            client.write_all(b"late").unwrap();
            drop(client);
        };
        let ((request, stream), ()) = tokio::join!(reading, writing);
        assert_eq!(request, "late");
        assert!(is_registered(&stream));
    }

    #[tokio::test]
    async fn a_client_that_never_blocks_does_not_starve_other_tasks() {
        const BYTES: usize = 1_000;
        let (mut client, mut stream) = pair();
        client.write_all(&[b'x'; BYTES]).unwrap();
        let other = tokio::spawn(async {});
        for _ in 0..BYTES {
            stream.read_u8().await.unwrap();
        }
        assert!(!is_registered(&stream) && other.is_finished());
    }

    #[tokio::test]
    async fn a_large_response_is_written_as_fast_as_it_is_read() {
        const BYTES: usize = 8 << 20;
        let (mut client, mut stream) = pair();
        let reading = tokio::task::spawn_blocking(move || {
            let mut all = Vec::new();
            client.read_to_end(&mut all).map(|_| all)
        });
        let pieces: Vec<u8> = (0..251).cycle().take(BYTES).collect();
        stream.write_all(&pieces).await.unwrap();
        stream.shutdown().await.unwrap();
        assert!(reading.await.unwrap().unwrap() == pieces);
    }

    #[tokio::test]
    async fn the_bare_socket_is_available_before_and_after_registration() {
        for waits in [false, true] {
            let (mut client, mut stream) = pair();
            if waits {
                let nothing = tokio::time::timeout(std::time::Duration::ZERO, stream.read_u8());
                assert!(nothing.await.is_err());
            }
            assert_eq!(is_registered(&stream), waits);
            let bare = stream.into_std().unwrap();
            client.write_all(b"x").unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            bare.set_nonblocking(false).unwrap();
            let mut rest = String::new();
            (&bare).read_to_string(&mut rest).unwrap();
            assert_eq!(rest, "x");
        }
    }
}
