//! The result of a request for an event stream.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use reqwest::{Response, StatusCode};

use super::error::EventSourceError;
use super::redirect::RedirectError;
use super::response_head::ResponseHead;
use crate::http_client::root_cause;
use crate::problem::{Problem, is_essence};
use crate::reconnect::Outcome;
use crate::retry_after::parse_retry_after;

/// The body of an open stream. An error is the reason why the connection broke.
pub(crate) type Body = BoxStream<'static, Result<Bytes, String>>;

/// The result of a request, after all redirects.
pub(crate) enum Attempt {
    Response(StreamResponse),
    /// No response, for this reason.
    NoResponse(String),
    /// A redirect that cannot be followed.
    BadRedirect(RedirectError),
}

/// A response to a request for an event stream.
pub(crate) struct StreamResponse {
    head: Arc<ResponseHead>,
    retry_after: Option<Duration>,
    /// `true` if a 401 can be retried with new credentials.
    can_renew: bool,
    content: Content,
}

enum Content {
    Events(Body),
    Encoded { encoding: String },
    Other { content_type: Option<String>, problem: Option<Problem> },
}

impl StreamResponse {
    pub(crate) async fn read(response: Response, can_renew: bool) -> StreamResponse {
        let head = Arc::new(ResponseHead::of(&response));
        let header = |name: HeaderName| {
            head.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()))
        };
        let retry_after =
            header(RETRY_AFTER).and_then(|text| parse_retry_after(&text, SystemTime::now()));
        let content_type = header(CONTENT_TYPE).map(String::from);
        let is_event_stream =
            content_type.as_deref().is_some_and(|text| is_essence(text, "text/event-stream"));
        let encoding = header(CONTENT_ENCODING)
            .filter(|encoding| !encoding.trim().eq_ignore_ascii_case("identity"));
        let content = match encoding {
            _ if head.status != StatusCode::OK || !is_event_stream => {
                Content::Other { content_type, problem: Problem::read(response).await }
            }
            Some(encoding) => Content::Encoded { encoding: encoding.into_owned() },
            None => {
                let body = response.bytes_stream().map_err(|error| root_cause(&error));
                Content::Events(body.boxed())
            }
        };
        StreamResponse { head, retry_after, can_renew, content }
    }

    fn outcome(&self) -> Outcome {
        match self.head.status {
            StatusCode::UNAUTHORIZED if self.can_renew => Outcome::Unauthorized,
            status => Outcome::Response {
                status,
                is_event_stream: matches!(self.content, Content::Events(_)),
                retry_after: self.retry_after,
            },
        }
    }

    fn into_stream(self) -> Result<(Arc<ResponseHead>, Body), EventSourceError> {
        match self.content {
            Content::Events(body) => Ok((self.head, body)),
            Content::Encoded { encoding } => Err(EventSourceError::ContentEncoding { encoding }),
            Content::Other { content_type, .. } if self.head.status == StatusCode::OK => {
                Err(EventSourceError::ContentType { content_type })
            }
            Content::Other { problem, .. } => {
                Err(EventSourceError::Status { status: self.head.status, problem })
            }
        }
    }
}

impl Attempt {
    /// Returns the outcome for the reconnect state machine.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Attempt::Response(response) => response.outcome(),
            Attempt::NoResponse(_) => Outcome::NoResponse,
            Attempt::BadRedirect(_) => Outcome::Unusable,
        }
    }

    /// Returns the open stream, or the reason why there is none.
    pub(crate) fn into_stream(self) -> Result<(Arc<ResponseHead>, Body), EventSourceError> {
        match self {
            Attempt::Response(response) => response.into_stream(),
            Attempt::NoResponse(cause) => Err(EventSourceError::Unreachable { cause }),
            Attempt::BadRedirect(error) => Err(error.into()),
        }
    }
}
