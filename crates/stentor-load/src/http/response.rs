//! A parser for HTTP/1.1 responses that arrive in pieces of any size.

use std::mem::take;

/// Maximum number of bytes of a head.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Maximum number of digits of a chunk size. More do not fit into 64 bits.
const SIZE_DIGITS_MAX: u8 = 16;

/// State of one response. [`Response::next`] returns its parts.
#[derive(Debug, Default)]
pub(crate) struct Response {
    state: State,
    /// Start of a head that is not complete.
    head: Vec<u8>,
    /// Number of bytes of the body or the chunk that have not arrived.
    left: u64,
    digits: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    UntilClose,
    Length,
    ChunkSize,
    ChunkExtension,
    Chunk,
    ChunkEnd,
    /// In the trailer; `is_empty` is `true` while the current line has no bytes.
    Trailer {
        is_empty: bool,
    },
    Done,
}

/// A part of a response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    Head(Head),
    Body(&'a [u8]),
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) content_type: String,
    /// `true` if the server closes the connection after this response.
    pub(crate) closes: bool,
}

/// Error of a response that is not valid HTTP, as a text for the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken(pub(crate) &'static str);

impl Response {
    /// Returns `true` once the response is complete.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Returns `true` if a closed connection is a valid end of the response at this point.
    pub(crate) fn may_end(&self) -> bool {
        matches!(self.state, State::UntilClose | State::Done)
    }

