//! Opening connections.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use mio::net::TcpStream;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// A pair of addresses has some 28,000 ports for us, and one that we closed rests for a minute. So
/// connections within this machine are spread over so many addresses of it.
const SOURCES: u32 = 16;
/// The first of them: 127.0.1.1.
const FIRST_SOURCE: u32 = 0x7f00_0101;
/// What a slow reader's kernel takes in for it, in bytes. Linux makes it a little more.
const SLOW_BUFFER: usize = 4096;

/// Begins to connect; whether that goes well is known when something can be written.
pub(super) fn connect(to: SocketAddr, number: usize, is_slow: bool) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
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
pub(super) fn is_early(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected)
}
