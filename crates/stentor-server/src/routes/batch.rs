//! `POST /topics`: publishes an atomic batch of events to one or several topics.

use http::request::Parts;
use http::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use stentor_hub::{Body as RecordBody, Entry, Key, KeyContent, Publish, TopicName};

use super::publish::options;
use crate::body::{Body, RequestBody};
use crate::content::{Content, not_utf8};
use crate::context::Stentor;
use crate::idempotency::{hash_of, key_of};
use crate::incoming::IncomingBody;
use crate::json::response;
use crate::problem::{Code, Problem};
use crate::query::Query;

/// Maximum size of the body, in bytes.
const BODY_BYTES_MAX: usize = 16 << 20;
/// Maximum number of events.
const EVENTS_MAX: usize = 10_000;

/// One event of a batch.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    topic: String,
    data: String,
    #[serde(rename = "type")]
    event_type: Option<String>,
    retry: Option<usize>,
}

/// Publishes a JSON array of events, or NDJSON with one event per line.
pub(crate) async fn publish(
    stentor: &Stentor,
    request: &Parts,
    body: RequestBody,
) -> Result<Response<Body>, Problem> {
    let response = try_publish(stentor, request, body).await;
    stentor.metrics().count_publish(&response);
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
    let whole = body.read_all(BODY_BYTES_MAX, stentor.config().body_idle_timeout).await?;
    let text = std::str::from_utf8(&whole).map_err(|error| not_utf8(error.valid_up_to()))?;
    let entries = entries(text, content == Content::Ndjson)?;
    let memory = body.queue(whole.len());
    drop(whole);
    let count = entries.len();
    let key = key.map(|name| Key {
        scope: None,
        publisher: String::new(),
        name,
        window: stentor.config().key_window,
        content: KeyContent::Whole(hash_of(&entries)),
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

fn entries(text: &str, is_ndjson: bool) -> Result<Vec<Entry>, Problem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let items: Vec<Item> = if is_ndjson {
        let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
        let items = lines.map(|(line, number)| {
            serde_json::from_str(line).map_err(|_| unreadable_line(line, number))
        });
        items.collect::<Result<_, _>>()?
    } else {
        serde_json::from_str(text).map_err(|_| unreadable_array(text))?
    };
    match items.len() {
        0 => Err(Problem::of(Code::Nothing, "the batch is empty; send at least one event")),
        1..=EVENTS_MAX => items.into_iter().zip(0..).map(|(item, at)| entry(item, at)).collect(),
        count => Err(too_many(count)),
    }
}

fn entry(item: Item, index: usize) -> Result<Entry, Problem> {
    let event_type = item.event_type.filter(|name| !name.is_empty());
    let made = TopicName::new(item.topic).map_err(Problem::from).and_then(|topic| {
        if matches!(topic.as_str(), "." | "..") {
            let detail = format!("no path can name the topic \"{topic}\"; choose another name");
            return Err(Problem::of(Code::Topic, detail));
        }
        let event_type = event_type.map(|name| options::event_type(&name)).transpose()?;
        let retry = item.retry.map(options::retry).transpose()?;
        let event = options::event(item.data, event_type, retry);
        let entry = Entry::new(topic, RecordBody::Event(event));
        entry.validate()?;
        Ok(entry)
    });
    made.map_err(|problem| problem.with_member("index", index))
}

/// Describes the first fault of a JSON array that cannot be read as a batch.
fn unreadable_array(text: &str) -> Problem {
    let items = match serde_json::from_str(text) {
        Ok(Value::Array(items)) => items,
        Ok(value) => return not_a_batch(&format!("the body is {}, not an array", kind_of(&value))),
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            return not_a_batch(&format!(
                "the body is not valid JSON at line {line}, column {column}"
            ));
        }
    };
    for (index, item) in items.iter().enumerate() {
        if let Some(fault) = fault_of(item) {
            return not_a_batch(&format!("event {index} {fault}")).with_member("index", index);
        }
    }
    not_a_batch("an event has the same field twice")
}

/// Describes the fault of a line that cannot be read as an event.
fn unreadable_line(line: &str, number: usize) -> Problem {
    let fault = match serde_json::from_str(line) {
        Ok(item) => fault_of(&item).unwrap_or_else(|| "has the same field twice".to_owned()),
        Err(error) => format!("is not valid JSON at column {}", error.column()),
    };
    not_a_batch(&format!("line {number} {fault}")).with_member("line", number)
}

/// Returns the reason why this value is not an event of a batch, as a phrase to put behind its name.
fn fault_of(item: &Value) -> Option<String> {
    let Value::Object(fields) = item else {
        return Some(format!("is {}, not an object", kind_of(item)));
    };
    if let Some(name) = ["topic", "data"].iter().find(|name| !fields.contains_key(**name)) {
        return Some(format!("has no `{name}`"));
    }
    fields.iter().find_map(|(name, value)| match (name.as_str(), value) {
        ("topic" | "data" | "type", Value::String(_)) | ("type" | "retry", Value::Null) => None,
        ("data", Value::Object(_) | Value::Array(_)) => Some(format!(
            "has {} as `data`, which must be a string; send the JSON text of it in quotes",
            kind_of(value)
        )),
        ("topic" | "data" | "type", value) => {
            Some(format!("has {} as `{name}`, which must be a string", kind_of(value)))
        }
        ("retry", value) if value.is_u64() => None,
        ("retry", _) => Some("has a `retry` that is not a whole number of milliseconds".to_owned()),
        (name, _) => Some(format!("has the unknown field `{name}`")),
    })
}

/// Names the type of a JSON value.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn not_a_batch(fault: &str) -> Problem {
    let detail = format!(
        "the batch cannot be read: {fault}; send a JSON array of events, or one event per line with \
         Content-Type application/x-ndjson. An event is {{\"topic\", \"data\", \"type\"?, \"retry\"?}}; \
         topic, data and type are strings, retry is a number"
    );
    Problem::of(Code::Batch, detail)
}

fn too_many(count: usize) -> Problem {
    let detail = format!(
        "the batch has {count} events, and at most {EVENTS_MAX} are allowed; split it, or upload \
         NDJSON to /topics/NAME, which has no such limit"
    );
    Problem::of(Code::TooMany, detail).with_member("limit", EVENTS_MAX)
}