    /// Takes the next part from the front of `input`. Returns `None` if more bytes are needed.
    pub(crate) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Part<'a>>, Broken> {
        while let Some(&byte) = input.first() {
            match self.state {
                State::Head => {
                    if let Some(head) = self.head(input)? {
                        return Ok(Some(Part::Head(head)));
                    }
                    continue;
                }
                State::UntilClose => return Ok(Some(Part::Body(take(input)))),
                State::Length | State::Chunk => return Ok(Some(Part::Body(self.body(input)))),
                State::ChunkSize => self.chunk_size(byte)?,
                State::ChunkExtension if byte == b'\n' => self.chunk_begins(),
                State::ChunkExtension => {}
                State::ChunkEnd if byte == b'\n' => self.state = State::ChunkSize,
                State::ChunkEnd if byte == b'\r' => {}
                State::ChunkEnd => return Err(Broken("a chunk is longer than its size")),
                State::Trailer { is_empty: true } if byte == b'\n' => self.state = State::Done,
                State::Trailer { .. } if byte == b'\r' => {}
                State::Trailer { .. } => {
                    self.state = State::Trailer { is_empty: byte == b'\n' };
                }
                State::Done => return Err(Broken("bytes arrived after the end of the response")),
            }
            *input = input.split_first().map_or(&[], |(_, rest)| rest);
        }
        Ok(None)
    }

    /// Takes the bytes that have arrived of the body or of a chunk.
    fn body<'a>(&mut self, input: &mut &'a [u8]) -> &'a [u8] {
        let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len());
        let (body, rest) = input.split_at(here);
        *input = rest;
        self.left -= here as u64;
        if self.left == 0 {
            self.state = if self.state == State::Chunk { State::ChunkEnd } else { State::Done };
        }
        body
    }

    fn chunk_size(&mut self, byte: u8) -> Result<(), Broken> {
        match byte {
            b'\n' if self.digits == 0 => return Err(Broken("a chunk has no size")),
            b'\n' => self.chunk_begins(),
            b';' => self.state = State::ChunkExtension,
            b'\r' | b' ' => {}
            _ => {
                let digit = char::from(byte).to_digit(16);
                let digit = digit.ok_or(Broken("a chunk's size is not a number"))?;
                self.left = self.left << 4 | u64::from(digit);
                self.digits += 1;
                if self.digits > SIZE_DIGITS_MAX {
                    return Err(Broken("a chunk's size is longer than 16 digits"));
                }
            }
        }
        Ok(())
    }

    fn chunk_begins(&mut self) {
        self.digits = 0;
        self.state = if self.left == 0 { State::Trailer { is_empty: true } } else { State::Chunk };
    }

    /// Reads the head, or keeps the bytes of an incomplete one.
    fn head(&mut self, input: &mut &[u8]) -> Result<Option<Head>, Broken> {
        const END: &[u8] = b"\r\n\r\n";
        let kept = self.head.len();
        // Fast path: the whole head is in the input, and nothing is copied.
        let found = if kept == 0 {
            memchr::memmem::find(input, END)
        } else {
            self.head.extend_from_slice(input);
            let from = kept.saturating_sub(END.len() - 1);
            memchr::memmem::find(self.head.get(from..).unwrap_or_default(), END).map(|at| from + at)
        };
        let Some(end) = found.map(|at| at + END.len()) else {
            if kept == 0 {
                self.head.extend_from_slice(input);
            }
            *input = &[];
            let is_long = self.head.len() > HEAD_BYTES_MAX;
            let error = Broken("the response head is longer than 64 KiB");
            return if is_long { Err(error) } else { Ok(None) };
        };
        let (here, rest) = input.split_at_checked(end - kept).unwrap_or_default();
        let head = if kept == 0 {
            self.parse_head(here)
        } else {
            let mut whole = take(&mut self.head);
            whole.truncate(end);
            self.parse_head(&whole)
        };
        *input = rest;
        head
    }

    /// Parses a head. Returns `None` for an informational response (1xx), which another head follows.
    fn parse_head(&mut self, bytes: &[u8]) -> Result<Option<Head>, Broken> {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.split("\r\n");
        let mut first = lines.next().unwrap_or_default().splitn(3, ' ');
        let is_http = first.next().is_some_and(|version| version.starts_with("HTTP/1."));
        let status = first.next().and_then(|status| status.parse().ok()).filter(|_| is_http);
        let status: u16 = status.ok_or(Broken("the response is not HTTP/1.1"))?;
        if (100..200).contains(&status) {
            return Ok(None);
        }
        let reason = first.next().unwrap_or_default().to_owned();
        let mut head = Head { status, reason, ..Head::default() };
        self.state = State::UntilClose;
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-type") {
                value.clone_into(&mut head.content_type);
            } else if name.eq_ignore_ascii_case("connection") {
                head.closes = value.eq_ignore_ascii_case("close");
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                self.state = State::ChunkSize;
            } else if name.eq_ignore_ascii_case("content-length") && self.state != State::ChunkSize
            {
                self.left =
                    value.parse().map_err(|_| Broken("the content-length is not a number"))?;
                self.state = if self.left == 0 { State::Done } else { State::Length };
            }
        }
        if matches!(status, 204 | 304) {
            self.state = State::Done;
        }
        if self.state == State::ChunkSize {
            self.left = 0;
        }
        Ok(Some(head))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads a response in pieces of `step` bytes. Returns its status, its body, and `true` if it is complete.
    fn read(wire: &[u8], step: usize) -> Result<(u16, Vec<u8>, bool), Broken> {
        let (mut response, mut status, mut body) = (Response::default(), 0, Vec::new());
        for mut piece in wire.chunks(step) {
            while let Some(part) = response.next(&mut piece)? {
                match part {
                    Part::Head(head) => status = head.status,
                    Part::Body(bytes) => body.extend_from_slice(bytes),
                }
            }
        }
        Ok((status, body, response.is_done()))
    }

    #[track_caller]
    fn assert_reads(wire: &str, expected: Result<(u16, &str, bool), &'static str>) {
        let expected =
            expected.map(|(status, body, done)| (status, body.as_bytes().to_vec(), done));
        for step in 1..=wire.len() {
            assert_eq!(read(wire.as_bytes(), step), expected.clone().map_err(Broken), "{step}");
        }
    }

    #[test]
    fn a_chunked_body_is_read_in_pieces_of_any_size() {
        assert_reads(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
             5\r\nhello\r\nA;x=\"y\"\r\n0123456789\r\n0\r\nTrailer: v\r\n\r\n",
            Ok((200, "hello0123456789", true)),
        );
        // Chunked encoding wins over a length, and an empty trailer ends the response.
        assert_reads(
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
            Ok((200, "x", true)),
        );
    }

    #[test]
    fn a_body_ends_with_its_length_or_with_the_connection() {
        assert_reads("HTTP/1.1 201 \r\ncontent-length: 2\r\n\r\nok", Ok((201, "ok", true)));
        assert_reads("HTTP/1.0 200 OK\r\n\r\ndata", Ok((200, "data", false)));
        assert_reads("HTTP/1.1 204 No Content\r\n\r\n", Ok((204, "", true)));
        assert_reads("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Ok((200, "", true)));
    }

    #[test]
    fn an_informational_response_is_skipped() {
        assert_reads(
            "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\ny",
            Ok((200, "y", true)),
        );
    }

    #[test]
    fn a_response_that_is_not_http_is_an_error() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        for (wire, what) in [
            ("SSH-2.0-x\r\n\r\n", "the response is not HTTP/1.1"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nx",
                "bytes arrived after the end of the response",
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "the content-length is not a number"),
            (&format!("{chunked}x\r\n"), "a chunk's size is not a number"),
            (&format!("{chunked}\r\n"), "a chunk has no size"),
            (&format!("{chunked}1\r\nab"), "a chunk is longer than its size"),
            (&format!("{chunked}{}", "1".repeat(17)), "a chunk's size is longer than 16 digits"),
        ] {
            assert_reads(wire, Err(what));
        }
        let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(HEAD_BYTES_MAX));
        let error = Broken("the response head is longer than 64 KiB");
        assert_eq!(read(endless.as_bytes(), 1000), Err(error));
    }

    #[test]
    fn header_names_are_case_insensitive() {
        let mut wire: &[u8] =
            b"HTTP/1.1 404 Not Found\r\nCONTENT-TYPE: text/html\r\nConnection: Close\r\n\r\n";
        let head = Response::default().next(&mut wire).unwrap();
        let expected = Head {
            status: 404,
            reason: "Not Found".to_owned(),
            content_type: "text/html".to_owned(),
            closes: true,
        };
        assert_eq!(head, Some(Part::Head(expected)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(
            bytes: Vec<u8>, step in 1_usize..9, head in prop::bool::ANY,
        ) {
            let start: &[u8] =
                if head { b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" } else { b"" };
            let _ = read(&[start, &bytes].concat(), step);
        }
    }
}
