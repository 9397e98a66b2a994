//! A response body that counts the bytes of a stream for the log, and keeps the charge of pieces that wait.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::takeover::Takeover;
use crate::stream::log::StreamLog;

/// Minimum size of a piece that is kept until it is written, in bytes. Smaller ones are not worth the effort.
const KEPT_BYTES_MIN: usize = 4 << 10;

pin_project! {
    /// A response body. If it is a stream whose end is to be logged, its bytes are counted.
    pub(super) struct LoggedBody<B> {
        #[pin]
        pub(super) body: B,
        // Boxed, because the body is moved several times and few bodies have one.
        pub(super) log: Option<Box<StreamLog>>,
        // The connection, for HTTP/1.1. hyper copies pieces into a buffer of it.
        pub(super) connection: Option<Takeover>,
    }
}

impl<B: Body<Data = Bytes>> Body for LoggedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let polled = this.body.poll_frame(cx);
        if let Some(connection) = this.connection
            && let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(piece) = frame.data_ref().filter(|piece| piece.len() >= KEPT_BYTES_MIN)
        {
            connection.keep_piece(piece);
        }
        if let Some(log) = this.log
            && let Poll::Ready(Some(Ok(frame))) = &polled
        {
            let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
            log.bytes = Some(log.bytes.unwrap_or(0) + bytes);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
