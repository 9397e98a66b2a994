//! What can go wrong.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use reqwest::StatusCode;
use stentor_sse::DecodeError;
use thiserror::Error;

use crate::cursor::CursorError;
use crate::problem::Problem;
use crate::redirect::RedirectError;
use crate::server_url::UrlError;

/// Why an [`EventSource`](crate::EventSource) has no stream.
///
/// As an item of the source it is fatal, and the last item. The others of these are no items: the
/// source goes on by itself, and tells them as the reason of a [`State::Waiting`](crate::State).
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum EventSourceError {
    /// The server answered with another status than 200 or 204. Fatal, but for 429 and 5xx, which
    /// are tried again unless the [`Mode`](crate::reconnect::Mode) is `Spec`.
    #[error("the server answered {status}{}", detail(.problem.as_ref()))]
    Status {
        /// The status.
        status: StatusCode,
        /// What the server said about it, if it did as `application/problem+json`.
        problem: Option<Problem>,
    },
    /// The server answered with something that is no stream of events. Fatal.
    #[error(
        "the answer is {}, not text/event-stream; check the address",
        .content_type.as_deref().unwrap_or("of no type")
    )]
    ContentType {
        /// The `Content-Type` of the answer.
        content_type: Option<String>,
    },
    /// The server answered with a stream that is compressed, though nobody asked for that. Fatal.
    #[error(
        "the stream is encoded as {encoding}; have the server, or the proxy before it, send \
         text/event-stream as it is"
    )]
    ContentEncoding {
        /// The `Content-Encoding` of the answer.
        encoding: String,
    },
    /// The server answered 401 to new credentials as well. Fatal.
    #[error("the server answered 401 to the new credentials too{}", detail(.problem.as_ref()))]
    Unauthorized {
        /// What the server said about it, if it did as `application/problem+json`.
        problem: Option<Problem>,
    },
    /// New credentials cannot be had. Attempts again.
    #[error("the authorization cannot be renewed: {cause}")]
    Renewal {
        /// What the callback said.
        cause: String,
    },
    /// As many attempts in a row came to nothing as there may be. Fatal.
    #[error("gave up after {attempts} attempts without progress; the last one: {last}")]
    GaveUp {
        /// How many.
        attempts: u32,
        /// What came of the last one.
        last: Box<EventSourceError>,
    },
    /// The place where reading is to begin cannot be had from its store. Fatal.
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// A redirect cannot be followed. Fatal.
    #[error(transparent)]
    Redirect(#[from] RedirectError),
    /// An event is over the bound of the decoder. Fatal, for it would come again.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The server cannot be reached, or broke off before its answer. Attempts again.
    #[error("cannot reach the server: {cause}")]
    Unreachable {
        /// The innermost cause.
        cause: String,
    },
    /// The server ended the stream. Attempts again: a stream has no end but a 204.
    #[error("the server ended the stream")]
    Ended,
    /// The connection broke. Attempts again.
    #[error("the connection broke: {cause}")]
    Broken {
        /// The innermost cause.
        cause: String,
    },
    /// Nothing came for longer than the idle timeout. Attempts again.
    #[error("nothing came for {} s", .after.as_secs_f32())]
    IdleTimeout {
        /// The idle timeout.
        after: Duration,
    },
}

impl EventSourceError {
    /// The 401 that came although the credentials were new.
    pub(crate) fn even_renewed(self) -> EventSourceError {
        match self {
            EventSourceError::Status { problem, .. } => EventSourceError::Unauthorized { problem },
            error => error,
        }
    }
}

/// Why a client cannot be set up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The address is none.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// A header that cannot be sent.
    #[error("`{name}` with this value is no HTTP header; use visible ASCII without line breaks")]
    Header {
        /// Its name.
        name: String,
    },
    /// The method is none.
    #[error("`{method}` is no HTTP method; use one such as POST")]
    Method {
        /// What was given.
        method: String,
    },
    /// The address of the proxy is none.
    #[error("the address of the proxy is none ({cause}); use one such as http://proxy:3128")]
    Proxy {
        /// The innermost cause.
        cause: String,
    },
    /// The certificates cannot be read.
    #[error("the root certificates cannot be read; give one or more in PEM")]
    Certificate,
    /// The HTTP client cannot be set up, such as for want of certificates.
    #[error("cannot set up the HTTP client: {cause}")]
    Client {
        /// The innermost cause.
        cause: String,
    },
}

