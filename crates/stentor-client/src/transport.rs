//! How bytes come in: requests and their redirects, over HTTP.

use std::future::Future;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use reqwest::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use reqwest::{Client, Response, StatusCode, Url};

use crate::error::{BuildError, EventSourceError, cause};
use crate::event_source::EventSource;
use crate::problem::{Problem, is_essence};
use crate::reconnect::Outcome;
use crate::redirect::{self, RedirectError};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The body of an open stream; an error is the cause of its break.
pub(crate) type Body = BoxStream<'static, Result<Bytes, String>>;

/// Requests the stream, always from its own address.
#[derive(Debug)]
pub(crate) struct Transport {
    pub(crate) client: Client,
    pub(crate) url: Url,
    /// What the caller wants to be sent, and to this origin only.
    pub(crate) headers: HeaderMap,
}

/// What came of a request.
pub(crate) enum Attempt {
    /// The server answered with this; the body is that of a 200 of the right type.
    Answer { status: StatusCode, retry_after: Option<Duration>, content: Content },
    /// It did not, and this is the cause.
    NoAnswer(String),
    /// A redirect cannot be followed.
    Astray(RedirectError),
}

/// What an answer holds.
pub(crate) enum Content {
    Events(Body),
    Other { content_type: Option<String>, problem: Option<Problem> },
}

/// The client that requests to this address go through. Redirects are ours to follow.
pub(crate) fn client(url: &Url, connect_timeout: Duration) -> Result<Client, BuildError> {
    let builder = || {
        Client::builder()
            .user_agent(concat!("stentor-client/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(connect_timeout)
    };
    let mut client = builder().build();
    if client.is_err() && url.scheme() == "http" {
        // A machine without certificates (a minimal container) can still do without encryption; a
        // redirect to https then fails, for nobody is trusted.
        client = builder().tls_certs_only([]).build();
    }
    client.map_err(|error| BuildError::Client { cause: cause(&error) })
}

impl Transport {
    /// One request with this id, and those that it is redirected to.
    pub(crate) fn request(&self, last_event_id: &str) -> impl Future<Output = Attempt> + use<> {
        let (client, mut url) = (self.client.clone(), self.url.clone());
        let mut headers = self.headers.clone();
        let last_event_id = last_event_id_header(last_event_id);
        async move {
            for _ in 0..=EventSource::REDIRECTS_MAX {
                let request = client.get(url.clone());
                let answer =
                    request.headers(with_own(&headers, last_event_id.as_ref())).send().await;
                let response = match answer {
                    Ok(response) => response,
                    Err(error) => return Attempt::NoAnswer(cause(&error)),
                };
                match redirect::target(&url, response.status(), response.headers()) {
                    Ok(None) => return Attempt::read(response).await,
                    Ok(Some(target)) => {
                        if target.origin() != url.origin() {
                            // Credentials and other secrets of the caller are not for strangers,
                            // nor for one to whom strangers lead.
                            headers.clear();
                        }
                        url = target;
                    }
                    Err(error) => return Attempt::Astray(error),
                }
            }
            Attempt::Astray(RedirectError::TooMany { limit: EventSource::REDIRECTS_MAX })
        }
    }
}

impl Attempt {
    async fn read(response: Response) -> Attempt {
        let status = response.status();
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let content_type = header(CONTENT_TYPE).map(str::to_owned);
        let retry_after =
            header(RETRY_AFTER).and_then(|text| parse_retry_after(text, SystemTime::now()));
        let is_event_stream =
            content_type.as_deref().is_some_and(|text| is_essence(text, "text/event-stream"));
        let content = if status == StatusCode::OK && is_event_stream {
            Content::Events(response.bytes_stream().map_err(|error| cause(&error)).boxed())
        } else {
            Content::Other { content_type, problem: Problem::read(response).await }
        };
        Attempt::Answer { status, retry_after, content }
    }

    /// The attempt as the state machine sees it.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Attempt::Answer { status, retry_after, content } => Outcome::Answer {
                status: *status,
                is_event_stream: matches!(content, Content::Events(_)),
                retry_after: *retry_after,
            },
            Attempt::NoAnswer(_) => Outcome::NoAnswer,
            Attempt::Astray(_) => Outcome::Astray,
        }
    }

    /// The open stream, or why there is none.
    pub(crate) fn into_body(self) -> Result<Body, EventSourceError> {
        match self {
            Attempt::Answer { content: Content::Events(body), .. } => Ok(body),
            Attempt::Answer {
                status: StatusCode::OK,
                content: Content::Other { content_type, .. },
                ..
            } => Err(EventSourceError::ContentType { content_type }),
            Attempt::Answer { status, content: Content::Other { problem, .. }, .. } => {
                Err(EventSourceError::Status { status, problem })
            }
            Attempt::NoAnswer(cause) => Err(EventSourceError::Unreachable { cause }),
            Attempt::Astray(error) => Err(error.into()),
        }
    }
}

/// The headers of the caller with those of every event source, which win.
fn with_own(headers: &HeaderMap, last_event_id: Option<&HeaderValue>) -> HeaderMap {
    let mut headers = headers.clone();
    headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Some(id) = last_event_id {
        headers.insert(LAST_EVENT_ID, id.clone());
    }
    headers
}

/// The id as a header, in UTF-8. An id that is empty or cannot be one (it holds a control character)
/// is left out: the stream goes on from wherever the server then begins.
fn last_event_id_header(id: &str) -> Option<HeaderValue> {
    (!id.is_empty()).then(|| HeaderValue::from_bytes(id.as_bytes()).ok()).flatten()
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
    fn an_id_that_is_no_header_is_left_out() {
        assert_eq!(last_event_id_header(""), None);
        assert_eq!(last_event_id_header("a\u{C}b"), None);
        assert_eq!(last_event_id_header("ünï").unwrap().as_bytes(), "ünï".as_bytes());
    }

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
