//! `POST /topics/{topic}`: one event, or a stream of them.

use std::io::Write;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, Response, StatusCode};
use stentor_hub::{
    Body as RecordBody, Cursor, EVENT_BYTES_MAX, Entry, Event, EventType, Key, KeyContent, Publish,
    PublishError, TopicName, TopicsQuery,
};

use crate::body::{Body, RequestBody};
use crate::content::Content;
use crate::idempotency::{hash_of, key_of};
use crate::incoming::Incoming;
use crate::json::answer_in;
use crate::path;
use crate::problem::Problem;
use crate::query::Query;
use crate::routes::upload;
use crate::service::Stentor;

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

/// Publishes the body.
pub(crate) async fn publish(
    stentor: &Stentor,
    raw: &str,
    request: &Parts,
    body: RequestBody,
) -> Result<Response<Body>, Problem> {
    let answer = match begin(stentor, raw, request) {
        Ok((options, content)) => {
            let incoming = Incoming::of(stentor, request, body);
            match content {
                Content::Ndjson => upload::lines(stentor, &options, incoming).await,
                Content::EventStream => upload::events(stentor, &options, incoming).await,
                content => single(stentor, options, &content, incoming).await,
            }
        }
        Err(problem) => {
            drop(Incoming::of(stentor, request, body));
            Err(problem)
        }
    };
    stentor.metrics().count_publish(&answer);
    answer
}

/// All that can be found wrong before the body is read.
fn begin(stentor: &Stentor, raw: &str, request: &Parts) -> Result<(Options, Content), Problem> {
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
        return Err(Problem::bad_request("query", detail));
    }
    if options.dedupe && options.key.is_some() {
        let detail = "give either `dedupe=id` or an Idempotency-Key for the whole upload, not both";
        return Err(Problem::bad_request("query", detail));
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
        return Err(Problem::bad_request("event-type", detail));
    }
    EventType::new(name).map_err(|error| Problem::bad_request("event-type", error.to_string()))
}

/// A reconnection time from outside, in milliseconds.
pub(crate) fn retry(millis: usize) -> Result<Duration, Problem> {
    let retry = Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
    if retry > RETRY_MAX {
        let detail = format!("`retry` is at most {} ms, an hour", RETRY_MAX.as_millis());
        return Err(Problem::bad_request("retry", detail));
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
        return Err(Problem::bad_request("lease", detail));
    }
    Ok(lease)
}

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
pub(super) async fn single(
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
pub(super) fn done_in(
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
