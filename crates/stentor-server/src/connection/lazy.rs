//! A connection that tokio learns of when it first has to wait.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream as StdStream};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop;

/// The most that is read at once as long as tokio does not know of the connection.
const FIRST_READ: usize = 4 << 10;

/// A stream that is read and written at once, and registered with tokio only when that would block. In a
/// storm of readers the request is there when the connection is accepted, and the socket goes on to a
/// shard: registering it and taking it out again would cost two system calls.
#[derive(Debug)]
pub(crate) struct LazyStream(State);

#[derive(Debug)]
enum State {
    Unknown(StdStream),
    Known(TcpStream),
    /// Registering it failed.
    Lost,
}

impl LazyStream {
    /// A connection that does not block.
    pub(crate) fn new(stream: StdStream) -> LazyStream {
        LazyStream(State::Unknown(stream))
    }

    /// The bare socket, which does not block.
    pub(crate) fn into_std(self) -> io::Result<StdStream> {
        match self.0 {
            State::Unknown(stream) => Ok(stream),
            State::Known(stream) => stream.into_std(),
            State::Lost => Err(lost()),
        }
    }

    /// Tries something on a stream that tokio does not know; `None` if it would have to wait, or if
    /// tokio knows it. A task that never has to wait gives others their turn all the same.
    fn at_once<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut attempt: impl FnMut(&mut &StdStream) -> io::Result<T>,
    ) -> Poll<Option<io::Result<T>>> {
        let State::Unknown(stream) = &self.0 else { return Poll::Ready(None) };
        let turn = ready!(coop::poll_proceed(cx));
        loop {
            match attempt(&mut &*stream) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Poll::Ready(None);
                }
                result => {
                    turn.made_progress();
                    return Poll::Ready(Some(result));
                }
            }
        }
    }

    /// The stream as tokio knows it.
    fn known(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        if matches!(self.0, State::Unknown(_))
            && let State::Unknown(stream) = std::mem::replace(&mut self.0, State::Lost)
        {
            self.0 = State::Known(TcpStream::from_std(stream)?);
        }
        match &mut self.0 {
            State::Known(stream) => Ok(Pin::new(stream)),
            State::Unknown(_) | State::Lost => Err(lost()),
        }
    }
}

fn lost() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the connection could not be waited for")
}

#[cfg(test)]
impl From<TcpStream> for LazyStream {
    fn from(stream: TcpStream) -> LazyStream {
        LazyStream(State::Known(stream))
    }
}

impl AsyncRead for LazyStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = into.remaining().min(FIRST_READ);
        let read = self.at_once(cx, |stream| stream.read(into.initialize_unfilled_to(room)));
        match ready!(read) {
            Some(read) => Poll::Ready(read.map(|count| into.advance(count))),
            None => self.known()?.poll_read(cx, into),
        }
    }
}

impl AsyncWrite for LazyStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match ready!(self.at_once(cx, |stream| stream.write(bytes))) {
            Some(written) => Poll::Ready(written),
            None => self.known()?.poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match ready!(self.at_once(cx, |stream| stream.write_vectored(pieces))) {
            Some(written) => Poll::Ready(written),
            None => self.known()?.poll_write_vectored(cx, pieces),
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
            State::Unknown(stream) => Poll::Ready(stream.shutdown(Shutdown::Write)),
            State::Known(_) | State::Lost => self.known()?.poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A client that blocks, and our end of its connection.
    fn pair() -> (StdStream, LazyStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = StdStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        (client, LazyStream::new(stream))
    }

    fn is_known(stream: &LazyStream) -> bool {
        matches!(stream.0, State::Known(_))
    }

    #[tokio::test]
    async fn what_is_there_is_read_and_answered_without_a_word_to_tokio() {
        let (mut client, mut stream) = pair();
        client.write_all(b"hello").unwrap();
        let mut request = [0; 5];
        stream.read_exact(&mut request).await.unwrap();
        assert_eq!(&request, b"hello");
        stream.write_all(b"welcome").await.unwrap();
        stream.shutdown().await.unwrap();
        assert!(!is_known(&stream));
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "welcome");
    }

    #[tokio::test]
    async fn what_is_not_there_yet_is_waited_for() {
        let (mut client, mut stream) = pair();
        let reading = async {
            let mut request = String::new();
            stream.read_to_string(&mut request).await.unwrap();
            (request, stream)
        };
        let writing = async {
            // The reader has had its turn and waits.
            client.write_all(b"late").unwrap();
            drop(client);
        };
        let ((request, stream), ()) = tokio::join!(reading, writing);
        assert_eq!(request, "late");
        assert!(is_known(&stream));
    }

    #[tokio::test]
    async fn a_client_that_never_keeps_us_waiting_does_not_keep_others_waiting() {
        const BYTES: usize = 1_000;
        let (mut client, mut stream) = pair();
        client.write_all(&[b'x'; BYTES]).unwrap();
        let other = tokio::spawn(async {});
        for _ in 0..BYTES {
            stream.read_u8().await.unwrap();
        }
        assert!(!is_known(&stream) && other.is_finished());
    }

    #[tokio::test]
    async fn a_large_answer_is_written_as_fast_as_it_is_read() {
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
    async fn the_bare_socket_can_be_had_before_and_after() {
        for waits in [false, true] {
            let (mut client, mut stream) = pair();
            if waits {
                let nothing = tokio::time::timeout(std::time::Duration::ZERO, stream.read_u8());
                assert!(nothing.await.is_err());
            }
            assert_eq!(is_known(&stream), waits);
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
