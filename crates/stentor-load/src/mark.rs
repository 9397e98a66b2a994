//! The marker in an event's data that identifies it: the run and the number of the event.

use std::io::Write;

/// Length of a marker: `~`, eight hexadecimal digits of the run, eight of the number, `~`. None of these characters
/// is escaped in JSON, forms or URLs, so a server may wrap the data into any of them.
pub(crate) const MARK_BYTES: usize = 18;
const DIGITS: u8 = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Distinguishes the events of this run from those of other runs.
    pub(crate) run: u32,
    pub(crate) number: u32,
}

impl Mark {
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        let Mark { run, number } = self;
        // Writing to memory cannot fail.
        let _ = write!(out, "~{run:08x}{number:08x}~");
    }
}

/// Finds the first marker in bytes that arrive in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Finder {
    /// Number of bytes of a possible marker that have arrived; 0 for none.
    seen: u8,
    value: u64,
}

impl Finder {
    pub(crate) fn feed(&mut self, mut piece: &[u8]) -> Option<Mark> {
        loop {
            if self.seen == 0 {
                let start = memchr::memchr(b'~', piece)?;
                piece = piece.get(start + 1..)?;
                // Fast path: the whole marker is in this piece.
                if let Some((digits, [b'~', ..])) = piece.split_first_chunk()
                    && let Some(mark) = whole(digits)
                {
                    return Some(mark);
                }
                (self.seen, self.value) = (1, 0);
            }
            let (&byte, rest) = piece.split_first()?;
            if self.seen <= DIGITS
                && let b'0'..=b'9' | b'a'..=b'f' = byte
                && let Some(digit) = char::from(byte).to_digit(16)
            {
                self.value = self.value << 4 | u64::from(digit);
                self.seen += 1;
            } else if self.seen > DIGITS && byte == b'~' {
                self.seen = 0;
                let [run, number] = [self.value >> 32, self.value & u64::from(u32::MAX)];
                return Some(Mark { run: run as u32, number: number as u32 });
            } else {
                // The byte that does not fit may start another marker.
                self.seen = 0;
                continue;
            }
            piece = rest;
        }
    }
}

/// Parses the digits of a marker.
fn whole(digits: &[u8; DIGITS as usize]) -> Option<Mark> {
    let (run, number) = digits.split_first_chunk()?;
    Some(Mark { run: eight(*run)?, number: eight(*number.first_chunk()?)? })
}

/// Parses eight lowercase hexadecimal digits at once, each in one byte of a word.
fn eight(digits: [u8; 8]) -> Option<u32> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_be_bytes(digits);
    // Letters have bit 6 set, and their low bits are 1 for `a`.
    let values = (word & (0x0f * EACH)) + 9 * (word >> 6 & EACH);
    let letters = (values + 0x76 * EACH) >> 7 & EACH;
    let is_canonical = values + 0x30 * EACH + 0x27 * letters == word;
    let is_valid = is_canonical && values & (0xf0 * EACH) == 0;
    let pairs = (values | values >> 4) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
    is_valid.then_some((fours | fours >> 16) as u32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(mark: Mark) -> Vec<u8> {
        let mut out = Vec::new();
        mark.write(&mut out);
        out
    }

    fn find(pieces: &[&[u8]]) -> Option<Mark> {
        let mut finder = Finder::default();
        pieces.iter().find_map(|piece| finder.feed(piece))
    }

    #[test]
    fn a_written_mark_has_its_length_and_is_found() {
        let mark = Mark { run: 0xab, number: u32::MAX };
        assert_eq!(text(mark), b"~000000abffffffff~");
        assert_eq!(text(mark).len(), MARK_BYTES);
        assert_eq!(find(&[&text(mark)]), Some(mark));
    }

    #[test]
    fn text_that_only_looks_like_a_mark_is_ignored() {
        assert_eq!(find(&[b"~", b"~~12~", b"~0123456789abcdef", b"0~"]), None);
        assert_eq!(find(&[b"~0000000g00000002~", b"~000000010000000A~"]), None);
        let mark = Some(Mark { run: 1, number: 2 });
        assert_eq!(find(&[b"~000~0000000100000002~"]), mark);
        assert_eq!(find(&[b"~000000010000000~", b"0000000100000002~"]), mark);
    }

    proptest! {
        #[test]
        fn eight_digits_are_read_as_one_by_one(
            digits in prop_oneof![
                prop::array::uniform8(any::<u8>()),
                "[0-9a-f]{8}".prop_map(|text| text.as_bytes().try_into().unwrap()),
                "[0-9a-g/:@`]{8}".prop_map(|text| text.as_bytes().try_into().unwrap()),
            ],
        ) {
            let text = std::str::from_utf8(&digits).unwrap_or("x");
            let is_lower = !text.contains(|c: char| c.is_uppercase() || c == '+');
            let expected = u32::from_str_radix(text, 16).ok().filter(|_| is_lower);
            prop_assert_eq!(eight(digits), expected);
        }

        #[test]
        fn a_mark_is_found_in_pieces_of_any_size(
            run: u32, number: u32, before in "[a-z0-9]{0,40}", cut in 0_usize..60,
        ) {
            let mark = Mark { run, number };
            let whole = [before.as_bytes(), &text(mark), b"{}"].concat();
            let (a, b) = whole.split_at(cut.min(whole.len()));
            prop_assert_eq!(find(&[a, b]), Some(mark));
            let bytes: Vec<&[u8]> = whole.chunks(1).collect();
            prop_assert_eq!(find(&bytes), Some(mark));
        }
    }
}
