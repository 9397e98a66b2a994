//! Publishes events of its own and looks how they arrive.

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
    why: "This is what the endpoint is for.",
    mend: "See whether what takes the POST and what serves the stream mean the same topic, and whether a \
           proxy between them and the reader passes anything on.",
};
const LINE_BREAKS: Check = Check {
    name: "line-breaks",
    title: "Line breaks in data arrive, each as one LF",
    why: "On the wire each line of data is a field of its own. Data that is not split, or at LF alone, \
          loses lines: readers end a line at CR too.",
    mend: "Split data at CR, LF and CRLF, and write each part as `data: ` and the part, the last empty one too.",
};
const INJECTION: Check = Check {
    name: "injection",
    title: "Nobody can forge fields by what they publish",
    why: "If a line break in data is written as it is, what follows is a field: a publisher can forge ids, \
          types and whole events, and make readers resume at a wrong place.",
    mend: "Split data at CR, LF and CRLF; refuse CR, LF and NUL in types and ids.",
};
const SPACES: Check = Check {
    name: "spaces",
    title: "Spaces at the edges of data arrive",
    why: "Readers take away one space behind `data:`. A server that writes none loses the first space of \
          the data: indented text, tokens of a language model.",
    mend: "Write `data: `, with the space, and do not trim.",
};
const EMPTY_DATA: Check = Check {
    name: "empty-data",
    title: "An event without data is an event",
    why: "Readers dispatch an event only if it has a data line, empty or not. Without one it never arrives.",
    mend: "Write `data: ` for empty data too; or refuse an empty publish.",
};
const CHARACTERS: Check = Check {
    name: "characters",
    title: "Any text arrives as it was",
    why: "What looks like a field or a comment, or is not ASCII, is data all the same.",
    mend: "Write every line of data behind `data: ` and encode it as UTF-8, without escaping or replacing.",
};

/// So much follows an event that did not come: more than buffers hold.
const PADDING_BYTES: usize = 64 << 10;

/// How events are published.
#[derive(Debug)]
pub(super) struct Publishing {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) content_type: HeaderValue,
    /// The name of this run, which is in all that it publishes.
    pub(super) run: String,
}

impl Publishing {
    /// Publishes all probes while the watch is recorded, and judges what came of them.
    pub(super) async fn examine(
        &self,
        endpoint: &Endpoint,
        watch: &Watch,
    ) -> (Vec<Finding>, Delivery) {
        // What is published before the stream has begun may be before its start.
        watch.until(endpoint.patience, |capture| !capture.bytes.is_empty()).await;
        if watch.look(Capture::is_over) {
            let reason = "the stream was over before anything was published";
            return (complete(Vec::new(), CHECKS, reason), Delivery::Unknown);
        }
        let (first, delivery) = self.first(endpoint, watch).await;
        let findings = match delivery {
            Delivery::Prompt(_) => self.all(endpoint, watch).await,
            Delivery::HeldBack | Delivery::Unknown => Vec::new(),
        };
        let findings = [vec![first], findings].concat();
        (complete(findings, CHECKS, "what is published does not arrive at once"), delivery)
    }

    /// Whether plain text arrives.
    async fn first(&self, endpoint: &Endpoint, watch: &Watch) -> (Finding, Delivery) {
        let first = plain(&self.run, "first");
        let has_come = |capture: &Capture| first.arrived(capture).is_some();
        if let Err(why) = self.publish(endpoint, first.body.clone()).await {
            let is_over = watch.until(endpoint.patience, Capture::is_over).await;
            let finding = if is_over {
                DELIVERY.not_observable(format!("the stream is over; publishing answered {why}"))
            } else {
                DELIVERY.fail(format!("publishing failed: {why}"))
            };
            return (finding, Delivery::Unknown);
        }
        let published = Instant::now();
        if watch.until(endpoint.patience, has_come).await {
            let delivery = Delivery::Prompt(published.elapsed());
            return (DELIVERY.pass(format!("`{}` arrived", first.body)), delivery);
        }
        let padding = format!("{}-padding-{}", self.run, "x".repeat(PADDING_BYTES));
        let _ = self.publish(endpoint, padding).await;
        if watch.until(endpoint.patience, has_come).await {
            return (DELIVERY.pass("it arrived, if late"), Delivery::HeldBack);
        }
        let saw = "the publish was answered with success, and the event never came";
        (DELIVERY.fail(saw), Delivery::Unknown)
    }

    async fn all(&self, endpoint: &Endpoint, watch: &Watch) -> Vec<Finding> {
        let mut trials = Vec::new();
        for probe in probes(&self.run) {
            let refusal = self.publish(endpoint, probe.body.clone()).await.err();
            trials.push(Trial { probe, refusal });
        }
        if let Some(last) = trials.iter().rfind(|trial| trial.refusal.is_none()) {
            let has_come = |capture: &Capture| last.probe.arrived(capture).is_some();
            watch.until(endpoint.patience, has_come).await;
        }
        let first = plain(&self.run, "first");
        watch.look(|capture| {
            let is_verbatim =
                first.arrived(capture).is_some_and(|event| event.data == first.expected);
            judge(&trials, capture, is_verbatim)
        })
    }

    /// Publishes an event; an error says why it was not taken.
    async fn publish(&self, endpoint: &Endpoint, body: String) -> Result<(), String> {
        let request = endpoint.post(&self.url).headers(self.headers.clone());
        let request = request.header(CONTENT_TYPE, self.content_type.clone()).body(body);
        let answer = endpoint.send(request).await.map_err(|error| error.to_string())?;
        let status = answer.response.status();
        if status.is_success() { Ok(()) } else { Err(status.to_string()) }
    }
}

/// A probe, and why it was refused if it was.
#[derive(Debug)]
struct Trial {
    probe: Probe,
    refusal: Option<String>,
}

fn judge(trials: &[Trial], capture: &Capture, is_verbatim: bool) -> Vec<Finding> {
    let injection =
        summary(&INJECTION, trials, Kind::Injection, |trial| forgery(&trial.probe, capture));
    if !is_verbatim {
        let reason = "the endpoint wraps what is published into something else";
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

/// One finding of all the trials of a kind.
fn summary(
    check: &'static Check,
    trials: &[Trial],
    kind: Kind,
    fault: impl Fn(&Trial) -> Option<String>,
) -> Finding {
    let trials = trials.iter().filter(|trial| trial.probe.kind == kind);
    let (mut good, mut faults, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for trial in trials {
        let what = trial.probe.what;
        match (&trial.refusal, fault(trial)) {
            (Some(why), _) => refused.push(format!("{what} is refused ({why})")),
            (None, Some(fault)) => faults.push(format!("{what} {fault}")),
            (None, None) => good.push(what.to_owned()),
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

/// How the data differs from what was published.
fn alteration(probe: &Probe, capture: &Capture) -> Option<String> {
    match probe.arrived(capture) {
        None => Some("never arrived".to_owned()),
        Some(event) if event.data == probe.expected => None,
        Some(event) => Some(format!("arrived as `{}`", event.data)),
    }
}

/// What of the probe's data became a field.
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

/// Whether no event without data lies where it must be, between its neighbours.
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
