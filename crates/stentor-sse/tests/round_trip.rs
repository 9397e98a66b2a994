//! Property tests: every event survives encoding and decoding, however the stream is cut, and any bytes can be decoded.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test helpers")]

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use stentor_sse::{DecodeError, Decoder, Event, EventId, EventType, Item, encode_comment};

type Items = Vec<Result<Item, DecodeError>>;

fn decode<'a>(decoder: &mut Decoder, pieces: impl IntoIterator<Item = &'a [u8]>) -> Items {
    let mut items = Items::new();
    for mut piece in pieces {
        while let Some(item) = decoder.decode(&mut piece) {
            items.push(item);
        }
    }
    items
}

/// Cuts the bytes at the given indices.
fn cut<'a>(bytes: &'a [u8], places: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|at| at.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

/// Text made of whole fields, line ends and other parts that could confuse a decoder.
fn text() -> impl Strategy<Value = String> {
    let tricky = select(vec![
        "\r",
        "\n",
        "\r\n",
        "\n\n",
        "\0",
        " ",
        "  ",
        "\t",
        ":",
        "\u{FEFF}",
        "\u{2028}",
        "🐎",
        "é",
        "data",
        "data: x",
        "id: 666",
        "id",
        "event: forged",
        "retry: 0",
        ": comment",
        "message",
    ]);
    let part = prop_oneof![tricky.prop_map(str::to_owned), any::<char>().prop_map(String::from)];
    vec(part, 0..12).prop_map(|parts| parts.concat())
}

/// Text without the characters that are not allowed in a type or an id.
fn field_text() -> impl Strategy<Value = String> {
    text().prop_map(|text| text.replace(['\r', '\n', '\0'], ""))
}

fn event() -> impl Strategy<Value = Event> {
    let event_type = field_text().prop_map(|text| EventType::new(text).ok());
    let id = option::of(field_text().prop_map(|text| EventId::new(text).unwrap()));
    let retry = option::of(any::<u64>().prop_map(Duration::from_millis));
    (text(), event_type, id, retry).prop_map(|(data, event_type, id, retry)| {
        let mut event = Event::new(data);
        event = event_type.into_iter().fold(event, Event::with_type);
        event = id.into_iter().fold(event, Event::with_id);
        retry.into_iter().fold(event, Event::with_retry)
    })
}

/// The event as decoded: every line end of the data becomes LF.
fn arrived(event: &Event) -> Event {
    let mut arrived = Event::new(event.data().replace("\r\n", "\n").replace('\r', "\n"));
    arrived = event.event_type().cloned().into_iter().fold(arrived, Event::with_type);
    arrived = event.id().cloned().into_iter().fold(arrived, Event::with_id);
    event.retry().into_iter().fold(arrived, Event::with_retry)
}

/// Bytes that consist mostly of parts of the format.
fn stream_bytes() -> impl Strategy<Value = Vec<u8>> {
    let tricky = select(vec![
        &b"\r"[..],
        b"\n",
        b"\r\n",
        b":",
        b" ",
        b"\0",
        b"\xEF\xBB\xBF",
        b"\xEF",
        b"\xF0\x9F",
        b"\xFF",
        b"data",
        b"data:",
        b"id",
        b"id:",
        b"event:",
        b"retry:",
        b"42",
        b"x",
    ]);
    let part = prop_oneof![
        4 => tricky.prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..4),
    ];
    vec(part, 0..60).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn events_survive_encoding_and_decoding(
        events in vec(event(), 1..4),
        places in vec(any::<Index>(), 0..8),
    ) {
        let mut wire = Vec::new();
        let mut expected = Items::new();
        for event in &events {
            event.encode(&mut wire);
            expected.extend(event.retry().map(|retry| Ok(Item::Retry(retry))));
            expected.push(Ok(Item::Event(arrived(event))));
        }
        let mut decoder = Decoder::new();
        prop_assert_eq!(decode(&mut decoder, cut(&wire, &places)), expected);
        prop_assert!(!decoder.is_mid_block());
        let last = events.iter().rev().find_map(Event::id).map_or("", EventId::as_str);
        prop_assert_eq!(decoder.last_event_id(), last);
    }

    #[test]
    fn no_data_forges_a_field(data in text()) {
        let mut wire = Vec::new();
        Event::new(data).encode(&mut wire);
        let mut decoder = Decoder::new();
        let items = decode(&mut decoder, [wire.as_slice()]);
        prop_assert_eq!(items.len(), 1);
        let Some(Ok(Item::Event(event))) = items.first() else {
            return Err(TestCaseError::fail(format!("{items:?}")));
        };
        prop_assert_eq!(event, &Event::new(event.data()));
        prop_assert_eq!((decoder.last_event_id(), decoder.retry()), ("", None));
    }

    #[test]
    fn no_comment_forges_a_field(text in text()) {
        let mut wire = Vec::new();
        encode_comment(&mut wire, &text);
        let mut decoder = Decoder::new();
        for item in decode(&mut decoder, [wire.as_slice()]) {
            prop_assert!(matches!(item, Ok(Item::Comment(_))), "{:?}", item);
        }
        prop_assert!(!decoder.is_mid_block());
    }

    #[test]
    fn any_bytes_decode_the_same_however_they_are_cut(
        bytes in stream_bytes(),
        places in vec(any::<Index>(), 0..8),
        limit in prop_oneof![Just(Decoder::EVENT_BYTES_MAX), 0..20usize],
    ) {
        let read = |pieces: Vec<&[u8]>| {
            let mut decoder = Decoder::with_event_bytes_max(limit);
            let mut items = decode(&mut decoder, pieces);
            // A failed decoder returns its error again for each further piece.
            items.dedup_by(|next, last| next.is_err() && last.is_err());
            let ending = (decoder.last_event_id().to_owned(), decoder.retry());
            (items, ending)
        };
        let whole = read(vec![&bytes]);
        prop_assert_eq!(&read(bytes.chunks(1).collect()), &whole);
        prop_assert_eq!(&read(cut(&bytes, &places)), &whole);
    }
}
