//! A publish: the body and options of one request.

use std::time::Duration;

use bytes::Bytes;
use stentor_sse::{Event, EventType};

/// One publish to a topic: an event, a body, or the end of the topic. Sent with [`Publisher`](crate::Publisher).
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
/// `B` is the body: bytes in memory, or a stream of bytes for [`Publisher::upload`](crate::Publisher::upload), created
/// with [`Publish::stream`].
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

/// Content type of an event.
const TEXT: &str = "text/plain; charset=utf-8";

impl Publish {
    /// Publishes one event. The log assigns ids, so an id of the event is ignored.
    pub fn event(event: Event) -> Publish {
        Publish {
            event_type: event.event_type().map(EventType::to_string),
            retry: event.retry(),
            ..Publish::body(TEXT, event.into_data())
        }
    }

    /// Publishes a body. The server converts it to events, depending on the content type:
    ///
    /// | content type | events |
    /// | --- | --- |
    /// | any text | one |
    /// | `application/x-ndjson` | one per line |
    /// | `text/event-stream` | each event of the stream |
    /// | anything else | one, with a `data:` URL as its data |
    pub fn body(content_type: impl Into<String>, body: impl Into<Bytes>) -> Publish {
        Publish::new(content_type.into(), body.into())
    }

    /// Ends the topic without an event. The reason may be empty.
    pub fn end(reason: impl Into<String>) -> Publish {
        Publish::body(TEXT, Bytes::new()).and_end(reason)
    }

    /// Returns the size that counts towards queue and request limits: everything whose length is not fixed.
    pub(crate) fn bytes(&self) -> usize {
        let texts = [&self.event_type, &self.end, &self.key];
        self.body.len() + texts.into_iter().flatten().map(String::len).sum::<usize>()
    }

    /// Returns the data if this is a single event with at most a type and a reconnection time. Such an event can be
    /// part of a batch.
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
    /// Publishes a stream of `Result<Bytes, _>` as a body. Use it with [`Publisher::upload`](crate::Publisher::upload).
    ///
    /// Each line of `application/x-ndjson` and each event of `text/event-stream` is published as soon as it is
    /// complete.
    pub fn stream(content_type: impl Into<String>, stream: S) -> Publish<S> {
        Publish::new(content_type.into(), stream)
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

    /// Sets the event type, for events without their own. Types that begin with `stentor.` are reserved.
    pub fn with_type(mut self, event_type: impl Into<String>) -> Self {
        self.event_type = Some(event_type.into());
        self
    }

    /// Sets the reconnection time of subscribers, in whole milliseconds, at most 1 h.
    pub fn with_retry(mut self, retry: Duration) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Ends the topic after the body. The reason may be empty. With an empty body, the topic only ends.
    pub fn and_end(mut self, reason: impl Into<String>) -> Self {
        self.end = Some(reason.into());
        self
    }

    /// Sets a lease: the topic ends with reason `producer lost` if nothing is published to it for this time.
    ///
    /// The time is rounded up to whole seconds, and is at most one day. Each publish to the topic restarts it. Zero
    /// removes the lease.
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// Sets the idempotency key: 1 to 256 visible ASCII characters (default: a generated key).
    ///
    /// Within ten minutes, the server publishes only once per key and topic. Use a key that your program can derive
    /// again after a restart, such as an order number.
    pub fn with_idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Uses the id of each event as its idempotency key, for bodies of type `text/event-stream`.
    ///
    /// The request itself then has no key. After a failure the caller can send the stream again from any earlier
    /// event. The publisher does not do this, because it cannot know that every event has an id.
    pub fn dedupe_by_id(mut self) -> Self {
        self.dedupe = true;
        self
    }

    /// Separates the options from the body.
    pub(crate) fn into_parts(self) -> (Publish<()>, B) {
        let Publish { body, content_type, event_type, retry, end, lease, dedupe, key } = self;
        (Publish { body: (), content_type, event_type, retry, end, lease, dedupe, key }, body)
    }

    /// Returns the query parameters.
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

/// Creates an event with this data.
impl From<&str> for Publish {
    fn from(data: &str) -> Publish {
        Publish::event(Event::new(data))
    }
}

/// Creates an event with this data.
impl From<String> for Publish {
    fn from(data: String) -> Publish {
        Publish::event(Event::new(data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_single_event_without_options_is_plain() {
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
    fn a_lease_is_rounded_up() {
        for (lease, seconds) in [(0, "0"), (1, "1"), (1_000, "1"), (1_001, "2")] {
            let publish = Publish::from("x").with_lease(Duration::from_millis(lease));
            assert_eq!(publish.query(), [("lease", seconds.to_owned())]);
        }
    }
}
