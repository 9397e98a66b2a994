//! Checks of ids, and of subscribers that reconnect: they must miss nothing and get nothing twice.

use std::collections::HashSet;

use reqwest::StatusCode;

use super::capture::{Capture, ReceivedEvent};
use super::endpoint::Endpoint;
use super::finding::{Check, Finding, Outcome};
use super::watch::Watch;

pub(super) const CHECKS: &[&Check] = &[&IDS, &UNIQUE_IDS, &RESUME, &RESUME_BY_QUERY, &UNKNOWN_ID];

const IDS: Check = Check {
    name: "ids",
    title: "Events carry ids",
    why: "A subscriber that lost its connection sends the last id, so that the server knows its position. \
          Without ids everything sent meanwhile is lost unnoticed.",
    fix: "Send an `id:` with each event that identifies its position in the stream.",
};
const UNIQUE_IDS: Check = Check {
    name: "unique-ids",
    title: "No two events have the same id",
    why: "If two events share an id, the server cannot know after which of them to continue.",
    fix: "Use the position in a log (an offset, a sequence number of the database), and nothing that \
          repeats, such as a time or a counter per connection.",
};
const RESUME: Check = Check {
    name: "resume",
    title: "After a Last-Event-ID exactly the following events arrive",
    why: "Connections break: networks change, laptops sleep, servers are updated. If events sent \
          meanwhile are skipped, subscribers stay wrong; if they are sent again, subscribers count them twice.",
    fix: "Keep sent events for a while. Send the events after `Last-Event-ID` in order, then continue \
          live without a gap.",
};
const RESUME_BY_QUERY: Check = Check {
    name: "resume-by-query",
    title: "The URL can contain the position too",
    why: "A page that is loaded with data of a known position needs the events after it, but a new \
          EventSource cannot send Last-Event-ID.",
    fix: "Accept `?last_event_id=` too. The Last-Event-ID header wins over it, because reconnects send \
          both.",
};
const UNKNOWN_ID: Check = Check {
    name: "unknown-id",
    title: "An unknown id is not an error",
    why: "Ids expire, and servers lose their data. If the response is 4xx, 5xx or 204, every browser \
          with such an id closes its EventSource and stays silent until the page is reloaded.",
    fix: "Respond 200, report the gap in a separate event, and continue from the oldest available \
          event, or live.",
};

/// Maximum number of events that are requested a second time.
const RESUMED_MAX: usize = 10;

/// Checks the ids of the captured events.
pub(super) fn ids(capture: &Capture, probe: &str) -> Vec<Finding> {
    let events: Vec<&ReceivedEvent> = capture.published().collect();
    let with_id = events.iter().filter(|event| has_id(event)).count();
    if events.is_empty() {
        let reason = "no event arrived; publish with --publish-url, or watch longer";
        return vec![IDS.not_observable(reason), UNIQUE_IDS.not_observable(reason)];
    }
    let ids = match with_id {
        0 => IDS.warn(format!("none of {} events has one", events.len())),
        all if all == events.len() => IDS.pass(format!("all {all} events have one")),
        some => IDS.warn(format!("only {some} of {} events have one", events.len())),
    };
    let mut seen = HashSet::new();
    // Ids forged by a probe are not the server's.
    let mut own = numbered(capture, probe).filter_map(|event| event.id.as_deref());
    let unique = match own.find(|id| !seen.insert(*id)) {
        Some(id) => UNIQUE_IDS.fail(format!("two events have the id `{id}`")),
        None if seen.is_empty() => UNIQUE_IDS.not_observable("no event has an id"),
        None => UNIQUE_IDS.pass(format!("{} ids, all different", seen.len())),
    };
    vec![ids, unique]
}

fn has_id(event: &ReceivedEvent) -> bool {
    event.id.as_ref().is_some_and(|id| !id.is_empty())
}

/// Returns the events with ids, without those whose id a probe forged.
fn numbered<'r>(
    capture: &'r Capture,
    probe: &'r str,
) -> impl DoubleEndedIterator<Item = &'r ReceivedEvent> {
    capture.published().filter(move |event| {
        has_id(event) && !event.id.as_ref().is_some_and(|id| id.contains(probe))
    })
}

