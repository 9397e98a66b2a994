//! Ids, and whether a reader that comes back misses nothing and gets nothing twice.

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
    why: "A reader that lost its connection says with the last id where it was. Without ids all that was \
          sent meanwhile is lost, and nobody notices.",
    mend: "Send an `id:` with each event that names its place in the stream.",
};
const UNIQUE_IDS: Check = Check {
    name: "unique-ids",
    title: "No two events have the same id",
    why: "An id that stands for two events cannot say behind which of them a reader is.",
    mend: "Use the place in a log (an offset, a sequence number of the database) and nothing that repeats, \
           such as a time or a counter of each connection.",
};
const RESUME: Check = Check {
    name: "resume",
    title: "Behind a Last-Event-ID comes exactly what follows",
    why: "Connections break: networks change, laptops sleep, servers are updated. If what was sent meanwhile \
          is skipped, readers are wrong from then on; if it is sent again, they count it twice.",
    mend: "Keep what was sent for a while, send what is behind `Last-Event-ID` from there, in order, and go \
           on live without a seam.",
};
const RESUME_BY_QUERY: Check = Check {
    name: "resume-by-query",
    title: "A place can be named in the address too",
    why: "A page that loads with data of a known state wants what follows, but a new EventSource cannot send \
          Last-Event-ID.",
    mend: "Take `?last_event_id=` as well; a Last-Event-ID header wins over it, for reconnects send both.",
};
const UNKNOWN_ID: Check = Check {
    name: "unknown-id",
    title: "An id that nobody knows is no error",
    why: "Ids grow old, and servers lose their data. If the answer is 4xx or 5xx (or 204), every browser \
          with such an id closes its EventSource and stays silent until the page is loaded anew.",
    mend: "Answer 200, tell the gap in an event of its own, and go on from the oldest event there is, or live.",
};

/// The most events that are asked for a second time.
const RESUMED_MAX: usize = 10;

/// What the ids themselves show.
pub(super) fn ids(capture: &Capture, probe: &str) -> Vec<Finding> {
    let events: Vec<&ReceivedEvent> = capture.published().collect();
    let with_id = events.iter().filter(|event| has_id(event)).count();
    if events.is_empty() {
        let reason = "no event came; publish with --publish-url, or watch longer";
        return vec![IDS.not_observable(reason), UNIQUE_IDS.not_observable(reason)];
    }
    let ids = match with_id {
        0 => IDS.warn(format!("none of {} events has one", events.len())),
        all if all == events.len() => IDS.pass(format!("all {all} events have one")),
        some => IDS.warn(format!("only {some} of {} events have one", events.len())),
    };
    let mut seen = HashSet::new();
    // What was forged by a probe is not the server's doing.
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

/// Events with ids, but not with those that a probe forged.
fn numbered<'r>(
    capture: &'r Capture,
    probe: &'r str,
) -> impl DoubleEndedIterator<Item = &'r ReceivedEvent> {
    capture.published().filter(move |event| {
        has_id(event) && !event.id.as_ref().is_some_and(|id| id.contains(probe))
    })
}

/// Comes back once with an id of the middle, when there is one.
pub(super) async fn resume(endpoint: &Endpoint, watch: &Watch, probe: &str) -> Vec<Finding> {
    let is_enough = |capture: &Capture| numbered(capture, probe).nth(1).is_some();
    watch.wait(is_enough).await;
    let Some(place) = watch.look(|capture| Place::choose(capture, probe)) else {
        let reason =
            "fewer than two events with ids came; publish with --publish-url, or watch longer";
        return vec![RESUME.not_observable(reason), RESUME_BY_QUERY.not_observable(reason)];
    };
    let resumed = endpoint.resumed(&place.id);
    let resume = match place.ask(endpoint, resumed, probe).await {
        Ok(()) => RESUME.pass(format!("the {} events behind `{}`", place.follows.len(), place.id)),
        Err(fault) => RESUME.fail(format!("behind `{}`: {fault}", place.id)),
    };
    let by_query = match resume.outcome {
        Outcome::Pass => by_query(endpoint, &place, probe).await,
        _ => RESUME_BY_QUERY.not_observable("resuming does not work at all"),
    };
    vec![resume, by_query]
}

