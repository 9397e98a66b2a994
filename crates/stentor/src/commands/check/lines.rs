//! The lines of a stream as sent, for faults that a decoder tolerates.

/// A line end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineEnd {
    Lf,
    Cr,
    CrLf,
}

/// A line without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'b> {
    pub(super) bytes: &'b [u8],
    /// `None` if the stream was cut off within the line.
    pub(super) end: Option<LineEnd>,
}

/// Returns the lines of these bytes. A final line end does not start another line.
pub(super) fn lines(mut bytes: &[u8]) -> impl Iterator<Item = Line<'_>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let at = memchr::memchr2(b'\r', b'\n', bytes);
        let (line, rest) = bytes.split_at(at.unwrap_or(bytes.len()));
        let end = match rest {
            [b'\r', b'\n', ..] => Some(LineEnd::CrLf),
            [b'\r', ..] => Some(LineEnd::Cr),
            [_, ..] => Some(LineEnd::Lf),
            [] => None,
        };
        let length = if end == Some(LineEnd::CrLf) { 2 } else { 1 };
        bytes = rest.get(length..).unwrap_or_default();
        Some(Line { bytes: line, end })
    })
}

impl<'b> Line<'b> {
    /// Returns the name of its field: the whole line if there is no colon.
    pub(super) fn field(&self) -> &'b [u8] {
        self.bytes.split(|byte| *byte == b':').next().unwrap_or_default()
    }

    /// Returns the value of its field.
    pub(super) fn value(&self) -> &'b [u8] {
        let value = self.bytes.get(self.field().len() + 1..).unwrap_or_default();
        value.strip_prefix(b" ").unwrap_or(value)
    }

    /// Returns the start of the line, for a report.
    pub(super) fn excerpt(&self) -> String {
        const CHARACTERS_MAX: usize = 60;
        let text = String::from_utf8_lossy(self.bytes);
        let mut excerpt: String = text.chars().take(CHARACTERS_MAX).collect();
        if excerpt.len() < text.len() {
            excerpt.push('…');
        }
        excerpt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_in_three_ways() {
        let all: Vec<_> = lines(b"a\r\nb\rc\n\n:d").map(|line| (line.bytes, line.end)).collect();
        let (lf, cr, crlf) = (Some(LineEnd::Lf), Some(LineEnd::Cr), Some(LineEnd::CrLf));
        let wanted: [(&[u8], _); 5] =
            [(b"a", crlf), (b"b", cr), (b"c", lf), (b"", lf), (b":d", None)];
        assert_eq!(all, wanted);
        assert_eq!(lines(b"").count(), 0);
    }

    #[test]
    fn a_field_has_a_name_and_a_value() {
        let line = |bytes| Line { bytes, end: None };
        assert_eq!(
            (line(b"data:  x:y").field(), line(b"data:  x:y").value()),
            (&b"data"[..], &b" x:y"[..])
        );
        assert_eq!((line(b"data").field(), line(b"data").value()), (&b"data"[..], &b""[..]));
        assert_eq!((line(b": c").field(), line(b": c").value()), (&b""[..], &b"c"[..]));
    }
}
