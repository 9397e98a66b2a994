//! A listener that storms do not hold up.

use std::io;
use std::net::{TcpListener, TcpStream};

use socket2::SockRef;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::yield_now;

/// Connections that are accepted in a row. Then those that were get their turn, and other cores that
/// listen too. Each takes some 20 KiB until its reader has left hyper, so in small rows a storm needs less
/// memory.
const IN_A_ROW_MAX: usize = 16;

/// Accepts connections without telling tokio of them: that costs a system call, and one whose request
/// comes at once may never need it. See [`LazyStream`](crate::connection::lazy::LazyStream).
#[derive(Debug)]
pub(crate) struct Listener {
    listener: AsyncFd<mio::net::TcpListener>,
    in_a_row: usize,
}

impl Listener {
    /// Listens where this one does.
    pub(crate) fn new(listener: TcpListener) -> io::Result<Listener> {
        // Listeners that are not ours may block, and not set what every connection is to inherit.
        listener.set_nonblocking(true)?;
        let _ = SockRef::from(&listener).set_tcp_nodelay(true);
        let listener = mio::net::TcpListener::from_std(listener);
        #[allow(
            deprecated,
            reason = "unsound only for types whose descriptor is not their own; the other way is unsafe"
        )]
        let listener = AsyncFd::with_interest(listener, Interest::READABLE)?;
        Ok(Listener { listener, in_a_row: 0 })
    }

    /// The next connection. It does not block. The call may be dropped at any time.
    pub(crate) async fn accept(&mut self) -> io::Result<TcpStream> {
        if self.in_a_row == IN_A_ROW_MAX {
            self.in_a_row = 0;
            yield_now().await;
        }
        loop {
            let mut ready = self.listener.readable().await?;
            match ready.try_io(|listener| listener.get_ref().accept()) {
                Ok(accepted) => {
                    self.in_a_row += 1;
                    return accepted.map(|(stream, _)| stream.into());
                }
                Err(_none_left) => self.in_a_row = 0,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn those_who_were_accepted_get_their_turn_during_a_storm() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let storm: Vec<_> =
            (0..2 * IN_A_ROW_MAX).map(|_| TcpStream::connect(address).unwrap()).collect();
        let mut listener = Listener::new(listener).unwrap();
        let turns = Arc::<AtomicUsize>::default();
        let mut accepted = Vec::new();
        for _ in 0..storm.len() {
            accepted.push(listener.accept().await.unwrap());
            if accepted.len() == 1 {
                let turns = Arc::clone(&turns);
                tokio::spawn(async move { turns.fetch_add(1, Ordering::Relaxed) });
            }
        }
        assert_eq!(turns.load(Ordering::Relaxed), 1, "it waited for the end of the storm");
    }

    #[tokio::test]
    async fn a_connection_neither_blocks_nor_holds_back_small_pieces() {
        let blocking = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = blocking.local_addr().unwrap();
        let mut listener = Listener::new(blocking).unwrap();
        let _client = TcpStream::connect(address).unwrap();
        let stream = listener.accept().await.unwrap();
        let error = std::io::Read::read(&mut &stream, &mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(stream.nodelay().unwrap());
    }
}
