//! The body of a stream: a shard writes it into a pipe.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::shards::Place;
use super::slot::StreamSlot;
use crate::body::{BodyStream, StreamInterrupted};
use crate::driver::{Driver, ShardHandle};
use crate::refusal_log::log_stream_error;
use crate::shard::pipe::{PipeReader, pipe};
use crate::shard::{Arrival, Connection};

/// The body of a stream. It holds the stream until it is polled first. Then it hands the stream to the
/// shard of the runtime that polls it.
pub(crate) enum StreamBody {
    New(StreamSlot),
    Piped {
        reader: PipeReader,
        /// Kept, because the server finds the pipe by it.
        _slot: StreamSlot,
    },
    Over,
}

impl BodyStream for StreamBody {
    fn poll_piece(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, StreamInterrupted>>> {
        loop {
            match &mut *self {
                StreamBody::New(slot) => {
                    let Some(stream) = slot.take() else { return Poll::Ready(None) };
                    let (writer, reader) = pipe(stream.stentor.metrics().reader_bytes.clone());
                    let arrival = Arrival::piped(stream, Connection::Pipe(writer));
                    if let Err(error) = hand_over(arrival) {
                        log_stream_error("no shard can be started", &error);
                        *self = StreamBody::Over;
                        return Poll::Ready(Some(Err(StreamInterrupted)));
                    }
                    slot.set_pipe(reader.input());
                    if let StreamBody::New(slot) = std::mem::replace(&mut *self, StreamBody::Over) {
                        *self = StreamBody::Piped { reader, _slot: slot };
                    }
                }
                StreamBody::Piped { reader, .. } => {
                    let polled = reader.poll_take(cx);
                    return polled.map_err(|_interrupted| StreamInterrupted);
                }
                StreamBody::Over => return Poll::Ready(None),
            }
        }
    }

    fn is_over(&self) -> bool {
        match self {
            StreamBody::New(_) => false,
            StreamBody::Piped { reader, .. } => reader.is_finished(),
            StreamBody::Over => true,
        }
    }

    fn slot(&mut self) -> Option<&mut dyn std::any::Any> {
        match self {
            StreamBody::New(slot) => Some(slot),
            StreamBody::Piped { .. } | StreamBody::Over => None,
        }
    }
}

/// Hands a stream to the shard of the current runtime.
fn hand_over(arrival: Arrival<Connection>) -> io::Result<()> {
    const ATTEMPTS: usize = 3;
    let stentor = arrival.stentor().clone();
    let place = Place::current().ok_or_else(|| {
        io::Error::other("the body of a stream must be polled within a tokio runtime")
    })?;
    let mut waiting = Some(Box::new(arrival));
    for _ in 0..ATTEMPTS {
        let shard = stentor.shards().at(place, || match waiting.take() {
            Some(first) => Driver::start_for_bodies(first).map(ShardHandle::into_shard),
            None => Err(io::Error::other("no stream to start a shard for")),
        })?;
        let Some(arrival) = waiting.take() else { return Ok(()) };
        let Some(shard) = ShardHandle::of(shard) else { break };
        // A shard that ends at this moment takes no more streams.
        match shard.adopt(arrival) {
            Ok(()) => return Ok(()),
            Err(refused) => waiting = Some(refused),
        }
    }
    // The shard has failed and was not restarted yet, or hangs.
    if let Some(arrival) = waiting {
        arrival.refuse();
    }
    Ok(())
}
