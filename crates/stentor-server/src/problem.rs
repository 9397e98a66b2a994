//! Error responses: the only place that assigns statuses and codes to errors.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Map, Value, json};
use stentor_hub::{
    CursorError, FiltersError, HistoryError, PublishError, StorageError, SubscribeError,
    TimestampError, TopicError,
};

use crate::body::Body;
use crate::budget::NoRoom;
use crate::refusal_log::log_refusal;

/// Time after which a client should repeat a request that failed with 503, in seconds.
const RETRY_AFTER_SECONDS: u64 = 2;

/// An error response as `application/problem+json` (RFC 9457).
///
/// It has a status, a code that stays the same between releases, and a detail for people: first what
/// happened, then what to do.
///
/// It is an [`Error`](std::error::Error). With the cargo feature `axum` it implements axum's
/// `IntoResponse`, so that a handler can return `Result<_, Problem>` and use `?` on the errors of the hub.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem(Box<Fields>);

/// The fields of a problem. They are boxed because problems are rare, and a small error type keeps
/// every `Result` small.
#[derive(Clone, Debug, PartialEq)]
struct Fields {
    status: StatusCode,
    code: &'static str,
    detail: String,
    members: Map<String, Value>,
    allow: Option<&'static str>,
    /// Time after which a repeat can succeed, in whole seconds.
    retry_after: Option<u64>,
}

/// The codes of the server's own problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Batch,
    Body,
    Cursor,
    EventType,
    Filters,
    Head,
    Key,
    Lease,
    Nothing,
    NotUtf8,
    Query,
    Reason,
    Retry,
    Time,
    TooMany,
    Topic,
    ForeignOrigin,
    Host,
    Path,
    Method,
    Silent,
    Slow,
    TopicEnded,
    TooLarge,
    MediaType,
    KeyReused,
    NotReady,
    Withheld,
    TooManyKeys,
    TooManyLeases,
    TransferCoding,
    TooManyConnections,
    Busy,
    DiskFull,
    Draining,
    Service,
    Storage,
}

impl Code {
    /// The status and the spelling of a code. `docs/http.md` lists them.
    const fn parts(self) -> (StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Code::Batch => (S::BAD_REQUEST, "batch"),
            Code::Body => (S::BAD_REQUEST, "body"),
            Code::Cursor => (S::BAD_REQUEST, "cursor"),
            Code::EventType => (S::BAD_REQUEST, "event-type"),
            Code::Filters => (S::BAD_REQUEST, "filters"),
            Code::Head => (S::BAD_REQUEST, "head"),
            Code::Key => (S::BAD_REQUEST, "key"),
            Code::Lease => (S::BAD_REQUEST, "lease"),
            Code::Nothing => (S::BAD_REQUEST, "nothing"),
            Code::NotUtf8 => (S::BAD_REQUEST, "not-utf8"),
            Code::Query => (S::BAD_REQUEST, "query"),
            Code::Reason => (S::BAD_REQUEST, "reason"),
            Code::Retry => (S::BAD_REQUEST, "retry"),
            Code::Time => (S::BAD_REQUEST, "time"),
            Code::TooMany => (S::BAD_REQUEST, "too-many"),
            Code::Topic => (S::BAD_REQUEST, "topic"),
            Code::ForeignOrigin => (S::FORBIDDEN, "foreign-origin"),
            Code::Host => (S::FORBIDDEN, "host"),
            Code::Path => (S::NOT_FOUND, "path"),
            Code::Method => (S::METHOD_NOT_ALLOWED, "method"),
            Code::Silent => (S::REQUEST_TIMEOUT, "silent"),
            Code::Slow => (S::REQUEST_TIMEOUT, "slow"),
            Code::TopicEnded => (S::CONFLICT, "topic-ended"),
            Code::TooLarge => (S::PAYLOAD_TOO_LARGE, "too-large"),
            Code::MediaType => (S::UNSUPPORTED_MEDIA_TYPE, "media-type"),
            Code::KeyReused => (S::UNPROCESSABLE_ENTITY, "key-reused"),
            Code::NotReady => (S::SERVICE_UNAVAILABLE, "not-ready"),
            Code::Withheld => (S::FAILED_DEPENDENCY, "withheld"),
            Code::TooManyKeys => (S::TOO_MANY_REQUESTS, "too-many-keys"),
            Code::TooManyLeases => (S::TOO_MANY_REQUESTS, "too-many-leases"),
            Code::TransferCoding => (S::NOT_IMPLEMENTED, "transfer-coding"),
            Code::TooManyConnections => (S::SERVICE_UNAVAILABLE, "too-many-connections"),
            Code::Busy => (S::SERVICE_UNAVAILABLE, "busy"),
            Code::DiskFull => (S::SERVICE_UNAVAILABLE, "disk-full"),
            Code::Draining => (S::SERVICE_UNAVAILABLE, "draining"),
            Code::Service => (S::SERVICE_UNAVAILABLE, "service"),
            Code::Storage => (S::SERVICE_UNAVAILABLE, "storage"),
        }
    }
}