/// Why a [`Publisher`](crate::Publisher) did not get its 201.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The topic has no address.
    #[error(transparent)]
    Topic(#[from] UrlError),
    /// The content type is no header value.
    #[error("{content_type:?} is no content type; use one such as text/plain")]
    ContentType {
        /// What was given.
        content_type: String,
    },
    /// The idempotency key is none.
    #[error("{key:?} is no idempotency key; use 1 to 256 visible ASCII characters")]
    Key {
        /// What was given.
        key: String,
    },
    /// The server cannot be reached: nothing was sent, at least by the last attempt.
    #[error("cannot reach the server: {cause}{attempts}")]
    Unreachable {
        /// The innermost cause.
        cause: String,
        /// What came before.
        attempts: Attempts,
    },
    /// The server broke off before its answer, or took too long for it.
    #[error("the server did not answer: {cause}{attempts}")]
    NoResponse {
        /// The innermost cause.
        cause: String,
        /// What came before, and how to go on.
        attempts: Attempts,
    },
    /// The server refused.
    #[error("the server answered {status}{}{attempts}", detail(.problem.as_deref()))]
    Refused {
        /// The status.
        status: StatusCode,
        /// What the server said about it, if it did as `application/problem+json`.
        problem: Option<Box<Problem>>,
        /// What came before.
        attempts: Attempts,
    },
    /// The server is elsewhere. What is published is not sent after it, for it may be a secret.
    #[error(
        "the server answered {status} and points to {location}; give the address that it is at"
    )]
    Redirected {
        /// The status.
        status: StatusCode,
        /// Where it points to.
        location: String,
    },
    /// The stream that was to be uploaded failed. The events that were whole before are published.
    #[error("what was to be uploaded broke off: {cause}")]
    Stream {
        /// Its error.
        cause: String,
    },
    /// The feed was dropped, or its runtime shut down.
    #[error("the feed was dropped before it knew whether this is published; finish it")]
    QueueDropped,
    /// The server answered with something else than the ids: it is no Stentor, or of another version.
    #[error("the answer of the server is not the one to a publish; is this a Stentor server?")]
    UnexpectedResponse,
}

/// What was done about a publish before it failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempts {
    /// How many attempts were made.
    pub count: u32,
    /// Whether one of them may have published.
    pub in_doubt: bool,
    /// The idempotency key under which they were made.
    pub key: Option<String>,
}

impl PublishError {
    /// Whether it may be published nonetheless, for an answer was lost.
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

    /// What the server said about it, if it did as `application/problem+json`.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            PublishError::Refused { problem, .. } => problem.as_deref(),
            _ => None,
        }
    }

    /// No answer within the request timeout.
    pub(crate) fn too_slow() -> PublishError {
        PublishError::NoResponse {
            cause: "it took too long".to_owned(),
            attempts: Attempts::default(),
        }
    }

    /// The error with what came before.
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

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count > 1 {
            write!(f, " ({} attempts)", self.count)?;
        }
        match &self.key {
            Some(key) if self.in_doubt => write!(
                f,
                "; it may be published: repeat it soon under the idempotency key {key}, and it is \
                 there once"
            ),
            None if self.in_doubt => {
                f.write_str("; it may be published: look before you repeat it")
            }
            _ => Ok(()),
        }
    }
}

fn detail(problem: Option<&Problem>) -> String {
    problem.map(|problem| format!(": {problem}")).unwrap_or_default()
}

/// The innermost cause, which says it best: the layers above it only say where it passed.
pub(crate) fn cause(error: &reqwest::Error) -> String {
    if error.is_connect() && error.is_timeout() {
        return "connecting took too long".to_owned();
    }
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
