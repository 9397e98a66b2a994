//! Encoded events, comments and frames, byte for byte.

#![allow(clippy::unwrap_used, reason = "test helpers")]

use std::time::Duration;

use stentor_sse::{
    Event, EventId, EventType, FieldError, Frame, encode_comment, encode_id, encode_retry,
};

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

fn encoded(event: &Event) -> String {
    written(|out| event.encode(out))
}

fn full_event() -> Event {
    Event::new("a")
        .with_retry(Duration::from_millis(1500))
        .with_type(EventType::new("note").unwrap())
        .with_id(EventId::new("1").unwrap())
}

#[test]
fn the_fields_come_in_the_order_id_event_retry_data() {
    assert_eq!(encoded(&full_event()), "id: 1\nevent: note\nretry: 1500\ndata: a\n\n");
}

#[test]
fn data_is_split_at_every_line_end() {
    for (data, wire) in [
        ("", "data: \n\n"),
        ("a\nb", "data: a\ndata: b\n\n"),
        ("a\rb", "data: a\ndata: b\n\n"),
        ("a\r\nb", "data: a\ndata: b\n\n"),
        ("a\n\rb", "data: a\ndata: \ndata: b\n\n"),
        ("a\n", "data: a\ndata: \n\n"),
        ("\r\n", "data: \ndata: \n\n"),
        (" a", "data:  a\n\n"),
        ("a\r\rid: 9", "data: a\ndata: \ndata: id: 9\n\n"),
    ] {
        assert_eq!(encoded(&Event::new(data)), wire, "{data:?}");
    }
}

#[test]
fn an_empty_id_is_written() {
    let event = Event::new("a").with_id(EventId::new("").unwrap());
    assert_eq!(encoded(&event), "id: \ndata: a\n\n");
}

#[test]
fn encode_with_id_replaces_the_id_of_the_event() {
    let id = EventId::new("c7").unwrap();
    let other = written(|out| full_event().encode_with_id(&id, out));
    assert_eq!(other, "id: c7\nevent: note\nretry: 1500\ndata: a\n\n");
    assert_eq!(written(|out| Event::new("a").encode_with_id(&id, out)), "id: c7\ndata: a\n\n");
}

#[test]
fn encoding_appends() {
    let both = written(|out| {
        Event::new("a").encode(out);
        Event::new("b").encode(out);
    });
    assert_eq!(both, "data: a\n\ndata: b\n\n");
}

#[test]
fn the_type_message_is_no_type() {
    let event = Event::new("a").with_type(EventType::new("message").unwrap());
    assert_eq!(event.event_type(), None);
    let renamed = Event::new("a")
        .with_type(EventType::new("note").unwrap())
        .with_type(EventType::new("message").unwrap());
    assert_eq!(renamed, Event::new("a"));
}

#[test]
fn a_retry_is_whole_milliseconds() {
    let event = Event::new("a").with_retry(Duration::from_micros(1_999));
    assert_eq!(event.retry(), Some(Duration::from_millis(1)));
    assert_eq!(written(|out| encode_retry(out, Duration::from_micros(1_999))), "retry: 1\n\n");
    let longest = written(|out| encode_retry(out, Duration::MAX));
    assert_eq!(longest, "retry: 18446744073709551615\n\n");
}

#[test]
fn each_line_of_a_comment_is_a_comment() {
    for (text, wire) in
        [("ok", ": ok\n"), ("", ": \n"), ("a\ndata: b\r\rc\r\nd", ": a\n: data: b\n: \n: c\n: d\n")]
    {
        assert_eq!(written(|out| encode_comment(out, text)), wire, "{text:?}");
    }
}

#[test]
fn an_id_can_be_encoded_alone() {
    assert_eq!(written(|out| encode_id(out, &EventId::new("1").unwrap())), "id: 1\n\n");
}

#[test]
fn a_type_or_id_that_could_break_its_line_is_refused() {
    for (text, character, at) in [("a\rb", '\r', 1), ("é\n", '\n', 2), ("\0", '\0', 0)] {
        let refused = |field| Some(FieldError::Character { field, character, at });
        assert_eq!(EventType::new(text).err(), refused("event type"));
        assert_eq!(EventId::new(text).err(), refused("event id"));
    }
    assert_eq!(EventType::try_from(""), Err(FieldError::EmptyType));
    assert!(EventId::try_from("").is_ok());
}

#[test]
fn a_field_error_says_where_and_what_to_do() {
    assert_eq!(
        EventId::new("ab\ndata: x").unwrap_err().to_string(),
        "an event id cannot contain '\\n' (at byte 2); remove or escape it"
    );
}

#[test]
fn a_frame_shows_its_payload_and_its_chunk() {
    for (length, head) in
        [(1, "1"), (9, "9"), (10, "a"), (15, "f"), (16, "10"), (255, "ff"), (70_000, "11170")]
    {
        let payload = "x".repeat(length);
        let frame = Frame::build(|out| out.extend_from_slice(payload.as_bytes()));
        assert_eq!(frame.bytes(), payload);
        assert_eq!(frame.as_slice(), payload.as_bytes());
        assert_eq!(frame.len(), length);
        assert!(!frame.is_empty());
        assert_eq!(frame.chunk(), format!("{head}\r\n{payload}\r\n"));
    }
}

#[test]
fn a_frame_of_an_event_is_its_encoding() {
    assert_eq!(Frame::of(&full_event()).bytes(), encoded(&full_event()));
}

#[test]
fn the_views_and_clones_of_a_frame_share_one_buffer() {
    let frame = Frame::of(&full_event());
    let copy = frame.clone();
    assert_eq!(frame.as_slice().as_ptr(), copy.bytes().as_ptr());
    assert_eq!(frame.chunk().as_ptr(), copy.chunk().as_ptr());
    assert_eq!(frame.chunk().slice(4..).as_ptr(), copy.bytes().as_ptr());
}

#[test]
fn an_empty_frame_is_not_a_terminating_chunk() {
    let frame = Frame::build(|_| {});
    assert!(frame.is_empty());
    assert_eq!(frame.len(), 0);
    assert!(frame.bytes().is_empty());
    assert!(frame.as_slice().is_empty());
    assert!(frame.chunk().is_empty());
}
