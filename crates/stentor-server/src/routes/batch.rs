//! `POST /topics`: an atomic batch over several topics, all or nothing.

use http::request::Parts;
use http::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use stentor_hub::{Body as RecordBody, Entry, Key, KeyContent, Publish, TopicName};

use crate::body::{Body, RequestBody};
use crate::content::{Content, not_utf8};
use crate::context::Stentor;
use crate::idempotency::{hash_of, key_of};
use crate::incoming::Incoming;
use crate::json::answer;
use crate::problem::Problem;
use crate::query::Query;
use crate::routes::publish::append;
use crate::routes::publish::options;

/// The longest body of a batch.
const BODY_BYTES_MAX: usize = 16 << 20;
/// The most events of a batch.
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

/// Publishes a JSON array of events, or one event per line of NDJSON.
pub(crate) async fn publish(
    stentor: &Stentor,
    request: &Parts,
    body: RequestBody,
) -> Result<Response<Body>, Problem> {
    let answer = try_publish(stentor, request, body).await;
    stentor.metrics().count_publish(&answer);
    answer
}

async fn try_publish(
    stentor: &Stentor,
    request: &Parts,
    body: RequestBody,
) -> Result<Response<Body>, Problem> {
    let checked = Query::parse(request.uri.query(), &[])
        .and_then(|_| Ok((Content::of(&request.headers)?, key_of(&request.headers)?)));
    let mut incoming = Incoming::of(stentor, request, body);
    let (content, key) = checked?;
    if stentor.is_draining() {
        return Err(Problem::draining());
    }
    let body = incoming.whole(BODY_BYTES_MAX, stentor.config().body_silence).await?;
    let text = std::str::from_utf8(&body).map_err(|error| not_utf8(error.valid_up_to()))?;
    let entries = entries(text, content == Content::Ndjson)?;
    let count = entries.len();
    let key = key.map(|name| Key {
        scope: None,
        publisher: String::new(),
        name,
        window: stentor.config().key_window,
        content: KeyContent::Whole(hash_of(&entries)),
    });
    let published = stentor.hub().publish(Publish::new(entries, key)).await?;
    if !published.repeat {
        stentor.metrics().published.inc_by(count as u64);
    }
    let status = if published.repeat { StatusCode::OK } else { StatusCode::CREATED };
    Ok(answer(
        status,
        &json!({
            "count": count,
            "first_id": published.first.to_string(),
            "last_id": published.last.to_string(),
        }),
    ))
}

fn entries(text: &str, lines: bool) -> Result<Vec<Entry>, Problem> {
    let items: Vec<Item> = if lines {
        let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
        let items = lines.map(|(line, number)| {
            serde_json::from_str(line).map_err(|error| not_a_batch(&error).with("line", number))
        });
        items.collect::<Result<_, _>>()?
    } else {
        serde_json::from_str(text).map_err(|error| at_its_index(text, not_a_batch(&error)))?
    };
    match items.len() {
        0 => Err(Problem::empty_batch()),
        1..=EVENTS_MAX => items.into_iter().zip(0..).map(|(item, at)| entry(item, at)).collect(),
        count => Err(Problem::bad_request(
            "too-many",
            format!("the batch has {count} events; at most {EVENTS_MAX} are allowed, so split it"),
        )),
    }
}

fn entry(item: Item, at: usize) -> Result<Entry, Problem> {
    let event_type = item.event_type.filter(|name| !name.is_empty());
    let made = TopicName::new(item.topic).map_err(Problem::from).and_then(|topic| {
        let event_type = event_type.map(|name| options::event_type(&name)).transpose()?;
        let retry = item.retry.map(options::retry).transpose()?;
        let event = append::event(item.data, event_type, retry);
        let entry = Entry::new(topic, RecordBody::Event(event));
        entry.validate()?;
        Ok(entry)
    });
    made.map_err(|problem| problem.with("index", at))
}

/// The problem with the index of the item at which a list cannot be read, for the parser tells only
/// line and column.
fn at_its_index(text: &str, problem: Problem) -> Problem {
    let items: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
    match items.into_iter().position(|item| serde_json::from_value::<Item>(item).is_err()) {
        Some(at) => problem.with("index", at),
        None => problem,
    }
}

fn not_a_batch(error: &serde_json::Error) -> Problem {
    let detail = format!(
        "the batch cannot be read ({error}); send a JSON array, or lines with Content-Type \
         application/x-ndjson, of {{\"topic\", \"data\", \"type\"?, \"retry\"?}} with texts"
    );
    Problem::invalid_batch(detail)
}
