//! What is published.

use std::time::Duration;

use bytes::Bytes;
use stentor_sse::{Event, EventType};

/// What a [`Publisher`](crate::Publisher) sends to a topic: an event, a body, or an end.
///
/// ```
/// use std::time::Duration;
/// use stentor_client::{Event, Publish};
///
/// let line = Publish::from("hello");
/// let last = Publish::event(Event::new("100 %")).and_end("done");
/// let image = Publish::body("image/png", &b"\x89PNG"[..]).with_type("picture");
/// let order = Publish::from("paid").with_idempotency_key("order-7-paid");
/// ```
///
/// The body is in memory, or with [`Publish::stream`] a stream of pieces for
/// [`Publisher::upload`](crate::Publisher::upload).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Publish<B = Bytes> {
    pub(crate) body: B,
    pub(crate) content_type: String,
    pub(crate) event_type: Option<String>,
    pub(crate) retry: Option<Duration>,
    pub(crate) end: Option<String>,
    pub(crate) lease: Option<Duration>,
    pub(crate) dedupe: bool,
    pub(crate) key: Option<String>,
}

/// The type of text, as which events without a type of their own go.
const TEXT: &str = "text/plain; charset=utf-8";

impl Publish {
    /// One event. Its id is for the log to give: one that it has is left out.
    pub fn event(event: Event) -> Publish {
        Publish {
            event_type: event.event_type().map(EventType::to_string),
            retry: event.retry(),
            ..Publish::body(TEXT, event.into_data())
        }
    }

    /// A body of this content type, of which the server makes events: one of any text, one per line
    /// of `application/x-ndjson`, each of a `text/event-stream`, a `data:` URL of anything else.
    pub fn body(content_type: impl Into<String>, body: impl Into<Bytes>) -> Publish {
        Publish::new(content_type.into(), body.into())
    }

    /// No event, only the end of the topic, for this reason, which may be empty.
    pub fn end(reason: impl Into<String>) -> Publish {
        Publish::body(TEXT, Bytes::new()).and_end(reason)
    }

    /// What it takes of a queue or of a request: all texts that can be of any length.
    pub(crate) fn bytes(&self) -> usize {
        let texts = [&self.event_type, &self.end, &self.key];
        self.body.len() + texts.into_iter().flatten().map(String::len).sum::<usize>()
    }

    /// The data of the one event that it is, if an event with a type and a reconnection time is all
    /// that it is.
    pub(crate) fn plain_data(&self) -> Option<&str> {
        let is_plain = self.content_type == TEXT
            && self.end.is_none()
            && self.lease.is_none()
            && !self.dedupe
            && self.key.is_none();
        is_plain.then(|| std::str::from_utf8(&self.body).ok()).flatten()
    }
}

impl<S> Publish<S> {
    /// A body of this content type that comes piece by piece: a stream of `Result<Bytes, _>`. Each
    /// line of `application/x-ndjson` and each event of a `text/event-stream` is published as soon as
    /// it is whole.
    pub fn stream(content_type: impl Into<String>, pieces: S) -> Publish<S> {
        Publish::new(content_type.into(), pieces)
    }
}

impl<B> Publish<B> {
    fn new(content_type: String, body: B) -> Publish<B> {
        Publish {
            body,
            content_type,
            event_type: None,
            retry: None,
            end: None,
            lease: None,
            dedupe: false,
            key: None,
        }
    }

    /// Under this event name, for events that bring none. Names that begin with `stentor.` are the
    /// server's own.
    pub fn with_type(mut self, event_type: impl Into<String>) -> Self {
        self.event_type = Some(event_type.into());
        self
    }

    /// Asks readers to wait so long before they reconnect, in whole milliseconds, at most 1 h.
    pub fn with_retry(mut self, retry: Duration) -> Self {
        self.retry = Some(retry);
        self
    }

    /// And then the topic ends, for this reason, which may be empty. Of an empty body that is all.
    pub fn and_end(mut self, reason: impl Into<String>) -> Self {
        self.end = Some(reason.into());
        self
    }

    /// Ends the topic, for the reason `producer lost`, when nobody publishes to it for so long: in
    /// whole seconds, rounded up, at most a day. Each publish to the topic starts it afresh; zero
    /// lifts it.
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// Under this key, 1 to 256 visible ASCII characters, instead of one that is made for it. The
    /// same key on the same topic publishes once within the server's window, which is ten minutes:
    /// give one that you have again when your program starts anew, such as the number of an order.
    pub fn with_idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// For bodies of `text/event-stream`: the id of each event is the key of that event, and the
    /// body has none. So a stream can be sent again from anywhere before where it broke off; that is
    /// for the caller to do, who knows whether each event has an id.
    pub fn dedupe_by_id(mut self) -> Self {
        self.dedupe = true;
        self
    }

    /// What is said of the body, and the body.
    pub(crate) fn into_parts(self) -> (Publish<()>, B) {
        let Publish { body, content_type, event_type, retry, end, lease, dedupe, key } = self;
        (Publish { body: (), content_type, event_type, retry, end, lease, dedupe, key }, body)
    }

    /// What goes into the query.
    pub(crate) fn query(&self) -> Vec<(&'static str, String)> {
        let seconds = |lease: Duration| lease.as_secs() + u64::from(lease.subsec_nanos() > 0);
        let query = [
            ("type", self.event_type.clone()),
            ("retry", self.retry.map(|retry| retry.as_millis().to_string())),
            ("end", self.end.clone()),
            ("lease", self.lease.map(|lease| seconds(lease).to_string())),
            ("dedupe", self.dedupe.then(|| "id".to_owned())),
        ];
        query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_event_alone_is_plain() {
        let event = || Publish::from("x").with_type("t").with_retry(Duration::from_secs(1));
        assert_eq!(event().plain_data(), Some("x"));
        for other in [
            event().and_end(""),
            event().with_lease(Duration::ZERO),
            event().with_idempotency_key("k"),
            Publish::body("application/x-ndjson", "x"),
            Publish::body(TEXT, &b"\xff"[..]),
        ] {
            assert_eq!(other.plain_data(), None, "{other:?}");
        }
    }

    #[test]
    fn a_lease_is_never_shorter_than_asked_for() {
        for (lease, seconds) in [(0, "0"), (1, "1"), (1_000, "1"), (1_001, "2")] {
            let publish = Publish::from("x").with_lease(Duration::from_millis(lease));
            assert_eq!(publish.query(), [("lease", seconds.to_owned())]);
        }
    }
}
