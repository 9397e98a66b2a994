//! Splits an upload into lines.

use memchr::memchr;

/// The UTF-8 byte order mark, which some editors write at the beginning of a file.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Splits chunks of bytes into lines at LF. A CR before the LF is not part of the line, and neither
/// is a byte order mark at the beginning of the first line.
#[derive(Debug, Default)]
pub(crate) struct LineSplitter {
    partial: Vec<u8>,
    /// `true` once the first line was returned.
    past_first: bool,
}

impl LineSplitter {
    /// Takes the next complete line from the front of `input`. Returns `None` if there is none; then
    /// the rest of `input` is kept as the beginning of a line.
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Option<Vec<u8>> {
        let Some(end) = memchr(b'\n', input) else {
            self.partial.extend_from_slice(input);
            *input = &[];
            return None;
        };
        let (line, rest) = input.split_at_checked(end)?;
        self.partial.extend_from_slice(line);
        *input = rest.get(1..).unwrap_or_default();
        Some(self.take())
    }

    /// Returns the last line of a complete body, which needs no line break.
    pub(crate) fn finish(&mut self) -> Option<Vec<u8>> {
        Some(self.take()).filter(|line| !line.is_empty())
    }

    /// Number of bytes of the incomplete line.
    pub(crate) fn partial_bytes(&self) -> usize {
        self.partial.len()
    }

    fn take(&mut self) -> Vec<u8> {
        let mut line = std::mem::take(&mut self.partial);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if !std::mem::replace(&mut self.past_first, true) && line.starts_with(BOM) {
            line.drain(..BOM.len());
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = LineSplitter::default();
        let mut all = Vec::new();
        for piece in pieces {
            let mut input = *piece;
            while let Some(line) = lines.next(&mut input) {
                all.push(line);
            }
        }
        all.extend(lines.finish());
        all.into_iter().map(|line| String::from_utf8(line).unwrap()).collect()
    }

    #[test]
    fn lines_do_not_depend_on_how_the_bytes_are_cut() {
        let text = b"\xef\xbb\xbfone\r\n\ntwo \xe2\x82\xac\nthree";
        let whole = lines(&[text]);
        assert_eq!(whole, ["one", "", "two €", "three"]);
        for at in 0..text.len() {
            let (a, b) = text.split_at(at);
            assert_eq!(lines(&[a, b]), whole, "cut at {at}");
        }
    }

    #[test]
    fn only_one_byte_order_mark_is_removed_and_only_at_the_beginning() {
        let bom = "\u{feff}";
        let text = format!("{bom}{bom}one\n{bom}two");
        assert_eq!(lines(&[text.as_bytes()]), [format!("{bom}one"), format!("{bom}two")]);
        assert!(lines(&[bom.as_bytes()]).is_empty());
    }
}
