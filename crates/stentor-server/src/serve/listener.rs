//! A listener that stays responsive when many clients connect at once.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};

use socket2::SockRef;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::yield_now;

/// Maximum number of connections that are accepted in a row. Then the task yields, so that the accepted
/// ones and the other cores run. A connection takes about 20 KiB until its socket is taken over from
/// hyper, so short rows also bound the memory of a connection storm.
const IN_A_ROW_MAX: usize = 16;

/// Accepts connections without registering them with tokio. Registering costs a system call, which a
/// connection whose request arrives at once never needs. See
/// [`LazyStream`](crate::connection::lazy::LazyStream).
#[derive(Debug)]
pub(crate) struct Listener {
    listener: AsyncFd<mio::net::TcpListener>,
    in_a_row: usize,
}

impl Listener {
    /// Accepts from this listener.
    pub(crate) fn new(listener: TcpListener) -> io::Result<Listener> {
        // A listener that `bind` did not open may block and lack the options that connections inherit.
        listener.set_nonblocking(true)?;
        let _ = SockRef::from(&listener).set_tcp_nodelay(true);
        let listener = mio::net::TcpListener::from_std(listener);
        #[allow(
            deprecated,
            reason = "unsound only for types that do not own their descriptor; the replacement is unsafe"
        )]
        let listener = AsyncFd::with_interest(listener, Interest::READABLE)?;
        Ok(Listener { listener, in_a_row: 0 })
    }

    /// Returns the next connection, in non-blocking mode, and the address of its client. Cancel safe.
    pub(crate) async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        if self.in_a_row == IN_A_ROW_MAX {
            self.in_a_row = 0;
            yield_now().await;
        }
        loop {
            let mut ready = self.listener.readable().await?;
            match ready.try_io(|listener| listener.get_ref().accept()) {
                Ok(accepted) => {
                    self.in_a_row += 1;
                    return accepted.map(|(stream, address)| (stream.into(), address));
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
    async fn accepted_connections_run_during_a_connection_storm() {
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
        assert_eq!(
            turns.load(Ordering::Relaxed),
            1,
            "the task ran only after all connections were accepted"
        );
    }

    #[tokio::test]
    async fn an_accepted_connection_is_non_blocking_and_sends_small_pieces_at_once() {
        let blocking = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = blocking.local_addr().unwrap();
        let mut listener = Listener::new(blocking).unwrap();
        let _client = TcpStream::connect(address).unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let error = std::io::Read::read(&mut &stream, &mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(stream.nodelay().unwrap());
    }
}
