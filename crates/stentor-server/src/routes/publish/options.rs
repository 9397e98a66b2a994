//! The options of a publish, from the query and the headers.

use std::time::Duration;

use http::request::Parts;
use stentor_hub::{EventType, TopicName};

use crate::content::Content;
use crate::context::Stentor;
use crate::idempotency::key_of;
use crate::path;
use crate::problem::Problem;
use crate::query::Query;

/// The longest lease: a day.
const LEASE_MAX: Duration = Duration::from_hours(24);

/// The longest reconnection time that an event may ask for: an hour.
const RETRY_MAX: Duration = Duration::from_hours(1);

/// What the query and the headers say of a publish.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) topic: TopicName,
    pub(crate) event_type: Option<EventType>,
    pub(crate) retry: Option<Duration>,
    /// The reason, if the topic is to end.
    pub(crate) end: Option<String>,
    pub(crate) key: Option<String>,
    /// How long the topic lives without a publish; zero lifts what was said before.
    pub(crate) lease: Option<Duration>,
    /// Whether the ids of an uploaded stream are the keys of its events.
    pub(crate) dedupe: bool,
}

impl Options {
    /// Nothing but the topic.
    pub(crate) fn of(topic: TopicName) -> Options {
        Options {
            topic,
            event_type: None,
            retry: None,
            end: None,
            key: None,
            lease: None,
            dedupe: false,
        }
    }
}

/// All that can be found wrong before the body is read.
pub(super) fn begin(
    stentor: &Stentor,
    raw: &str,
    request: &Parts,
) -> Result<(Options, Content), Problem> {
    let topic = path::topic(raw)?;
    let query = Query::parse(request.uri.query(), &["type", "retry", "end", "dedupe", "lease"])?;
    let content = Content::of(&request.headers)?;
    let options = Options {
        event_type: query.value("type")?.map(event_type).transpose()?,
        retry: query.number("retry")?.map(retry).transpose()?,
        end: query.flag("end")?.map(str::to_owned),
        key: key_of(&request.headers)?,
        lease: query.number("lease")?.map(lease).transpose()?,
        dedupe: query.word("dedupe", &[("id", true)])?.unwrap_or(false),
        topic,
    };
    if options.dedupe && content != Content::EventStream {
        let detail = "`dedupe=id` is for uploads of text/event-stream; use an Idempotency-Key here";
        return Err(Problem::invalid_query(detail));
    }
    if options.dedupe && options.key.is_some() {
        let detail = "give either `dedupe=id` or an Idempotency-Key for the whole upload, not both";
        return Err(Problem::invalid_query(detail));
    }
    if stentor.is_draining() {
        return Err(Problem::draining());
    }
    Ok((options, content))
}

/// An event name from outside. Those of the server's own are refused.
pub(crate) fn event_type(name: &str) -> Result<EventType, Problem> {
    if name.starts_with("stentor.") {
        let detail =
            format!("event types that begin with `stentor.` are reserved; rename {name:?}");
        return Err(Problem::invalid_event_type(detail));
    }
    EventType::new(name).map_err(|error| Problem::invalid_event_type(error.to_string()))
}

/// A reconnection time from outside, in milliseconds.
pub(crate) fn retry(millis: usize) -> Result<Duration, Problem> {
    let retry = Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
    if retry > RETRY_MAX {
        let detail = format!("`retry` is at most {} ms, an hour", RETRY_MAX.as_millis());
        return Err(Problem::invalid_retry(detail));
    }
    Ok(retry)
}

/// A lease from outside, in seconds.
fn lease(seconds: usize) -> Result<Duration, Problem> {
    let lease = Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX));
    if lease > LEASE_MAX {
        let detail = format!(
            "`lease` is at most {} s, a day; 0 lifts the lease of a topic",
            LEASE_MAX.as_secs()
        );
        return Err(Problem::invalid_lease(detail));
    }
    Ok(lease)
}
