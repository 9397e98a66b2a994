//! P13 to P16: the last event id.

use stentor_sse::Decoder;

use crate::{check, data, id, outcome, with_id};

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
fn p15_a_blank_line_commits_the_id_even_without_data() {
    check([
        ("no data", b"id: 1\n\n", vec![id("1")]),
        ("the last of a block", b"id: 1\nid: 2\n\n", vec![id("2")]),
        ("with a type", b"event: a\nid: 1\n\n", vec![id("1")]),
        ("the next event has no id", b"id: 1\n\ndata\n\n", vec![id("1"), data("")]),
    ]);
    assert_eq!(outcome("no data", Decoder::new, b"id: 1\n\n").last_event_id, "1");
    assert_eq!(outcome("no blank line", Decoder::new, b"id: 1\ndata\n").last_event_id, "");
}

#[test]
fn p16_the_id_persists_across_events_and_connections() {
    let whole = outcome("events", Decoder::new, b"id: 1\ndata\n\ndata: a\n\n");
    assert_eq!(whole.items, [Ok(with_id("1", "")), Ok(data("a"))]);
    assert_eq!(whole.last_event_id, "1");

    let continued = || {
        let mut decoder = Decoder::new();
        decoder.set_last_event_id("7");
        decoder
    };
    let whole = outcome("connections", continued, b"data: a\n\n");
    assert_eq!(whole.items, [Ok(data("a"))]);
    assert_eq!(whole.last_event_id, "7");
    assert_eq!(outcome("then another", continued, b"id: 8\ndata\n\n").last_event_id, "8");
    assert_eq!(outcome("then a reset", continued, b"id\ndata\n\n").last_event_id, "");
}
