//! Event types and ids: the fields whose text is restricted.

use std::fmt;
use std::sync::Arc;

use memchr::{memchr, memchr3};
use thiserror::Error;

/// The type of an event (`event:` on the wire), which selects the listeners in a browser.
///
/// A type is not empty and contains no CR, LF or NUL. A decoded type is an exception: the standard allows a NUL
/// in a received type, so [`Decoder`](crate::Decoder) passes it on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EventType(Arc<str>);

impl EventType {
    /// Creates a type from a text.
    ///
    /// # Errors
    ///
    /// [`FieldError`] if the text is empty or contains CR, LF or NUL.
    pub fn new(text: impl Into<Box<str>>) -> Result<Self, FieldError> {
        let text = text.into();
        if text.is_empty() {
            return Err(FieldError::EmptyType);
        }
        check("event type", &text)?;
        Ok(Self(text.into()))
    }

    /// Creates a type from a part of a line, which cannot contain CR or LF. Returns `None` for an empty text.
    pub(crate) fn decoded(text: String) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.into()))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The id of an event (`id:` on the wire). Clients send it as `Last-Event-ID` when they reconnect.
///
/// An id contains no CR, LF or NUL. An empty id makes a client forget its last event id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct EventId(Box<str>);

impl EventId {
    /// Creates an id from a text.
    ///
    /// # Errors
    ///
    /// [`FieldError`] if the text contains CR, LF or NUL.
    pub fn new(text: impl Into<Box<str>>) -> Result<Self, FieldError> {
        let text = text.into();
        check("event id", &text)?;
        Ok(Self(text))
    }

    /// Creates an id from a part of a line, which cannot contain CR or LF. Returns `None` for a text with NUL.
    pub(crate) fn decoded(text: String) -> Option<Self> {
        (memchr(b'\0', text.as_bytes()).is_none()).then(|| Self(text.into()))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Error: the text is not valid as an [`EventType`] or an [`EventId`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FieldError {
    /// The type is empty. Clients would treat it as `message`.
    #[error("an event type must not be empty; leave it out for the type `message`")]
    EmptyType,
    /// The text contains a character that would end the field early or make clients ignore the field.
    #[error("an {field} cannot contain {character:?} (at byte {at}); remove or escape it")]
    Character {
        /// `event type` or `event id`.
        field: &'static str,
        /// CR, LF or NUL.
        character: char,
        /// Position of the character, in bytes from the start of the text.
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