/// Reconnects once with the id of an earlier event, as soon as there is one.
pub(super) async fn resume(endpoint: &Endpoint, watch: &Watch, probe: &str) -> Vec<Finding> {
    let is_enough = |capture: &Capture| numbered(capture, probe).nth(1).is_some();
    watch.wait(is_enough).await;
    let Some(position) = watch.look(|capture| Position::choose(capture, probe)) else {
        let reason =
            "fewer than two events with ids arrived; publish with --publish-url, or watch longer";
        return vec![RESUME.not_observable(reason), RESUME_BY_QUERY.not_observable(reason)];
    };
    let resumed = endpoint.resumed(&position.id);
    let resume = match position.check(endpoint, resumed, probe).await {
        Ok(()) => {
            let count = position.following.len();
            RESUME.pass(format!("{count} of {count} events after `{}`", position.id))
        }
        Err(fault) => RESUME.fail(format!("after `{}`: {fault}", position.id)),
    };
    let by_query = match resume.outcome {
        Outcome::Pass => by_query(endpoint, &position, probe).await,
        _ => RESUME_BY_QUERY.not_observable("resuming with Last-Event-ID does not work"),
    };
    vec![resume, by_query]
}

/// Names of the query parameter in use.
const QUERY_NAMES: [&str; 3] = ["last_event_id", "lastEventID", "last-event-id"];

async fn by_query(endpoint: &Endpoint, position: &Position, probe: &str) -> Finding {
    for name in QUERY_NAMES {
        let mut url = endpoint.url.clone();
        url.query_pairs_mut().append_pair(name, &position.id);
        let request = endpoint.stream_at(url);
        if position.check(endpoint, request, probe).await.is_ok() {
            return RESUME_BY_QUERY.pass(format!("?{name}="));
        }
    }
    RESUME_BY_QUERY.warn(format!("none of {} is accepted", QUERY_NAMES.join(", ")))
}

/// A position in the stream, and the events known to follow.
#[derive(Debug)]
struct Position {
    id: String,
    /// The ids after the position.
    following: Vec<String>,
    /// The ids up to the position.
    before: HashSet<String>,
}

impl Position {
    fn choose(capture: &Capture, probe: &str) -> Option<Position> {
        let ids = numbered(capture, probe).filter_map(|event| event.id.clone());
        let mut ids: Vec<String> = ids.collect();
        let at = ids.len().checked_sub(2)?.saturating_sub(RESUMED_MAX - 1);
        let following = ids.split_off(at + 1);
        Some(Position { id: ids.last()?.clone(), following, before: ids.into_iter().collect() })
    }

    /// Sends a request for this position, and checks the events that follow. An error describes the fault.
    async fn check(
        &self,
        endpoint: &Endpoint,
        request: reqwest::RequestBuilder,
        probe: &str,
    ) -> Result<(), String> {
        let open = endpoint.send(request).await.map_err(|error| error.to_string())?;
        if open.response.status() != StatusCode::OK {
            return Err(format!("the response is {}", open.response.status()));
        }
        let is_enough = |capture: &Capture| {
            let arrived = numbered(capture, probe).count();
            arrived >= self.following.len() || self.compare(capture, probe).is_err()
        };
        let capture = Watch::read(open, endpoint.patience, is_enough).await;
        self.compare(&capture, probe)?;
        let arrived = numbered(&capture, probe).count();
        if arrived < self.following.len() {
            let (arrived, all) = (arrived.to_string(), self.following.len());
            return Err(format!("only {arrived} of the {all} following events arrived"));
        }
        Ok(())
    }

    /// Fails if the events so far are not the following ones.
    fn compare(&self, capture: &Capture, probe: &str) -> Result<(), String> {
        let arrived = numbered(capture, probe).filter_map(|event| event.id.as_ref());
        for (id, wanted) in arrived.zip(&self.following) {
            if id == wanted {
                continue;
            }
            return Err(if self.before.contains(id) {
                format!("`{id}` is repeated, although it is not after the position")
            } else if self.following.contains(id) {
                format!("`{id}` arrived instead of `{wanted}`")
            } else {
                format!("`{id}` arrived instead of `{wanted}`; the first stream did not contain it")
            });
        }
        Ok(())
    }
}

/// Connects with ids that the server never used.
pub(super) async fn unknown_id(endpoint: &Endpoint, probe: &str) -> Vec<Finding> {
    for id in [format!("{probe}-unknown"), format!("{probe}-\u{FC}nknown")] {
        let finding = match endpoint.send(endpoint.resumed(&id)).await {
            Ok(open) if open.response.status() == StatusCode::OK => continue,
            Ok(open) => {
                UNKNOWN_ID.fail(format!("`Last-Event-ID: {id}` returns {}", open.response.status()))
            }
            Err(error) => UNKNOWN_ID.fail(format!("`Last-Event-ID: {id}`: {error}")),
        };
        return vec![finding];
    }
    vec![UNKNOWN_ID.pass("200, for non-ASCII letters too")]
}
