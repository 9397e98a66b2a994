//! Errors of an event source.

use std::time::Duration;

use reqwest::StatusCode;
use stentor_sse::DecodeError;
use thiserror::Error;

use super::redirect::RedirectError;
use crate::cursor::CursorError;
use crate::problem::Problem;

/// Error of an [`EventSource`](crate::EventSource): it has no stream.
///
/// The source returns only fatal errors, each as its last item. It retries after any other error, and reports the error
/// as the reason of [`State::Waiting`](crate::State::Waiting).
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum EventSourceError {
    /// The status of the response is not 200 or 204.
    ///
    /// Fatal. Exception: 429 and 5xx are retried unless the [`Mode`](crate::reconnect::Mode) is `Spec`.
    #[error("the server responded with {status}{}", Problem::suffix(.problem.as_ref()))]
    Status {
        /// The status.
        status: StatusCode,
        /// Error details, if the server sent `application/problem+json`.
        problem: Option<Problem>,
    },
    /// The response is not an event stream. Fatal.
    #[error(
        "the response has {}, expected text/event-stream; check the URL",
        .content_type.as_ref().map_or("no content type".to_owned(), |found| format!("the content type {found}"))
    )]
    ContentType {
        /// The `Content-Type` of the response.
        content_type: Option<String>,
    },
    /// The stream is compressed, although the request did not ask for compression. Fatal.
    #[error(
        "the stream is encoded as {encoding}; configure the server, or the proxy in front of it, to \
         send text/event-stream without compression"
    )]
    ContentEncoding {
        /// The `Content-Encoding` of the response.
        encoding: String,
    },
    /// The server responded with 401 to new credentials as well. Fatal.
    #[error(
        "the server responded with 401 to the new credentials as well{}",
        Problem::suffix(.problem.as_ref())
    )]
    Unauthorized {
        /// Error details, if the server sent `application/problem+json`.
        problem: Option<Problem>,
    },
    /// New credentials cannot be obtained. Retried.
    #[error("cannot renew the authorization: {cause}")]
    Renewal {
        /// The error of the callback.
        cause: String,
    },
    /// The maximum number of consecutive attempts without progress is reached. Fatal.
    #[error("gave up after {attempts} attempts without progress; the last one: {last}")]
    GaveUp {
        /// Number of attempts.
        attempts: u32,
        /// The error of the last attempt.
        last: Box<EventSourceError>,
    },
    /// The cursor cannot be loaded from its store. Fatal.
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// A redirect cannot be followed. Fatal.
    #[error(transparent)]
    Redirect(#[from] RedirectError),
    /// An event is over the limit of the decoder. Fatal, because a reconnect would receive it again.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The server is unreachable, or the connection broke before the response. Retried.
    #[error("cannot reach the server: {cause}")]
    Unreachable {
        /// The root cause.
        cause: String,
    },
    /// The server ended the stream. Retried: only a 204 ends a stream for good.
    #[error("the server ended the stream")]
    Ended,
    /// The connection broke. Retried.
    #[error("the connection broke: {cause}")]
    Broken {
        /// The root cause.
        cause: String,
    },
    /// No bytes arrived within the idle timeout. Retried.
    #[error("no data for {} s", .after.as_secs_f32())]
    IdleTimeout {
        /// The idle timeout that was set or derived from keep-alives.
        after: Duration,
    },
}

impl EventSourceError {
    /// Converts the error of a 401 that was a response to new credentials.
    pub(crate) fn after_renewal(self) -> EventSourceError {
        match self {
            EventSourceError::Status { problem, .. } => EventSourceError::Unauthorized { problem },
            error => error,
        }
    }
}
