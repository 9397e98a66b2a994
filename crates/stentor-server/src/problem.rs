//! Errors as a client sees them: the one place where they become statuses.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Map, Value, json};
use stentor_hub::{
    Cursor, CursorError, FiltersError, HistoryError, PublishError, StorageError, SubscribeError,
    TimestampError, TopicError,
};

use crate::body::Body;

/// An error as `application/problem+json` (RFC 9457): a status, a stable code for programs, and a
/// detail that says what to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem(Box<Said>);

/// What a problem says. Boxed, for it is rare and would weigh on every result.
#[derive(Clone, Debug, PartialEq)]
struct Said {
    status: StatusCode,
    code: &'static str,
    detail: String,
    members: Map<String, Value>,
    allow: Option<&'static str>,
}

/// The code of a publish to a topic that has ended.
const TOPIC_ENDED: &str = "topic-ended";
/// How long a client should wait before it tries a failed write again, in seconds.
const RETRY_AFTER_SECONDS: u16 = 2;

impl Problem {
    /// A problem. `detail` says what to do about it.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Problem {
        let (detail, members) = (detail.into(), Map::new());
        Problem(Box::new(Said { status, code, detail, members, allow: None }))
    }

    /// A request that cannot be understood: 400.
    pub fn bad_request(code: &'static str, detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// The same problem with one more member, for programs.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Problem {
        self.0.members.insert(name.to_owned(), value.into());
        self
    }

    /// A part of the query is unknown or invalid: 400.
    pub(crate) fn invalid_query(detail: impl Into<String>) -> Problem {
        Problem::bad_request("query", detail)
    }

    /// The path or a batch names no valid topic: 400.
    pub(crate) fn invalid_topic(detail: impl Into<String>) -> Problem {
        Problem::bad_request("topic", detail)
    }

    /// The idempotency key is invalid: 400.
    pub(crate) fn invalid_key(detail: impl Into<String>) -> Problem {
        Problem::bad_request("key", detail)
    }

    /// The event type is invalid or reserved: 400.
    pub(crate) fn invalid_event_type(detail: impl Into<String>) -> Problem {
        Problem::bad_request("event-type", detail)
    }

    /// The reconnection time of an event is out of range: 400.
    pub(crate) fn invalid_retry(detail: impl Into<String>) -> Problem {
        Problem::bad_request("retry", detail)
    }

    /// The lease is out of range: 400.
    pub(crate) fn invalid_lease(detail: impl Into<String>) -> Problem {
        Problem::bad_request("lease", detail)
    }

    /// The body is not a batch of events: 400.
    pub(crate) fn invalid_batch(detail: impl Into<String>) -> Problem {
        Problem::bad_request("batch", detail)
    }

    /// The batch has no events: 400.
    pub(crate) fn empty_batch() -> Problem {
        Problem::bad_request("nothing", "the batch is empty; give at least one event")
    }

    /// The body is not UTF-8: 400.
    pub(crate) fn not_utf8(detail: impl Into<String>) -> Problem {
        Problem::bad_request("not-utf8", detail)
    }

    /// The connection broke before the end of the body: 400.
    pub(crate) fn incomplete_body(detail: impl Into<String>) -> Problem {
        Problem::bad_request("body", detail)
    }

    /// Nothing of the body arrived for too long: 408.
    pub(crate) fn body_timeout(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::REQUEST_TIMEOUT, "silent", detail)
    }

    /// The content type or encoding is not supported: 415.
    pub(crate) fn unsupported_media_type(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", detail)
    }

    /// The path does not exist: 404.
    pub(crate) fn unknown_path(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "path", detail)
    }

    /// The `Host` is not one that this server answers: 403.
    pub(crate) fn foreign_host(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, "host", detail)
    }

    /// The `Origin` may not do this: 403.
    pub(crate) fn foreign_origin(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, "foreign-origin", detail)
    }

    /// What the path does not take: 405 with the methods that it does.
    pub(crate) fn method(allow: &'static str) -> Problem {
        let detail = format!("this path takes {allow} only");
        let mut problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", detail);
        problem.0.allow = Some(allow);
        problem
    }

    /// Too much: 413.
    pub(crate) fn too_large(what: &str, limit: usize) -> Problem {
        let detail = format!("{what} is larger than {limit} bytes; send less, or a link to it");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail).with("limit", limit)
    }

    /// The server is stopping: 503.
    pub(crate) fn draining() -> Problem {
        let detail = "the server is stopping; try again in a moment";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "draining", detail)
    }

    /// Returns `true` if the publish was refused because its topic has ended.
    pub(crate) fn is_topic_ended(&self) -> bool {
        self.0.code == TOPIC_ENDED
    }

    /// What went wrong, for logs and tests.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The answer.
    pub fn into_response(self) -> Response<Body> {
        let Said { status, code, detail, members, allow } = *self.0;
        let mut object = json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or("Error"),
            "status": status.as_u16(),
            "code": code,
            "detail": detail,
        });
        if let Some(object) = object.as_object_mut() {
            object.extend(members);
        }
        let mut response = Response::new(Body::full(Bytes::from(object.to_string() + "\n")));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(allow) = allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        response
    }
}

