//! P17 to P20: the reconnection time, the end of the stream, and limits.

use std::time::Duration;

use stentor_sse::{DecodeError, Decoder, Event, Item};

use crate::{Items, check, data, decode, outcome, retry, with_id};

#[test]
fn p17_a_retry_is_ascii_digits_only() {
    check([
        ("plain", b"retry: 3000\n", vec![retry(3000)]),
        ("leading zeros", b"retry:03000\n", vec![retry(3000)]),
        ("zero", b"retry:0\n", vec![retry(0)]),
        ("sign", b"retry: +5\nretry: -5\n", vec![]),
        ("spaces", b"retry:  5\nretry: 5 \nretry: 1 000\n", vec![]),
        ("units", b"retry: 5s\nretry: 1000x\n", vec![]),
        ("point and exponent", b"retry: 1.5\nretry: 1e3\n", vec![]),
        ("full-width digits", "retry: ３０００\n".as_bytes(), vec![]),
        ("empty", b"retry:\nretry: \nretry\n", vec![]),
        ("the longest", b"retry: 18446744073709551615\n", vec![retry(u64::MAX)]),
        ("beyond it", b"retry: 18446744073709551616\n", vec![retry(u64::MAX)]),
        ("far beyond it", b"retry: 999999999999999999999999\n", vec![retry(u64::MAX)]),
    ]);
    let whole =
        outcome("an invalid retry changes nothing", Decoder::new, b"retry: 5\nretry: x\nretry:\n");
    assert_eq!(whole.retry, Some(Duration::from_millis(5)));
}

#[test]
fn p18_a_retry_takes_effect_at_once() {
    check([
        ("no data", b"retry: 5\n\n", vec![retry(5)]),
        ("before its event", b"data: a\nretry: 5\n\n", {
            let event = Event::new("a").with_retry(Duration::from_millis(5));
            vec![retry(5), Item::Event(event)]
        }),
        ("not the next event's", b"retry: 5\n\ndata: a\n\n", vec![retry(5), data("a")]),
    ]);
    let whole = outcome("without blank line", Decoder::new, b"retry: 5\n");
    assert_eq!(whole.retry, Some(Duration::from_millis(5)));
}

#[test]
fn p19_the_end_of_the_stream_discards_an_unfinished_block() {
    for (name, bytes, is_mid_block) in [
        ("nothing", &b""[..], false),
        ("a whole block", b"data: a\n\n", false),
        ("a comment", b": a\n", false),
        ("an unknown field", b"a: b\n", false),
        ("a retry, which took effect", b"retry: 5\n", false),
        ("only a byte order mark", b"\xEF\xBB\xBF", false),
        ("data", b"data: a\n", true),
        ("empty data", b"data\n", true),
        ("an id", b"id: 1\n", true),
        ("a type", b"event: a\n", true),
        ("half a line", b"da", true),
        ("half a line in the next block", b"data: a\n\nd", true),
    ] {
        assert_eq!(outcome(name, Decoder::new, bytes).is_mid_block, is_mid_block, "{name}");
    }
    let whole = outcome("cut short", Decoder::new, b"id: 1\ndata: a\n\nid: 2\ndata: b\n");
    assert_eq!(whole.items, [Ok(with_id("1", "a"))]);
    assert_eq!(whole.last_event_id, "1");
}

#[test]
fn p20_data_up_to_the_limit_passes_and_one_byte_more_fails() {
    let limited = || Decoder::with_event_bytes_max(8);
    let too_long = Err(DecodeError::TooLong { limit: 8 });
    let table: [(&str, &[u8], Items); 11] = [
        ("one line at the limit", b"data: 12345678\n\n", vec![Ok(data("12345678"))]),
        ("after a byte order mark", b"\xEF\xBB\xBFdata: 12345678\n\n", vec![Ok(data("12345678"))]),
        ("two lines", b"data:1234\ndata:678\n\n", vec![Ok(data("1234\n678"))]),
        ("two events", b"data:12345\n\ndata:67890\n\n", {
            vec![Ok(data("12345")), Ok(data("67890"))]
        }),
        ("one line over the limit", b"data: 123456789\n\n", vec![too_long.clone()]),
        ("two lines over the limit", b"data:1234\ndata:5678\n\n", vec![too_long.clone()]),
        ("line ends count", b"data\ndata:1234567\ndata\n\n", vec![too_long.clone()]),
        ("a comment", b":23456789012345\n", vec![too_long.clone()]),
        ("an endless line", b"x23456789012345", vec![too_long.clone()]),
        ("an endless line at the limit", b"x2345678901234", vec![]),
        ("after an event", b"data:1\n\ndata: 123456789\n\n", {
            vec![Ok(data("1")), too_long.clone()]
        }),
    ];
    for (name, bytes, items) in table {
        assert_eq!(outcome(name, limited, bytes).items, items, "{name}");
    }
}

#[test]
fn p20_the_limit_counts_empty_data_lines() {
    let mut decoder = Decoder::with_event_bytes_max(8);
    let lines = b"data\n".repeat(10);
    assert_eq!(decoder.decode(&mut lines.as_slice()), Some(Err(DecodeError::TooLong { limit: 8 })));
}

#[test]
fn p20_a_long_event_passes_with_the_default_limit() {
    let text = "x".repeat(4 * 1024 * 1024);
    let mut wire = Vec::new();
    Event::new(text.clone()).encode(&mut wire);
    let whole = decode(Decoder::new(), wire.chunks(1000));
    assert!(whole.items == [Ok(data(&text))]);
}

#[test]
fn a_failed_decoder_stays_failed() {
    let mut decoder = Decoder::with_event_bytes_max(1);
    let too_long = Some(Err(DecodeError::TooLong { limit: 1 }));
    for bytes in [&b"data: 123\n\ndata: 1\n\n"[..], b"data: 1\n\n"] {
        let mut input = bytes;
        assert_eq!(decoder.decode(&mut input), too_long);
        assert!(input.is_empty());
        assert_eq!(decoder.decode(&mut input), None);
    }
}
