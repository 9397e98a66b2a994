//! Publishes test events, and checks how they arrive.

use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use tokio::time::Instant;

use super::capture::Capture;
use super::endpoint::Endpoint;
use super::finding::{Check, Finding, complete};
use super::flow::Delivery;
use super::probe::{Kind, Probe, plain, probes};
use super::watch::Watch;

pub(super) const CHECKS: &[&Check] =
    &[&DELIVERY, &LINE_BREAKS, &INJECTION, &SPACES, &EMPTY_DATA, &CHARACTERS];

const DELIVERY: Check = Check {
    name: "delivery",
    title: "A published event arrives",
    why: "This is the purpose of the endpoint.",
    fix: "Check that the POST and the stream use the same topic, and that each proxy between them and \
          the subscriber passes events on.",
};
const LINE_BREAKS: Check = Check {
    name: "line-breaks",
    title: "Line breaks in data arrive, each as one LF",
    why: "On the wire, each line of data is a separate field. Data that is not split, or split at LF \
          only, loses lines: subscribers end a line at CR too.",
    fix: "Split data at CR, LF and CRLF, and write each part as `data: ` and the part, including an \
          empty last one.",
};
const INJECTION: Check = Check {
    name: "injection",
    title: "Publishers cannot forge fields",
    why: "If a line break in data is written unchanged, the text after it is a field. A publisher can \
          then forge ids, types and whole events, and make subscribers resume at a wrong position.",
    fix: "Split data at CR, LF and CRLF; refuse CR, LF and NUL in types and ids.",
};
const SPACES: Check = Check {
    name: "spaces",
    title: "Spaces at the start and end of data arrive",
    why: "Subscribers remove one space after `data:`. A server that writes none loses the first space of the \
          data, as in indented text or tokens of a language model.",
    fix: "Write `data: `, with the space, and do not trim.",
};
const EMPTY_DATA: Check = Check {
    name: "empty-data",
    title: "An event with empty data arrives",
    why: "Subscribers dispatch an event only if it has a data line, which can be empty. Without one it never \
          arrives.",
    fix: "Write `data: ` for empty data too; or refuse an empty publish.",
};
const CHARACTERS: Check = Check {
    name: "characters",
    title: "Any text arrives unchanged",
    why: "Text that looks like a field or a comment, or is not ASCII, is still data.",
    fix: "Write every line of data after `data: ` and encode it as UTF-8, without escaping or replacing.",
};

/// Number of bytes published after an event that did not arrive: more than buffers hold.
const PADDING_BYTES: usize = 64 << 10;

/// The target and the form of test events.
#[derive(Debug)]
pub(super) struct Publishing {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) content_type: HeaderValue,
    /// Name of this run, contained in all its events.
    pub(super) run: String,
}

impl Publishing {
    /// Publishes all probes while the stream is watched, and evaluates how they arrive.
    pub(super) async fn check(
        &self,
        endpoint: &Endpoint,
        watch: &Watch,
    ) -> (Vec<Finding>, Delivery) {
        // An event published before the stream has opened would not be part of it.
        watch.until(endpoint.patience, |capture| !capture.bytes.is_empty()).await;
        if watch.look(Capture::is_over) {
            let reason = "the stream ended before the first publish";
            return (complete(Vec::new(), CHECKS, reason), Delivery::Unknown);
        }
        let (first, delivery) = self.first(endpoint, watch).await;
        let findings = match delivery {
            Delivery::Prompt(_) => self.all(endpoint, watch).await,
            Delivery::HeldBack | Delivery::Unknown => Vec::new(),
        };
        let findings = [vec![first], findings].concat();
        (complete(findings, CHECKS, "published events do not arrive at once"), delivery)
    }

    /// Checks that plain text arrives.
    async fn first(&self, endpoint: &Endpoint, watch: &Watch) -> (Finding, Delivery) {
        let first = plain(&self.run, "first");
        let has_arrived = |capture: &Capture| first.arrived(capture).is_some();
        if let Err(why) = self.publish(endpoint, first.body.clone()).await {
            let is_over = watch.until(endpoint.patience, Capture::is_over).await;
            let finding = if is_over {
                DELIVERY.not_observable(format!("the stream has ended; the publish returned {why}"))
            } else {
                DELIVERY.fail(format!("publishing failed: {why}"))
            };
            return (finding, Delivery::Unknown);
        }
        let published = Instant::now();
        if watch.until(endpoint.patience, has_arrived).await {
            let delivery = Delivery::Prompt(published.elapsed());
            return (DELIVERY.pass(format!("`{}` arrived", first.body)), delivery);
        }
        let padding = format!("{}-padding-{}", self.run, "x".repeat(PADDING_BYTES));
        let _ = self.publish(endpoint, padding).await;
        if watch.until(endpoint.patience, has_arrived).await {
            return (DELIVERY.pass("it arrived late"), Delivery::HeldBack);
        }
        let saw = "the publish succeeded, but the event never arrived";
        (DELIVERY.fail(saw), Delivery::Unknown)
    }

