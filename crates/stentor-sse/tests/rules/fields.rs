//! P6 to P12: fields and events.

use stentor_sse::{Decoder, Event, EventId, EventType, Item};

use crate::{check, comment, data, outcome, typed, with_id};

#[test]
fn p6_a_colon_begins_a_comment_and_a_line_without_a_colon_is_a_name() {
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
        ("space after", b"data : a\n\n", vec![]),
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
fn p11_empty_data_makes_an_event_and_no_data_does_not() {
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
        ("after the data", b"data\nevent: a\n\n", vec![typed("a", "")]),
        ("two", b"event: a\nevent: b\ndata\n\n", vec![typed("b", "")]),
        ("empty", b"event: a\nevent:\ndata\n\n", vec![data("")]),
        ("message", b"event: message\ndata\n\n", vec![data("")]),
        ("next block", b"event: a\ndata\n\ndata\n\n", vec![typed("a", ""), data("")]),
    ]);
}
