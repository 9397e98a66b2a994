//! `GET /topics`: lists topics.

use http::request::Parts;
use http::{Response, StatusCode};
use serde_json::json;
use stentor_hub::TopicsQuery;

use crate::body::Body;
use crate::context::Stentor;
use crate::json::response;
use crate::problem::Problem;
use crate::query::Query;

/// Default and maximum number of topics in a page.
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1_000;

/// Lists topics by name, in byte order. `next` is the `after=` of the next page, null on the last one.
pub(crate) async fn list(stentor: &Stentor, request: &Parts) -> Result<Response<Body>, Problem> {
    let query = Query::parse(request.uri.query(), &["prefix", "limit", "after"])?;
    let limit = query.limit(LIMIT, LIMIT_MAX)?;
    let hub = stentor.hub();
    let mut topics = hub
        .topics(TopicsQuery {
            prefix: query.value("prefix")?.unwrap_or_default().to_owned(),
            after: query.value("after")?.map(str::to_owned),
            // One more than the page shows whether there is a next page.
            limit: limit + 1,
        })
        .await?;
    let more = topics.len() > limit;
    topics.truncate(limit);
    let next = topics.last().filter(|_| more).map(|last| last.topic.as_str());
    let topics: Vec<_> = topics
        .iter()
        .map(|info| {
            json!({
                "topic": info.topic.as_str(),
                "events": info.events,
                "bytes": info.bytes,
                "subscribers": hub.subscribers(&info.topic),
                "ended": info.ended,
            })
        })
        .collect();
    Ok(response(StatusCode::OK, &json!({ "topics": topics, "next": next })))
}
