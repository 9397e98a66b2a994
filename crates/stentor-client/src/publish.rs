//! What is published, and what comes of it.

use bytes::Bytes;
use serde::Deserialize;
use stentor_sse::{Event, EventType};

/// What a [`Publisher`](crate::Publisher) sends to a topic: an event, a body, or an end.
///
/// ```
/// use stentor_client::{Event, Publish};
///
/// let line = Publish::from("hello");
/// let last = Publish::event(Event::new("100 %")).and_end("done");
/// let image = Publish::body("image/png", &b"\x89PNG"[..]).with_type("picture");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Publish {
    pub(crate) content_type: String,
    pub(crate) body: Bytes,
    /// `type`, `retry` and `end`, as they go into the query.
    pub(crate) query: Vec<(&'static str, String)>,
}

impl Publish {
    /// One event. Its id is for the log to give: one that it has is left out.
    pub fn event(event: Event) -> Publish {
        let mut query = Vec::new();
        if let Some(event_type) = event.event_type().map(EventType::as_str) {
            query.push(("type", event_type.to_owned()));
        }
        if let Some(retry) = event.retry() {
            query.push(("retry", retry.as_millis().to_string()));
        }
        Publish { query, ..Publish::body("text/plain; charset=utf-8", event.into_data()) }
    }

    /// A body of this content type, of which the server makes events: one of any text, one per line
    /// of `application/x-ndjson`, each of a `text/event-stream`, a `data:` URL of anything else.
    pub fn body(content_type: impl Into<String>, body: impl Into<Bytes>) -> Publish {
        Publish { content_type: content_type.into(), body: body.into(), query: Vec::new() }
    }

    /// No event, only the end of the topic, for this reason, which may be empty.
    pub fn end(reason: impl Into<String>) -> Publish {
        Publish::body("text/plain; charset=utf-8", Bytes::new()).and_end(reason)
    }

    /// Under this event name. Names that begin with `stentor.` are the server's own.
    pub fn with_type(mut self, event_type: impl Into<String>) -> Publish {
        self.query.retain(|(name, _)| *name != "type");
        self.query.push(("type", event_type.into()));
        self
    }

    /// And then the topic ends, for this reason, which may be empty.
    pub fn and_end(mut self, reason: impl Into<String>) -> Publish {
        self.query.retain(|(name, _)| *name != "end");
        self.query.push(("end", reason.into()));
        self
    }
}

impl From<Event> for Publish {
    fn from(event: Event) -> Publish {
        Publish::event(event)
    }
}

/// One event with this data.
impl From<&str> for Publish {
    fn from(data: &str) -> Publish {
        Publish::event(Event::new(data))
    }
}

/// One event with this data.
impl From<String> for Publish {
    fn from(data: String) -> Publish {
        Publish::event(Event::new(data))
    }
}

/// What was published: it is durable, and readers have it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// How many events, or 1 for an end alone.
    pub count: u64,
    /// The id of the first; `None` if a streamed body held none.
    pub first_id: Option<String>,
    /// The id of the last.
    pub last_id: Option<String>,
}

/// The two answers of the server: to one event, and to a body of several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    One { id: String },
    Many { count: u64, first_id: Option<String>, last_id: Option<String> },
}

impl Published {
    pub(crate) fn read(body: &[u8]) -> Option<Published> {
        Some(match serde_json::from_slice(body).ok()? {
            Answer::One { id } => {
                Published { count: 1, first_id: Some(id.clone()), last_id: Some(id) }
            }
            Answer::Many { count, first_id, last_id } => Published { count, first_id, last_id },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_answers_are_read() {
        let one = Published::read(br#"{"topic":"t","id":"c1"}"#).unwrap();
        assert_eq!(
            (one.count, one.first_id.as_deref(), one.last_id.as_deref()),
            (1, Some("c1"), Some("c1"))
        );
        let many =
            Published::read(br#"{"topic":"t","count":2,"first_id":"c1","last_id":"c2"}"#).unwrap();
        assert_eq!((many.count, many.last_id.as_deref()), (2, Some("c2")));
        let none =
            Published::read(br#"{"topic":"t","count":0,"first_id":null,"last_id":null}"#).unwrap();
        assert_eq!((none.count, none.first_id), (0, None));
    }

    #[test]
    fn other_answers_are_not() {
        for body in ["", "<html>", "{}", "[1]"] {
            assert_eq!(Published::read(body.as_bytes()), None, "{body}");
        }
    }
}