    async fn all(&self, endpoint: &Endpoint, watch: &Watch) -> Vec<Finding> {
        let mut trials = Vec::new();
        for probe in probes(&self.run) {
            let refusal = self.publish(endpoint, probe.body.clone()).await.err();
            trials.push(Trial { probe, refusal });
        }
        if let Some(last) = trials.iter().rfind(|trial| trial.refusal.is_none()) {
            let has_arrived = |capture: &Capture| last.probe.arrived(capture).is_some();
            watch.until(endpoint.patience, has_arrived).await;
        }
        let first = plain(&self.run, "first");
        watch.look(|capture| {
            let is_verbatim =
                first.arrived(capture).is_some_and(|event| event.data == first.expected);
            judge(&trials, capture, is_verbatim)
        })
    }

    /// Publishes an event. An error is the reason for its refusal.
    async fn publish(&self, endpoint: &Endpoint, body: String) -> Result<(), String> {
        let request = endpoint.post(&self.url).headers(self.headers.clone());
        let request = request.header(CONTENT_TYPE, self.content_type.clone()).body(body);
        let open = endpoint.send(request).await.map_err(|error| error.to_string())?;
        let status = open.response.status();
        if status.is_success() { Ok(()) } else { Err(status.to_string()) }
    }
}

/// A probe, and the reason if it was refused.
#[derive(Debug)]
struct Trial {
    probe: Probe,
    refusal: Option<String>,
}

fn judge(trials: &[Trial], capture: &Capture, is_verbatim: bool) -> Vec<Finding> {
    let injection =
        summary(&INJECTION, trials, Kind::Injection, |trial| forgery(&trial.probe, capture));
    if !is_verbatim {
        let reason = "the endpoint wraps published data in another format";
        let texts = [&LINE_BREAKS, &SPACES, &EMPTY_DATA, &CHARACTERS];
        return complete(vec![injection], &texts, reason);
    }
    let altered = |trial: &Trial| alteration(&trial.probe, capture);
    vec![
        summary(&LINE_BREAKS, trials, Kind::LineBreaks, altered),
        injection,
        summary(&SPACES, trials, Kind::Spaces, altered),
        summary(&EMPTY_DATA, trials, Kind::Empty, |_| lost_empty(trials, capture)),
        summary(&CHARACTERS, trials, Kind::Characters, altered),
    ]
}

/// Combines all trials of a kind into one finding.
fn summary(
    check: &'static Check,
    trials: &[Trial],
    kind: Kind,
    fault: impl Fn(&Trial) -> Option<String>,
) -> Finding {
    let trials = trials.iter().filter(|trial| trial.probe.kind == kind);
    let (mut good, mut faults, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for trial in trials {
        let label = trial.probe.label;
        match (&trial.refusal, fault(trial)) {
            (Some(why), _) => refused.push(format!("{label} is refused ({why})")),
            (None, Some(fault)) => faults.push(format!("{label} {fault}")),
            (None, None) => good.push(label.to_owned()),
        }
    }
    if !faults.is_empty() {
        return check.fail(faults.join("; "));
    }
    if good.is_empty() {
        return check.not_observable(refused.join("; "));
    }
    check.pass([vec![good.join(", ")], refused].concat().join("; "))
}

/// Describes how the data differs from the published data.
fn alteration(probe: &Probe, capture: &Capture) -> Option<String> {
    match probe.arrived(capture) {
        None => Some("never arrived".to_owned()),
        Some(event) if event.data == probe.expected => None,
        Some(event) => Some(format!("arrived as `{}`", event.data)),
    }
}

/// Describes the part of the probe's data that became a field.
fn forgery(probe: &Probe, capture: &Capture) -> Option<String> {
    let forged = probe.forged();
    capture.published().find_map(|event| {
        if event.id.as_ref() == Some(&forged) {
            Some("forged an id".to_owned())
        } else if event.event_type == forged {
            Some("forged a type".to_owned())
        } else if event.data.lines().any(|line| line == forged) {
            Some("forged a line of data".to_owned())
        } else {
            None
        }
    })
}

/// Describes the fault if no event with empty data arrived between its neighbors.
fn lost_empty(trials: &[Trial], capture: &Capture) -> Option<String> {
    let place = trials.iter().position(|trial| trial.probe.kind == Kind::Empty)?;
    let (before, after) = trials.split_at(place);
    let mut events = capture.published();
    events.find(|event| before.iter().any(|trial| trial.probe.is(event)))?;
    let mut between = events
        .skip_while(|event| before.iter().any(|trial| trial.probe.is(event)))
        .take_while(|event| !after.iter().any(|trial| trial.probe.is(event)));
    let is_there = between.any(|event| event.data.is_empty());
    (!is_there).then(|| "never arrived".to_owned())
}
