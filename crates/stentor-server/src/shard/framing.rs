//! The encoding of a stream.

use bytes::{Bytes, BytesMut};
use stentor_hub::Record;
use stentor_sse::Frame;

use crate::stream::encoder::StreamEncoder;

/// The encoding that all readers of a live group share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Framing {
    pub(super) encoder: StreamEncoder,
    /// `true` if the shard writes the body in chunks (HTTP/1.1). `false` for HTTP/1.0, whose body ends
    /// with the connection, and for a pipe, whose other end frames the body.
    pub(super) chunked: bool,
}

impl Framing {
    /// Returns the bytes of a record. In most forms all readers share them.
    pub(super) fn record(self, record: &Record) -> Bytes {
        match self.encoder.frame(record) {
            Some(frame) if self.chunked => frame.chunk(),
            Some(frame) => frame.bytes(),
            None => self.wrap(&self.encoder.record(record)),
        }
    }

    /// Returns the bytes of the control messages that `write` writes.
    pub(super) fn control(self, write: impl FnOnce(StreamEncoder, &mut BytesMut)) -> Bytes {
        let mut text = BytesMut::new();
        write(self.encoder, &mut text);
        self.wrap(&text)
    }

    pub(super) fn wrap(self, text: &[u8]) -> Bytes {
        let frame = Frame::build(|out| out.extend_from_slice(text));
        if self.chunked { frame.chunk() } else { frame.bytes() }
    }

    /// Returns the bytes that end the body.
    pub(super) fn body_end(self) -> &'static [u8] {
        if self.chunked { b"0\r\n\r\n" } else { b"" }
    }
}
