//! The rules of reading, P1 to P20. A table for each: what is sent, what comes out, however it is cut.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::Duration;

use stentor_sse::{DecodeError, Decoder, Event, EventId, EventType, Item};

type Items = Vec<Result<Item, DecodeError>>;

/// What a reader ends up with: the items, and what the decoder remembers.
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
        assert!(piece.is_empty(), "input was left");
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

/// Feeds the bytes whole, in pieces of 1 and of 3 bytes, and cut in two at every byte; the outcome
/// must be one.
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

#[test]
fn p1_exactly_one_leading_byte_order_mark_is_stripped() {
    check([
        ("one", b"\xEF\xBB\xBFdata: a\n\n", vec![data("a")]),
        ("before a comment", b"\xEF\xBB\xBF:a\n", vec![comment("a")]),
        ("before a line end", b"\xEF\xBB\xBF\r\ndata: a\n\n", vec![data("a")]),
        ("a second", b"\xEF\xBB\xBF\xEF\xBB\xBFdata: a\n\ndata: b\n\n", vec![data("b")]),
        ("a second line's", b"\n\xEF\xBB\xBFdata: a\n\ndata: b\n\n", vec![data("b")]),
        ("in the data", b"data: \xEF\xBB\xBFa\n\n", vec![data("\u{FEFF}a")]),
        ("the stream is UTF-8", "data: žlutý 🐎\n\n".as_bytes(), vec![data("žlutý 🐎")]),
    ]);
}

#[test]
fn p2_a_broken_byte_order_mark_is_malformed_text() {
    check([
        ("two bytes of it", b"\xEF\xBBdata: a\n\ndata: b\n\n", vec![data("b")]),
        ("another third byte", b"\xEF\xBB\xBEdata: a\n\ndata: b\n\n", vec![data("b")]),
        ("cut off by the line's end", b"\xEF\xBB\n\xBFdata: a\ndata: b\n\n", vec![data("b")]),
    ]);
}

#[test]
fn p3_malformed_utf8_becomes_replacement_characters() {
    check([
        ("in data", b"data: a\xFFb\n\n", vec![data("a\u{FFFD}b")]),
        ("truncated", b"data: \xF0\x9F\x90\n\n", vec![data("\u{FFFD}")]),
        (
            "truncated, before data that would complete it",
            b"data: \xC3\ndata: \xA9\n\n",
            vec![data("\u{FFFD}\n\u{FFFD}")],
        ),
        ("a surrogate", b"data: \xED\xA0\x80\n\n", vec![data("\u{FFFD}\u{FFFD}\u{FFFD}")]),
        ("in a type", b"event: \xFF\ndata\n\n", vec![typed("\u{FFFD}", "")]),
        ("in an id", b"id: \xFF\ndata\n\n", vec![with_id("\u{FFFD}", "")]),
        ("in a comment", b": \xFF\n", vec![comment("\u{FFFD}")]),
        ("in a name", b"dat\xFFa: a\ndata: b\n\n", vec![data("b")]),
        ("in an ignored line", b"x: \xC3\ndata: b\n\n", vec![data("b")]),
    ]);
}

#[test]
fn p4_lines_end_with_lf_cr_or_crlf_as_they_like() {
    check([
        ("LF", b"data: a\n\ndata: b\n\n", vec![data("a"), data("b")]),
        ("CR", b"data: a\r\rdata: b\r\r", vec![data("a"), data("b")]),
        ("CRLF", b"data: a\r\n\r\ndata: b\r\n\r\n", vec![data("a"), data("b")]),
        ("CRLF, LF", b"data: a\r\n\n", vec![data("a")]),
        ("LF, CR", b"data: a\n\rdata: b\n\r", vec![data("a"), data("b")]),
        ("mixed within a block", b"data: a\rdata: b\ndata: c\r\n\r", vec![data("a\nb\nc")]),
        ("no other line ends", "data: a\u{B}\u{C}\u{85}\u{2028}b\n\n".as_bytes(), {
            vec![data("a\u{B}\u{C}\u{85}\u{2028}b")]
        }),
    ]);
}

#[test]
fn p5_a_cr_ends_a_line_at_once_and_swallows_an_lf_that_follows() {
    check([
        ("an event's last CR is the last byte", b"data: a\r\n\r", vec![data("a")]),
        ("the LF belongs to the CR", b"data: a\r\ndata: b\r\n\r\n", vec![data("a\nb")]),
        ("only one LF belongs to it", b"data: a\r\n\ndata: b\n\n", vec![data("a"), data("b")]),
    ]);

    let mut decoder = Decoder::new();
    let mut input = &b"data: a\r\n\r"[..];
    assert_eq!(decoder.decode(&mut input), Some(Ok(data("a"))));
    let mut input = &b"\ndata: b\r"[..];
    assert_eq!(decoder.decode(&mut input), None);
    let mut input = &b"\n\r"[..];
    assert_eq!(decoder.decode(&mut input), Some(Ok(data("b"))));
    let mut input = &b"\n"[..];
    assert_eq!(decoder.decode(&mut input), None);
    assert!(!decoder.is_mid_block());
}

