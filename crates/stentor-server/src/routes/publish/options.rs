//! The options of a publish, from its path, query and headers.

use std::time::Duration;

use http::request::Parts;
use stentor_hub::{EVENT_TYPE_BYTES_MAX, Event, EventType, KeySource, PublishError, TopicName};

use crate::content::Content;
use crate::context::Stentor;
use crate::idempotency::key_of;
use crate::path;
use crate::peer::source_of;
use crate::problem::{Code, Problem};
use crate::query::Query;

/// Maximum lease: a day.
const LEASE_MAX: Duration = Duration::from_hours(24);

/// Maximum reconnection time that an event may set: an hour.
pub(in crate::routes) const RETRY_MAX: Duration = Duration::from_hours(1);

/// The options of a publish to one topic.
#[derive(Clone, Debug)]
pub(in crate::routes) struct PublishOptions {
    pub(in crate::routes) topic: TopicName,
    /// Type of the events that have none.
    pub(in crate::routes) event_type: Option<EventType>,
    /// Reconnection time of the events that have none.
    pub(in crate::routes) retry: Option<Duration>,
    /// The reason to end the topic with, if the publish ends it.
    pub(in crate::routes) end: Option<String>,
    /// The idempotency key.
    pub(in crate::routes) key: Option<String>,
    /// The address of the publisher, for its keys.
    pub(in crate::routes) source: Option<KeySource>,
    /// The lease to set; zero removes the lease of the topic.
    pub(in crate::routes) lease: Option<Duration>,
    /// `true` if the ids of an uploaded event stream are the keys of its events.
    pub(in crate::routes) dedupe: bool,
}

impl PublishOptions {
    /// Returns the options of a publish that has only a topic.
    pub(in crate::routes) fn new(topic: TopicName) -> PublishOptions {
        PublishOptions {
            topic,
            event_type: None,
            retry: None,
            end: None,
            key: None,
            source: None,
            lease: None,
            dedupe: false,
        }
    }

    /// Reads the options and the kind of the body. `raw` is the path after `/topics/`.
    ///
    /// # Errors
    ///
    /// Returns every error that can be found without reading the body.
    pub(in crate::routes) fn parse(
        stentor: &Stentor,
        raw: &str,
        request: &Parts,
    ) -> Result<(PublishOptions, Content), Problem> {
        let topic = path::topic(raw)?;
        let names = ["type", "retry", "end", "dedupe", "lease"];
        let query = Query::parse(request.uri.query(), &names)?;
        let content = Content::of(&request.headers)?;
        let options = PublishOptions {
            event_type: query.value("type")?.map(event_type).transpose()?,
            retry: query.number("retry")?.map(retry).transpose()?,
            end: query.flag("end")?.map(str::to_owned),
            key: key_of(&request.headers)?,
            source: source_of(stentor, request),
            lease: query.number("lease")?.map(lease).transpose()?,
            dedupe: query.word("dedupe", &[("id", true)])?.unwrap_or(false),
            topic,
        };
        if options.dedupe && content != Content::EventStream {
            let detail =
                "`dedupe=id` works for text/event-stream uploads only; use an Idempotency-Key here";
            return Err(Problem::of(Code::Query, detail));
        }
        if options.dedupe && options.key.is_some() {
            let detail =
                "`dedupe=id` and an Idempotency-Key exclude each other; send one of the two";
            return Err(Problem::of(Code::Query, detail));
        }
        Ok((options, content))
    }
}

/// Parses the type of an event. Types of the server's own events are refused, and types over
/// [`EVENT_TYPE_BYTES_MAX`].
pub(in crate::routes) fn event_type(name: &str) -> Result<EventType, Problem> {
    if name.len() > EVENT_TYPE_BYTES_MAX {
        let (bytes, limit) = (name.len(), EVENT_TYPE_BYTES_MAX);
        return Err(PublishError::TypeTooLong { bytes, limit }.into());
    }
    if name.starts_with("stentor.") {
        let detail =
            format!("event types that begin with `stentor.` are reserved; rename {name:?}");
        return Err(Problem::of(Code::EventType, detail));
    }
    EventType::new(name).map_err(|error| Problem::of(Code::EventType, error.to_string()))
}

/// Converts a reconnection time in milliseconds.
pub(in crate::routes) fn retry(millis: usize) -> Result<Duration, Problem> {
    let retry = Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
    if retry > RETRY_MAX {
        let detail = format!("`retry` is too large; use at most {} ms", RETRY_MAX.as_millis());
        return Err(Problem::of(Code::Retry, detail));
    }
    Ok(retry)
}

/// Converts a lease in seconds.
fn lease(seconds: usize) -> Result<Duration, Problem> {
    let lease = Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX));
    if lease > LEASE_MAX {
        let detail = format!(
            "`lease` is too large; use at most {} s, or 0 to remove the lease of the topic",
            LEASE_MAX.as_secs()
        );
        return Err(Problem::of(Code::Lease, detail));
    }
    Ok(lease)
}

/// Creates an event.
pub(in crate::routes) fn event(
    data: String,
    event_type: Option<EventType>,
    retry: Option<Duration>,
) -> Event {
    let mut event = Event::new(data);
    if let Some(event_type) = event_type {
        event = event.with_type(event_type);
    }
    if let Some(retry) = retry {
        event = event.with_retry(retry);
    }
    event
}
