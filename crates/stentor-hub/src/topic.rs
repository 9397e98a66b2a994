//! Topic names.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The exact name of a topic: 1 to 512 bytes of UTF-8 without control characters.
///
/// Segments are separated by `/`. Names are compared by bytes, without normalization. A segment that is exactly `*` or
/// `**` is a wildcard of a [`TopicFilter`](crate::TopicFilter) and not allowed in a name. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Arc<str>);

impl TopicName {
    /// Maximum length of a name in bytes.
    pub const BYTES_MAX: usize = 512;

    /// Creates a name.
    ///
    /// # Errors
    ///
    /// The text is not a name, see [`TopicError`].
    pub fn new(name: impl Into<Arc<str>>) -> Result<TopicName, TopicError> {
        let name = name.into();
        check_text(&name)?;
        if name.contains('*')
            && let Some(segment) = name.split('/').find(|s| matches!(*s, "*" | "**"))
        {
            return Err(TopicError::Wildcard { segment: segment.to_owned() });
        }
        Ok(TopicName(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns `true` if the name begins with `$`. These names are reserved for the server.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('$')
    }
}

/// Checks the rules that names and filters share.
pub(crate) fn check_text(text: &str) -> Result<(), TopicError> {
    match text.len() {
        0 => return Err(TopicError::Empty),
        1..=TopicName::BYTES_MAX => {}
        bytes => return Err(TopicError::TooLong { bytes }),
    }
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Ok(());
    }
    // `char::is_control` is exactly C0, DEL and C1.
    match text.char_indices().find(|(_, c)| c.is_control()) {
        Some((at, character)) => Err(TopicError::Control { character, at }),
        None => Ok(()),
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for TopicName {
    type Err = TopicError;

    fn from_str(name: &str) -> Result<TopicName, TopicError> {
        TopicName::new(name)
    }
}

impl AsRef<str> for TopicName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The reason why a text is not a topic name or filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// The text is empty.
    #[error("a topic must not be empty; name one, such as `news`")]
    Empty,
    /// The text has more than [`TopicName::BYTES_MAX`] bytes.
    #[error("the topic has {bytes} bytes; the maximum is {}", TopicName::BYTES_MAX)]
    TooLong {
        /// The length in bytes.
        bytes: usize,
    },
    /// The text has a control character: C0, DEL or C1.
    #[error("the topic has the control character {character:?} at byte {at}; remove it")]
    Control {
        /// The character.
        character: char,
        /// The index of its first byte.
        at: usize,
    },
    /// A name has `*` or `**` as a segment.
    #[error("a topic name cannot have the segment `{segment}`, which makes it a pattern")]
    Wildcard {
        /// The segment.
        segment: String,
    },
    /// A filter has `*` inside a segment.
    #[error(
        "`{segment}` has a `*` inside a segment; a wildcard is a whole segment, as in `news/*`"
    )]
    PartialWildcard {
        /// The segment.
        segment: String,
    },
    /// `**` is not the last segment of a filter.
    #[error(
        "`**` matches the rest of a name, so it must be the last segment; use `*` for one segment"
    )]
    RestNotLast,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_any_text_without_control_characters() {
        for name in ["news", "a/b/c", "https://x/y", "Grüße/🎉", "a*b", "$SYS", "/", " "] {
            assert_eq!(TopicName::new(name).map(|n| n.to_string()), Ok(name.to_owned()));
        }
    }

    #[test]
    fn control_characters_are_refused_with_their_index() {
        for character in ['\0', '\n', '\u{7f}', '\u{85}'] {
            let name = format!("ab{character}");
            assert_eq!(TopicName::new(name), Err(TopicError::Control { character, at: 2 }));
        }
    }

    #[test]
    fn a_name_has_1_to_512_bytes() {
        assert_eq!(TopicName::new(""), Err(TopicError::Empty));
        assert!(TopicName::new("x".repeat(512)).is_ok());
        assert_eq!(TopicName::new("x".repeat(513)), Err(TopicError::TooLong { bytes: 513 }));
    }

    #[test]
    fn a_wildcard_segment_is_not_a_name() {
        for name in ["*", "**", "a/*", "*/b", "a/**"] {
            assert!(matches!(TopicName::new(name), Err(TopicError::Wildcard { .. })), "{name}");
        }
    }
}