#[test]
fn p6_a_colon_begins_a_comment_and_a_line_without_one_is_a_name() {
    check([
        ("comment", b": a\n:b\n:\n", vec![comment("a"), comment("b"), comment("")]),
        ("within a block", b"data: a\n: c\ndata: b\n\n", vec![comment("c"), data("a\nb")]),
        ("like a field", b":data: a\n\n", vec![comment("data: a")]),
        ("data", b"data\n\n", vec![data("")]),
        ("event", b"event: a\nevent\ndata\n\n", vec![data("")]),
        ("retry", b"retry\ndata\n\n", vec![data("")]),
        ("unknown", b"a\n\n", vec![]),
    ]);
}

#[test]
fn p7_exactly_one_space_is_removed_after_the_colon() {
    check([
        ("none", b"data:a\n\n", vec![data("a")]),
        ("one", b"data: a\n\n", vec![data("a")]),
        ("two", b"data:  a\n\n", vec![data(" a")]),
        ("a tab", b"data:\ta\n\n", vec![data("\ta")]),
        ("at the end", b"data: a \n\n", vec![data("a ")]),
        ("another colon", b"data:: a\n\n", vec![data(": a")]),
        ("type and id", b"event:  t\nid:  i\ndata\n\n", {
            let event = Event::new("").with_type(EventType::new(" t").unwrap());
            vec![Item::Event(event.with_id(EventId::new(" i").unwrap()))]
        }),
    ]);
}

#[test]
fn p8_field_names_are_exact_and_unknown_ones_ignored() {
    check([
        ("space before", b" data: a\n\n", vec![]),
        ("space behind", b"data : a\n\n", vec![]),
        ("case", b"Data: a\nDATA: b\nID: c\n\n", vec![]),
        ("NUL", b"data\0: a\n\0data: b\n\n", vec![]),
        ("a field named comment", b"comment: a\n\n", vec![]),
        ("longer and shorter", b"datas: a\ndat: b\n\n", vec![]),
        ("among known ones", b"data: a\nfoo: b\n\n", vec![data("a")]),
    ]);
}

#[test]
fn p9_nul_stays_in_data_and_in_a_type() {
    check([("data", b"data: a\0b\n\n", vec![data("a\0b")])]);

    let whole = outcome("type", Decoder::new, b"event: a\0b\ndata\n\n");
    let [Ok(Item::Event(event))] = whole.items.as_slice() else { panic!("{whole:?}") };
    assert_eq!(event.event_type().map(EventType::as_str), Some("a\0b"));
}

#[test]
fn p10_data_lines_are_joined_with_lf() {
    check([
        ("two", b"data: a\ndata: b\n\n", vec![data("a\nb")]),
        ("two empty", b"data\ndata\n\n", vec![data("\n")]),
        ("three empty", b"data\ndata:\ndata: \n\n", vec![data("\n\n")]),
        ("empty last", b"data: a\ndata\n\n", vec![data("a\n")]),
        ("others between", b"data: a\nid: 1\ndata: b\n\n", vec![with_id("1", "a\nb")]),
    ]);
}

#[test]
fn p11_empty_data_is_an_event_and_no_data_is_none() {
    check([
        ("empty data", b"data:\n\n", vec![data("")]),
        ("no data", b"event: a\n\n", vec![]),
        ("blank lines", b"\n\n\r\r\n\n", vec![]),
        ("no data resets the type", b"event: a\n\ndata: b\n\n", vec![data("b")]),
    ]);
}

#[test]
fn p12_the_last_type_wins_and_lasts_for_one_block() {
    check([
        ("one", b"event: a\ndata\n\n", vec![typed("a", "")]),
        ("behind the data", b"data\nevent: a\n\n", vec![typed("a", "")]),
        ("two", b"event: a\nevent: b\ndata\n\n", vec![typed("b", "")]),
        ("empty", b"event: a\nevent:\ndata\n\n", vec![data("")]),
        ("message", b"event: message\ndata\n\n", vec![data("")]),
        ("next block", b"event: a\ndata\n\ndata\n\n", vec![typed("a", ""), data("")]),
    ]);
}

