//! Streamed uploads: events that are published as they arrive.
//!
//! ```text
//! piece of the body -> lines or events -> gathering -> the log -> progress -> answer
//! ```
//!
//! While the log commits a group of events, the next one is read and gathered.

mod gathering;
mod progress;

use http::Response;
use stentor_hub::{Body as RecordBody, EVENT_BYTES_MAX, Event};
use stentor_sse::{Decoder, EventId, Item};

use self::gathering::Gathering;
use crate::body::Body;
use crate::content::not_utf8;
use crate::context::Stentor;
use crate::idempotency::checked;
use crate::incoming::Incoming;
use crate::lines::Lines;
use crate::problem::Problem;
use crate::routes::publish::append::event as new_event;
use crate::routes::publish::options::{self, Options};

/// An upload of NDJSON: each line is the data of an event. Lines are not parsed as JSON.
pub(crate) async fn lines(
    stentor: &Stentor,
    options: &Options,
    incoming: Incoming,
) -> Result<Response<Body>, Problem> {
    let mut upload = Gathering::begin(stentor, options, incoming).await?;
    let mut lines = Lines::default();
    let mut number = 0_u64;
    while let Some(piece) = upload.piece(lines.partial_bytes()).await? {
        let mut input = piece.as_ref();
        while let Some(line) = lines.next(&mut input) {
            number += 1;
            take_line(&mut upload, options, line, number).await?;
        }
        if lines.partial_bytes() > EVENT_BYTES_MAX {
            return Err(upload.fail(Problem::too_large("a line", EVENT_BYTES_MAX)).await);
        }
    }
    if let Some(line) = lines.last() {
        take_line(&mut upload, options, line, number + 1).await?;
    }
    upload.finish().await
}

/// An upload of another server's stream. Its ids are never ours.
pub(crate) async fn events(
    stentor: &Stentor,
    options: &Options,
    incoming: Incoming,
) -> Result<Response<Body>, Problem> {
    let mut upload = Gathering::begin(stentor, options, incoming).await?;
    let mut decoder = Decoder::with_event_bytes_max(EVENT_BYTES_MAX);
    while let Some(piece) = upload.piece(decoder.buffered_bytes()).await? {
        let mut input = piece.as_ref();
        while let Some(item) = decoder.decode(&mut input) {
            match item {
                Ok(Item::Event(event)) => take_event(&mut upload, options, event).await?,
                Ok(Item::Comment(_) | Item::Retry(_) | Item::Id(_)) => {}
                Err(_) => {
                    return Err(upload.fail(Problem::too_large("an event", EVENT_BYTES_MAX)).await);
                }
            }
        }
    }
    upload.finish().await
}

async fn take_line(
    upload: &mut Gathering<'_>,
    options: &Options,
    line: Vec<u8>,
    number: u64,
) -> Result<(), Problem> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return Ok(());
    }
    match String::from_utf8(line) {
        Ok(data) => {
            let event = new_event(data, options.event_type.clone(), options.retry);
            upload.gather(RecordBody::Event(event), None).await
        }
        Err(error) => {
            let problem = not_utf8(error.utf8_error().valid_up_to()).with("line", number);
            Err(upload.fail(problem).await)
        }
    }
}

async fn take_event(
    upload: &mut Gathering<'_>,
    options: &Options,
    event: Event,
) -> Result<(), Problem> {
    if event.event_type().is_some_and(|name| name.as_str().starts_with("stentor.")) {
        upload.skip();
        return Ok(());
    }
    match ours(options, event) {
        Ok((event, key)) => upload.gather(RecordBody::Event(event), key).await,
        Err(problem) => Err(upload.fail(problem).await),
    }
}

/// What an event of another server is here: the event, and its key if it brings one.
fn ours(options: &Options, event: Event) -> Result<(Event, Option<String>), Problem> {
    let own_type = event.event_type().map(|name| options::event_type(name.as_str())).transpose()?;
    let millis =
        event.retry().map(|retry| usize::try_from(retry.as_millis()).unwrap_or(usize::MAX));
    let retry = millis.map(options::retry).transpose()?.or(options.retry);
    let id = event.id().map(EventId::as_str).filter(|id| options.dedupe && !id.is_empty());
    let key = id.map(key_of_id).transpose()?;
    let event_type = own_type.or_else(|| options.event_type.clone());
    Ok((new_event(event.into_data(), event_type, retry), key))
}

fn key_of_id(id: &str) -> Result<String, Problem> {
    checked(id.as_bytes()).ok_or_else(|| {
        let detail = format!("the id {id:?} is no key: 1 to 256 visible ASCII characters");
        Problem::invalid_key(detail)
    })
}
