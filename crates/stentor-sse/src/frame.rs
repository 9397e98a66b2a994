use std::ops::Range;

use bytes::{Buf, Bytes};

use crate::event::Event;

/// Encoded bytes that many readers share.
///
/// One buffer has two views: the payload, and the payload as a chunk of HTTP/1.1 (RFC 9112, section 7.1).
/// Cloning is cheap: a clone refers to the same bytes.
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
    /// `hex-length CRLF payload CRLF`. Empty for an empty payload, because a chunk of length 0 ends the body.
    chunk: Bytes,
    /// Start of the payload in `chunk`.
    head: usize,
}

const CRLF: &[u8] = b"\r\n";

/// Size of the largest head: all hexadecimal digits of a `usize`, and CRLF.
const HEAD_MAX: usize = usize::BITS as usize / 4 + CRLF.len();

impl Frame {
    /// Creates a frame from the payload that `write` appends to its argument.
    ///
    /// `write` must only append. The bytes already in the buffer are reserved for the head of the chunk.
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

    /// Encodes an event.
    pub fn of(event: &Event) -> Self {
        Self::build(|out| event.encode(out))
    }

    /// Returns the payload. The bytes are shared, not copied.
    pub fn bytes(&self) -> Bytes {
        self.chunk.slice(self.payload())
    }

    /// Returns the payload.
    pub fn as_slice(&self) -> &[u8] {
        self.chunk.get(self.payload()).unwrap_or_default()
    }

    /// Returns the payload as an HTTP/1.1 chunk. The bytes are shared, not copied.
    ///
    /// Empty if the payload is empty: then there is nothing to send.
    pub fn chunk(&self) -> Bytes {
        self.chunk.clone()
    }

    /// Returns the length of the payload, in bytes.
    pub fn len(&self) -> usize {
        self.payload().len()
    }

    /// Returns `true` if the payload is empty.
    pub fn is_empty(&self) -> bool {
        self.chunk.is_empty()
    }

    fn payload(&self) -> Range<usize> {
        self.head..self.chunk.len().saturating_sub(CRLF.len())
    }
}

/// Writes the head of a chunk at the end of `room`. Returns the number of unused bytes before it.
fn write_head(room: &mut [u8], length: usize) -> usize {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";

    let digits = std::iter::successors(Some(length), |rest| Some(rest >> 4))
        .take_while(|rest| *rest > 0)
        .filter_map(|rest| DIGITS.get(rest & 0xF));
    let mut unused = room.len();
    for (slot, byte) in room.iter_mut().rev().zip(CRLF.iter().rev().chain(digits)) {
        *slot = *byte;
        unused -= 1;
    }
    unused
}
