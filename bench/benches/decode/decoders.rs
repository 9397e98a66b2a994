//! The decoders, each used through the interface that its documentation shows first for bytes in memory.

use std::convert::Infallible;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::pin::pin;

use eventsource_stream::Eventsource;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use sse_core::{SseDecoder, SseEvent};
use sse_stream::SseByteStream;
use stentor_sse::{Decoder, Item};

/// Limit for the data of one event, in bytes. No event of this benchmark reaches it.
const EVENT_BYTES_MAX: usize = 64 * 1024 * 1024;

pub(crate) struct Candidate {
    pub(crate) name: &'static str,
    pub(crate) output: &'static str,
    pub(crate) decode: fn(&[&[u8]]) -> Decoded,
}

/// Totals of a decoded stream, to check that all decoders agree.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Decoded {
    pub(crate) events: usize,
    pub(crate) data_bytes: usize,
}

pub(crate) const DECODERS: [Candidate; 4] = [
    Candidate {
        name: "stentor-sse",
        output: "owned events (`String` data), and comments; replaces invalid UTF-8",
        decode: stentor,
    },
    Candidate {
        name: "sse-core",
        output: "owned events (`String` data), no comments; replaces invalid UTF-8",
        decode: sse_core,
    },
    Candidate {
        name: "sse-stream",
        output: "owned blocks (`String` data) from an async stream, no comments; invalid UTF-8 is an error",
        decode: sse_stream,
    },
    Candidate {
        name: "eventsource-stream",
        output: "owned events (`String` data) from an async stream, no comments; invalid UTF-8 is an error",
        decode: eventsource_stream,
    },
];

impl Decoded {
    fn add(&mut self, data: &str) {
        self.events += 1;
        self.data_bytes += data.len();
    }
}

fn stentor(pieces: &[&[u8]]) -> Decoded {
    let mut total = Decoded::default();
    let mut decoder = Decoder::with_event_bytes_max(EVENT_BYTES_MAX);
    for mut piece in pieces.iter().copied() {
        while let Some(item) = decoder.decode(&mut piece) {
            if let Ok(Item::Event(event)) = black_box(item) {
                total.add(event.data());
            }
        }
    }
    total
}

fn sse_core(pieces: &[&[u8]]) -> Decoded {
    let mut total = Decoded::default();
    let limit = NonZeroUsize::new(EVENT_BYTES_MAX).unwrap_or(NonZeroUsize::MAX);
    let mut decoder = SseDecoder::with_limit(limit);
    for mut piece in pieces.iter().copied() {
        while let Some(event) = decoder.next(&mut piece) {
            if let Ok(SseEvent::Message(event)) = black_box(event) {
                total.add(&event.data);
            }
        }
    }
    total
}

fn sse_stream(pieces: &[&[u8]]) -> Decoded {
    let mut total = Decoded::default();
    each(SseByteStream::new(body(pieces)), |block| {
        if let Some(data) = block.ok().and_then(|block| block.data) {
            total.add(&data);
        }
    });
    total
}

fn eventsource_stream(pieces: &[&[u8]]) -> Decoded {
    let mut total = Decoded::default();
    each(body(pieces).eventsource(), |event| {
        if let Ok(event) = event {
            total.add(&event.data);
        }
    });
    total
}

fn body<'p>(pieces: &[&'p [u8]]) -> impl Stream<Item = Result<&'p [u8], Infallible>> {
    stream::iter(pieces.iter().copied().map(Ok))
}

/// Runs a stream that never waits to its end.
fn each<S: Stream>(items: S, mut take: impl FnMut(S::Item)) {
    let mut items = pin!(items);
    while let Some(item) = items.next().now_or_never().flatten() {
        take(black_box(item));
    }
}
