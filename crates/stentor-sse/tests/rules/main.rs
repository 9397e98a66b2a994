//! Decoding rules P1 to P20, each as a table of streams and the expected items. Every stream is also cut into pieces.
//!
//! P1-P5: bytes and lines. P6-P12: fields and events. P13-P16: ids. P17-P20: retry, end of stream and limits.

#![allow(clippy::unwrap_used, reason = "test helpers")]

mod fields;
mod ids;
mod lines;
mod stream;

use std::time::Duration;

use stentor_sse::{DecodeError, Decoder, Event, EventId, EventType, Item};

type Items = Vec<Result<Item, DecodeError>>;

/// The result of decoding a stream: the items, and the final state of the decoder.
#[derive(Debug, PartialEq)]
struct Outcome {
    items: Items,
    last_event_id: String,
    retry: Option<Duration>,
    is_mid_block: bool,
}

fn decode<'a>(mut decoder: Decoder, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut items = Items::new();
    for mut piece in pieces {
        while let Some(item) = decoder.decode(&mut piece) {
            items.push(item);
        }
        assert!(piece.is_empty(), "input is left over");
        if items.last().is_some_and(Result::is_err) {
            break;
        }
    }
    Outcome {
        items,
        last_event_id: decoder.last_event_id().to_owned(),
        retry: decoder.retry(),
        is_mid_block: decoder.is_mid_block(),
    }
}

/// Decodes the bytes whole, in pieces of 1 and 3 bytes, and cut in two at every byte. All outcomes must be equal.
#[track_caller]
fn outcome(name: &str, decoder: impl Fn() -> Decoder, bytes: &[u8]) -> Outcome {
    let whole = decode(decoder(), [bytes]);
    for size in [1, 3] {
        assert_eq!(decode(decoder(), bytes.chunks(size)), whole, "{name}: pieces of {size}");
    }
    for cut in 0..=bytes.len() {
        let (left, right) = bytes.split_at(cut);
        assert_eq!(decode(decoder(), [left, right]), whole, "{name}: cut at byte {cut}");
    }
    whole
}

/// Runs a table of (name, bytes, expected items).
#[track_caller]
fn check<const N: usize>(table: [(&str, &[u8], Vec<Item>); N]) {
    for (name, bytes, items) in table {
        let expected: Items = items.into_iter().map(Ok).collect();
        assert_eq!(outcome(name, Decoder::new, bytes).items, expected, "{name}");
    }
}

fn data(text: &str) -> Item {
    Item::Event(Event::new(text))
}

fn typed(event_type: &str, text: &str) -> Item {
    Item::Event(Event::new(text).with_type(EventType::new(event_type).unwrap()))
}

fn with_id(id: &str, text: &str) -> Item {
    Item::Event(Event::new(text).with_id(EventId::new(id).unwrap()))
}

fn id(text: &str) -> Item {
    Item::Id(EventId::new(text).unwrap())
}

fn retry(millis: u64) -> Item {
    Item::Retry(Duration::from_millis(millis))
}

fn comment(text: &str) -> Item {
    Item::Comment(text.to_owned())
}
