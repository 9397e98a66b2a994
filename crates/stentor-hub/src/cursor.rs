//! Cursors and their text form.
//!
//! The text form, version 1: `1` epoch `_` offset [`_` check], all in lower-case base 32 (`0-9a-v`, which sorts like
//! ASCII). The epoch has ten digits and the check five. An offset begins with a digit that is the number of digits
//! after it. So cursors of one epoch sort as text in the order of their offsets. They contain only letters, digits and
//! `_`, and are far shorter than the 128 bytes that a browser may send to another origin without a CORS preflight.

use std::fmt;
use std::str::FromStr;

use stentor_sse::EventId;

const VERSION: u8 = b'1';
const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
const EPOCH_DIGITS: usize = 10;
const CHECK_DIGITS: usize = 5;

/// The position of a record in the hub-wide order. Offsets are strictly increasing, can have gaps and are never reused.
///
/// Zero is before all records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(u64);

impl Offset {
    /// The offset before all records.
    pub const ZERO: Offset = Offset(0);
    /// The largest offset that every storage can store (2⁶³ - 1). No record has it.
    pub const MAX: Offset = Offset(i64::MAX as u64);

    /// The offset with this number, at most [`Offset::MAX`].
    pub const fn new(number: u64) -> Offset {
        if number > Self::MAX.0 { Self::MAX } else { Offset(number) }
    }

    /// The number itself.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The offset after this one.
    #[must_use]
    pub const fn next(self) -> Offset {
        Offset::new(self.0 + 1)
    }

    /// The offset before this one; zero for zero.
    #[must_use]
    pub const fn previous(self) -> Offset {
        Offset(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The identity of one history of the log: 50 random bits, drawn when a history begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(u64);

impl Epoch {
    const BITS: u32 = 50;

    /// A random epoch, for a new history.
    pub fn random() -> Epoch {
        Epoch::new(fastrand::u64(..))
    }

    /// The epoch with this number, cut to its lowest 50 bits.
    pub const fn new(number: u64) -> Epoch {
        Epoch(number & ((1 << Self::BITS) - 1))
    }

    /// The number itself.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Formats the epoch as it is written in event ids, without the version.
impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Text::new();
        text.push_number(self.0, EPOCH_DIGITS);
        f.write_str(text.as_str())
    }
}

/// 25 bits of a hash of the record. They distinguish records at the same offset, in two copies of one history that were
/// both continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check(u32);

impl Check {
    const BITS: u32 = 25;

    /// The check with this number, cut to its lowest 25 bits.
    pub const fn new(number: u32) -> Check {
        Check(number & ((1 << Self::BITS) - 1))
    }

    /// The number itself.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// The position of a reader: the `id:` of each event that is sent, and the `Last-Event-ID` that a subscriber sends
/// back.
///
/// With a check it is an **event id**. Without one it is a **position**, which is sent at the start of a stream, with a
/// keep-alive, or with a gap. Clients treat it as opaque.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The history that the offset belongs to.
    pub epoch: Epoch,
    /// All records up to here have been considered for this reader.
    pub offset: Offset,
    /// The check of the record at the offset; only in an event id.
    pub check: Option<Check>,
}

impl Cursor {
    /// A position: the place after the record at `offset`.
    pub const fn position(epoch: Epoch, offset: Offset) -> Cursor {
        Cursor { epoch, offset, check: None }
    }

    /// The event id of a record.
    pub const fn event_id(epoch: Epoch, offset: Offset, check: Check) -> Cursor {
        Cursor { epoch, offset, check: Some(check) }
    }

    /// Returns `true` for an event id, `false` for a position.
    pub const fn is_event_id(&self) -> bool {
        self.check.is_some()
    }

    /// The cursor as the value of an `id:` field.
    pub fn to_event_id(self) -> EventId {
        // Cannot fail: base 32 digits and `_` are valid in an id.
        EventId::new(self.to_text().as_str()).unwrap_or_default()
    }

    /// Appends the text form to `out`. Faster than formatting the cursor.
    pub fn append_to(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.to_text().as_str().as_bytes());
    }

    fn to_text(self) -> Text {
        let mut text = Text::new();
        text.push(VERSION);
        text.push_number(self.epoch.0, EPOCH_DIGITS);
        text.push(b'_');
        let digits = digits_of(self.offset.0);
        text.push_number(digits as u64, 1);
        text.push_number(self.offset.0, digits);
        if let Some(check) = self.check {
            text.push(b'_');
            text.push_number(u64::from(check.0), CHECK_DIGITS);
        }
        text
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_text().as_str())
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Cursor, CursorError> {
        parse(text.as_bytes()).ok_or(CursorError)
    }
}

/// A text that is not a cursor of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a cursor; send the id of an event exactly as it was received")]
pub struct CursorError;

fn parse(text: &[u8]) -> Option<Cursor> {
    let rest = text.strip_prefix(&[VERSION])?;
    let (epoch, rest) = number(rest, EPOCH_DIGITS)?;
    let rest = rest.strip_prefix(b"_")?;
    let (digits, rest) = number(rest, 1)?;
    let digits = usize::try_from(digits).ok()?;
    let (offset, rest) = number(rest, digits)?;
    // Each offset has one text form: without leading zeros, and at most the largest offset.
    if digits != digits_of(offset) || offset > Offset::MAX.0 {
        return None;
    }
    let check = match rest.strip_prefix(b"_") {
        None if rest.is_empty() => None,
        None => return None,
        Some(rest) => match number(rest, CHECK_DIGITS)? {
            (check, []) => Some(Check::new(u32::try_from(check).ok()?)),
            _ => return None,
        },
    };
    Some(Cursor { epoch: Epoch(epoch), offset: Offset(offset), check })
}

/// Parses a number of exactly `digits` digits. `None` if it does not fit into 64 bits.
fn number(text: &[u8], digits: usize) -> Option<(u64, &[u8])> {
    let (head, rest) = text.split_at_checked(digits)?;
    let mut number = 0_u64;
    for byte in head {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'v' => byte - b'a' + 10,
            _ => return None,
        };
        number = number.checked_mul(32)?.checked_add(u64::from(digit))?;
    }
    Some((number, rest))
}

