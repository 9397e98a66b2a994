//! The sockets that a shard writes to.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

/// A non-blocking socket: plain TCP, or another implementation, for example with encryption.
pub trait Socket {
    /// Writes as much of `bytes` as there is room for, and returns the number of bytes written.
    ///
    /// # Errors
    ///
    /// Returns [`io::ErrorKind::WouldBlock`] if there is no room, and any other error if the connection
    /// is broken.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Writes as much of `pieces` as there is room for. Otherwise like [`Socket::write`].
    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Reads input. Returns 0 if the client has closed its side.
    ///
    /// # Errors
    ///
    /// Returns [`io::ErrorKind::WouldBlock`] if there is no input, and any other error if the connection
    /// is broken.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize>;

    /// Shuts down the sending side.
    ///
    /// # Errors
    ///
    /// Returns an error if the connection is broken.
    fn finish(&mut self) -> io::Result<()>;

    /// Registers for events with this token and interest. `is_registered` is `true` if the socket was
    /// registered before.
    ///
    /// # Errors
    ///
    /// Returns an error if the system refuses the registration.
    fn watch(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
        is_registered: bool,
    ) -> io::Result<()>;
}

impl Socket for TcpStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(self, bytes)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        Write::write_vectored(self, pieces)
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        Read::read(self, into)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn watch(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
        is_registered: bool,
    ) -> io::Result<()> {
        let fd = self.as_raw_fd();
        let mut source = SourceFd(&fd);
        if is_registered {
            registry.reregister(&mut source, token, interest)
        } else {
            registry.register(&mut source, token, interest)
        }
    }
}

/// The outcome of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// This number of bytes was written. There may be room for more.
    Bytes(usize),
    /// There is no room.
    Blocked,
    /// The connection is broken.
    Gone,
}

impl Written {
    /// Runs `attempt`, again if a signal interrupted it, and classifies its result.
    pub(super) fn of(mut attempt: impl FnMut() -> io::Result<usize>) -> Written {
        loop {
            return match attempt() {
                Ok(0) => Written::Gone,
                Ok(bytes) => Written::Bytes(bytes),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => continue,
                    io::ErrorKind::WouldBlock => Written::Blocked,
                    _ => Written::Gone,
                },
            };
        }
    }
}

/// Reads and discards input, and returns the number of bytes. Returns `None` if the client has closed
/// its side, the connection is broken, or more than `max` bytes arrived.
pub(super) fn discard(socket: &mut impl Socket, max: usize) -> Option<usize> {
    let mut scratch = [0; 4096];
    let mut total = 0;
    while total <= max {
        match socket.read(&mut scratch) {
            Ok(0) => return None,
            Ok(bytes) => total += bytes,
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => return Some(total),
                _ => return None,
            },
        }
    }
    None
}
