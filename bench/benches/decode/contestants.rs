//! Those who decode, each by the interface that its documentation shows first for bytes at hand.

use std::convert::Infallible;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::pin::pin;

use eventsource_stream::Eventsource;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use sse_core::{SseDecoder, SseEvent};
use sse_stream::SseByteStream;
use stentor_sse::{Decoder, Item};

/// More than any event here has.
const EVENT_BYTES_MAX: usize = 64 * 1024 * 1024;

pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    pub(crate) yields: &'static str,
    pub(crate) decode: fn(&[&[u8]]) -> Decoded,
}

/// What came out: enough to see that all have decoded the same.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Decoded {
    pub(crate) events: usize,
    pub(crate) data_bytes: usize,
}

pub(crate) const CONTESTANTS: [Contestant; 4] = [
    Contestant {
        name: "stentor-sse",
        yields: "owned events (`String` data), comments too; ill-formed UTF-8 is mended",
        decode: stentor,
    },
    Contestant {
        name: "sse-core",
        yields: "owned events (`String` data), no comments; ill-formed UTF-8 is mended",
        decode: sse_core,
    },
    Contestant {
        name: "sse-stream",
        yields: "owned blocks (`String` data) from an async stream, no comments; ill-formed UTF-8 is an error",
        decode: sse_stream,
    },
    Contestant {
        name: "eventsource-stream",
        yields: "owned events (`String` data) from an async stream, no comments; ill-formed UTF-8 is an error",
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

/// Drives a stream that never waits.
fn each<S: Stream>(items: S, mut take: impl FnMut(S::Item)) {
    let mut items = pin!(items);
    while let Some(item) = items.next().now_or_never().flatten() {
        take(black_box(item));
    }
}
