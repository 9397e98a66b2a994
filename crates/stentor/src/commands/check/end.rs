//! What happens to readers when the stream has ended.

use reqwest::StatusCode;

use super::capture::{Capture, Over};
use super::endpoint::Endpoint;
use super::finding::{Check, Finding};
use super::watch::Watch;

pub(super) const CHECKS: &[&Check] = &[&END];

const END: Check = Check {
    name: "end",
    title: "A stream that has ended stays so",
    why: "To an EventSource the end of an answer is a lost connection: it comes back, for ever. A finished \
          stream that is sent anew each time shows its events again and again, to every open page.",
    mend: "Tell the end in an event of its own, and answer 204 to a reader that comes back with the id of \
           that event: browsers then stop.",
};

/// How often a reader comes back here.
const RECONNECTS_MAX: usize = 2;

/// Waits for the end of the watch, and comes back as a browser would.
pub(super) async fn end(endpoint: &Endpoint, watch: &Watch) -> Vec<Finding> {
    watch.wait(Capture::is_over).await;
    let finding = match watch.look(|capture| capture.over.clone()) {
        Some(Over::Ended) => come_back(endpoint, watch).await,
        Some(Over::Broken(cause)) => END.fail(format!("the stream broke off: {cause}")),
        _ => END.not_observable("the stream did not end as long as it was watched"),
    };
    vec![finding]
}

async fn come_back(endpoint: &Endpoint, watch: &Watch) -> Finding {
    let mut id = watch.look(|capture| capture.last_event_id.clone());
    let mut is_new = false;
    for _ in 0..RECONNECTS_MAX {
        let answer = match endpoint.send(endpoint.resumed(&id)).await {
            Ok(answer) => answer,
            Err(error) => return END.warn(format!("it ended, and then: {error}")),
        };
        match answer.response.status() {
            StatusCode::OK => {}
            StatusCode::NO_CONTENT => return END.pass("204 for a reader that comes back"),
            status => {
                return END.warn(format!(
                    "{status} for a reader that comes back, which is an error to it"
                ));
            }
        }
        let again = Watch::read(answer, endpoint.patience, |_| false).await;
        if let Some(count) = watch.look(|first| repeated(first, &again)) {
            let saw = format!("{count} events come again when a reader comes back with `{id}`");
            return END.fail(saw);
        }
        if again.over != Some(Over::Ended) {
            return END.pass("it ended, and goes on for a reader that comes back");
        }
        is_new |= again.published().next().is_some();
        if !again.last_event_id.is_empty() {
            id = again.last_event_id;
        }
    }
    let saw = format!("it ended again each of {RECONNECTS_MAX} times that a reader came back");
    if is_new { END.warn(saw) } else { END.fail(saw) }
}

/// How many events came in both, if any did.
fn repeated(first: &Capture, again: &Capture) -> Option<usize> {
    let count =
        again.published().filter(|event| first.published().any(|old| old == *event)).count();
    (count > 0).then_some(count)
}
