//! Transports: the outputs that a shard writes streams to.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;

use bytes::Bytes;
use mio::unix::SourceFd;
use mio::{Interest, Token};

use super::readiness::{Readiness, Registrar};

/// The output of one stream. It never blocks.
///
/// A program that drives a [`Shard`](super::Shard) of its own can implement it, for example with
/// encryption over a socket.
pub trait Transport {
    /// Writes as much of `bytes` as there is room for.
    fn write(&mut self, bytes: &[u8]) -> Written;

    /// Writes bytes that many transports get. A transport that buffers its output can keep a
    /// reference to them instead of a copy. Otherwise like [`Transport::write`].
    fn write_shared(&mut self, bytes: &mut SharedBytes<'_>) -> Written {
        self.write(bytes.as_slice())
    }

    /// Writes as much of `pieces` as there is room for. Otherwise like [`Transport::write`].
    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> Written;

    /// Reads and discards input, and returns the number of bytes. Returns `None` if the client has
    /// closed its side, the connection is broken, or more than `max` bytes arrived.
    fn discard_input(&mut self, max: usize) -> Option<usize>;

    /// Returns `true` if the client has closed its sending side only, so that it may still read. Called
    /// after [`Transport::discard_input`] returned `None`; writing shows whether the client has left.
    fn is_half_closed(&self) -> bool {
        false
    }

    /// Ends the output after the last byte. A transport that is dropped without it interrupts the
    /// stream.
    fn finish(&mut self) -> Finish;

    /// Asks `registrar` to notify the shard of this readiness under this token. `is_watched` is `true`
    /// if the transport was watched before.
    ///
    /// # Errors
    ///
    /// Returns an error if the system refuses the registration.
    fn watch(
        &mut self,
        registrar: &Registrar<'_>,
        token: Token,
        readiness: Readiness,
        is_watched: bool,
    ) -> io::Result<()>;

    /// Returns `true` if the transport is a connection of its own, which the shard counts as open.
    fn is_connection(&self) -> bool {
        true
    }
}

/// The outcome of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// This number of bytes was written. There may be room for more.
    Bytes(usize),
    /// There is no room.
    Blocked,
    /// The connection is broken, or the client has left.
    Gone,
}

/// The outcome of [`Transport::finish`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The transport can be dropped.
    Done,
    /// The transport must be kept until the client closes its side or a deadline passes, and its input
    /// be discarded. Dropping it earlier could lose the last bytes.
    Lingers,
    /// The connection is broken.
    Gone,
}

/// Bytes that a sweep writes to many transports.
#[derive(Debug)]
pub struct SharedBytes<'a> {
    bytes: &'a [u8],
    owner: Owner<'a>,
}

#[derive(Debug)]
enum Owner<'a> {
    /// They are these bytes.
    Frame(&'a Bytes),
    /// They are copied on first use, and kept here for the next transport.
    Copy(&'a mut Option<Bytes>),
}

impl<'a> SharedBytes<'a> {
    pub(super) fn frame(frame: &'a Bytes) -> SharedBytes<'a> {
        SharedBytes { bytes: frame, owner: Owner::Frame(frame) }
    }

    pub(super) fn gathered(bytes: &'a [u8], copy: &'a mut Option<Bytes>) -> SharedBytes<'a> {
        SharedBytes { bytes, owner: Owner::Copy(copy) }
    }

    /// Returns the bytes.
    pub fn as_slice(&self) -> &'a [u8] {
        self.bytes
    }

    /// Returns a reference-counted handle to the bytes.
    pub fn to_bytes(&mut self) -> Bytes {
        match &mut self.owner {
            Owner::Frame(frame) => (*frame).clone(),
            Owner::Copy(copy) => {
                copy.get_or_insert_with(|| Bytes::copy_from_slice(self.bytes)).clone()
            }
        }
    }
}

impl Transport for TcpStream {
    fn write(&mut self, bytes: &[u8]) -> Written {
        Written::of(|| Write::write(self, bytes))
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> Written {
        Written::of(|| Write::write_vectored(self, pieces))
    }

    fn discard_input(&mut self, max: usize) -> Option<usize> {
        let mut scratch = [0; 4096];
        let mut total = 0;
        while total <= max {
            match self.read(&mut scratch) {
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

    fn is_half_closed(&self) -> bool {
        matches!(self.peek(&mut [0]), Ok(0))
    }

    fn finish(&mut self) -> Finish {
        if self.shutdown(Shutdown::Write).is_ok() { Finish::Lingers } else { Finish::Gone }
    }

    fn watch(
        &mut self,
        registrar: &Registrar<'_>,
        token: Token,
        readiness: Readiness,
        is_watched: bool,
    ) -> io::Result<()> {
        let fd = self.as_raw_fd();
        let mut source = SourceFd(&fd);
        let interest = match readiness {
            Readiness::Input => Interest::READABLE,
            Readiness::InputAndRoom => Interest::READABLE | Interest::WRITABLE,
        };
        if is_watched {
            registrar.registry().reregister(&mut source, token, interest)
        } else {
            registrar.registry().register(&mut source, token, interest)
        }
    }
}

impl Written {
    /// Runs `attempt`, again if a signal interrupted it, and classifies its result.
    fn of(mut attempt: impl FnMut() -> io::Result<usize>) -> Written {
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
