//! Appends one event, the end of a topic, or both, and answers the publisher.

use std::time::Duration;

use http::{HeaderMap, Response, StatusCode};
use stentor_hub::{
    Body as RecordBody, Cursor, Entry, Event, Key, KeyContent, Publish, PublishError, TopicName,
};

use super::options::PublishOptions;
use crate::body::Body;
use crate::budget::Reservation;
use crate::context::Stentor;
use crate::idempotency::hash_of;
use crate::json;
use crate::problem::Problem;

/// Appends `event`, followed by the end of the topic if the options say so. Without an event, only
/// the end is appended. `memory` is the reservation of the event.
pub(in crate::routes) async fn append(
    stentor: &Stentor,
    options: &PublishOptions,
    event: Option<Event>,
    memory: Option<Reservation>,
) -> Result<Response<Body>, Problem> {
    let only_end = event.is_none();
    let end = options.end.clone().map(|reason| RecordBody::End { reason });
    let bodies = event.map(RecordBody::Event).into_iter().chain(end);
    let entries: Vec<_> = bodies.map(|body| Entry::new(options.topic.clone(), body)).collect();
    let (entries, key) = match options.key.clone() {
        None => (entries, None),
        Some(name) => {
            let bytes = entries.iter().map(|entry| entry.body.bytes()).sum();
            let hashing = move || (hash_of(&entries), entries);
            let (hash, entries) = stentor.pool().run(bytes, hashing).await?;
            let key = Key {
                scope: Some(options.topic.clone()),
                publisher: String::new(),
                name,
                window: stentor.config().key_window,
                source: options.source,
                content: KeyContent::Whole(hash),
            };
            (entries, Some(key))
        }
    };
    let count = entries.len();
    let mut publish = Publish::new(entries, key);
    if let Some(lease) = options.lease {
        publish = publish.with_lease(options.topic.clone(), length_of(lease));
    }
    match stentor.hub().publish_with_guard(publish, memory).await {
        Ok(published) => {
            if published.repeat {
                return Ok(accepted(StatusCode::OK, &options.topic, published.first));
            }
            stentor.metrics().published.inc_by(count as u64);
            Ok(accepted(StatusCode::CREATED, &options.topic, published.first))
        }
        // Ending an ended topic is not an error.
        Err(PublishError::Ended { topic, end }) if only_end => {
            Ok(accepted(StatusCode::OK, &topic, end))
        }
        Err(error) => Err(error.into()),
    }
}

/// Sets or removes the lease of the topic of an upload, if the options have one. A topic that has ended gets none;
/// the events of the upload are then refused.
pub(in crate::routes) async fn set_lease(
    stentor: &Stentor,
    options: &PublishOptions,
) -> Result<(), Problem> {
    let Some(lease) = options.lease else { return Ok(()) };
    match stentor.hub().set_lease(&options.topic, length_of(lease)).await {
        Ok(()) | Err(PublishError::Ended { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The length of a lease; `None` for zero, which removes it.
fn length_of(lease: Duration) -> Option<Duration> {
    Some(lease).filter(|lease| !lease.is_zero())
}

fn accepted(status: StatusCode, topic: &TopicName, id: Cursor) -> Response<Body> {
    accepted_with(HeaderMap::new(), status, topic, id)
}

/// The response to a publish of one event. Its headers are put into `headers`.
pub(in crate::routes) fn accepted_with(
    headers: HeaderMap,
    status: StatusCode,
    topic: &TopicName,
    id: Cursor,
) -> Response<Body> {
    /// Room for the longest id and for the JSON around the two values.
    const REST: usize = 64;
    let mut text = Vec::with_capacity(topic.as_str().len() + REST);
    text.extend_from_slice(b"{\"topic\":");
    // Serializing a string to a vector cannot fail.
    let _ = serde_json::to_writer(&mut text, topic.as_str());
    text.extend_from_slice(b",\"id\":\"");
    id.append_to(&mut text);
    text.extend_from_slice(b"\"}");
    json::response_with(headers, status, text)
}
