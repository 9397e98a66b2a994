//! `GET /topics/{topic}` and `GET /events`: streams, history pages, and the way to the console.

use http::header::{LOCATION, VARY};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use serde_json::{Value, json};
use stentor_hub::{
    EventObject, Filters, Form, HistoryPage, HistoryRequest, Start, TopicFilter, TopicName,
};

use crate::accept::{Wanted, wanted};
use crate::body::Body;
use crate::context::Stentor;
use crate::json::answer;
use crate::path;
use crate::problem::Problem;
use crate::query::Query;
use crate::resume::last_event_id;
use crate::stream::StreamOptions;

/// What `/topics/{topic}` knows; `/events` knows `topic` too.
const KNOWN: [&str; 11] = [
    "last_event_id",
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

/// How many events a page of history has unless told otherwise.
const LIMIT: usize = 100;

/// One topic by its path.
pub(crate) async fn topic(
    stentor: &Stentor,
    raw: &str,
    request: &Parts,
) -> Result<Response<Body>, Problem> {
    let topic = path::topic(raw)?;
    let [known @ .., _] = &KNOWN;
    let query = Query::parse(request.uri.query(), known)?;
    read(stentor, Filters::topic(topic.clone()), Some(&topic), &query, request).await
}

/// Several topics and filters by query.
pub(crate) async fn events(stentor: &Stentor, request: &Parts) -> Result<Response<Body>, Problem> {
    let query = Query::parse(request.uri.query(), &KNOWN)?;
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
    let wanted = wanted(&request.headers);
    let mut response = match wanted {
        Wanted::Html if stentor.config().console.is_some() => Ok(to_console(stentor, &filters)),
        Wanted::Json => history(stentor, filters, topic, query, request).await,
        Wanted::Stream | Wanted::Ndjson | Wanted::Html => {
            stream(stentor, filters, wanted, query, request).await
        }
    }?;
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept, Origin"));
    Ok(response)
}

async fn stream(
    stentor: &Stentor,
    filters: Filters,
    wanted: Wanted,
    query: &Query,
    request: &Parts,
) -> Result<Response<Body>, Problem> {
    for name in ["after", "before", "limit"] {
        if query.value(name)?.is_some() {
            let detail =
                format!("`{name}` is for history; ask for it with `Accept: application/json`");
            return Err(Problem::invalid_query(detail));
        }
    }
    let cursor = last_event_id(&request.headers, query.value("last_event_id")?);
    let start = start_option(query)?.unwrap_or_default();
    let start = cursor.map_or(start, Start::Cursor);
    let envelope = query.word("envelope", &[("json", Form::Envelope)])?;
    let control = query.word("control", &[("on", true), ("off", false)])?.unwrap_or(true);
    let form = match wanted {
        Wanted::Ndjson => Form::Ndjson,
        _ => envelope.unwrap_or_default(),
    };
    let options = StreamOptions { form, control, ..StreamOptions::new(request.version) };
    if request.method == Method::HEAD {
        return stentor.stream_head(filters, start, options).await;
    }
    stentor.stream(filters, start, options).await
}

/// Where a reader without a cursor begins; two ways at once are a mistake.
fn start_option(query: &Query) -> Result<Option<Start>, Problem> {
    let since = query.value("since")?.map(|text| {
        // A `+` of an offset that was not escaped arrives as a space.
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
        let detail = "give only one of `from`, `last`, `last_each` and `since`";
        return Err(Problem::invalid_query(detail));
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
            let detail = format!("`{name}` is for streams; history is always event objects");
            return Err(Problem::invalid_query(detail));
        }
    }
    if stentor.is_draining() {
        return Err(Problem::draining());
    }
    let cursor = last_event_id(&request.headers, query.value("last_event_id")?);
    let after = cursor.or(query.value("after")?.map(str::to_owned));
    let start = start_option(query)?.unwrap_or(Start::Earliest);
    let names: Vec<String> = filters.iter().map(str::to_owned).collect();
    let exact = filters.exact().to_vec();
    let page = stentor
        .hub()
        .history(HistoryRequest {
            filters,
            start: after.map_or(start, Start::Cursor),
            before: query.value("before")?.map(str::to_owned),
            limit: query.limit(LIMIT, HistoryRequest::LIMIT_MAX)?,
        })
        .await?;
    let subscribers: usize = exact.iter().map(|name| stentor.hub().subscribers(name)).sum();
    let mut object = page_object(&page);
    if let Some(object) = object.as_object_mut() {
        match topic {
            Some(topic) => object.insert("topic".to_owned(), topic.as_str().into()),
            None => object.insert("topics".to_owned(), names.into()),
        };
        object.insert("subscribers".to_owned(), subscribers.into());
    }
    Ok(answer(StatusCode::OK, &object))
}

fn page_object(page: &HistoryPage) -> Value {
    let events: Vec<_> = page.events.iter().filter_map(|record| EventObject::of(record)).collect();
    json!({
        "events": events,
        "next": page.next.map(|cursor| cursor.to_string()),
        "earliest": page.earliest.map(|cursor| cursor.to_string()),
        "tail": page.tail.to_string(),
        "gap": page.gap,
        "ended": page.ended.as_ref().map(|end| json!({
            "reason": end.end_reason(),
            "time": end.time().to_string(),
            "id": end.cursor().to_string(),
        })),
    })
}

/// The console, on the page of these topics.
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
