//! Non-blocking connections, with or without TLS.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustls::ClientConfig;
use socket2::{Domain, Protocol, SockAddr, Type};

use crate::http::endpoint::Url;
use crate::http::tls::{self, Tls, TlsStream};

/// Number of source addresses for connections within this machine. One is not enough: a pair of addresses has about
/// 28,000 ports, and a closed port cannot be used again for a minute.
const SOURCES: u32 = 16;
/// First source address: 127.0.1.1.
const FIRST_SOURCE: u32 = 0x7f00_0101;
/// Receive buffer of a slow subscriber, in bytes. Linux doubles it.
const SLOW_BUFFER: usize = 4096;

/// Destination of connections.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    address: SocketAddr,
    tls: Option<Tls>,
}

impl Target {
    /// Resolves the server of a URL. `config` is used for `https`.
    pub(crate) fn find(url: &Url, config: Option<&Arc<ClientConfig>>) -> anyhow::Result<Target> {
        let config = config.filter(|_| url.is_encrypted);
        let tls = config.map(|config| Tls::new(config.clone(), &url.host)).transpose()?;
        Ok(Target { address: url.resolve()?, tls })
    }
}

/// A non-blocking connection. Readiness is edge-triggered: after an event, read until `WouldBlock`.
#[derive(Debug)]
pub(crate) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

impl Socket {
    /// Starts to connect. The result is known once the socket is writable.
    pub(crate) fn connect(to: &Target, number: usize, is_slow: bool) -> io::Result<Socket> {
        let buffer = is_slow.then_some(SLOW_BUFFER);
        let stream = start_connect(to.address, number, buffer)?;
        Ok(match &to.tls {
            None => Socket::Plain(stream),
            Some(tls) => Socket::Tls(Box::new(tls.over(stream)?)),
        })
    }

    /// Registers for reads and writes.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let stream = match self {
            Socket::Plain(stream) => stream,
            Socket::Tls(stream) => &mut stream.sock,
        };
        registry.register(stream, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Registers only for reads from now on. No effect with TLS, where a read may require a write.
    pub(crate) fn register_for_reads(
        &mut self,
        registry: &Registry,
        token: Token,
    ) -> io::Result<()> {
        match self {
            Socket::Plain(stream) => registry.reregister(stream, token, Interest::READABLE),
            Socket::Tls(_) => Ok(()),
        }
    }

    /// Returns `true` if a read that does not fill its buffer has emptied the socket. TLS returns record by record.
    pub(crate) fn is_drained_by_a_short_read(&self) -> bool {
        matches!(self, Socket::Plain(_))
    }

    /// Returns `true` until the TLS handshake is complete.
    pub(crate) fn is_handshaking(&self) -> bool {
        matches!(self, Socket::Tls(stream) if stream.conn.is_handshaking())
    }

    /// Writes the rest of a request, as far as the socket accepts it. Returns `true` if it is complete.
    pub(crate) fn write_rest(&mut self, request: &[u8], written: &mut usize) -> io::Result<bool> {
        loop {
            let rest = request.get(*written..).unwrap_or_default();
            let result = if rest.is_empty() {
                self.flush()
            } else {
                self.write(rest).map(|count| *written += count)
            };
            match result {
                Ok(()) if rest.is_empty() => return Ok(true),
                Ok(()) => {}
                Err(error) if is_not_ready(&error) => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Plain(stream) => stream.read(buffer),
            Socket::Tls(stream) => {
                let result = stream.read(buffer);
                result.map_err(|error| tls::explain(error, stream.conn.is_handshaking()))
            }
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Plain(stream) => stream.write(bytes),
            Socket::Tls(stream) => {
                let result = stream.write(bytes);
                result.map_err(|error| tls::explain(error, stream.conn.is_handshaking()))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Socket::Plain(_) => Ok(()),
            Socket::Tls(stream) => {
                let result = stream.flush();
                result.map_err(|error| tls::explain(error, stream.conn.is_handshaking()))
            }
        }
    }
}

/// Starts to connect a non-blocking socket. The result is known once the socket is writable.
///
/// On Linux, connections to a loopback address use 16 source addresses in turn, by `number`. So this machine has
/// enough ports for hundreds of thousands of connections. `receive_buffer` is in bytes.
///
/// # Errors
///
/// If the system refuses the socket, for example because too many files are open.
pub fn start_connect(
    to: SocketAddr,
    number: usize,
    receive_buffer: Option<usize>,
) -> io::Result<TcpStream> {
    let socket = socket2::Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    if cfg!(target_os = "linux")
        && let IpAddr::V4(address) = to.ip()
        && address.is_loopback()
    {
        let source = Ipv4Addr::from(FIRST_SOURCE + number as u32 % SOURCES);
        socket.bind(&SockAddr::from(SocketAddr::new(source.into(), 0)))?;
    }
    match socket.connect(&SockAddr::from(to)) {
        Ok(()) => {}
        Err(error) if is_in_progress(&error) => {}
        Err(error) => return Err(error),
    }
    Ok(TcpStream::from_std(socket.into()))
}

/// Returns `true` if a connect has started and is not complete.
fn is_in_progress(error: &io::Error) -> bool {
    /// `EINPROGRESS` on Linux, else on macOS and the BSDs.
    const IN_PROGRESS: i32 = if cfg!(target_os = "linux") { 115 } else { 36 };
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(IN_PROGRESS)
}

/// Returns `true` if a read or write has to wait until the socket is ready.
pub fn is_not_ready(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected)
}
