//! The transport of a reader of a server.

use std::io::{self, IoSlice};
use std::net::TcpStream;

use mio::Token;

use super::pipe::PipeWriter;
use super::readiness::{Readiness, Registrar};
use super::transport::{Finish, SharedBytes, Transport, Written};
use crate::capacity::Permit;

/// The output of a stream that this crate serves.
#[derive(Debug)]
pub(crate) enum Connection {
    /// A socket that was taken over from hyper, with its permit if the server counts its connections.
    Tcp(TcpStream, #[expect(dead_code, reason = "held until the socket is closed")] Option<Permit>),
    /// A response body that something else writes: hyper over HTTP/2, or a server such as
    /// `axum::serve`.
    Pipe(PipeWriter),
}

impl Transport for Connection {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Written {
        match self {
            Connection::Tcp(socket, _) => socket.write(bytes),
            Connection::Pipe(pipe) => pipe.write(bytes),
        }
    }

    #[inline]
    fn write_shared(&mut self, bytes: &mut SharedBytes<'_>) -> Written {
        match self {
            Connection::Tcp(socket, _) => socket.write_shared(bytes),
            Connection::Pipe(pipe) => pipe.write_shared(bytes),
        }
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> Written {
        match self {
            Connection::Tcp(socket, _) => Transport::write_vectored(socket, pieces),
            Connection::Pipe(pipe) => pipe.write_vectored(pieces),
        }
    }

    fn discard_input(&mut self, max: usize) -> Option<usize> {
        match self {
            Connection::Tcp(socket, _) => socket.discard_input(max),
            Connection::Pipe(pipe) => pipe.discard_input(max),
        }
    }

    fn is_half_closed(&self) -> bool {
        match self {
            Connection::Tcp(socket, _) => socket.is_half_closed(),
            Connection::Pipe(pipe) => pipe.is_half_closed(),
        }
    }

    fn finish(&mut self) -> Finish {
        match self {
            Connection::Tcp(socket, _) => socket.finish(),
            Connection::Pipe(pipe) => pipe.finish(),
        }
    }

    fn watch(
        &mut self,
        registrar: &Registrar<'_>,
        token: Token,
        readiness: Readiness,
        is_watched: bool,
    ) -> io::Result<()> {
        match self {
            Connection::Tcp(socket, _) => socket.watch(registrar, token, readiness, is_watched),
            Connection::Pipe(pipe) => pipe.watch(registrar, token, readiness, is_watched),
        }
    }

    fn is_connection(&self) -> bool {
        matches!(self, Connection::Tcp(..))
    }
}
