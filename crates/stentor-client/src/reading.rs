//! One open stream.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::StreamExt;
use stentor_sse::{DecodeError, Decoder, Item};

use crate::attempt::Body;
use crate::error::EventSourceError;

/// What an [`EventSource`](crate::EventSource) reads in one step: bytes, and what they mean.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The bytes as they came, up to the end of the item, or as far as the next one has come.
    pub bytes: Bytes,
    /// The item that ends with them.
    pub item: Option<Item>,
}

/// The body of one answer, and what has been understood of it.
pub(crate) struct Reading {
    body: Body,
    /// What has come and is not yet decoded.
    chunk: Bytes,
    decoder: Decoder,
}

/// What comes of reading.
pub(crate) enum Read {
    Chunk(Chunk),
    /// The body ended, for this reason. What it began and did not finish is void.
    End(EventSourceError),
    Failed(DecodeError),
}

impl Reading {
    /// Begins a stream where the last one ended.
    pub(crate) fn new(body: Body, last_event_id: &str, event_bytes_max: usize) -> Self {
        let mut decoder = Decoder::with_event_bytes_max(event_bytes_max);
        decoder.set_last_event_id(last_event_id);
        Self { body, chunk: Bytes::new(), decoder }
    }

    /// The id to go on behind, as of the last piece.
    pub(crate) fn last_event_id(&self) -> &str {
        self.decoder.last_event_id()
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Read> {
        while self.chunk.is_empty() {
            match ready!(self.body.poll_next_unpin(cx)) {
                Some(Ok(chunk)) => self.chunk = chunk,
                Some(Err(cause)) => {
                    return Poll::Ready(Read::End(EventSourceError::Broken { cause }));
                }
                None => return Poll::Ready(Read::End(EventSourceError::Ended)),
            }
        }
        let mut rest = self.chunk.as_ref();
        let item = self.decoder.decode(&mut rest).transpose();
        let taken = self.chunk.len() - rest.len();
        let bytes = self.chunk.split_to(taken);
        Poll::Ready(item.map_or_else(Read::Failed, |item| Read::Chunk(Chunk { bytes, item })))
    }
}
