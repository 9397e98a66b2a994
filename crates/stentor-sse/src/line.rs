//! Lines end with LF, CR or CRLF, mixed as they like (rule shared by both directions).

use std::{iter, mem};

use memchr::memchr2;

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// The lines of a whole text: one more than it has line ends, so always at least one.
pub(crate) fn text_lines(text: &str) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text.as_bytes());
    iter::from_fn(move || {
        let text = rest?;
        let (line, end_and_rest) = text.split_at(line_end(text).unwrap_or(text.len()));
        rest = behind_line_end(end_and_rest);
        Some(line)
    })
}

/// Finds the lines of a stream that arrives in pieces, and takes away its byte order mark.
#[derive(Debug)]
pub(crate) struct Lines {
    /// The last piece ended with CR, which is complete by itself; an LF behind it belongs to it.
    after_cr: bool,
    /// How much of a byte order mark has come, as long as there may be one.
    mark: Option<usize>,
}

impl Lines {
    pub(crate) fn new() -> Self {
        Self { after_cr: false, mark: Some(0) }
    }

    /// Takes what a piece begins with that is part of no line: an LF that belongs to the last CR, and
    /// the byte order mark. Gives back what had come of a mark that turns out to be none.
    pub(crate) fn begin_piece(&mut self, input: &mut &[u8]) -> &'static [u8] {
        if input.is_empty() {
            return &[];
        }
        if mem::take(&mut self.after_cr) {
            *input = input.strip_prefix(b"\n").unwrap_or(input);
        }
        let Some(come) = self.mark.take() else {
            return &[];
        };
        let (come, missing) = BOM.split_at(come);
        if let Some(rest) = input.strip_prefix(missing) {
            *input = rest;
        } else if missing.starts_with(input) {
            self.mark = Some(come.len() + input.len());
            *input = &[];
        } else {
            return come;
        }
        &[]
    }

    /// Takes what there is up to the next line end, and the line end, if there is one.
    pub(crate) fn next<'i>(&mut self, input: &mut &'i [u8]) -> Option<&'i [u8]> {
        let (line, rest) = input.split_at(line_end(input)?);
        *input = rest;
        self.take_end(input);
        Some(line)
    }

    /// Takes a line end if `input` begins with one.
    pub(crate) fn take_end(&mut self, input: &mut &[u8]) -> bool {
        let Some(rest) = behind_line_end(input) else {
            return false;
        };
        self.after_cr = *input == b"\r";
        *input = rest;
        true
    }

    /// How much of what may be a byte order mark has come.
    pub(crate) fn mark_bytes(&self) -> usize {
        self.mark.unwrap_or_default()
    }
}

fn line_end(bytes: &[u8]) -> Option<usize> {
    memchr2(b'\r', b'\n', bytes)
}

/// What follows the line end that the bytes begin with.
fn behind_line_end(bytes: &[u8]) -> Option<&[u8]> {
    match bytes {
        [b'\r', b'\n', rest @ ..] | [b'\r' | b'\n', rest @ ..] => Some(rest),
        _ => None,
    }
}
