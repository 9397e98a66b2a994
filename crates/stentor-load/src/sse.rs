//! A scanner for `text/event-stream` that finds only the ends of events, their markers and ids.
//!
//! It does not buffer lines, so they can have any length. It copies only the last id of a piece.

use std::mem::take;

use crate::mark::{Finder, Mark};

/// Maximum length of an id in bytes. A longer one is ignored, and not sent as `Last-Event-ID`.
const ID_BYTES_MAX: usize = 1024;
/// Number of bytes at the start of a line that are enough to know its field.
const KIND_BYTES: usize = b"data:".len();

/// An event that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) mark: Option<Mark>,
    /// Number of bytes of its data, without line breaks.
    pub(crate) bytes: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Scanner {
    line: Line,
    /// `true` if the last line ended with CR. An LF that follows belongs to it.
    after_cr: bool,
    /// `true` if the current event has a data line.
    has_data: bool,
    bytes: u64,
    mark: Option<Mark>,
    finder: Finder,
    /// The last event id, as of the last complete block.
    last_id: Vec<u8>,
    /// The id of the current block.
    id: Vec<u8>,
    has_id: bool,
}

/// The field of the current line.
#[derive(Clone, Copy, Debug)]
enum Line {
    /// Not known yet: the first `length` bytes of the line.
    Begun {
        start: [u8; KIND_BYTES],
        length: usize,
    },
    Data {
        is_begun: bool,
    },
    Id,
    Other,
}

impl Default for Line {
    fn default() -> Line {
        Line::Begun { start: [0; KIND_BYTES], length: 0 }
    }
}

impl Scanner {
    /// The value of `Last-Event-ID` for a reconnect; empty for none.
    pub(crate) fn last_id(&self) -> &[u8] {
        self.last_id.strip_prefix(b" ").unwrap_or(&self.last_id)
    }

    /// Starts a new stream on a new connection. The last event id is kept.
    pub(crate) fn restart(&mut self) {
        let last_id = take(&mut self.last_id);
        *self = Scanner { last_id, ..Scanner::default() };
    }

    /// Reads a piece of the stream, and calls `arrived` for each event that ends in it.
    pub(crate) fn feed(&mut self, mut piece: &[u8], mut arrived: impl FnMut(Arrival)) {
        if take(&mut self.after_cr) && piece.first() == Some(&b'\n') {
            piece = piece.get(1..).unwrap_or_default();
        }
        // An id is copied only if it is the last one in this piece.
        let (mut id, mut last_id) = (None, None);
        // Most streams have no CR at all, and searching for one byte is faster than for two.
        let has_cr = memchr::memchr(b'\r', piece).is_some();
        let end_of_line = |piece: &[u8]| {
            if has_cr { memchr::memchr2(b'\n', b'\r', piece) } else { memchr::memchr(b'\n', piece) }
        };
        while let Some(end) = end_of_line(piece) {
            let (line, rest) = piece.split_at(end);
            match line {
                _ if !matches!(self.line, Line::Begun { length: 0, .. }) => {
                    self.part(line);
                    self.end();
                }
                [] => {
                    last_id = id.take().or(last_id);
                    self.dispatch(&mut arrived);
                }
                [b'd', b'a', b't', b'a', b':', value @ ..] => {
                    self.data(value.strip_prefix(b" ").unwrap_or(value));
                    self.finder = Finder::default();
                }
                [b'i', b'd', b':', value @ ..] if is_valid(value) => {
                    (id, self.has_id) = (Some(value), false);
                }
                b"id" => (id, self.has_id) = (Some(&[][..]), false),
                _ => self.short(line),
            }
            piece = match rest {
                [b'\r', b'\n', rest @ ..] | [b'\n', rest @ ..] => rest,
                [_, rest @ ..] => {
                    self.after_cr = rest.is_empty();
                    rest
                }
                [] => rest,
            };
        }
        if let Some(last_id) = last_id {
            keep(last_id, &mut self.last_id);
        }
        if let Some(id) = id {
            keep(id, &mut self.id);
            self.has_id = true;
        }
        if !piece.is_empty() {
            self.part(piece);
        }
    }

    /// Handles a part of a line that is split over several pieces.
    fn part(&mut self, mut part: &[u8]) {
        while let Line::Begun { start, length } = &mut self.line {
            let Some((&byte, rest)) = part.split_first() else { return };
            part = rest;
            if let Some(slot) = start.get_mut(*length) {
                *slot = byte;
                *length += 1;
            }
            let start = start.get(..*length).unwrap_or_default();
            self.line = match start {
                b"data:" => Line::Data { is_begun: false },
                b"id:" => {
                    self.id.clear();
                    Line::Id
                }
                _ if byte == b':' || start.len() == KIND_BYTES => Line::Other,
                _ => continue,
            };
        }
        match &mut self.line {
            Line::Data { is_begun } if !part.is_empty() => {
                let is_first = !std::mem::replace(is_begun, true);
                self.data(part.strip_prefix(b" ").filter(|_| is_first).unwrap_or(part));
            }
            Line::Id => {
                // One byte above the limit is kept, so that a longer id is recognized.
                let room = (ID_BYTES_MAX + 1).saturating_sub(self.id.len()).min(part.len());
                self.id.extend_from_slice(part.get(..room).unwrap_or_default());
            }
            _ => {}
        }
    }

