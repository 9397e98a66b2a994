//! Line ends, for both directions: a line ends with LF, CR or CRLF, and one text may mix them.

use std::{iter, mem};

use memchr::memchr2;

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// Splits a complete text into its lines. A text with n line ends has n + 1 lines.
pub(crate) fn text_lines(text: &str) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text.as_bytes());
    iter::from_fn(move || {
        let text = rest?;
        let (line, end_and_rest) = text.split_at(line_end(text).unwrap_or(text.len()));
        rest = strip_line_end(end_and_rest);
        Some(line)
    })
}

/// Finds the lines of a stream that arrives in pieces, and removes its byte order mark.
#[derive(Debug)]
pub(crate) struct Lines {
    /// `true` if the last piece ended with CR. That CR already ended its line, so an LF that follows is skipped.
    after_cr: bool,
    /// Number of bytes of a byte order mark seen so far; `None` once the mark is complete or ruled out.
    bom_seen: Option<usize>,
}

impl Lines {
    pub(crate) fn new() -> Self {
        Self { after_cr: false, bom_seen: Some(0) }
    }

    /// Removes bytes at the start of a piece that belong to no line: the LF of a CRLF, and the byte order mark.
    ///
    /// Returns the bytes from earlier pieces that looked like the start of a byte order mark but are not one.
    pub(crate) fn begin_piece(&mut self, input: &mut &[u8]) -> &'static [u8] {
        if input.is_empty() {
            return &[];
        }
        if mem::take(&mut self.after_cr) {
            *input = input.strip_prefix(b"\n").unwrap_or(input);
        }
        let Some(seen) = self.bom_seen.take() else {
            return &[];
        };
        let (seen, missing) = BOM.split_at(seen);
        if let Some(rest) = input.strip_prefix(missing) {
            *input = rest;
        } else if missing.starts_with(input) {
            self.bom_seen = Some(seen.len() + input.len());
            *input = &[];
        } else {
            return seen;
        }
        &[]
    }

    /// Takes the bytes up to the next line end together with the line end. Returns `None` if there is no line end.
    pub(crate) fn next<'i>(&mut self, input: &mut &'i [u8]) -> Option<&'i [u8]> {
        let (line, rest) = input.split_at(line_end(input)?);
        *input = rest;
        self.take_end(input);
        Some(line)
    }

    /// Takes a line end if `input` begins with one.
    pub(crate) fn take_end(&mut self, input: &mut &[u8]) -> bool {
        let Some(rest) = strip_line_end(input) else {
            return false;
        };
        self.after_cr = *input == b"\r";
        *input = rest;
        true
    }

    /// Number of bytes held back because they may be the start of a byte order mark.
    pub(crate) fn bom_bytes(&self) -> usize {
        self.bom_seen.unwrap_or_default()
    }
}

fn line_end(bytes: &[u8]) -> Option<usize> {
    memchr2(b'\r', b'\n', bytes)
}

/// Strips a leading line end. Returns `None` if the bytes do not begin with one.
fn strip_line_end(bytes: &[u8]) -> Option<&[u8]> {
    match bytes {
        [b'\r', b'\n', rest @ ..] | [b'\r' | b'\n', rest @ ..] => Some(rest),
        _ => None,
    }
}
