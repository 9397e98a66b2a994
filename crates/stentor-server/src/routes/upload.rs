//! Uploads: one request body that publishes many events as they arrive.
//!
//! ```text
//! chunk of the body -> lines or events -> group -> log -> progress -> response
//! ```
//!
//! While the log commits a group of events, the next group is read.

mod pipeline;
mod progress;

use http::Response;
use memchr::memchr;
use stentor_hub::{Body as RecordBody, EVENT_BYTES_MAX, Event};
use stentor_sse::{Decoder, EventId, Item};

use self::pipeline::Pipeline;
use super::publish::options::{self, PublishOptions};
use crate::body::Body;
use crate::content::not_utf8;
use crate::context::Stentor;
use crate::idempotency::valid_key;
use crate::incoming::IncomingBody;
use crate::lines::LineSplitter;
use crate::problem::{Code, Problem};

/// Uploads NDJSON. Each line is the data of an event; lines are not parsed as JSON.
pub(super) async fn lines(
    stentor: &Stentor,
    options: &PublishOptions,
    body: &mut IncomingBody,
) -> Result<Response<Body>, Problem> {
    let mut upload = Pipeline::begin(stentor, options, body).await?;
    let mut lines = LineSplitter::default();
    let mut number = 0_u64;
    while let Some(chunk) = upload.chunk(lines.partial_bytes()).await? {
        let mut input = chunk.as_ref();
        while let Some(line) = lines.next(&mut input) {
            number += 1;
            push_line(&mut upload, options, line, number).await?;
        }
        if lines.partial_bytes() > EVENT_BYTES_MAX {
            let line = format!("line {}", number + 1);
            return Err(upload.fail(Problem::too_large(&line, EVENT_BYTES_MAX)).await);
        }
    }
    if let Some(line) = lines.finish() {
        push_line(&mut upload, options, line, number + 1).await?;
    }
    upload.finish().await
}

/// Uploads the event stream of another server. Its events get new ids.
pub(super) async fn events(
    stentor: &Stentor,
    options: &PublishOptions,
    body: &mut IncomingBody,
) -> Result<Response<Body>, Problem> {
    let mut upload = Pipeline::begin(stentor, options, body).await?;
    let mut decoder = Decoder::with_event_bytes_max(EVENT_BYTES_MAX);
    while let Some(chunk) = upload.chunk(decoder.buffered_bytes()).await? {
        let mut input = chunk.as_ref();
        while let Some(item) = decoder.decode(&mut input) {
            match item {
                Ok(Item::Event(event)) => push_event(&mut upload, options, event).await?,
                Ok(Item::Comment(_) | Item::Retry(_) | Item::Id(_)) => {}
                Err(_) => {
                    return Err(upload.fail(Problem::too_large("an event", EVENT_BYTES_MAX)).await);
                }
            }
        }
    }
    upload.finish().await
}

async fn push_line(
    upload: &mut Pipeline<'_>,
    options: &PublishOptions,
    line: Vec<u8>,
    number: u64,
) -> Result<(), Problem> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return Ok(());
    }
    let text = upload.pool().run(line.len(), || String::from_utf8(line)).await;
    match text {
        Err(problem) => Err(upload.fail(problem).await),
        Ok(Ok(data)) => {
            let event = options::event(data, options.event_type.clone(), options.retry);
            upload.push(RecordBody::Event(event), None).await
        }
        Ok(Err(error)) => {
            let problem = not_utf8(error.utf8_error().valid_up_to()).with_member("line", number);
            Err(upload.fail(problem).await)
        }
    }
}

async fn push_event(
    upload: &mut Pipeline<'_>,
    options: &PublishOptions,
    event: Event,
) -> Result<(), Problem> {
    if event.event_type().is_some_and(|name| name.as_str().starts_with("stentor.")) {
        upload.skip();
        return Ok(());
    }
    match adopt(options, event) {
        Ok((event, key)) => upload.push(RecordBody::Event(event), key).await,
        Err(problem) => Err(upload.fail(problem).await),
    }
}

/// Converts an event of another server. Returns it with its idempotency key, if it has one.
///
/// A stream may carry values that a publish may not set. A NUL in a type becomes U+FFFD, as `pub --from` sends it,
/// and a reconnection time over the maximum is left out.
fn adopt(options: &PublishOptions, event: Event) -> Result<(Event, Option<String>), Problem> {
    let own_type = event.event_type().map(|name| {
        let name = name.as_str();
        match memchr(0, name.as_bytes()) {
            None => options::event_type(name),
            Some(_) => options::event_type(&name.replace('\0', "\u{FFFD}")),
        }
    });
    let own_type = own_type.transpose()?;
    let retry = event.retry().filter(|retry| *retry <= options::RETRY_MAX).or(options.retry);
    let id = event.id().map(EventId::as_str).filter(|id| options.dedupe && !id.is_empty());
    let key = id.map(key_of_id).transpose()?;
    let event_type = own_type.or_else(|| options.event_type.clone());
    Ok((options::event(event.into_data(), event_type, retry), key))
}

fn key_of_id(id: &str) -> Result<String, Problem> {
    valid_key(id.as_bytes()).ok_or_else(|| {
        let detail = format!(
            "the id {id:?} cannot be an idempotency key; use ids of 1 to 256 visible ASCII \
             characters, or leave out `dedupe=id`"
        );
        Problem::of(Code::Key, detail)
    })
}
