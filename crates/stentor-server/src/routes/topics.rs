//! `GET /topics`: lists topics.

use std::{mem, vec};

use http::Response;
use http::request::Parts;
use serde::Serialize;
use stentor_hub::storage::{TopicInfo, TopicsQuery};
use stentor_hub::{Hub, TopicName};

use crate::body::Body;
use crate::context::Stentor;
use crate::held::PieceSource;
use crate::json::{append, response_of};
use crate::limits::PIECE_BYTES_MAX;
use crate::problem::Problem;
use crate::query::Query;

/// Default and maximum number of topics in a page.
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1_000;
/// Number of topics that are encoded at once: about a piece of a body.
const TOPICS_PER_PIECE: usize = 50;
/// Approximate memory of an entry of the list besides its name, in bytes.
const INFO_BYTES: usize = 64;
/// Maximum memory of an entry of the list, in bytes.
const ENTRY_BYTES_MAX: usize = INFO_BYTES + TopicName::BYTES_MAX;

/// Lists topics by name, in byte order. `next` is the `after=` of the next page, null on the last one.
pub(crate) async fn list(stentor: &Stentor, request: &Parts) -> Result<Response<Body>, Problem> {
    let query = Query::parse(request.uri.query(), &["prefix", "limit", "after"])?;
    let limit = query.limit(LIMIT, LIMIT_MAX)?;
    let hub = stentor.hub();
    let budget = stentor.response_budget();
    // While little memory is free, the list is shorter.
    let limit = limit.min(budget.page_bytes(limit * ENTRY_BYTES_MAX) / ENTRY_BYTES_MAX);
    let mut charge = budget.charge((limit + 1) * ENTRY_BYTES_MAX).await?;
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
    let next = topics.last().filter(|_| more).map(|last| last.topic.clone());
    let list = ListEncoder { hub: hub.clone(), topics: topics.into_iter(), next, is_begun: false };
    charge.shrink(list.held_bytes() + PIECE_BYTES_MAX);
    Ok(response_of(list, charge, stentor.metrics()))
}

/// A list of topics that is encoded piece by piece. The readers of a topic are counted when it is encoded.
struct ListEncoder {
    hub: Hub,
    topics: vec::IntoIter<TopicInfo>,
    next: Option<TopicName>,
    is_begun: bool,
}

/// A topic of the list.
#[derive(Serialize)]
struct Listed<'a> {
    topic: &'a str,
    events: u64,
    bytes: u64,
    subscribers: usize,
    ended: bool,
}

impl PieceSource for ListEncoder {
    fn encode(&mut self, piece: &mut Vec<u8>) -> bool {
        // Counting takes time if many filters match, and other connections share the core.
        for _ in 0..TOPICS_PER_PIECE {
            let begun = mem::replace(&mut self.is_begun, true);
            if !begun {
                piece.extend_from_slice(b"{\"topics\":[");
            }
            let Some(info) = self.topics.next() else {
                piece.extend_from_slice(b"],\"next\":");
                append(piece, &self.next.as_ref().map(TopicName::as_str));
                piece.extend_from_slice(b"}\n");
                return false;
            };
            if begun {
                piece.push(b',');
            }
            append(
                piece,
                &Listed {
                    topic: info.topic.as_str(),
                    events: info.events,
                    bytes: info.bytes,
                    subscribers: self.hub.subscribers(&info.topic),
                    ended: info.ended,
                },
            );
        }
        true
    }

    fn held_bytes(&self) -> usize {
        self.topics.as_slice().iter().map(|info| INFO_BYTES + info.topic.as_str().len()).sum()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test panics")]

    use futures_util::FutureExt;
    use http::Request;
    use http_body_util::BodyExt;

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
        let list = list(&stentor, &request).now_or_never().unwrap().unwrap();
        let (mut body, mut pieces, mut turns) = (list.into_body(), Vec::<Vec<u8>>::new(), 1);
        loop {
            match body.frame().now_or_never() {
                Some(Some(piece)) => {
                    pieces.push(piece.unwrap().into_data().unwrap().to_vec());
                }
                Some(None) => break,
                None => turns += 1,
            }
        }
        assert!(pieces.len() >= LIMIT_MAX / TOPICS_PER_PIECE, "{} pieces", pieces.len());
        assert!(turns > 1);
        let list: serde_json::Value = serde_json::from_slice(&pieces.concat()).unwrap();
        assert_eq!(list["topics"].as_array().unwrap().len(), LIMIT_MAX);
        assert!(list["next"].is_null());
    }
}