/// The names under which servers take an id in the address.
const QUERY_NAMES: [&str; 3] = ["last_event_id", "lastEventID", "last-event-id"];

async fn by_query(endpoint: &Endpoint, place: &Place, probe: &str) -> Finding {
    for name in QUERY_NAMES {
        let mut url = endpoint.url.clone();
        url.query_pairs_mut().append_pair(name, &place.id);
        let request = endpoint.stream_at(url);
        if place.ask(endpoint, request, probe).await.is_ok() {
            return RESUME_BY_QUERY.pass(format!("?{name}="));
        }
    }
    RESUME_BY_QUERY.warn(format!("none of {} is taken", QUERY_NAMES.join(", ")))
}

/// A place in the stream, and what is known to follow.
#[derive(Debug)]
struct Place {
    id: String,
    follows: Vec<String>,
    /// The ids up to the place.
    before: HashSet<String>,
}

impl Place {
    fn choose(capture: &Capture, probe: &str) -> Option<Place> {
        let ids = numbered(capture, probe).filter_map(|event| event.id.clone());
        let mut ids: Vec<String> = ids.collect();
        let at = ids.len().checked_sub(2)?.saturating_sub(RESUMED_MAX - 1);
        let follows = ids.split_off(at + 1);
        Some(Place { id: ids.last()?.clone(), follows, before: ids.into_iter().collect() })
    }

    /// Sends a request that means this place, and reads what follows. An error says what is wrong.
    async fn ask(
        &self,
        endpoint: &Endpoint,
        request: reqwest::RequestBuilder,
        probe: &str,
    ) -> Result<(), String> {
        let answer = endpoint.send(request).await.map_err(|error| error.to_string())?;
        if answer.response.status() != StatusCode::OK {
            return Err(format!("the answer is {}", answer.response.status()));
        }
        let is_seen = |capture: &Capture| {
            let came = numbered(capture, probe).count();
            came >= self.follows.len() || self.compare(capture, probe).is_err()
        };
        let capture = Watch::read(answer, endpoint.patience, is_seen).await;
        self.compare(&capture, probe)?;
        let came = numbered(&capture, probe).count();
        if came < self.follows.len() {
            let (came, all) = (came.to_string(), self.follows.len());
            return Err(format!("only {came} of the {all} events that follow came"));
        }
        Ok(())
    }

    /// Whether what came so far is what follows.
    fn compare(&self, capture: &Capture, probe: &str) -> Result<(), String> {
        let came = numbered(capture, probe).filter_map(|event| event.id.as_ref());
        for (id, wanted) in came.zip(&self.follows) {
            if id == wanted {
                continue;
            }
            return Err(if self.before.contains(id) {
                format!("`{id}` comes again, which is not behind it")
            } else if self.follows.contains(id) {
                format!("`{id}` comes where `{wanted}` was to come")
            } else {
                format!(
                    "`{id}` comes, which the first stream did not have here, and not `{wanted}`"
                )
            });
        }
        Ok(())
    }
}

/// Comes with ids that nobody gave.
pub(super) async fn unknown_id(endpoint: &Endpoint, probe: &str) -> Vec<Finding> {
    for id in [format!("{probe}-unknown"), format!("{probe}-\u{FC}nknown")] {
        let finding = match endpoint.send(endpoint.resumed(&id)).await {
            Ok(answer) if answer.response.status() == StatusCode::OK => continue,
            Ok(answer) => UNKNOWN_ID
                .fail(format!("`Last-Event-ID: {id}` is answered {}", answer.response.status())),
            Err(error) => UNKNOWN_ID.fail(format!("`Last-Event-ID: {id}`: {error}")),
        };
        return vec![finding];
    }
    vec![UNKNOWN_ID.pass("200, for letters beyond ASCII too")]
}