    /// Handles the end of a line that was split over several pieces.
    fn end(&mut self) {
        match take(&mut self.line) {
            Line::Begun { start, length } => self.short(start.get(..length).unwrap_or_default()),
            Line::Data { .. } => {
                self.has_data = true;
                self.finder = Finder::default();
            }
            Line::Id => self.has_id = is_valid(&self.id),
            Line::Other => {}
        }
    }

    /// Handles a line that consists only of a field name.
    fn short(&mut self, line: &[u8]) {
        match line {
            b"data" => self.has_data = true,
            b"id" => {
                self.id.clear();
                self.has_id = true;
            }
            _ => {}
        }
    }

    fn data(&mut self, value: &[u8]) {
        self.has_data = true;
        self.bytes += value.len() as u64;
        if self.mark.is_none() {
            self.mark = self.finder.feed(value);
        }
    }

    /// Handles a blank line: the id takes effect, and the event is dispatched if it has data (WHATWG HTML 9.2.6).
    fn dispatch(&mut self, arrived: &mut impl FnMut(Arrival)) {
        if take(&mut self.has_id) {
            std::mem::swap(&mut self.last_id, &mut self.id);
        }
        let (mark, bytes) = (self.mark.take(), take(&mut self.bytes));
        if take(&mut self.has_data) {
            arrived(Arrival { mark, bytes });
        }
    }
}

/// Returns `true` if an id is valid. An id that contains NUL is ignored (WHATWG HTML 9.2.6).
fn is_valid(id: &[u8]) -> bool {
    id.len() <= ID_BYTES_MAX && memchr::memchr(0, id).is_none()
}

fn keep(id: &[u8], target: &mut Vec<u8>) {
    target.clear();
    target.extend_from_slice(id);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Scans a stream in pieces of `step` bytes. Returns its events and the last event id.
    fn scan(stream: &[u8], step: usize) -> (Vec<Arrival>, Vec<u8>) {
        let (mut scanner, mut arrivals) = (Scanner::default(), Vec::new());
        for piece in stream.chunks(step) {
            scanner.feed(piece, |arrival| arrivals.push(arrival));
        }
        (arrivals, scanner.last_id().to_vec())
    }

    #[track_caller]
    fn assert_scans(stream: &str, expected: &[(Option<u32>, u64)], last_id: &str) {
        let expected: Vec<Arrival> = expected
            .iter()
            .map(|&(number, bytes)| Arrival {
                mark: number.map(|number| Mark { run: 1, number }),
                bytes,
            })
            .collect();
        for step in 1..=stream.len() {
            let scanned = scan(stream.as_bytes(), step);
            assert_eq!(scanned, (expected.clone(), last_id.as_bytes().to_vec()), "{step}");
        }
    }

    #[test]
    fn events_are_found_in_pieces_of_any_size() {
        assert_scans(
            ": hi\nretry: 2000\n\nevent: x\nid: 7\ndata: {\"m\":\"~0000000100000009~\"}\n\n\
             data:~0000000100000003~xx\nid:8\n\ndata: no mark\n\n",
            &[(Some(9), 26), (Some(3), 20), (None, 7)],
            "8",
        );
    }

    #[test]
    fn a_line_ends_with_cr_lf_or_both() {
        for end in ["\n", "\r", "\r\n"] {
            let stream =
                ["id: a", "data: ~000000010000000a~", "data", "", "data:", "", ""].join(end);
            assert_scans(&stream, &[(Some(10), 18), (None, 0)], "a");
        }
    }

    #[test]
    fn a_block_without_data_is_no_event_but_its_id_counts() {
        assert_scans("event: x\nid: 5\n\ndatab: ~0000000100000001~\nid: 6\n", &[], "5");
        assert_scans("id: 5\n\nid\n\n", &[], "");
        assert_scans("id: 5\n\nid: a\0b\n\n", &[], "5");
        assert_scans(&format!("id: 5\n\nid: {}\n\n", "x".repeat(ID_BYTES_MAX + 1)), &[], "5");
    }

    #[test]
    fn a_mark_does_not_span_lines() {
        assert_scans("data: ~00000001\ndata: 00000001~\n\n", &[(None, 18)], "");
        assert_scans("data: ~00000001\ndata:~0000000100000001~\n\n", &[(Some(1), 27)], "");
    }

    #[test]
    fn a_new_connection_keeps_only_the_id() {
        let (mut scanner, mut count) = (Scanner::default(), 0);
        scanner.feed(b"id: 1\n\nid: 2\ndata: x", |_| count += 1);
        scanner.restart();
        scanner.feed(b"\ndata: y\n\n", |arrival| {
            count += 1;
            assert_eq!(arrival.bytes, 1);
        });
        assert_eq!((scanner.last_id(), count), (&b"1"[..], 1));
    }

    proptest! {
        #[test]
        fn the_pieces_do_not_matter(
            lines in prop::collection::vec(
                prop_oneof![
                    "", "data: [a-z~]{0,9}", "id: ?[a-z]{0,3}", "~?d?a?t?a?:?", "i?d?:?", "data:~[0-9a-f]{16}~",
                ],
                0..20,
            ),
            ends in prop::collection::vec(prop_oneof![Just("\n"), Just("\r"), Just("\r\n")], 20),
            step in 1_usize..12,
        ) {
            let stream: String = lines.iter().zip(&ends).flat_map(|(line, end)| [line, *end]).collect();
            let stream = stream.as_bytes();
            prop_assert_eq!(scan(stream, step), scan(stream, stream.len().max(1)));
        }
    }
}
