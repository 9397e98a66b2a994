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
/// Number of topics of a page whose readers are counted before the task yields.
const TOPICS_PER_TURN: usize = 50;

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
    let mut listed = Vec::with_capacity(topics.len());
    for part in topics.chunks(TOPICS_PER_TURN) {
        listed.extend(part.iter().map(|info| {
            json!({
                "topic": info.topic.as_str(),
                "events": info.events,
                "bytes": info.bytes,
                "subscribers": hub.subscribers(&info.topic),
                "ended": info.ended,
            })
        }));
        // Counting takes time if many filters match, and other connections share the core.
        tokio::task::yield_now().await;
    }
    Ok(response(StatusCode::OK, &json!({ "topics": listed, "next": next })))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test panics")]

    use std::pin::pin;
    use std::task::{Context, Waker};

    use futures_util::FutureExt;
    use http::Request;
    use stentor_hub::{Hub, TopicName};

    use super::*;

    #[test]
    fn a_long_list_lets_other_tasks_run_in_between() {
        let hub = Hub::memory();
        for number in 0..LIMIT_MAX {
            let topic = TopicName::new(format!("t/{number}")).unwrap();
            hub.send(&topic, "x").now_or_never().unwrap().unwrap();
        }
        let stentor = Stentor::new(hub);
        let (request, ()) = Request::get("/topics?limit=1000").body(()).unwrap().into_parts();
        let mut list = pin!(list(&stentor, &request));
        let mut turns = 1;
        while list.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            turns += 1;
        }
        assert!(turns > LIMIT_MAX / TOPICS_PER_TURN, "{turns} turns");
    }
}
