//! A response body that counts the bytes of a stream for the log.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::stream::log::StreamLog;

pin_project! {
    /// A response body. If it is a stream whose end is to be logged, its bytes are counted.
    pub(super) struct LoggedBody<B> {
        #[pin]
        pub(super) body: B,
        // Boxed, because the body is moved several times and few bodies have one.
        pub(super) log: Option<Box<StreamLog>>,
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
