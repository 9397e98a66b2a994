//! `GET /topics/{topic}` and `GET /events`: streams, pages of history, and the redirect to the console.

mod page;

use http::header::{LOCATION, VARY};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use serde_json::Map;
use stentor_hub::{Filters, Form, HistoryPage, HistoryRequest, Start, TopicFilter, TopicName};

use self::page::{EVENT_OVERHEAD_BYTES, PageEncoder, memory_bytes};
use crate::accept::{Representation, negotiate};
use crate::body::Body;
use crate::capacity::AtCapacity;
use crate::context::Stentor;
use crate::json::response_of;
use crate::limits::PIECE_BYTES_MAX;
use crate::path;
use crate::problem::{Code, Problem};
use crate::query::Query;
use crate::response_budget::Charge;
use crate::resume::last_event_id;
use crate::stream::options::StreamOptions;
use crate::stream::unavailable;

/// Query parameters of `/events`. `/topics/{topic}` has all of them except the last.
const PARAMETERS: [&str; 12] = [
    "last_event_id",
    "lastEventId",
    "from",
    "last",
    "last_each",
    "since",
    "envelope",
    "control",
    "after",
    "before",
    "limit",
    "topic",
];

/// Default number of events in a page of history.
const LIMIT: usize = 100;
/// Maximum number of reads of a page whose first event is larger than the memory charged for it.
const READS_MAX: usize = 3;

/// Reads one topic. `raw` is the path after `/topics/`.
pub(crate) async fn topic(
    stentor: &Stentor,
    raw: &str,
    request: &Parts,
) -> Result<Response<Body>, Problem> {
    let topic = path::topic(raw)?;
    let [parameters @ .., _] = &PARAMETERS;
    let query = Query::parse(request.uri.query(), parameters)?;
    read(stentor, Filters::topic(topic.clone()), Some(&topic), &query, request).await
}

/// Reads the topics and patterns that the query names.
pub(crate) async fn events(stentor: &Stentor, request: &Parts) -> Result<Response<Body>, Problem> {
    let query = Query::parse(request.uri.query(), &PARAMETERS)?;
    let filters: Result<Vec<TopicFilter>, _> = query.values("topic").map(str::parse).collect();
    read(stentor, Filters::new(filters?)?, None, &query, request).await
}

async fn read(
    stentor: &Stentor,
    filters: Filters,
    topic: Option<&TopicName>,
    query: &Query,
    request: &Parts,
) -> Result<Response<Body>, Problem> {
    use Representation as R;
    let representation = negotiate(&request.headers);
    let mut response = match representation {
        R::Html if stentor.config().console.is_some() => Ok(to_console(stentor, &filters)),
        R::Json => history(stentor, filters, topic, query, request).await,
        R::Stream | R::Ndjson | R::Html => {
            stream(stentor, filters, representation, query, request).await
        }
    }?;
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept, Origin"));
    Ok(response)
}

async fn stream(
    stentor: &Stentor,
    filters: Filters,
    representation: Representation,
    query: &Query,
    request: &Parts,
) -> Result<Response<Body>, Problem> {
    for name in ["after", "before", "limit"] {
        if query.value(name)?.is_some() {
            let detail = format!(
                "`{name}` works for pages of history only; request one with `Accept: application/json`"
            );
            return Err(Problem::of(Code::Query, detail));
        }
    }
    let cursor = last_event_id(&request.headers, query);
    let start = start_option(query)?.unwrap_or_default();
    let start = cursor.map_or(start, Start::Cursor);
    let envelope = query.word("envelope", &[("json", Form::Envelope)])?;
    let control = query.word("control", &[("on", true), ("off", false)])?.unwrap_or(true);
    let form = match representation {
        Representation::Ndjson => Form::Ndjson,
        _ => envelope.unwrap_or_default(),
    };
    let options = StreamOptions { form, control, ..StreamOptions::new(request.version) };
    if request.extensions.get::<AtCapacity>().is_some() {
        return Ok(unavailable(options));
    }
    if request.method == Method::HEAD {
        return stentor.stream_head(filters, start, options).await;
    }
    stentor.stream(filters, start, options).await
}

