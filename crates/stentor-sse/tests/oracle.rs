//! Compares the decoder with a slow reference implementation: the text of the standard (WHATWG HTML, section 9.2.6)
//! translated literally, for a complete stream.
//!
//! `STENTOR_FUZZ_SECONDS` extends the search. Each run starts from another seed and prints it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test helpers")]

use std::time::Duration;
use std::{env, time};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use stentor_sse::{Decoder, Event, Item};

/// Number of streams in a normal run.
const STREAMS: u32 = 2_000;
/// Maximum number of buffered bytes, as a multiple of the limit: a line, the data, a type and an id.
const HELD_LIMITS: usize = 4;

/// An event as a page receives it.
#[derive(Debug, PartialEq, Clone)]
struct Dispatched {
    event_type: String,
    data: String,
    last_event_id: String,
}

/// The result of decoding a stream.
#[derive(Debug, PartialEq, Default)]
struct Outcome {
    dispatched: Vec<Dispatched>,
    last_event_id: String,
    retry: Option<u64>,
}

/// The reference implementation. "UTF-8 decode" strips one byte order mark and replaces invalid bytes with U+FFFD.
fn standard(bytes: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(&text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut outcome = Outcome::default();
    let (mut data, mut event_type, mut id) = (String::new(), String::new(), String::new());
    // Text after the last line end is not a line.
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        if line.is_empty() {
            outcome.last_event_id.clone_from(&id);
            if let Some(data) = data.strip_suffix('\n') {
                outcome.dispatched.push(Dispatched {
                    event_type: if event_type.is_empty() { "message" } else { &event_type }.into(),
                    data: data.into(),
                    last_event_id: id.clone(),
                });
            }
            data.clear();
            event_type.clear();
        } else if field == "event" {
            event_type = value.into();
        } else if field == "data" {
            data += value;
            data.push('\n');
        } else if field == "id" && !value.contains('\0') {
            id = value.into();
        } else if field == "retry"
            && !value.is_empty()
            && value.bytes().all(|digit| digit.is_ascii_digit())
        {
            outcome.retry = Some(value.parse().unwrap_or(u64::MAX));
        }
    }
    outcome
}

/// Decodes the pieces, and asserts that the decoder never buffers more than its limit allows. `None` after an error.
fn decoded<'a>(
    mut decoder: Decoder,
    limit: usize,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> Option<Outcome> {
    let mut outcome = Outcome::default();
    for mut piece in pieces {
        while let Some(item) = decoder.decode(&mut piece) {
            if let Item::Event(event) = item.ok()? {
                outcome.dispatched.push(dispatched(&event, decoder.last_event_id()));
            }
        }
        assert!(piece.is_empty(), "input is left over");
        assert!(decoder.buffered_bytes() <= HELD_LIMITS * (limit + "data: ".len()));
    }
    decoder.last_event_id().clone_into(&mut outcome.last_event_id);
    outcome.retry = decoder.retry().map(millis);
    Some(outcome)
}

fn dispatched(event: &Event, last_event_id: &str) -> Dispatched {
    Dispatched {
        event_type: event.event_type().map_or("message", |name| name.as_str()).to_owned(),
        data: event.data().to_owned(),
        last_event_id: last_event_id.to_owned(),
    }
}

fn millis(retry: Duration) -> u64 {
    u64::try_from(retry.as_millis()).unwrap_or(u64::MAX)
}

/// Streams that consist of parts of the format, the same with some bytes changed, and random bytes.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let parts: Vec<&[u8]> = vec![
        b"\r",
        b"\n",
        b"\r\n",
        b"\n\n",
        b"\r\n\r\n",
        b":",
        b": ",
        b" ",
        b"\0",
        b"\t",
        b"\xEF\xBB\xBF",
        b"\xEF\xBB",
        b"\xEF",
        b"\xBB",
        b"\xBF",
        b"\xF0\x9F",
        b"\x90\x8E",
        b"\xFF",
        b"\xC3",
        b"\xA9",
        b"data",
        b"data:",
        b"data: ",
        b"data: x\n",
        b"data: x\n\n",
        b"dat",
        b"id",
        b"id:",
        b"id: 1\n",
        b"id: \0\n",
        b"event",
        b"event: a\n",
        b"event: message\n",
        b"event:",
        b"retry",
        b"retry: 10\n",
        b"retry: 99999999999999999999\n",
        b"retry: +1\n",
        b"Data: x\n",
        b": note\n",
        b"xxxxxxxxxxxxxxxxxxxx",
    ];
    let shaped = prop::collection::vec(prop::sample::select(parts), 0..40);
    let shaped = shaped.prop_map(|parts| parts.concat());
    let change = (any::<prop::sample::Index>(), any::<u8>());
    let changed = (shaped.clone(), prop::collection::vec(change, 1..4));
    let changed = changed.prop_map(|(mut bytes, changes)| {
        for (at, byte) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        bytes
    });
    prop_oneof![4 => shaped, 2 => changed, 1 => prop::collection::vec(any::<u8>(), 0..200)]
}

fn agree(bytes: &[u8], piece: usize, limit: usize) {
    let expected = standard(bytes);
    for size in [bytes.len().max(1), 1, 3, piece] {
        let decoder = Decoder::new();
        let ours = decoded(decoder, Decoder::EVENT_BYTES_MAX, bytes.chunks(size));
        assert_eq!(ours.as_ref(), Some(&expected), "in pieces of {size}");
    }
    // With a limit the result is equal, or an error.
    let decoder = Decoder::with_event_bytes_max(limit);
    if let Some(ours) = decoded(decoder, limit, bytes.chunks(piece)) {
        assert_eq!(ours, expected, "with a limit of {limit}");
    }
}

#[test]
fn any_stream_decodes_as_the_standard_says() {
    let seconds = env::var("STENTOR_FUZZ_SECONDS").ok().map(|seconds| seconds.parse().unwrap());
    let until = seconds.map(|seconds| time::SystemTime::now() + Duration::from_secs(seconds));
    let seed = time::SystemTime::now().duration_since(time::UNIX_EPOCH).unwrap().as_secs();
    println!("first seed: {seed}");
    for round in 0.. {
        let rng_seed = RngSeed::Fixed(seed.wrapping_add(round << 32));
        let config =
            Config { cases: STREAMS, rng_seed, failure_persistence: None, ..Config::default() };
        TestRunner::new(config)
            .run(&(stream(), 1..40_usize, 0..40_usize), |(bytes, piece, limit)| {
                agree(&bytes, piece, limit);
                Ok(())
            })
            .unwrap();
        if until.is_none_or(|until| time::SystemTime::now() > until) {
            break;
        }
    }
}

#[test]
fn an_endless_block_is_bounded() {
    const LIMIT: usize = 1000;
    for line in [": comment", "id: 1", "event: a", "retry: 5", "unknown", "data"] {
        for endless in [format!("{line}\n"), line.to_owned(), format!("{line}\n\n")] {
            let mut decoder = Decoder::with_event_bytes_max(LIMIT);
            for _ in 0..10_000 {
                let mut piece = endless.as_bytes();
                while let Some(Ok(_)) = decoder.decode(&mut piece) {}
                assert!(decoder.buffered_bytes() <= 2 * LIMIT, "{endless:?}");
            }
        }
    }
}
