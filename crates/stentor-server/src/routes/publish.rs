//! `POST /topics/{topic}`: publishes one event or an upload of many.

pub(super) mod append;
pub(super) mod options;

use http::Response;
use http::request::Parts;
use stentor_hub::EVENT_BYTES_MAX;

use self::append::append;
use self::options::{PublishOptions, event};
use super::upload;
use crate::body::{Body, RequestBody};
use crate::content::Content;
use crate::context::Stentor;
use crate::incoming::IncomingBody;
use crate::pool::INLINE_BYTES_MAX;
use crate::problem::{Code, Problem};

/// Publishes the body of a request. `raw` is the path after `/topics/`.
pub(crate) async fn publish(
    stentor: &Stentor,
    raw: &str,
    request: &Parts,
    body: RequestBody,
) -> Result<Response<Body>, Problem> {
    let mut body = IncomingBody::new(stentor, body);
    let response = try_publish(stentor, raw, request, &mut body).await;
    count(stentor, &response);
    response
}

/// Counts a publish that may have an idempotency key.
pub(super) fn count<T>(stentor: &Stentor, outcome: &Result<T, Problem>) {
    stentor.metrics().count_publish(outcome);
    if outcome.as_ref().is_err_and(|problem| problem.has_code(Code::TooManyKeys)) {
        stentor.metrics().keys_refused.inc();
    }
}

async fn try_publish(
    stentor: &Stentor,
    raw: &str,
    request: &Parts,
    body: &mut IncomingBody,
) -> Result<Response<Body>, Problem> {
    let (options, content) = PublishOptions::parse(stentor, raw, request)?;
    if stentor.is_draining() {
        return Err(Problem::draining());
    }
    match content {
        Content::Ndjson => upload::lines(stentor, &options, body).await,
        Content::EventStream => upload::events(stentor, &options, body).await,
        content => publish_one(stentor, &options, &content, body).await,
    }
}

/// Publishes one event whose data is the body. An empty body with `end` only ends the topic.
pub(super) async fn publish_one(
    stentor: &Stentor,
    options: &PublishOptions,
    content: &Content,
    body: &mut IncomingBody,
) -> Result<Response<Body>, Problem> {
    let limit = content.body_bytes_max(EVENT_BYTES_MAX);
    let whole = body.read_all(limit, stentor.pace()).await;
    let whole = whole.map_err(|problem| explain_limit(problem, content))?;
    if whole.is_empty() && options.end.is_some() {
        return append(stentor, options, None, None).await;
    }
    // A type of the query, and the base64 of a binary body, make the event larger than the body.
    let type_bytes = options.event_type.as_ref().map_or(0, |name| name.as_str().len());
    body.reserve(content.data_bytes(whole.len()) + type_bytes).await?;
    let data = if whole.len() <= INLINE_BYTES_MAX {
        content.data(whole)?
    } else {
        let content = content.clone();
        stentor.pool().run(whole.len(), move || content.data(whole)).await??
    };
    let memory = body.queue(data.len() + type_bytes);
    let event = event(data, options.event_type.clone(), options.retry);
    append(stentor, options, Some(event), Some(memory)).await
}

/// Says why the limit of a binary body is below that of text.
fn explain_limit(problem: Problem, content: &Content) -> Problem {
    if problem.has_code(Code::TooLarge) && matches!(content, Content::Binary { .. }) {
        problem.with_note("base64 encoding makes a binary body a third larger")
    } else {
        problem
    }
}
