//! What a shard writes to.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

/// A socket that never blocks. Plain TCP today; whatever encrypts comes as another one.
pub trait Socket {
    /// Writes as much as there is room for.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Writes as much of these pieces as there is room for.
    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Reads what the client sends; 0 is its end.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize>;

    /// Says that nothing more will be written.
    fn finish(&mut self) -> io::Result<()>;

    /// Has the registry tell changes under this token: `again` if it did before.
    fn watch(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
        again: bool,
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
        again: bool,
    ) -> io::Result<()> {
        let fd = self.as_raw_fd();
        let mut source = SourceFd(&fd);
        if again {
            registry.reregister(&mut source, token, interest)
        } else {
            registry.register(&mut source, token, interest)
        }
    }
}

/// What came of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// So many bytes, and perhaps there is room for more.
    Bytes(usize),
    /// There is no room now.
    Blocked,
    /// The connection is no more.
    Gone,
}

impl Written {
    /// Sorts out the result of a write; `attempt` is asked again when a signal came in between.
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

/// Reads and discards what a client sends, at most `max` bytes of it; `None` once it is gone.
pub(super) fn discard(socket: &mut impl Socket, max: usize) -> Option<usize> {
    let mut scratch = [0; 4096];
    let mut heard = 0;
    while heard <= max {
        match socket.read(&mut scratch) {
            Ok(0) => return None,
            Ok(bytes) => heard += bytes,
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => return Some(heard),
                _ => return None,
            },
        }
    }
    // Whoever goes on talking to a stream is not a reader.
    None
}
