//! Lines of an upload, across the pieces in which they come.

use memchr::memchr;

/// Splits bytes into lines at LF; a CR before it is not part of the line.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// The next whole line of `input`, which is moved behind it; `None` when there is none. What
    /// follows the last line break waits for more.
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

    /// The last line, which needs no line break at a clean end.
    pub(crate) fn last(&mut self) -> Option<Vec<u8>> {
        Some(self.take()).filter(|line| !line.is_empty())
    }

    /// The bytes of the line that is not whole yet.
    pub(crate) fn partial_bytes(&self) -> usize {
        self.partial.len()
    }

    fn take(&mut self) -> Vec<u8> {
        let mut line = std::mem::take(&mut self.partial);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut all = Vec::new();
        for piece in pieces {
            let mut input = *piece;
            while let Some(line) = lines.next(&mut input) {
                all.push(line);
            }
        }
        all.extend(lines.last());
        all.into_iter().map(|line| String::from_utf8(line).unwrap()).collect()
    }

    #[test]
    fn lines_are_the_same_however_they_are_cut() {
        let text = b"one\r\n\ntwo \xe2\x82\xac\nthree";
        let whole = lines(&[text]);
        assert_eq!(whole, ["one", "", "two €", "three"]);
        for at in 0..text.len() {
            let (a, b) = text.split_at(at);
            assert_eq!(lines(&[a, b]), whole, "cut at {at}");
        }
    }
}
