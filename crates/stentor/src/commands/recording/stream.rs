//! A recording in memory, as a stream that subscribers can resume.

use std::io::BufRead;
use std::time::Duration;

use anyhow::bail;
use bytes::Bytes;
use stentor_client::{Event, EventId, EventType, Item};
use stentor_sse::{encode_comment, encode_id, encode_retry};

use super::file::Recording;

/// Maximum size of a stream in bytes: all of it is kept in memory.
const STREAM_BYTES_MAX: usize = 256 << 20;

/// Id of the end event that is added to a stream whose own last id cannot identify the end.
const END_ID: &str = "end-of-recording";

/// The whole stream.
#[derive(Debug, Default)]
pub(super) struct ReplayStream {
    pieces: Vec<Piece>,
}

/// A block of the stream.
#[derive(Debug)]
pub(super) struct Piece {
    /// Time after the start of the recording.
    pub(super) at: Duration,
    pub(super) bytes: Bytes,
    /// The event id that it sets.
    id: Option<String>,
    is_event: bool,
}

impl ReplayStream {
    pub(super) fn read(mut recording: Recording<impl BufRead>) -> anyhow::Result<ReplayStream> {
        let mut stream = ReplayStream::default();
        let mut left = STREAM_BYTES_MAX;
        while let Some(line) = recording.next()? {
            let Some(item) = line.entry.item()? else { continue };
            let piece = Piece::new(line.at(), &item);
            left = match left.checked_sub(piece.bytes.len()) {
                Some(left) => left,
                None => bail!(
                    "the stream is larger than {} MiB; shorten it, or publish it with --to",
                    STREAM_BYTES_MAX >> 20
                ),
            };
            stream.pieces.push(piece);
        }
        let url = recording.head.url;
        stream.add_end(&url)?;
        Ok(stream)
    }

    /// Returns the index of the first piece after the event with this id, and the time of that event;
    /// `None` if no event follows. After an unknown or empty id, the whole stream follows.
    pub(super) fn after(&self, id: &str) -> Option<(usize, Duration)> {
        let is_it = |piece: &Piece| !id.is_empty() && piece.id.as_deref() == Some(id);
        let Some(index) = self.pieces.iter().position(is_it) else {
            return Some((0, self.pieces.first().map_or(Duration::ZERO, |piece| piece.at)));
        };
        let mut rest = self.pieces.iter().skip(index + 1);
        let at = self.pieces.get(index).map(|piece| piece.at)?;
        rest.any(|piece| piece.is_event).then_some((index + 1, at))
    }

    pub(super) fn piece(&self, index: usize) -> Option<&Piece> {
        self.pieces.get(index)
    }

    /// Adds an end event if the last id does not identify the end. A subscriber that has everything
    /// reconnects with its last id, and must then get nothing more.
    fn add_end(&mut self, url: &str) -> anyhow::Result<()> {
        let last_id = self.pieces.iter().rev().find_map(|piece| piece.id.clone());
        if self.after(&last_id.unwrap_or_default()).is_none() {
            return Ok(());
        }
        let at = self.pieces.last().map_or(Duration::ZERO, |piece| piece.at);
        let data = serde_json::json!({ "topic": url, "reason": "end of the recording" });
        let end = Event::new(data.to_string())
            .with_type(EventType::new("stentor.end")?)
            .with_id(EventId::new(END_ID)?);
        self.pieces.push(Piece::new(at, &Item::Event(end)));
        Ok(())
    }
}

impl Piece {
    fn new(at: Duration, item: &Item) -> Piece {
        let id = id_of(item).map(EventId::to_string);
        let is_event = matches!(item, Item::Event(_));
        Piece { at, bytes: encoded(item).into(), id, is_event }
    }
}

/// Returns the event id that the item sets.
pub(super) fn id_of(item: &Item) -> Option<&EventId> {
    match item {
        Item::Event(event) => event.id(),
        Item::Id(id) => Some(id),
        Item::Comment(_) | Item::Retry(_) => None,
    }
}

/// Encodes the item as a block of the stream.
pub(super) fn encoded(item: &Item) -> Vec<u8> {
    let mut bytes = Vec::new();
    match item {
        Item::Event(event) => event.encode(&mut bytes),
        Item::Id(id) => encode_id(&mut bytes, id),
        Item::Retry(time) => encode_retry(&mut bytes, *time),
        Item::Comment(text) => {
            encode_comment(&mut bytes, text);
            bytes.push(b'\n');
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(lines: &[&str]) -> ReplayStream {
        let head = r#"{"recording":1,"url":"http://h/s","started":"2026-01-02T03:04:05Z"}"#;
        let text = format!("{head}\n{}", lines.join("\n"));
        ReplayStream::read(Recording::new(text.as_bytes()).unwrap()).unwrap()
    }

    fn event(at: u64, id: &str) -> String {
        format!(r#"{{"at":{at},"event":{{"id":"{id}","type":"message","data":""}}}}"#)
    }

    #[test]
    fn a_stream_resumes_after_the_id_with_the_recorded_timing() {
        let stream = stream(&[&event(5, "a"), &event(9, "b"), &event(20, "c")]);
        let millis = Duration::from_millis;
        assert_eq!(stream.after("a"), Some((1, millis(5))));
        assert_eq!(stream.after("b"), Some((2, millis(9))));
        assert_eq!(stream.after("c"), None);
        for id in ["", "unknown"] {
            assert_eq!(stream.after(id), Some((0, millis(5))), "{id}");
        }
    }

    #[test]
    fn a_subscriber_that_has_everything_is_always_recognized() {
        let nothing = stream(&[]);
        let repeated = stream(&[&event(0, "a"), &event(0, "b"), &event(0, "a")]);
        let without_id =
            stream(&[&event(0, "a"), r#"{"at":1,"event":{"type":"message","data":""}}"#]);
        let reset = stream(&[&event(0, "a"), &event(0, "")]);
        for (stream, pieces) in [(nothing, 1), (repeated, 4), (without_id, 3), (reset, 3)] {
            assert_eq!(stream.pieces.len(), pieces);
            assert_eq!(stream.after(END_ID), None);
        }
        let already_ended = stream(&[&event(0, "a"), r#"{"at":1,"comment":"bye"}"#]);
        assert_eq!((already_ended.pieces.len(), already_ended.after("a")), (2, None));
    }
}
