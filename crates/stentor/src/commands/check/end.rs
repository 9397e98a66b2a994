//! Checks of the end of a stream.

use reqwest::StatusCode;

use super::capture::{Capture, EndReason};
use super::endpoint::Endpoint;
use super::finding::{Check, Finding};
use super::watch::Watch;

pub(super) const CHECKS: &[&Check] = &[&END];

const END: Check = Check {
    name: "end",
    title: "A stream that has ended stays ended",
    why: "An EventSource treats the end of a response as a lost connection, and reconnects without end. \
          A finished stream that is sent again each time repeats its events on every open page.",
    fix: "Send a separate event that announces the end, and respond 204 to a subscriber that reconnects with \
          the id of that event. Browsers then stop.",
};

/// Number of reconnects that are tried.
const RECONNECTS_MAX: usize = 2;

/// Waits for the end of the watched stream, and reconnects as a browser does.
pub(super) async fn end(endpoint: &Endpoint, watch: &Watch) -> Vec<Finding> {
    watch.wait(Capture::is_over).await;
    let finding = match watch.look(|capture| capture.over.clone()) {
        Some(EndReason::Ended) => reconnect(endpoint, watch).await,
        Some(EndReason::Broken(cause)) => END.fail(format!("the connection broke: {cause}")),
        _ => END.not_observable("the stream did not end while it was watched"),
    };
    vec![finding]
}

async fn reconnect(endpoint: &Endpoint, watch: &Watch) -> Finding {
    let mut id = watch.look(|capture| capture.last_event_id.clone());
    let mut is_new = false;
    for _ in 0..RECONNECTS_MAX {
        let open = match endpoint.send(endpoint.resumed(&id)).await {
            Ok(open) => open,
            Err(error) => return END.warn(format!("it ended, and the reconnect failed: {error}")),
        };
        match open.response.status() {
            StatusCode::OK => {}
            StatusCode::NO_CONTENT => return END.pass("204 for a subscriber that reconnects"),
            status => {
                return END.warn(format!(
                    "{status} for a subscriber that reconnects, which browsers treat as an error"
                ));
            }
        }
        let again = Watch::read(open, endpoint.patience, |_| false).await;
        if let Some(count) = watch.look(|first| repeated(first, &again)) {
            let saw =
                format!("{count} events are repeated when a subscriber reconnects with `{id}`");
            return END.fail(saw);
        }
        if again.over != Some(EndReason::Ended) {
            return END.pass("it ended, and continues for a subscriber that reconnects");
        }
        is_new |= again.published().next().is_some();
        if !again.last_event_id.is_empty() {
            id = again.last_event_id;
        }
    }
    let saw = format!("it ended again on each of {RECONNECTS_MAX} reconnects");
    if is_new { END.warn(saw) } else { END.fail(saw) }
}

/// Returns the number of events in both, if there are any.
fn repeated(first: &Capture, again: &Capture) -> Option<usize> {
    let count =
        again.published().filter(|event| first.published().any(|old| old == *event)).count();
    (count > 0).then_some(count)
}
