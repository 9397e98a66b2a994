//! One connection, from its first byte to its last, or to the takeover of its socket.

mod head_timer;
mod io;
pub(crate) mod lazy;
pub(crate) mod stop;
pub(crate) mod takeover;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use self::head_timer::HeadTimer;
use self::io::Io;
use self::lazy::LazyStream;
use self::stop::{Stop, Stopping};
use self::takeover::Takeover;
use crate::app::{AnswerError, App};
use crate::driver::Handle;

/// What a client that speaks HTTP/2 without TLS sends first (RFC 9113, 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long a request head may take, from the first byte of a connection or the last answer.
const HEAD_TIME_MAX: Duration = Duration::from_secs(30);
/// The largest request head; more is answered 431.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// What hyper may hold of a connection.
const BUFFER_BYTES_MAX: usize = 64 << 10;
/// HTTP/2: a client that does not answer a PING is gone, and its stalled streams with it.
const PING_EVERY: Duration = Duration::from_secs(20);
const PONG_WITHIN: Duration = Duration::from_secs(20);
/// HTTP/2: streams of one connection.
const STREAMS_MAX: u32 = 256;

/// Serves a connection until its end, or until `shard` has taken it over. When the server stops it
/// finishes what it is answering.
pub(crate) async fn serve(
    mut stream: LazyStream,
    app: impl App,
    stop: Stop,
    shard: Option<Handle>,
) {
    let begun = tokio::select! {
        begun = timeout(HEAD_TIME_MAX, preface(&mut stream)) => begun,
        () = stop.begun.cancelled() => return,
    };
    // Silent or gone before it said anything: nothing is owed to it.
    let Ok(Ok((ahead, is_http2))) = begun else { return };
    let takeover = Takeover::default();
    let io = Io::new(stream, ahead, takeover.clone());
    // In boxes, for these are large, and this future is moved a few times on its way to its task.
    let result = if is_http2 {
        Box::pin(http2(io, app, stop)).await
    } else {
        Box::pin(http1(io, app, stop, takeover, shard)).await
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection broke");
    }
}

/// Reads until it is clear which protocol the client speaks.
async fn preface(stream: &mut LazyStream) -> std::io::Result<(Bytes, bool)> {
    let mut ahead = BytesMut::with_capacity(1024);
    loop {
        if stream.read_buf(&mut ahead).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if ahead.starts_with(HTTP2_PREFACE) {
            return Ok((ahead.freeze(), true));
        }
        if !HTTP2_PREFACE.starts_with(&ahead) {
            return Ok((ahead.freeze(), false));
        }
    }
}

async fn http1(
    io: Io,
    app: impl App,
    stop: Stop,
    takeover: Takeover,
    shard: Option<Handle>,
) -> hyper::Result<()> {
    let (takes_over, departures) = (shard.is_some(), takeover.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let fits = takes_over && Takeover::fits(&request);
        let version = request.version();
        let takeover = fits.then(|| takeover.clone());
        Answering { answer: app.clone().answer(request), version, takeover }
    });
    // Without `pipeline_flush`: see `takeover.rs`. Whoever closes its side with its request, as `nc -N`
    // does, is answered all the same, unless streams stay here: they would not miss their reader.
    let mut connection = http1::Builder::new()
        .timer(HeadTimer::default())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .half_close(takes_over)
        .writev(false)
        .serve_connection(TokioIo::new(io), service);
    let mut stopping = pin!(stop.watch());
    let result = poll_fn(|cx| {
        match stopping.as_mut().poll_stop(cx) {
            Stopping::No => {}
            Stopping::Begun => Pin::new(&mut connection).graceful_shutdown(),
            Stopping::Abandoned => return Poll::Ready(None),
        }
        let polled = connection.poll_without_shutdown(cx);
        if departures.is_due() { Poll::Ready(Some(Ok(()))) } else { polled.map(Some) }
    })
    .await;
    let Some(result) = result else { return Ok(()) };
    if let Some(departure) = departures.take()
        && let Some(shard) = shard
    {
        // What the client sent behind its request is dropped with hyper's buffer.
        match connection.into_parts().io.into_inner().into_std() {
            Ok(socket) => shard.adopt(departure.with(socket)),
            Err(error) => tracing::debug!(%error, "a socket could not be taken over"),
        }
        return Ok(());
    }
    // A head that is refused was not read to its end: closed at once, the connection would be reset
    // and the answer lost.
    if result.as_ref().err().is_none_or(hyper::Error::is_parse) {
        connection.into_parts().io.into_inner().linger().await;
    }
    result
}

/// An answer to come, unless the reader leaves with the socket.
struct Answering<F> {
    answer: F,
    version: Version,
    takeover: Option<Takeover>,
}

impl<F, B> Future for Answering<F>
where
    F: Future<Output = Result<Response<B>, AnswerError>> + Unpin,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut response = ready!(Pin::new(&mut self.answer).poll(cx))?;
        if let Some(takeover) = self.takeover.take()
            && takeover.claim(&mut response, self.version)
        {
            // The connection is taken from hyper before this could be polled again.
            return Poll::Pending;
        }
        Poll::Ready(Ok(response))
    }
}

async fn http2(io: Io, app: impl App, stop: Stop) -> hyper::Result<()> {
    let service = service_fn(move |request| app.clone().answer(request));
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_WITHIN)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .max_send_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(io), service);
    tokio::pin!(connection);
    tokio::select! {
        result = connection.as_mut() => return result,
        () = stop.begun.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        result = connection => result,
        () = stop.abandoned.cancelled() => Ok(()),
    }
}