#[test]
fn p13_an_id_with_nul_is_ignored() {
    check([
        ("alone", b"id: a\0b\ndata\n\n", vec![data("")]),
        ("after one in the block", b"id: 1\nid: a\0\ndata\n\n", vec![with_id("1", "")]),
        ("without data", b"id: \0\n\n", vec![]),
    ]);
    let whole = outcome("previous", Decoder::new, b"id: 1\n\nid: \0\ndata\n\n");
    assert_eq!(whole.last_event_id, "1");
}

#[test]
fn p14_an_empty_id_resets_the_last_event_id() {
    for (name, bytes) in [
        ("empty", &b"id: 1\ndata\n\nid:\ndata\n\n"[..]),
        ("a space", b"id: 1\ndata\n\nid: \ndata\n\n"),
        ("no colon", b"id: 1\ndata\n\nid\ndata\n\n"),
    ] {
        let whole = outcome(name, Decoder::new, bytes);
        assert_eq!(whole.items, [Ok(with_id("1", "")), Ok(with_id("", ""))], "{name}");
        assert_eq!(whole.last_event_id, "", "{name}");
    }
    check([("without data", b"id\n\n", vec![id("")])]);
}

#[test]
fn p15_a_blank_line_commits_the_id_also_without_data() {
    check([
        ("no data", b"id: 1\n\n", vec![id("1")]),
        ("the last of a block", b"id: 1\nid: 2\n\n", vec![id("2")]),
        ("with a type", b"event: a\nid: 1\n\n", vec![id("1")]),
        ("the next event has none of its own", b"id: 1\n\ndata\n\n", vec![id("1"), data("")]),
    ]);
    assert_eq!(outcome("no data", Decoder::new, b"id: 1\n\n").last_event_id, "1");
    assert_eq!(outcome("no blank line", Decoder::new, b"id: 1\ndata\n").last_event_id, "");
}

#[test]
fn p16_the_id_persists_over_events_and_connections() {
    let whole = outcome("events", Decoder::new, b"id: 1\ndata\n\ndata: a\n\n");
    assert_eq!(whole.items, [Ok(with_id("1", "")), Ok(data("a"))]);
    assert_eq!(whole.last_event_id, "1");

    let seeded = || {
        let mut decoder = Decoder::new();
        decoder.seed("7");
        decoder
    };
    let whole = outcome("connections", seeded, b"data: a\n\n");
    assert_eq!(whole.items, [Ok(data("a"))]);
    assert_eq!(whole.last_event_id, "7");
    assert_eq!(outcome("then another", seeded, b"id: 8\ndata\n\n").last_event_id, "8");
    assert_eq!(outcome("then a reset", seeded, b"id\ndata\n\n").last_event_id, "");
}

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
    let whole = outcome("a bad one changes nothing", Decoder::new, b"retry: 5\nretry: x\nretry:\n");
    assert_eq!(whole.retry, Some(Duration::from_millis(5)));
}

#[test]
fn p18_a_retry_counts_at_once() {
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
        ("a retry, which has counted", b"retry: 5\n", false),
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
        ("one line of it", b"data: 12345678\n\n", vec![Ok(data("12345678"))]),
        ("behind a mark", b"\xEF\xBB\xBFdata: 12345678\n\n", vec![Ok(data("12345678"))]),
        ("lines of it", b"data:1234\ndata:678\n\n", vec![Ok(data("1234\n678"))]),
        ("event by event", b"data:12345\n\ndata:67890\n\n", {
            vec![Ok(data("12345")), Ok(data("67890"))]
        }),
        ("one line", b"data: 123456789\n\n", vec![too_long.clone()]),
        ("lines", b"data:1234\ndata:5678\n\n", vec![too_long.clone()]),
        ("line ends count", b"data\ndata:1234567\ndata\n\n", vec![too_long.clone()]),
        ("a comment", b":23456789012345\n", vec![too_long.clone()]),
        ("an endless line", b"x23456789012345", vec![too_long.clone()]),
        ("an endless line at the limit", b"x2345678901234", vec![]),
        ("behind an event", b"data:1\n\ndata: 123456789\n\n", {
            vec![Ok(data("1")), too_long.clone()]
        }),
    ];
    for (name, bytes, items) in table {
        assert_eq!(outcome(name, limited, bytes).items, items, "{name}");
    }
}

#[test]
fn p20_many_empty_data_lines_are_bounded_too() {
    let mut decoder = Decoder::with_event_bytes_max(8);
    let lines = b"data\n".repeat(10);
    assert_eq!(decoder.decode(&mut lines.as_slice()), Some(Err(DecodeError::TooLong { limit: 8 })));
}

#[test]
fn p20_a_long_legal_event_passes_by_default() {
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
