//! How the bytes of a stream are laid out for a kind of reader.

use bytes::{Bytes, BytesMut};
use stentor_hub::Record;
use stentor_sse::Frame;

use crate::control::Control;

/// What readers of the same feed have in common beside their filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Framing {
    pub(super) control: Control,
    /// As chunks of HTTP/1.1, or plain for HTTP/1.0, where the end of the connection is the end of the
    /// body.
    pub(super) chunked: bool,
}

impl Framing {
    /// The bytes of a record: for most the same shared ones.
    pub(super) fn record(self, record: &Record) -> Bytes {
        match self.control.frame(record) {
            Some(frame) if self.chunked => frame.chunk(),
            Some(frame) => frame.bytes(),
            None => self.wrap(&self.control.record(record)),
        }
    }

    /// What the server says of its own.
    pub(super) fn text(self, say: impl FnOnce(Control, &mut BytesMut)) -> Bytes {
        let mut text = BytesMut::new();
        say(self.control, &mut text);
        self.wrap(&text)
    }

    pub(super) fn wrap(self, text: &[u8]) -> Bytes {
        let frame = Frame::build(|out| out.extend_from_slice(text));
        if self.chunked { frame.chunk() } else { frame.bytes() }
    }

    /// What ends the body.
    pub(super) fn last(self) -> &'static [u8] {
        if self.chunked { b"0\r\n\r\n" } else { b"" }
    }
}
