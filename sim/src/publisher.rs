//! A publisher that uses every kind of publish request, repeats requests with keys, and gives up at times.

mod requests;

use std::time::Duration;

use fastrand::Rng;
use futures_util::FutureExt;
use http_body_util::{BodyExt, Collected};
use serde_json::Value;
use stentor_testing::judge::{Atomicity, EventKey, History, Outcome, SentEvent, Write};
use tokio::time::Instant;

use crate::counts::Counts;
use crate::flag::Task;
use crate::leases::LeasedTopics;
use crate::node::{Answer, Node};
use crate::request::{Draft, SimBody};
use crate::trace::Trace;

/// A publisher.
pub(crate) struct Publisher {
    number: u32,
    rng: Rng,
    /// Maximum size of its events in bytes.
    event_bytes_max: usize,
    written: u64,
    job: Job,
    work: Job,
    phase: Phase,
    /// A broken rule.
    pub(crate) fault: Option<String>,
}

/// A topic of this publisher alone.
#[derive(Default)]
struct Job {
    number: u32,
    events: u32,
}

enum Phase {
    Idle,
    Busy { task: Task<Answer>, body: SimBody, request: Request },
    Retry { until: Instant, request: Request },
}

/// A request and its entry in the history.
struct Request {
    draft: Draft,
    entry: HistoryEntry,
    /// It can be repeated without duplicates.
    is_repeatable: bool,
    /// Topic and seconds of the lease that it sets.
    lease: Option<(String, u64)>,
}

enum HistoryEntry {
    Write(usize),
    Delete { topic: String, at: usize },
}

impl Publisher {
    /// Creates a publisher.
    pub(crate) fn new(number: u32, event_bytes_max: usize, rng: Rng) -> Publisher {
        Publisher {
            number,
            rng,
            event_bytes_max,
            written: 0,
            job: Job::default(),
            work: Job::default(),
            phase: Phase::Idle,
            fault: None,
        }
    }

