//! Errors of a publish.

use std::fmt;
use std::time::Duration;

use reqwest::StatusCode;
use thiserror::Error;

use crate::problem::Problem;
use crate::server_url::UrlError;

/// Error of a [`Publisher`](crate::Publisher).
///
/// [`may_be_published`](Self::may_be_published) returns `true` if the events may be in the log despite the error.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The topic name cannot be part of a URL.
    #[error(transparent)]
    Topic(#[from] UrlError),
    /// The content type is not valid as a header.
    #[error("{content_type:?} is not a content type; use one such as text/plain")]
    ContentType {
        /// The given content type.
        content_type: String,
    },
    /// The idempotency key is not valid.
    #[error("{key:?} is not a valid idempotency key; use 1 to 256 visible ASCII characters")]
    Key {
        /// The given key.
        key: String,
    },
    /// The server is unreachable. The last attempt sent nothing.
    #[error("cannot reach the server: {cause}{attempts}")]
    Unreachable {
        /// The root cause.
        cause: String,
        /// The attempts made.
        attempts: Attempts,
    },
    /// The connection broke before the response, or the request timed out.
    #[error("no response from the server: {cause}{attempts}")]
    NoResponse {
        /// The root cause.
        cause: String,
        /// The attempts made.
        attempts: Attempts,
    },
    /// The server refused the publish.
    #[error(
        "the server responded with {status}{}{attempts}",
        Problem::suffix(.problem.as_deref())
    )]
    Refused {
        /// The status.
        status: StatusCode,
        /// Error details, if the server sent `application/problem+json`.
        problem: Option<Box<Problem>>,
        /// The wait before the next attempt that the server requested with `Retry-After`.
        retry_after: Option<Duration>,
        /// The attempts made.
        attempts: Attempts,
    },
    /// The server redirects to another URL. A publish does not follow redirects, because it may contain secrets.
    #[error("the server responded with {status} and redirects to {location}; use that URL")]
    Redirected {
        /// The status.
        status: StatusCode,
        /// The target of the redirect.
        location: String,
    },
    /// The stream to upload failed. Complete events that were sent before are published.
    #[error("the stream to upload failed: {cause}")]
    Stream {
        /// The error of the stream.
        cause: String,
    },
    /// The queue was dropped, or its runtime shut down, before the event was acknowledged.
    #[error("the queue was dropped before the event was acknowledged; call `finish` first")]
    QueueDropped,
    /// The response does not contain event ids: the server is not a Stentor server, or has another version.
    #[error("the response is not that of a Stentor server; check the URL")]
    UnexpectedResponse,
}

/// The attempts of a publish that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempts {
    /// Number of attempts.
    pub count: u32,
    /// `true` if an attempt may have published the events.
    pub in_doubt: bool,
    /// The idempotency key of the attempts.
    pub key: Option<String>,
}

impl PublishError {
    /// Returns `true` if the events may be in the log despite the error, because a response was lost.
    pub fn may_be_published(&self) -> bool {
        match self {
            PublishError::Unreachable { attempts, .. }
            | PublishError::NoResponse { attempts, .. }
            | PublishError::Refused { attempts, .. } => attempts.in_doubt,
            PublishError::Stream { .. }
            | PublishError::QueueDropped
            | PublishError::UnexpectedResponse => true,
            _ => false,
        }
    }

    /// Returns the error details, if the server sent `application/problem+json`.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            PublishError::Refused { problem, .. } => problem.as_deref(),
            _ => None,
        }
    }

    /// Returns the wait before the next attempt that the server requested with `Retry-After`. It has no upper limit.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            PublishError::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Creates the error of a request that timed out.
    pub(crate) fn timed_out() -> PublishError {
        PublishError::NoResponse {
            cause: "the request timed out".to_owned(),
            attempts: Attempts::default(),
        }
    }

    /// Adds the attempts to the error.
    pub(crate) fn with_attempts(mut self, all: Attempts) -> PublishError {
        if let PublishError::Unreachable { attempts, .. }
        | PublishError::NoResponse { attempts, .. }
        | PublishError::Refused { attempts, .. } = &mut self
        {
            *attempts = all;
        }
        self
    }
}

/// Formats the attempts as the end of an error text.
impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count > 1 {
            write!(f, " ({} attempts)", self.count)?;
        }
        match &self.key {
            Some(key) if self.in_doubt => write!(
                f,
                "; it may be published: repeat it soon with the idempotency key {key}, and it is \
                 published only once"
            ),
            None if self.in_doubt => {
                f.write_str("; it may be published: check the topic before you repeat it")
            }
            _ => Ok(()),
        }
    }
}
