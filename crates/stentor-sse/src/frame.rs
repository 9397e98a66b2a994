use std::ops::Range;

use bytes::{Buf, Bytes};

use crate::Event;

/// Bytes to send that are encoded once and shared by all who send them, in one buffer with two
/// views: the payload, and the payload as a chunk of HTTP/1.1 (RFC 9112, section 7.1).
///
/// A clone is a reference to the same bytes.
///
/// ```
/// use stentor_sse::{Event, Frame};
///
/// let frame = Frame::of(&Event::new("hello"));
/// assert_eq!(frame.as_slice(), b"data: hello\n\n");
/// assert_eq!(frame.chunk(), "d\r\ndata: hello\n\n\r\n");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// `hex-length CRLF payload CRLF`; empty if the payload is, for a chunk of length 0 would end
    /// the body.
    chunk: Bytes,
    /// Where the payload begins.
    head: usize,
}

const CRLF: &[u8] = b"\r\n";

/// Room for the largest head: the digits of any length, and CRLF.
const HEAD_MAX: usize = usize::BITS as usize / 4 + CRLF.len();

impl Frame {
    /// The frame of the payload that `write` appends to its argument. It may only append: what is
    /// there already is room for the head of the chunk.
    pub fn build(write: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut buffer = vec![0; HEAD_MAX];
        write(&mut buffer);
        let Some((room, payload)) = buffer.split_at_mut_checked(HEAD_MAX) else {
            return Self::default();
        };
        if payload.is_empty() {
            return Self::default();
        }
        let unused = write_head(room, payload.len());
        buffer.extend_from_slice(CRLF);
        buffer.shrink_to_fit();
        let mut chunk = Bytes::from(buffer);
        chunk.advance(unused);
        Self { chunk, head: HEAD_MAX - unused }
    }

    /// The frame of an event.
    pub fn of(event: &Event) -> Self {
        Self::build(|out| event.encode(out))
    }

    /// The payload, shared.
    pub fn bytes(&self) -> Bytes {
        self.chunk.slice(self.payload())
    }

    /// The payload.
    pub fn as_slice(&self) -> &[u8] {
        self.chunk.get(self.payload()).unwrap_or_default()
    }

    /// The payload as an HTTP/1.1 chunk, shared; empty if the payload is, and then there is nothing
    /// to send.
    pub fn chunk(&self) -> Bytes {
        self.chunk.clone()
    }

    /// Bytes of the payload.
    pub fn len(&self) -> usize {
        self.payload().len()
    }

    /// Whether there is no payload.
    pub fn is_empty(&self) -> bool {
        self.chunk.is_empty()
    }

    fn payload(&self) -> Range<usize> {
        self.head..self.chunk.len().saturating_sub(CRLF.len())
    }
}

/// Writes the head at the end of `room` and says how many bytes before it are unused.
fn write_head(room: &mut [u8], length: usize) -> usize {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";

    let digits = std::iter::successors(Some(length), |rest| Some(rest >> 4))
        .take_while(|rest| *rest > 0)
        .filter_map(|rest| DIGITS.get(rest & 0xF));
    let mut unused = room.len();
    for (place, byte) in room.iter_mut().rev().zip(CRLF.iter().rev().chain(digits)) {
        *place = *byte;
        unused -= 1;
    }
    unused
}
