//! Appending one event, the end of a topic, or both.

use std::io::Write;
use std::time::Duration;

use http::{HeaderMap, Response, StatusCode};
use stentor_hub::{
    Body as RecordBody, Cursor, EVENT_BYTES_MAX, Entry, Event, EventType, Key, KeyContent, Publish,
    PublishError, TopicName, TopicsQuery,
};

use super::options::Options;
use crate::body::Body;
use crate::content::Content;
use crate::context::Stentor;
use crate::idempotency::hash_of;
use crate::incoming::Incoming;
use crate::json::answer_in;
use crate::problem::Problem;

/// Gives the topic the lease that was asked for.
pub(crate) async fn grant(stentor: &Stentor, options: &Options) -> Result<(), Problem> {
    let Some(lease) = options.lease else { return Ok(()) };
    Ok(stentor
        .hub()
        .set_lease(&options.topic, Some(lease).filter(|lease| !lease.is_zero()))
        .await?)
}

/// An event with the type and retry that the query gave, where it has none of its own.
pub(crate) fn event(data: String, event_type: Option<EventType>, retry: Option<Duration>) -> Event {
    let mut event = Event::new(data);
    if let Some(event_type) = event_type {
        event = event.with_type(event_type);
    }
    if let Some(retry) = retry {
        event = event.with_retry(retry);
    }
    event
}

/// One event whose data is the body.
pub(crate) async fn single(
    stentor: &Stentor,
    options: Options,
    content: &Content,
    mut incoming: Incoming,
) -> Result<Response<Body>, Problem> {
    let config = stentor.config();
    let limit = content.body_bytes_max(EVENT_BYTES_MAX);
    let body = incoming.whole(limit, config.body_silence).await?;
    if body.is_empty() && options.end.is_some() {
        return append(stentor, &options, None).await;
    }
    let event = event(content.data(body)?, options.event_type.clone(), options.retry);
    append(stentor, &options, Some(event)).await
}

/// Appends an event, and the end if that was asked for; without an event the end alone.
pub(crate) async fn append(
    stentor: &Stentor,
    options: &Options,
    event: Option<Event>,
) -> Result<Response<Body>, Problem> {
    let only_end = event.is_none();
    let end = options.end.clone().map(|reason| RecordBody::End { reason });
    let bodies = event.map(RecordBody::Event).into_iter().chain(end);
    let entries: Vec<_> = bodies.map(|body| Entry::new(options.topic.clone(), body)).collect();
    let key = options.key.clone().map(|name| Key {
        scope: Some(options.topic.clone()),
        publisher: String::new(),
        name,
        window: stentor.config().key_window,
        content: KeyContent::Whole(hash_of(&entries)),
    });
    let count = entries.len();
    if options.lease.is_some() {
        stentor.hub().check_lease_limit(&options.topic)?;
    }
    match stentor.hub().publish(Publish::new(entries, key)).await {
        Ok(published) => {
            // Before the answer, so that whoever has it knows that the lease runs. An end lifts it.
            if options.end.is_none() && (!published.repeat || goes_on(stentor, options).await?) {
                grant(stentor, options).await?;
            }
            if published.repeat {
                return Ok(done(StatusCode::OK, &options.topic, published.first));
            }
            stentor.metrics().published.inc_by(count as u64);
            Ok(done(StatusCode::CREATED, &options.topic, published.first))
        }
        // Ended is what it was to be.
        Err(PublishError::Ended { topic, end }) if only_end => {
            Ok(done(StatusCode::OK, &topic, end))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether the topic of a repeated publish is still there and has not ended, if it is to have a lease.
async fn goes_on(stentor: &Stentor, options: &Options) -> Result<bool, Problem> {
    if options.lease.is_none() {
        return Ok(true);
    }
    let prefix = options.topic.as_str().to_owned();
    // Of the names that begin with this one, it comes first itself.
    let first = TopicsQuery { prefix, limit: 1, ..TopicsQuery::default() };
    let topics = stentor.hub().topics(first).await?;
    Ok(topics.iter().any(|info| info.topic == options.topic && !info.ended))
}

fn done(status: StatusCode, topic: &TopicName, id: Cursor) -> Response<Body> {
    done_in(HeaderMap::new(), status, topic, id)
}

/// What a publisher is told, with the headers of the answer in this map.
pub(crate) fn done_in(
    headers: HeaderMap,
    status: StatusCode,
    topic: &TopicName,
    id: Cursor,
) -> Response<Body> {
    /// The longest id, and all that stands around the two values.
    const REST: usize = 64;
    let mut text = Vec::with_capacity(topic.as_str().len() + REST);
    text.extend_from_slice(b"{\"topic\":");
    // Neither can fail: texts have a spelling in JSON, and a vector takes all.
    let _ = serde_json::to_writer(&mut text, topic.as_str());
    let _ = write!(text, ",\"id\":\"{id}\"}}");
    answer_in(headers, status, text)
}
