//! One connection, from its first byte until it closes or a shard takes its socket over.

mod head_timer;
mod idle;
mod io;
pub(crate) mod lazy;
mod logged_body;
pub(crate) mod refused;
mod request_log;
mod responding;
mod stalled;
pub(crate) mod stop;
mod takeover;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::TryFutureExt;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout_at};

use self::head_timer::{HEAD_TIME_MAX, HeadTimer};
use self::idle::{CountingExecutor, IdleTimer, OpenStreams};
use self::io::Io;
use self::lazy::LazyStream;
use self::request_log::RequestLog;
use self::responding::Responding;
use self::stalled::PacedBody;
use self::stop::{Stop, StopStep};
use self::takeover::Takeover;
use crate::capacity::Permit;
use crate::connection_waker::ConnectionWaker;
use crate::discard::{Discard, Discarding};
use crate::driver::ShardHandle;
use crate::http_service::HttpService;
use crate::inbound::{InboundBody, Unread};
use crate::limits::{DISCARD_BYTES_MAX, LINGER_BYTES_MAX};
use crate::request_head;
use crate::shard::{Connection, Trust};

/// The first bytes of a client that speaks HTTP/2 without TLS (RFC 9113, 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Maximum size of a request head. A larger one gets 431. It has room for the most filters of a stream, each of the
/// maximum length and percent-encoded (64 times 775 bytes), and for 6 KiB of other headers.
const HEAD_BYTES_MAX: usize = 56 << 10;
/// Maximum number of bytes that hyper buffers for a connection.
const BUFFER_BYTES_MAX: usize = 64 << 10;
/// HTTP/2: interval of PINGs. A client that does not reply within `PONG_WITHIN` is disconnected, with
/// all its streams.
const PING_EVERY: Duration = Duration::from_secs(20);
const PONG_WITHIN: Duration = Duration::from_secs(20);
/// HTTP/2: maximum number of streams of a connection.
const STREAMS_MAX: u32 = 256;
/// HTTP/2: maximum number of bytes of request bodies that arrive on a connection, and on one stream, before the service
/// reads them. The budget of bodies counts bytes once they are read, so this bounds the others. hyper gives a window
/// back as the service reads, and h2 when a stream is reset. A stream uploads at most a window per round trip: 1.3 MB/s
/// over 50 ms. Four streams that are not read can delay the others of their connection.
const CONNECTION_WINDOW_BYTES: u32 = 256 << 10;
const STREAM_WINDOW_BYTES: u32 = 64 << 10;

/// The shard that takes sockets over, and the responses that it takes them for.
#[derive(Clone)]
pub(crate) struct ByShard {
    pub(crate) shard: ShardHandle,
    pub(crate) trust: Trust,
}

/// The terms on which a server runs a connection.
#[derive(Clone)]
pub(crate) struct Terms {
    /// `None` if no socket is taken over.
    pub(crate) by_shard: Option<ByShard>,
    /// Time without a request after which the connection is closed.
    pub(crate) idle_timeout: Duration,
}

/// Runs a connection until it closes, or until a shard takes its socket over. When the server stops,
/// the connection finishes the current response.
pub(crate) async fn run(
    mut stream: LazyStream,
    service: impl HttpService,
    stop: Stop,
    terms: Terms,
    permit: Option<Permit>,
) {
    let preface = tokio::select! {
        preface = read_preface(&mut stream, terms.idle_timeout) => preface,
        () = stop.drained.cancelled() => return,
    };
    // A client that sent nothing gets no response.
    let Ok((prefix, is_http2)) = preface else { return };
    let (state, timer) = (Takeover::default(), HeadTimer::default());
    let io = Io::new(stream, prefix, state.clone(), timer.clone());
    // Boxed, because these futures are large and this one is moved several times before it is spawned.
    let result = if is_http2 {
        Box::pin(run_http2(io, service, stop, terms.idle_timeout)).await
    } else {
        Box::pin(run_http1(io, timer, service, stop, state, terms, permit)).await
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection failed");
    }
}

/// Reads until the protocol of the client is known. Returns the bytes read, and `true` for HTTP/2.
///
/// The first byte may take as long as a connection may be idle. All others have [`HEAD_TIME_MAX`] together.
async fn read_preface(
    stream: &mut LazyStream,
    idle_timeout: Duration,
) -> std::io::Result<(Bytes, bool)> {
    let mut prefix = BytesMut::with_capacity(1024);
    let mut deadline = Instant::now() + idle_timeout;
    loop {
        let is_first = prefix.is_empty();
        if timeout_at(deadline, stream.read_buf(&mut prefix)).await?? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if is_first {
            deadline = Instant::now() + HEAD_TIME_MAX;
        }
        if prefix.starts_with(HTTP2_PREFACE) {
            return Ok((prefix.freeze(), true));
        }
        if !HTTP2_PREFACE.starts_with(&prefix) {
            return Ok((prefix.freeze(), false));
        }
    }
}