impl From<TopicError> for Problem {
    fn from(error: TopicError) -> Problem {
        Problem::bad_request("topic", error.to_string())
    }
}

impl From<FiltersError> for Problem {
    fn from(error: FiltersError) -> Problem {
        Problem::bad_request("filters", error.to_string())
    }
}

impl From<CursorError> for Problem {
    fn from(error: CursorError) -> Problem {
        Problem::bad_request("cursor", error.to_string())
    }
}

impl From<TimestampError> for Problem {
    fn from(error: TimestampError) -> Problem {
        Problem::bad_request("time", error.to_string())
    }
}

impl From<StorageError> for Problem {
    fn from(error: StorageError) -> Problem {
        match error {
            StorageError::Full => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "disk-full", error.to_string())
            }
            StorageError::Unavailable { .. } | StorageError::Failed { .. } => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "storage", error.to_string())
            }
        }
    }
}

impl From<SubscribeError> for Problem {
    fn from(error: SubscribeError) -> Problem {
        match error {
            SubscribeError::Storage(error) => error.into(),
            SubscribeError::LastTooMany { .. } | SubscribeError::LastEachTooMany => {
                Problem::bad_request("too-many", error.to_string())
            }
        }
    }
}

impl From<HistoryError> for Problem {
    fn from(error: HistoryError) -> Problem {
        match error {
            HistoryError::Cursor(error) => error.into(),
            HistoryError::Start(error) => error.into(),
        }
    }
}

impl From<PublishError> for Problem {
    fn from(error: PublishError) -> Problem {
        let detail = error.to_string();
        match error {
            PublishError::Ended { topic, end } => {
                Problem::new(StatusCode::CONFLICT, TOPIC_ENDED, detail)
                    .with("topic", topic.as_str())
                    .with("end_id", text(end))
            }
            PublishError::KeyReused => {
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "key-reused", detail)
            }
            PublishError::Withheld => {
                Problem::new(StatusCode::FAILED_DEPENDENCY, "withheld", detail)
            }
            PublishError::EventTooLarge { limit, .. }
            | PublishError::FrameTooLarge { limit, .. } => {
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail)
                    .with("limit", limit)
            }
            PublishError::Reserved { .. } => Problem::bad_request("topic", detail),
            PublishError::TooManyLeases => {
                Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-leases", detail)
            }
            PublishError::ReasonTooLong { .. } => Problem::bad_request("reason", detail),
            PublishError::Empty => Problem::bad_request("nothing", detail),
            PublishError::Storage(error) => error.into(),
        }
    }
}

fn text(cursor: Cursor) -> String {
    cursor.to_string()
}
