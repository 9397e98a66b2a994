//! What comes of a request.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use reqwest::{Response, StatusCode};

use crate::error::{EventSourceError, cause};
use crate::head::ResponseHead;
use crate::problem::{Problem, is_essence};
use crate::reconnect::Outcome;
use crate::redirect::RedirectError;

/// The body of an open stream; an error is the cause of its break.
pub(crate) type Body = BoxStream<'static, Result<Bytes, String>>;

/// What came of a request, redirects followed.
pub(crate) enum Attempt {
    Answer(Answer),
    /// There was none, and this is the cause.
    NoAnswer(String),
    /// A redirect cannot be followed.
    Astray(RedirectError),
}

/// What the server answered.
pub(crate) struct Answer {
    head: Arc<ResponseHead>,
    /// How long the server asks to be left alone.
    retry_after: Option<Duration>,
    /// Whether new credentials can make a difference.
    can_renew: bool,
    content: Content,
}

enum Content {
    Events(Body),
    Encoded { encoding: String },
    Other { content_type: Option<String>, problem: Option<Problem> },
}

impl Answer {
    pub(crate) async fn read(response: Response, can_renew: bool) -> Answer {
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
            None => Content::Events(response.bytes_stream().map_err(|error| cause(&error)).boxed()),
        };
        Answer { head, retry_after, can_renew, content }
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
    /// The attempt as the state machine sees it.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Attempt::Answer(answer) => answer.outcome(),
            Attempt::NoAnswer(_) => Outcome::NoResponse,
            Attempt::Astray(_) => Outcome::Unusable,
        }
    }

    /// The open stream, or why there is none.
    pub(crate) fn into_stream(self) -> Result<(Arc<ResponseHead>, Body), EventSourceError> {
        match self {
            Attempt::Answer(answer) => answer.into_stream(),
            Attempt::NoAnswer(cause) => Err(EventSourceError::Unreachable { cause }),
            Attempt::Astray(error) => Err(error.into()),
        }
    }
}

/// `Retry-After` in either form (RFC 9110, section 10.2.3): seconds, or a date.
pub(crate) fn parse_retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(text.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    let date = SystemTime::from(jiff::fmt::rfc2822::parse(text).ok()?.timestamp());
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 60);
        let parse = |text| parse_retry_after(text, now);
        assert_eq!(parse("120"), Some(Duration::from_mins(2)));
        assert_eq!(parse("99999999999999999999999"), Some(Duration::MAX));
        assert_eq!(parse("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_mins(1)));
        assert_eq!(parse("Sun, 06 Nov 1993 08:49:37 GMT"), None, "not a Sunday");
        assert_eq!(parse("Sat, 06 Nov 1993 08:49:37 GMT"), Some(Duration::ZERO), "past");
        for bad in ["", "-1", "1.5", "soon"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