async fn run_http1(
    io: Io,
    timer: HeadTimer,
    service: impl HttpService,
    stop: Stop,
    takeover: Takeover,
    terms: Terms,
    permit: Option<Permit>,
) -> hyper::Result<()> {
    let Terms { by_shard, idle_timeout } = terms;
    let (trust, pending) = (by_shard.as_ref().map(|by| by.trust), takeover.clone());
    let unread = Unread::default();
    let rest = unread.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let trust = trust.filter(|_| Takeover::allows(&request));
        let (version, log) = (request.version(), RequestLog::start(&request));
        let takeover = Some((takeover.clone(), trust));
        let unread = unread.of_request(&request);
        let refusal = request_head::check(&request).err();
        let request = InboundBody::wrap(request, unread.clone());
        let response = refusal.is_none().then(|| service.clone().respond(request));
        Responding { response, refusal, version, log, takeover, unread }
    });
    // `pipeline_flush` must stay off: see `takeover.rs`. Half-closed clients (`nc -N`) get their
    // response. `Io` tells streams that stayed with hyper about the half-close.
    let mut connection = http1::Builder::new()
        .timer(timer)
        .header_read_timeout(idle_timeout)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .half_close(true)
        .writev(false)
        .serve_connection(TokioIo::new(io), service);
    let mut stopping = pin!(stop.watch());
    let mut discard: Option<Discard> = None;
    let (mut is_draining, mut has_unread) = (false, false);
    let mut waker = ConnectionWaker::default();
    let result = poll_fn(|cx| {
        match stopping.as_mut().poll_step(cx) {
            StopStep::None => {}
            StopStep::Drained => {
                Pin::new(&mut connection).graceful_shutdown();
                is_draining = true;
            }
            StopStep::Aborted => return Poll::Ready(None),
        }
        // This writes out all responses before it completes; `poll_without_shutdown` does not.
        let polled = Pin::new(&mut connection).poll(&mut Context::from_waker(waker.of(cx)));
        if pending.is_due() {
            return Poll::Ready(Some(Ok(())));
        }
        if let Some(body) = rest.take() {
            discard = Some(body);
        }
        // While the server drains, the connection is not used again. So it is shut down after the response,
        // which tells the client to stop, and the rest is discarded after that.
        has_unread |= is_draining && discard.is_some();
        if discard.as_mut().is_some_and(|body| is_draining || Pin::new(body).poll(cx).is_ready()) {
            discard = None;
            // hyper continues with the next request, or closes the connection.
            cx.waker().wake_by_ref();
        }
        polled.map(Some)
    })
    .await;
    let Some(result) = result else { return Ok(()) };
    if let Some(arrival) = pending.take()
        && let Some(ByShard { shard, .. }) = by_shard
    {
        // Bytes that the client sent after its request are dropped with hyper's buffer.
        match connection.into_parts().io.into_inner().into_std() {
            Ok(socket) => {
                let arrival = arrival.with_transport(Connection::Tcp(socket, permit));
                if let Err(arrival) = shard.adopt(Box::new(arrival)) {
                    arrival.refuse();
                }
            }
            Err(error) => tracing::debug!(%error, "cannot take a socket over"),
        }
        return Ok(());
    }
    // The rest of a refused head, or of a body, is still unread. Closing at once would reset the
    // connection, and the client could lose the response.
    if result.as_ref().err().is_none_or(hyper::Error::is_parse) {
        let bytes_max = if has_unread { DISCARD_BYTES_MAX } else { LINGER_BYTES_MAX };
        connection.into_parts().io.into_inner().linger(bytes_max).await;
    }
    result
}

async fn run_http2(
    io: Io,
    service: impl HttpService,
    stop: Stop,
    idle_timeout: Duration,
) -> hyper::Result<()> {
    let streams = OpenStreams::new();
    let mut idle = Some(IdleTimer::new(streams.clone(), idle_timeout));
    let mut discarding = Discarding::default();
    let discards = discarding.discards().clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (version, log) = (request.version(), RequestLog::start(&request));
        let unread = Unread::of_stream(&request, &discards);
        let refusal = request_head::check(&request).err();
        let request = InboundBody::wrap(request, unread.clone());
        let response = refusal.is_none().then(|| service.clone().respond(request));
        let responding = Responding { response, refusal, version, log, takeover: None, unread };
        responding.map_ok(|response| response.map(PacedBody::new))
    });
    let connection = http2::Builder::new(CountingExecutor(streams))
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_WITHIN)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .max_send_buf_size(BUFFER_BYTES_MAX)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .serve_connection(TokioIo::new(io), service);
    let (mut connection, mut stopping) = (pin!(connection), pin!(stop.watch()));
    poll_fn(|cx| {
        match stopping.as_mut().poll_step(cx) {
            StopStep::None => {}
            StopStep::Drained => {
                connection.as_mut().graceful_shutdown();
                discarding.hurry();
                idle = None;
            }
            StopStep::Aborted => return Poll::Ready(Ok(())),
        }
        if idle.as_mut().is_some_and(|idle| idle.poll(cx).is_ready()) {
            idle = None;
            connection.as_mut().graceful_shutdown();
        }
        discarding.poll(cx);
        connection.as_mut().poll(cx)
    })
    .await
}
