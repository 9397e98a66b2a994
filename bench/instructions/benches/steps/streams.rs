//! Decodes streams, in pieces as they arrive over TCP.

use gungraun::{library_benchmark, library_benchmark_group};
use stentor_sse::{Decoder, Item};

use crate::json;

/// Size of a piece: a TCP segment over Ethernet.
const PIECE: usize = 1460;

/// Creates a stream of `count` events with `lines` lines of data. Decodes it once, as a warm-up.
fn stream(count: usize, lines: usize, line: &str) -> Vec<u8> {
    let data = format!("data: {line}\n").repeat(lines);
    let event = |n| format!("id: {n}\nevent: update\n{data}\n").into_bytes();
    let stream = (0..count).flat_map(event).collect::<Vec<u8>>();
    assert_eq!(decode(&stream), count);
    stream
}

fn decode(stream: &[u8]) -> usize {
    let mut decoder = Decoder::new();
    let mut events = 0;
    for mut piece in stream.chunks(PIECE) {
        while let Some(item) = decoder.decode(&mut piece) {
            events += usize::from(matches!(item, Ok(Item::Event(_))));
        }
    }
    events
}

#[library_benchmark(setup = stream)]
#[bench::a_hundred_small_events(100, 1, &json(100))]
#[bench::ten_events_of_a_hundred_lines(10, 100, &json(20))]
#[bench::ten_large_events(10, 1, &json(64 << 10))]
fn decode_all(stream: Vec<u8>) -> (usize, Vec<u8>) {
    (decode(&stream), stream)
}

library_benchmark_group!(name = decode, benchmarks = decode_all);