/// Returns the start option for a subscriber without a cursor. More than one is an error.
fn start_option(query: &Query) -> Result<Option<Start>, Problem> {
    let since = query.value("since")?.map(|text| {
        // The `+` of an offset, if it was not percent-encoded, was decoded to a space.
        text.replace(' ', "+").parse().map(Start::Since)
    });
    let given = [
        query.word("from", &[("earliest", 0), ("now", 1)])?.map(|from| match from {
            0 => Start::Earliest,
            _ => Start::Now,
        }),
        query.number("last")?.map(Start::Last),
        query.number("last_each")?.map(Start::LastEach),
        since.transpose()?,
    ];
    let mut given = given.into_iter().flatten();
    let start = given.next();
    if given.next().is_some() {
        let detail = "`from`, `last`, `last_each` and `since` exclude each other; give only one";
        return Err(Problem::of(Code::Query, detail));
    }
    Ok(start)
}

async fn history(
    stentor: &Stentor,
    filters: Filters,
    topic: Option<&TopicName>,
    query: &Query,
    request: &Parts,
) -> Result<Response<Body>, Problem> {
    for name in ["envelope", "control"] {
        if query.value(name)?.is_some() {
            let detail = format!(
                "`{name}` works for streams only, and this is a request for history; leave it out"
            );
            return Err(Problem::of(Code::Query, detail));
        }
    }
    if stentor.is_draining() {
        return Err(Problem::draining());
    }
    if request.extensions.get::<AtCapacity>().is_some() {
        return Err(Problem::too_many_connections());
    }
    let cursor = last_event_id(&request.headers, query);
    let after = cursor.or(query.value("after")?.map(str::to_owned));
    let start = start_option(query)?.unwrap_or(Start::Earliest);
    let names: Vec<String> = filters.iter().map(str::to_owned).collect();
    let exact = filters.exact().to_vec();
    let request = HistoryRequest {
        filters,
        start: after.map_or(start, Start::Cursor),
        before: query.value("before")?.map(str::to_owned),
        limit: query.limit(LIMIT, HistoryRequest::LIMIT_MAX)?,
    };
    let (page, charge) = page(stentor, request).await?;
    let subscribers: usize = exact.iter().map(|name| stentor.hub().subscribers(name)).sum();
    let mut more = Map::new();
    match topic {
        Some(topic) => more.insert("topic".to_owned(), topic.as_str().into()),
        None => more.insert("topics".to_owned(), names.into()),
    };
    more.insert("subscribers".to_owned(), subscribers.into());
    Ok(response_of(PageEncoder::new(page, more), charge, stentor.metrics()))
}

/// Reads a page of history, and charges its memory before it is read. While little memory is free, the page has
/// fewer events than the request asks for.
async fn page(
    stentor: &Stentor,
    mut request: HistoryRequest,
) -> Result<(HistoryPage, Charge), Problem> {
    let budget = stentor.response_budget();
    let mut bytes = budget.page_bytes(HistoryRequest::BYTES_MAX);
    request.limit = request.limit.min(bytes / EVENT_OVERHEAD_BYTES);
    let mut charge = budget.charge(bytes + request.limit * EVENT_OVERHEAD_BYTES).await?;
    for _ in 0..READS_MAX {
        let page = stentor.hub().history_within(request.clone(), bytes).await?;
        let memory = memory_bytes(&page);
        if memory <= charge.bytes() {
            charge.shrink(memory + PIECE_BYTES_MAX);
            return Ok((page, charge));
        }
        // The first event is larger than a page. It is read again, once there is memory for it alone.
        drop((page, charge));
        (request.limit, bytes) = (1, memory);
        charge = budget.charge(memory + PIECE_BYTES_MAX).await?;
    }
    // The first event was another, larger one each time.
    Err(Problem::busy())
}

/// Redirects a browser to the console's page of these topics.
fn to_console(stentor: &Stentor, filters: &Filters) -> Response<Body> {
    let topics: Vec<_> =
        filters.iter().map(|filter| format!("topic={}", path::query_value(filter))).collect();
    let console = stentor.config().console.as_deref().unwrap_or("/");
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    if let Ok(location) = HeaderValue::from_str(&format!("{console}#{}", topics.join("&"))) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}