    /// Returns `true` if it has no request under way.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle)
    }

    /// The time until which it waits before it repeats a request.
    pub(crate) fn waits_until(&self) -> Option<Instant> {
        if let Phase::Retry { until, .. } = self.phase { Some(until) } else { None }
    }

    /// Returns `true` if the request under way can continue.
    pub(crate) fn is_due(&self) -> bool {
        match &self.phase {
            Phase::Idle => false,
            Phase::Busy { task, body, .. } => task.is_woken() || body.is_waiting(),
            Phase::Retry { until, .. } => *until <= Instant::now(),
        }
    }

    /// Starts a new request.
    pub(crate) fn begin(&mut self, node: &Node, history: &mut History, trace: &mut Trace) {
        let request = self.next_request(history);
        trace.add("request", &[u64::from(self.number)], || request.draft.target.clone());
        self.send(node, request);
    }

    /// Continues the request under way: lets a piece of its body arrive, takes its answer, or repeats it.
    pub(crate) fn step(
        &mut self,
        node: Option<&Node>,
        history: &mut History,
        leases: &mut LeasedTopics,
        counts: &mut Counts,
        trace: &mut Trace,
    ) {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Idle => {}
            Phase::Busy { mut task, body, request } => {
                if body.is_waiting() && (!task.is_woken() || self.rng.bool()) {
                    body.arrive();
                    self.phase = Phase::Busy { task, body, request };
                    return;
                }
                match task.poll() {
                    None => self.phase = Phase::Busy { task, body, request },
                    Some(answer) => self.take(answer, request, history, leases, counts, trace),
                }
            }
            Phase::Retry { request, .. } => match node {
                Some(node) if !node.is_draining => {
                    counts.add("publish repeated");
                    trace.add("repeat", &[u64::from(self.number)], || request.draft.target.clone());
                    self.send(node, request);
                }
                _ => self.repeat_later(request),
            },
        }
    }

    fn send(&mut self, node: &Node, request: Request) {
        let pieces = self.rng.usize(0..4);
        let body = SimBody::new(request.draft.body.clone(), pieces, &mut self.rng);
        let Some(sent) = request.draft.request(body.clone()) else {
            self.fault = Some(format!("{:?} is not a request", request.draft));
            return;
        };
        self.phase = Phase::Busy { task: node.call(sent), body, request };
    }

    /// Gives the request up: its connection is closed, or its body is cut. Returns `false` if it has none.
    pub(crate) fn give_up(&mut self, counts: &mut Counts) -> bool {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Busy { task, body, request } if body.is_waiting() && self.rng.bool() => {
                body.cut();
                counts.add("body cut");
                self.phase = Phase::Busy { task, body, request };
                true
            }
            Phase::Busy { request, .. } => {
                counts.add("request given up");
                self.repeat_later(request);
                true
            }
            other => {
                self.phase = other;
                false
            }
        }
    }

    /// The server was killed.
    pub(crate) fn server_killed(&mut self) {
        if let Phase::Busy { request, .. } = std::mem::replace(&mut self.phase, Phase::Idle) {
            self.repeat_later(request);
        }
    }

    fn repeat_later(&mut self, request: Request) {
        self.phase = if request.is_repeatable {
            let wait = Duration::from_millis(self.rng.u64(0..3_000));
            Phase::Retry { until: Instant::now() + wait, request }
        } else {
            Phase::Idle
        };
    }

    fn take(
        &mut self,
        answer: Answer,
        request: Request,
        history: &mut History,
        leases: &mut LeasedTopics,
        counts: &mut Counts,
        trace: &mut Trace,
    ) {
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().now_or_never().and_then(Result::ok);
        let body = body.map(Collected::to_bytes).unwrap_or_default();
        trace.add("answer", &[u64::from(self.number), u64::from(status)], || {
            String::from_utf8_lossy(&body).into_owned()
        });
        trace.add_bytes(&body);
        let object: Value = serde_json::from_slice(&body).unwrap_or_default();
        let code = object.get("code").and_then(Value::as_str).unwrap_or_default();
        match (status, &request.entry) {
            (200, HistoryEntry::Write(_)) => counts.add("200 repeat"),
            (201, HistoryEntry::Write(_)) => counts.add("201"),
            (204, HistoryEntry::Delete { .. }) => counts.add("204 deleted"),
            (409, _) => counts.add("409"),
            (503, _) => counts.add("503"),
            (400 | 408, _) => counts.add("bad body"),
            _ => {
                self.fault = Some(format!("{} got {status} {object}", request.draft.target));
                return;
            }
        }
        let now = Instant::now();
        match &request.entry {
            HistoryEntry::Delete { topic, at } => {
                if status != 204 {
                    return self.repeat_later(request);
                }
                let deletes = history.deletes.get_mut(topic);
                if let Some(delete) = deletes.and_then(|deletes| deletes.get_mut(*at)) {
                    delete.acknowledged = Some(now);
                }
            }
            HistoryEntry::Write(at) => {
                let Some(write) = history.writes.get_mut(*at) else { return };
                if matches!(status, 200 | 201) {
                    acknowledge(write, &object, now);
                    if let Some((topic, seconds)) = &request.lease {
                        leases.granted(topic, *seconds);
                    }
                    return;
                }
                if matches!(status, 400 | 408 | 503) && request.is_repeatable {
                    return self.repeat_later(request);
                }
                // After an error of the storage, the log may contain the publish; an upload may be there in part.
                let is_known = write.atomicity == Atomicity::Atomic
                    && (status == 409 || status == 503 && code != "storage");
                if is_known {
                    write.outcome = Outcome::Refused(now, status);
                }
            }
        }
    }
}

/// Records a write that is about to be sent.
pub(crate) fn begin(
    history: &mut History,
    atomicity: Atomicity,
    lines: &[(String, EventKey)],
    end: Option<(String, String)>,
) -> usize {
    let lines = lines.iter().map(|(topic, event_key)| SentEvent {
        topic: topic.clone(),
        event_key: *event_key,
        id: None,
    });
    history.push(Write {
        atomicity,
        lines: lines.collect(),
        end,
        end_id: None,
        sent: Instant::now(),
        outcome: Outcome::Unknown,
    })
}

fn acknowledge(write: &mut Write, object: &Value, now: Instant) {
    write.outcome = Outcome::Acknowledged(now);
    let text = |name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
    let first = text("id").or_else(|| text("first_id"));
    match write.lines.first_mut() {
        Some(line) => line.id = first,
        None => write.end_id = first,
    }
    if let (Some(line), Some(id)) = (write.lines.last_mut(), text("last_id")) {
        line.id = Some(id);
    }
}
