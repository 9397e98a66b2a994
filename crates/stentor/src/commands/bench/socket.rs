//! Connections, encrypted or not.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustls::ClientConfig;
use socket2::{Domain, Protocol, SockAddr, Type};

use super::endpoint::Url;
use super::tls::{self, Tls, TlsStream};

/// A pair of addresses has some 28,000 ports for us, and one that we closed rests for a minute. So
/// connections within this machine are spread over so many addresses of it.
const SOURCES: u32 = 16;
/// The first of them: 127.0.1.1.
const FIRST_SOURCE: u32 = 0x7f00_0101;
/// What a slow reader's kernel takes in for it, in bytes. Linux makes it a little more.
const SLOW_BUFFER: usize = 4096;

/// Where connections go.
#[derive(Clone, Debug)]
pub(super) struct Target {
    address: SocketAddr,
    tls: Option<Tls>,
}

impl Target {
    /// Looks a server up; `config` is for one of https.
    pub(super) fn find(url: &Url, config: Option<&Arc<ClientConfig>>) -> anyhow::Result<Target> {
        let config = config.filter(|_| url.is_encrypted);
        let tls = config.map(|config| Tls::new(config.clone(), &url.host)).transpose()?;
        Ok(Target { address: url.find()?, tls })
    }
}

/// A connection that does not block. What it has to say is read until there is no more.
#[derive(Debug)]
pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

impl Socket {
    /// Begins to connect; whether that goes well is known when something can be written.
    pub(super) fn connect(to: &Target, number: usize, is_slow: bool) -> io::Result<Socket> {
        let stream = connect(to.address, number, is_slow)?;
        Ok(match &to.tls {
            None => Socket::Plain(stream),
            Some(tls) => Socket::Tls(Box::new(tls.over(stream)?)),
        })
    }

    /// Has all of it told under a token.
    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let stream = match self {
            Socket::Plain(stream) => stream,
            Socket::Tls(stream) => &mut stream.sock,
        };
        registry.register(stream, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Has only told what is received from here on. TLS may have to answer that, so there all stays.
    pub(super) fn only_listen(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Socket::Plain(stream) => registry.reregister(stream, token, Interest::READABLE),
            Socket::Tls(_) => Ok(()),
        }
    }

    /// Whether a read that did not fill its buffer took all there was. TLS hands out record by record.
    pub(super) fn is_drained_by_a_short_read(&self) -> bool {
        matches!(self, Socket::Plain(_))
    }

    /// Whether there is no TLS yet to say anything by.
    pub(super) fn is_handshaking(&self) -> bool {
        matches!(self, Socket::Tls(stream) if stream.conn.is_handshaking())
    }

    /// Writes what is left of a request, as far as it can be; whether that is all of it.
    pub(super) fn write_rest(&mut self, request: &[u8], written: &mut usize) -> io::Result<bool> {
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
                Err(error) if is_early(&error) => return Ok(false),
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
                result.map_err(|error| tls::in_words(error, stream.conn.is_handshaking()))
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
                result.map_err(|error| tls::in_words(error, stream.conn.is_handshaking()))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Socket::Plain(_) => Ok(()),
            Socket::Tls(stream) => {
                let result = stream.flush();
                result.map_err(|error| tls::in_words(error, stream.conn.is_handshaking()))
            }
        }
    }
}

fn connect(to: SocketAddr, number: usize, is_slow: bool) -> io::Result<TcpStream> {
    let socket = socket2::Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if is_slow {
        socket.set_recv_buffer_size(SLOW_BUFFER)?;
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
        Err(error) if is_under_way(&error) => {}
        Err(error) => return Err(error),
    }
    Ok(TcpStream::from_std(socket.into()))
}

/// Whether a connect only needs time.
fn is_under_way(error: &io::Error) -> bool {
    /// `EINPROGRESS` on Linux, and on the BSDs with macOS.
    const IN_PROGRESS: i32 = if cfg!(target_os = "linux") { 115 } else { 36 };
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(IN_PROGRESS)
}

/// Whether a write only has to wait.
fn is_early(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected)
}
