//! `POST /topics`: publishes an atomic batch of events to one or several topics.

mod parse;

use http::request::Parts;
use http::{Response, StatusCode};
use serde_json::json;
use stentor_hub::storage::KeyHash;
use stentor_hub::{Entry, Key, KeyContent, Publish, TopicName};

use super::publish::count;
use crate::body::{Body, RequestBody};
use crate::content::{Content, not_utf8};
use crate::context::Stentor;
use crate::idempotency::{hash_of, key_of};
use crate::incoming::IncomingBody;
use crate::json::response;
use crate::peer::source_of;
use crate::problem::{Code, Problem};
use crate::query::Query;

/// Maximum size of the body, in bytes.
const BODY_BYTES_MAX: usize = 16 << 20;
/// Publishes a JSON array of events, or NDJSON with one event per line.
pub(crate) async fn publish(
    stentor: &Stentor,
    request: &Parts,
    body: RequestBody,
) -> Result<Response<Body>, Problem> {
    let response = try_publish(stentor, request, body).await;
    count(stentor, &response);
    response
}

async fn try_publish(
    stentor: &Stentor,
    request: &Parts,
    body: RequestBody,
) -> Result<Response<Body>, Problem> {
    let mut body = IncomingBody::new(stentor, body);
    Query::parse(request.uri.query(), &[])?;
    let content = Content::of(&request.headers)?;
    let key = key_of(&request.headers)?;
    if stentor.is_draining() {
        return Err(Problem::draining());
    }
    let whole = body.read_all(BODY_BYTES_MAX, stentor.pace()).await?;
    // The events exist beside the body while it is parsed.
    body.reserve(2 * whole.len()).await?;
    let (bytes, is_ndjson, has_key) = (whole.len(), content == Content::Ndjson, key.is_some());
    let memory = body.queue(2 * bytes);
    let parsed = stentor.pool().run(bytes, move || {
        let parsed = read(&whole, is_ndjson, has_key);
        drop(whole);
        memory.shrink(bytes);
        parsed.map(|(entries, hash)| (entries, hash, memory))
    });
    let (entries, hash, memory) = parsed.await??;
    let count = entries.len();
    let key = key.zip(hash).map(|(name, hash)| Key {
        scope: single_topic(&entries),
        publisher: String::new(),
        name,
        window: stentor.config().key_window,
        source: source_of(stentor, request),
        content: KeyContent::Whole(hash),
    });
    let publish = Publish::new(entries, key);
    let published = stentor.hub().publish_with_guard(publish, memory).await?;
    if !published.repeat {
        stentor.metrics().published.inc_by(count as u64);
    }
    let status = if published.repeat { StatusCode::OK } else { StatusCode::CREATED };
    Ok(response(
        status,
        &json!({
            "count": count,
            "first_id": published.first.to_string(),
            "last_id": published.last.to_string(),
        }),
    ))
}

/// Returns the topic of a batch, or `None` if it has several. The key of a batch with one topic is a key of that
/// topic, like that of any other publish to it.
fn single_topic(entries: &[Entry]) -> Option<TopicName> {
    let topic = &entries.first()?.topic;
    entries.iter().all(|entry| entry.topic == *topic).then(|| topic.clone())
}

/// Reads the events of a body, and hashes them if they have an idempotency key.
fn read(
    body: &[u8],
    is_ndjson: bool,
    has_key: bool,
) -> Result<(Vec<Entry>, Option<KeyHash>), Problem> {
    let text = std::str::from_utf8(body).map_err(|error| not_utf8(error.valid_up_to()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let entries = if is_ndjson { parse::lines(text) } else { parse::array(text) }?;
    if entries.is_empty() {
        return Err(Problem::of(Code::Nothing, "the batch is empty; send at least one event"));
    }
    let hash = has_key.then(|| hash_of(&entries));
    Ok((entries, hash))
}
