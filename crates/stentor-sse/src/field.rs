//! The two fields with a restricted text.

use std::fmt;
use std::sync::Arc;

use memchr::{memchr, memchr3};
use thiserror::Error;

/// The name under which a reader dispatches an event (`event:` on the wire).
///
/// Not empty, without CR and LF, and without NUL unless it was decoded: the standard lets a reader
/// accept a NUL here, so [`Decoder`](crate::Decoder) hands such a type on, but nobody else can make one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EventType(Arc<str>);

impl EventType {
    /// Checks the text of a type.
    pub fn new(text: impl Into<Box<str>>) -> Result<Self, FieldError> {
        let text = text.into();
        if text.is_empty() {
            return Err(FieldError::EmptyType);
        }
        check("event type", &text)?;
        Ok(Self(text.into()))
    }

    /// A type as it came in, without CR and LF as a part of a line is; none if it is empty.
    pub(crate) fn decoded(text: String) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The id of an event (`id:` on the wire), which comes back as `Last-Event-ID` on a reconnect.
///
/// Without CR, LF and NUL. It may be empty, which makes a reader forget the last event id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct EventId(Box<str>);

impl EventId {
    /// Checks the text of an id.
    pub fn new(text: impl Into<Box<str>>) -> Result<Self, FieldError> {
        let text = text.into();
        check("event id", &text)?;
        Ok(Self(text))
    }

    /// An id as it came in, without CR and LF as a part of a line is; none if it has a NUL.
    pub(crate) fn decoded(text: String) -> Option<Self> {
        (memchr(b'\0', text.as_bytes()).is_none()).then(|| Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text cannot be an [`EventType`] or an [`EventId`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FieldError {
    /// An empty type, which a reader would take for `message`.
    #[error("an event type must not be empty; leave it out for the type `message`")]
    EmptyType,
    /// A character that would end the field early or make readers ignore it.
    #[error("an {field} cannot hold {character:?} (at byte {at}); remove or escape it")]
    Character {
        /// `event type` or `event id`.
        field: &'static str,
        /// CR, LF or NUL.
        character: char,
        /// Where it stands, in bytes from the start of the text.
        at: usize,
    },
}

fn check(field: &'static str, text: &str) -> Result<(), FieldError> {
    let found = memchr3(b'\r', b'\n', b'\0', text.as_bytes());
    match found.and_then(|at| Some((at, text.get(at..)?.chars().next()?))) {
        None => Ok(()),
        Some((at, character)) => Err(FieldError::Character { field, character, at }),
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for EventType {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for EventType {
    type Error = FieldError;

    fn try_from(text: &str) -> Result<Self, FieldError> {
        Self::new(text)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for EventId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for EventId {
    type Error = FieldError;

    fn try_from(text: &str) -> Result<Self, FieldError> {
        Self::new(text)
    }
}
