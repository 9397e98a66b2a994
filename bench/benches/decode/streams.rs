//! The streams to decode.

use crate::decoders::Decoded;

/// Size of a stream, in bytes. It is small, because some decoders take quadratic time in the size of a piece.
const BYTES: usize = 512 * 1024;

pub(crate) struct Stream {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) decoded: Decoded,
}

pub(crate) fn all() -> [Stream; 8] {
    let small = |n| format!("id: {n}\nevent: update\ndata: {}\n\n", ascii(n, 60 + n * 37 % 141));
    [
        stream("small: `id`, `event`, 60-200 bytes of data", small),
        stream("small, CRLF", |n| small(n).replace('\n', "\r\n")),
        stream("small, each after a comment", |n| format!(": keep-alive\n\n{}", small(n))),
        stream("small, data alone", |n| format!("data: {}\n\n", ascii(n, 60 + n * 37 % 141))),
        stream("tokens: `data: {\"t\":\" the\"}`", |n| {
            format!("data: {{\"t\":\" {}\"}}\n\n", ascii(n, 2 + n % 7))
        }),
        stream("small, five lines of data", |n| {
            format!("id: {n}\n{}\n", format!("data: {}\n", ascii(n, 20)).repeat(5))
        }),
        stream("small, Czech", |n| {
            format!("id: {n}\nevent: update\ndata: {}\n\n", "žluťoučký kůň ".repeat(3 + n % 6))
        }),
        stream("4 KiB", |n| format!("id: {n}\nevent: update\ndata: {}\n\n", ascii(n, 4096))),
    ]
}

/// A stream of one event with the given number of bytes of data.
pub(crate) fn one_event(bytes: usize) -> Stream {
    Stream {
        name: "one event",
        bytes: format!("data: {}\n\n", ascii(0, bytes)).into_bytes(),
        decoded: Decoded { events: 1, data_bytes: bytes },
    }
}

fn stream(name: &'static str, event: impl Fn(usize) -> String) -> Stream {
    let mut stream = Stream { name, bytes: Vec::new(), decoded: Decoded::default() };
    while stream.bytes.len() < BYTES {
        let event = event(stream.decoded.events);
        let data = event.lines().filter_map(|line| line.strip_prefix("data: "));
        stream.decoded.events += 1;
        stream.decoded.data_bytes += data.map(|line| line.len() + 1).sum::<usize>() - 1;
        stream.bytes.extend_from_slice(event.as_bytes());
    }
    stream
}

fn ascii(from: usize, bytes: usize) -> String {
    const TEXT: &str =
        r#"{"user":"ada","text":"the quick brown fox jumps over the lazy dog","n":42}, "#;
    TEXT.chars().cycle().skip(from % TEXT.len()).take(bytes).collect()
}