impl Problem {
    /// Creates a problem, for routes of your own. `detail` should say what happened, then what to do.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Problem {
        let (detail, members) = (detail.into(), Map::new());
        Problem(Box::new(Fields { status, code, detail, members, allow: None, retry_after: None }))
    }

    /// Creates a problem with status 400, for routes of your own.
    pub fn bad_request(code: &'static str, detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// Adds an extension member, for programs to read.
    #[must_use]
    pub fn with_member(mut self, name: &str, value: impl Into<Value>) -> Problem {
        self.0.members.insert(name.to_owned(), value.into());
        self
    }

    /// Sets the time after which a repeat can succeed, rounded up to whole seconds.
    fn with_retry_after(mut self, time: Duration) -> Problem {
        self.0.retry_after = Some(time.as_secs().saturating_add(1));
        self
    }

    /// Adds a remark in parentheses to the detail.
    pub(crate) fn with_note(mut self, note: &str) -> Problem {
        self.0.detail.extend([" (", note, ")"]);
        self
    }

    /// Creates one of the server's own problems.
    pub(crate) fn of(code: Code, detail: impl Into<String>) -> Problem {
        let (status, code) = code.parts();
        Problem::new(status, code, detail)
    }

    /// Creates the problem of a method that the path does not have. `allow` lists the methods that it
    /// has.
    pub(crate) fn method(allow: &'static str) -> Problem {
        let detail = format!("this path does not have that method; use one of {allow}");
        let mut problem = Problem::of(Code::Method, detail);
        problem.0.allow = Some(allow);
        problem
    }

    /// Creates the problem of a body or an event with more than `limit` bytes. `what` names it.
    pub(crate) fn too_large(what: &str, limit: usize) -> Problem {
        let size = size(limit);
        let detail = format!("{what} is larger than {size}; send less, or a link to the data");
        Problem::of(Code::TooLarge, detail).with_member("limit", limit)
    }

    /// Creates the problem of a server that is shutting down.
    /// The parts of the server that are not ready, each with the reason.
    pub(crate) fn not_ready(faults: Vec<String>) -> Problem {
        let detail = format!("the server is not ready: {}", faults.join("; "));
        Problem::of(Code::NotReady, detail).with_member("not_ready", faults)
    }

    pub(crate) fn draining() -> Problem {
        Problem::of(Code::Draining, "the server is shutting down; try again in a moment")
    }

    /// Creates the problem of a server that has as many connections as it may have.
    pub(crate) fn too_many_connections() -> Problem {
        Problem::of(
            Code::TooManyConnections,
            "the server has too many connections; try again in a moment",
        )
    }

    /// Creates the problem of a response for which there is no memory.
    pub(crate) fn busy() -> Problem {
        let detail = "too many large responses are waiting for their clients; try again in a moment, or \
                      request a smaller page with `limit=`";
        Problem::of(Code::Busy, detail)
    }

    /// Creates the problem of a service that returned an error instead of a response.
    pub(crate) fn unavailable() -> Problem {
        Problem::of(
            Code::Service,
            "the server cannot handle the request now; try again in a moment",
        )
    }

    /// Returns `true` if the problem has this code.
    pub(crate) fn has_code(&self, code: Code) -> bool {
        self.0.code == code.parts().1
    }

    /// Returns the text that says what happened and what to do.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Converts the problem into a response. A refusal (403, 413, 429 or 503) is logged at the level
    /// `info`, at most once for each code and second.
    pub fn into_response(self) -> Response<Body> {
        let Fields { status, code, detail, members, allow, retry_after } = *self.0;
        log_refusal(status, code, &detail);
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
        let unavailable = status == StatusCode::SERVICE_UNAVAILABLE;
        if let Some(seconds) = retry_after.or(unavailable.then_some(RETRY_AFTER_SECONDS)) {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl fmt::Display for Problem {
    /// Writes the detail.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.detail)
    }
}

impl std::error::Error for Problem {}

#[cfg(feature = "axum")]
impl axum_core::response::IntoResponse for Problem {
    fn into_response(self) -> axum_core::response::Response {
        Problem::into_response(self).map(axum_core::body::Body::new)
    }
}

/// Formats a number of bytes, in MiB too if it is a whole number of them.
fn size(bytes: usize) -> String {
    const MIB: usize = 1 << 20;
    if bytes >= MIB && bytes.is_multiple_of(MIB) {
        format!("{} MiB ({bytes} bytes)", bytes / MIB)
    } else {
        format!("{bytes} bytes")
    }
}

impl From<NoRoom> for Problem {
    fn from(_: NoRoom) -> Problem {
        let detail = "too many request bodies are in memory; send it again in a moment";
        Problem::of(Code::Busy, detail)
    }
}

impl From<TopicError> for Problem {
    fn from(error: TopicError) -> Problem {
        let advice = match error {
            TopicError::Wildcard { .. } => "; to subscribe to a pattern, use /events?topic=PATTERN",
            TopicError::PartialWildcard { .. } => {
                ". To read the topic of exactly this name, use /topics/NAME"
            }
            _ => "",
        };
        Problem::of(Code::Topic, format!("{error}{advice}"))
    }
}

impl From<FiltersError> for Problem {
    fn from(error: FiltersError) -> Problem {
        Problem::of(Code::Filters, error.to_string())
    }
}

impl From<CursorError> for Problem {
    fn from(error: CursorError) -> Problem {
        Problem::of(Code::Cursor, error.to_string())
    }
}

impl From<TimestampError> for Problem {
    fn from(error: TimestampError) -> Problem {
        Problem::of(Code::Time, error.to_string())
    }
}

impl From<StorageError> for Problem {
    fn from(error: StorageError) -> Problem {
        let code = match error {
            StorageError::Full => Code::DiskFull,
            StorageError::Busy => Code::Busy,
            StorageError::Unavailable { .. }
            | StorageError::Damaged { .. }
            | StorageError::Failed { .. } => Code::Storage,
        };
        Problem::of(code, error.to_string())
    }
}

impl From<SubscribeError> for Problem {
    fn from(error: SubscribeError) -> Problem {
        match error {
            SubscribeError::Storage(error) => error.into(),
            SubscribeError::LastTooMany { .. } | SubscribeError::LastEachTooMany => {
                Problem::of(Code::TooMany, error.to_string())
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
            PublishError::Ended { topic, end } => Problem::of(Code::TopicEnded, detail)
                .with_member("topic", topic.as_str())
                .with_member("end_id", end.to_string()),
            PublishError::KeyReused => Problem::of(Code::KeyReused, detail),
            PublishError::Withheld => Problem::of(Code::Withheld, detail),
            PublishError::EventTooLarge { limit, .. }
            | PublishError::FrameTooLarge { limit, .. } => {
                Problem::of(Code::TooLarge, detail).with_member("limit", limit)
            }
            PublishError::Reserved { .. } => Problem::of(Code::Topic, detail),
            PublishError::TooManyKeys(bound) => Problem::of(Code::TooManyKeys, detail)
                .with_member("limit", bound.limit)
                .with_retry_after(bound.retry_after),
            PublishError::TooManyLeases => Problem::of(Code::TooManyLeases, detail),
            PublishError::TypeTooLong { .. } => Problem::of(Code::EventType, detail),
            PublishError::ReasonTooLong { .. } => Problem::of(Code::Reason, detail),
            PublishError::EventHasId { .. } => Problem::of(Code::Body, detail),
            PublishError::Empty => Problem::of(Code::Nothing, detail),
            PublishError::Storage(error) => error.into(),
        }
    }
}