/// Number of base 32 digits of a number; one for zero.
fn digits_of(number: u64) -> usize {
    let bits = (u64::BITS - number.leading_zeros()).max(1);
    bits.div_ceil(5) as usize
}

/// A buffer on the stack with room for the longest cursor.
struct Text {
    bytes: [u8; Text::BYTES_MAX],
    len: usize,
}

impl Text {
    /// Version, epoch, length of the offset, offset, check, and `_` twice.
    const BYTES_MAX: usize = 1 + EPOCH_DIGITS + 1 + 13 + CHECK_DIGITS + 2;

    fn new() -> Text {
        Text { bytes: [0; Text::BYTES_MAX], len: 0 }
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    fn push_number(&mut self, number: u64, digits: usize) {
        for place in (0..digits).rev() {
            let digit = (number >> (5 * place)) & 31;
            self.push(DIGITS.get(digit as usize).copied().unwrap_or(b'0'));
        }
    }

    fn as_str(&self) -> &str {
        self.bytes
            .get(..self.len)
            .and_then(|text| std::str::from_utf8(text).ok())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_cursor() -> impl Strategy<Value = Cursor> {
        (any::<u64>(), 0..=Offset::MAX.0, proptest::option::of(any::<u32>())).prop_map(
            |(epoch, offset, check)| Cursor {
                epoch: Epoch::new(epoch),
                offset: Offset(offset),
                check: check.map(Check::new),
            },
        )
    }

    proptest! {
        #[test]
        fn a_cursor_round_trips_through_text(cursor in any_cursor()) {
            let text = cursor.to_string();
            prop_assert_eq!(text.parse::<Cursor>(), Ok(cursor));
            prop_assert!(text.len() <= Text::BYTES_MAX);
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
        }

        #[test]
        fn cursors_of_one_epoch_sort_as_text_in_log_order(
            epoch: u64, a in 0..=Offset::MAX.0, b in 0..=Offset::MAX.0,
        ) {
            let text = |n| Cursor::position(Epoch::new(epoch), Offset(n)).to_string();
            prop_assert_eq!(text(a).cmp(&text(b)), a.cmp(&b));
        }

        #[test]
        fn any_text_is_a_cursor_or_an_error_but_never_a_panic(text: String) {
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert_eq!(cursor.to_string(), text);
            }
        }

        #[test]
        fn a_truncated_cursor_is_never_another_event_id(cursor in any_cursor()) {
            let text = cursor.to_string();
            for end in 0..text.len() {
                if let Ok(other) = text[..end].parse::<Cursor>() {
                    prop_assert_eq!(other.offset, cursor.offset);
                    prop_assert!(!other.is_event_id());
                }
            }
        }
    }
}
