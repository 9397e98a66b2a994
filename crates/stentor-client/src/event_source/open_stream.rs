//! An open event stream: the body of one response, decoded.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::StreamExt;
use stentor_sse::{DecodeError, Decoder, Item};

use super::attempt::Body;
use super::error::EventSourceError;

/// A chunk of a stream: raw bytes, and the item that they complete.
///
/// The chunks of a connection contain every received byte exactly once.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The bytes as received, up to the end of the item, or up to the last byte received so far.
    pub bytes: Bytes,
    /// The item that ends with these bytes; `None` if they complete no item.
    pub item: Option<Item>,
}

/// The body of one response, and its decoder.
pub(crate) struct OpenStream {
    body: Body,
    /// Received bytes that are not decoded yet.
    received: Bytes,
    decoder: Decoder,
}

/// Result of one read from an open stream.
pub(crate) enum ReadResult {
    Chunk(Chunk),
    /// The body ended, for this reason. An unfinished block is discarded.
    End(EventSourceError),
    /// The stream cannot be decoded.
    Failed(DecodeError),
}

impl OpenStream {
    /// Starts decoding a body. `last_event_id` is the last event id of the previous connection.
    pub(crate) fn new(body: Body, last_event_id: &str, event_bytes_max: usize) -> Self {
        let mut decoder = Decoder::with_event_bytes_max(event_bytes_max);
        decoder.set_last_event_id(last_event_id);
        Self { body, received: Bytes::new(), decoder }
    }

    /// Returns the last event id as of the last chunk.
    pub(crate) fn last_event_id(&self) -> &str {
        self.decoder.last_event_id()
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ReadResult> {
        while self.received.is_empty() {
            match ready!(self.body.poll_next_unpin(cx)) {
                Some(Ok(bytes)) => self.received = bytes,
                Some(Err(cause)) => {
                    return Poll::Ready(ReadResult::End(EventSourceError::Broken { cause }));
                }
                None => return Poll::Ready(ReadResult::End(EventSourceError::Ended)),
            }
        }
        let mut rest = self.received.as_ref();
        let item = self.decoder.decode(&mut rest).transpose();
        let taken = self.received.len() - rest.len();
        let bytes = self.received.split_to(taken);
        Poll::Ready(
            item.map_or_else(ReadResult::Failed, |item| ReadResult::Chunk(Chunk { bytes, item })),
        )
    }
}
