//! Appends one event, the end of a topic, or both, and answers the publisher.

use std::io::Write;

use http::{HeaderMap, Response, StatusCode};
use stentor_hub::{
    Body as RecordBody, Cursor, Entry, Event, Key, KeyContent, Publish, PublishError, TopicName,
    TopicsQuery,
};

use super::options::PublishOptions;
use crate::body::Body;
use crate::context::Stentor;
use crate::idempotency::hash_of;
use crate::json;
use crate::problem::Problem;

/// Appends `event`, followed by the end of the topic if the options say so. Without an event, only
/// the end is appended.
pub(in crate::routes) async fn append(
    stentor: &Stentor,
    options: &PublishOptions,
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
            // The lease is set before the response, so that a publisher that has the response can
            // rely on it. The end of a topic removes its lease.
            if options.end.is_none() && (!published.repeat || is_open(stentor, options).await?) {
                set_lease(stentor, options).await?;
            }
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

/// Sets or removes the lease of the topic, if the options have one.
pub(in crate::routes) async fn set_lease(
    stentor: &Stentor,
    options: &PublishOptions,
) -> Result<(), Problem> {
    let Some(lease) = options.lease else { return Ok(()) };
    let lease = Some(lease).filter(|lease| !lease.is_zero());
    Ok(stentor.hub().set_lease(&options.topic, lease).await?)
}

/// Returns `true` if the topic of a repeated publish exists and has not ended. If the options set no
/// lease, returns `true` without reading the storage: only the lease depends on it.
async fn is_open(stentor: &Stentor, options: &PublishOptions) -> Result<bool, Problem> {
    if options.lease.is_none() {
        return Ok(true);
    }
    let prefix = options.topic.as_str().to_owned();
    // The first name with this prefix is the topic itself, if it exists.
    let first = TopicsQuery { prefix, limit: 1, ..TopicsQuery::default() };
    let topics = stentor.hub().topics(first).await?;
    Ok(topics.iter().any(|info| info.topic == options.topic && !info.ended))
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
    // Writing to a vector cannot fail, and neither can the serialization of a string.
    let _ = serde_json::to_writer(&mut text, topic.as_str());
    let _ = write!(text, ",\"id\":\"{id}\"}}");
    json::response_with(headers, status, text)
}
