//! A subscriber that reconnects with the logic of the client.

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use fastrand::Rng;
use futures_util::FutureExt;
use http::{Method, StatusCode, Version};
use http_body::Body as _;
use http_body_util::BodyExt;
use stentor_client::reconnect::{Backoff, Mode, Outcome, Reconnect, Step};
use stentor_server::Body;
use stentor_testing::judge::{Form, Observations, Recorder};
use tokio::time::Instant;

use crate::counts::Counts;
use crate::flag::{Signal, Task};
use crate::host::Newcomer;
use crate::http::ResponseReader;
use crate::node::{Answer, Node};
use crate::plan::ReaderPlan;
use crate::request::{Draft, SimBody};
use crate::trace::Trace;
use crate::wire::Wire;

/// A subscriber.
pub(crate) struct Reader {
    /// Its behavior.
    pub(crate) plan: ReaderPlan,
    /// Everything it received.
    pub(crate) recorder: Recorder,
    reconnect: Reconnect,
    phase: Phase,
    rng: Rng,
    origin: Instant,
    /// Time at which it sent its last request.
    asked: Instant,
    /// Time at which the stream was opened.
    opened: Option<Instant>,
    /// Connections that it has reset. Their shards may not know it yet.
    left: Vec<(Wire, usize)>,
    /// It has received everything at some time during this connection.
    was_at_tail: bool,
    /// Writes that found no room when it was at the tail last.
    blocks_at_tail: u64,
    /// A broken rule of HTTP or of the client.
    pub(crate) fault: Option<String>,
}

enum Phase {
    Waiting {
        until: Instant,
    },
    Requesting {
        task: Task<Answer>,
        wire: Wire,
    },
    Open {
        wire: Wire,
        response: Box<ResponseReader>,
        host: usize,
    },
    /// A response body over HTTP/2.
    Body {
        body: Body,
        woken: Signal,
    },
    Finished,
}

impl Reader {
    /// Creates a reader that connects at once.
    pub(crate) fn new(number: usize, plan: ReaderPlan, mut rng: Rng) -> Reader {
        let now = Instant::now();
        let observations = Observations {
            name: format!("reader {number} {plan:?}"),
            filters: plan.filters.clone(),
            began: now,
            start: (plan.start == "from=earliest").then_some(0),
            seen: Vec::new(),
            finished: None,
            reconnects: 0,
        };
        let backoff = Backoff::new(Duration::from_secs(2))
            .with_extra_max(Duration::from_secs(4))
            .with_seed(rng.u64(..));
        Reader {
            recorder: Recorder::new(observations, plan.form),
            plan,
            reconnect: Reconnect::new(Mode::Resilient, backoff),
            phase: Phase::Waiting { until: now },
            rng,
            origin: now,
            asked: now,
            opened: None,
            left: Vec::new(),
            was_at_tail: false,
            blocks_at_tail: 0,
            fault: None,
        }
    }

    /// The time until which it waits, if it does.
    pub(crate) fn waits_until(&self) -> Option<Instant> {
        if let Phase::Waiting { until } = self.phase { Some(until) } else { None }
    }

    /// Returns `true` if it got a 204.
    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Finished)
    }

    /// Returns `true` if it has a stream.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open { .. } | Phase::Body { .. })
    }

    /// Its connection, and the number of the shard that writes it.
    pub(crate) fn connection(&self) -> Option<(&Wire, usize)> {
        if let Phase::Open { wire, host, .. } = &self.phase { Some((wire, *host)) } else { None }
    }

    /// Returns `true` if it has had one stream since this time.
    pub(crate) fn is_open_since(&self, time: Instant) -> bool {
        self.is_open() && self.opened.is_some_and(|opened| opened <= time)
    }

    /// All connections that a shard may have, each with the number of the shard.
    pub(crate) fn connections(&self) -> impl Iterator<Item = (&Wire, usize)> {
        let left = self.left.iter().map(|(wire, host)| (wire, *host));
        self.connection().into_iter().chain(left)
    }

    /// Returns `true` if it can do something.
    pub(crate) fn is_due(&self) -> bool {
        match &self.phase {
            Phase::Waiting { until } => *until <= Instant::now(),
            Phase::Requesting { task, .. } => task.is_woken(),
            Phase::Open { wire, .. } => wire.available() > 0 || wire.is_over(),
            Phase::Body { woken, .. } => woken.is_set(),
            Phase::Finished => false,
        }
    }

    /// Does the next thing: connects, takes the response, or reads. `is_calm` ends all disturbances.
    pub(crate) fn step(
        &mut self,
        node: Option<&mut Node>,
        is_calm: bool,
        counts: &mut Counts,
        trace: &mut Trace,
    ) {
        match &mut self.phase {
            Phase::Waiting { .. } => match node {
                Some(node) if !node.is_draining => self.connect(node, is_calm),
                _ => self.lose(Outcome::NoResponse),
            },
            Phase::Requesting { .. } => {
                if let Some(node) = node {
                    self.poll(node, counts, trace);
                }
            }
            Phase::Open { .. } => self.read(is_calm, counts, trace),
            Phase::Body { .. } => self.poll_body(counts, trace),
            Phase::Finished => {}
        }
    }

    fn connect(&mut self, node: &mut Node, is_calm: bool) {
        let capacity = if is_calm { 200_000 } else { self.plan.capacity };
        let byte_by_byte = self.plan.byte_by_byte && !is_calm;
        let wire = Wire::new(capacity, byte_by_byte, self.rng.fork());
        let Some(request) = self.draft().request(SimBody::empty()) else {
            self.fault = Some("its last id is not valid in a header".to_owned());
            return;
        };
        self.asked = Instant::now();
        self.phase = Phase::Requesting { task: node.call(request), wire };
    }

    fn draft(&self) -> Draft {
        let ReaderPlan { filters, form, start, version, .. } = &self.plan;
        let form_query = match form {
            Form::Envelope => "&envelope=json",
            Form::Silent => "&control=off",
            Form::Plain | Form::Ndjson => "",
        };
        let accept =
            if *form == Form::Ndjson { "application/x-ndjson" } else { "text/event-stream" };
        let target = match filters.as_slice() {
            [topic] if !topic.contains('*') => format!("/topics/{topic}?{start}{form_query}"),
            _ => {
                let filters = filters.iter().map(|filter| format!("&topic={filter}"));
                format!("/events?{start}{form_query}{}", filters.collect::<String>())
            }
        };
        let mut draft = Draft::new(Method::GET, target).with("accept", accept);
        draft.version = *version;
        match self.recorder.last_id() {
            "" => draft,
            id => draft.with("last-event-id", id),
        }
    }

    fn poll(&mut self, node: &mut Node, counts: &mut Counts, trace: &mut Trace) {
        let Phase::Requesting { task, wire } = &mut self.phase else { return };
        let Some(mut answer) = task.poll() else { return };
        let (wire, status) = (wire.clone(), answer.status());
        trace.add("answer to a reader", &[u64::from(status.as_u16())], String::new);
        let outcome = Outcome::Response { status, is_event_stream: true, retry_after: None };
        if status != StatusCode::OK {
            return self.lose(outcome);
        }
        self.reconnect.next_step(outcome, self.now());
        self.recorder.connect();
        self.opened = Some(Instant::now());
        let version = self.plan.version;
        if version == Version::HTTP_2 {
            self.phase = Phase::Body { body: answer.into_body(), woken: Signal::new() };
            return;
        }
        if let Some(newcomer) = Newcomer::new(&mut answer, version, wire.clone()) {
            let host = self.rng.usize(0..node.hosts.len());
            if let Some(host) = node.hosts.get_mut(host) {
                host.send(newcomer);
            }
            self.was_at_tail = false;
            self.phase = Phase::Open { wire, response: Box::default(), host };
            return;
        }
        counts.add("unavailable stream");
        if let Some(Ok(body)) = answer.into_body().collect().now_or_never() {
            let bytes = body.to_bytes();
            trace.add_bytes(&bytes);
            self.record(&bytes);
        }
        self.lose(Outcome::Ended);
    }

    /// Takes the next piece of a response body.
    fn poll_body(&mut self, counts: &mut Counts, trace: &mut Trace) {
        let Phase::Body { body, woken } = &mut self.phase else { return };
        woken.reset();
        match Pin::new(body).poll_frame(&mut woken.context()) {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(frame))) => {
                // The next piece may be there already.
                *woken = Signal::new();
                let bytes = frame.into_data().unwrap_or_default();
                counts.add("piece of a body");
                trace.add("piece", &[bytes.len() as u64], || {
                    String::from_utf8_lossy(&bytes).escape_debug().to_string()
                });
                trace.add_bytes(&bytes);
                self.record(&bytes);
            }
            Poll::Ready(Some(Err(_))) => {
                counts.add("body interrupted");
                self.lose(Outcome::Ended);
            }
            Poll::Ready(None) => {
                counts.add("clean end of a body");
                self.lose(Outcome::Ended);
            }
        }
    }

    fn read(&mut self, is_calm: bool, counts: &mut Counts, trace: &mut Trace) {
        let Phase::Open { wire, response, .. } = &mut self.phase else { return };
        if wire.is_over() {
            let is_clean = response.is_complete();
            counts.add(if is_clean { "clean end of a stream" } else { "broken stream" });
            trace.add("end of a stream", &[u64::from(is_clean)], String::new);
            self.count_wire(counts);
            return self.lose(Outcome::Ended);
        }
        let blocks = wire.blocks();
        if self.was_at_tail && blocks > self.blocks_at_tail {
            self.was_at_tail = false;
            counts.add("reader demoted");
        }
        let available = wire.available();
        let count = match self.rng.u8(0..4) {
            0 if !is_calm => self.rng.usize(1..=available.min(8)),
            1 if !is_calm => self.rng.usize(1..=available),
            _ => available,
        };
        let bytes = wire.take(count);
        if count == available {
            (self.was_at_tail, self.blocks_at_tail) = (true, blocks);
        }
        trace.add("read", &[count as u64], || {
            String::from_utf8_lossy(&bytes).escape_debug().to_string()
        });
        match response.read(&bytes) {
            Ok(body) => {
                trace.add_bytes(&body);
                self.record(&body);
            }
            Err(fault) => self.fault = Some(fault),
        }
    }

    fn record(&mut self, body: &[u8]) {
        let before = self.recorder.last_id().to_owned();
        self.recorder.read(body);
        if let Some(time) = self.recorder.take_reconnection_time() {
            self.reconnect.set_reconnection_time(time);
        }
        if self.recorder.last_id() != before {
            self.reconnect.progressed();
        }
    }

    /// The stream or the attempt is lost.
    fn lose(&mut self, outcome: Outcome) {
        match self.reconnect.next_step(outcome, self.now()) {
            Step::Wait(wait) => self.phase = Phase::Waiting { until: Instant::now() + wait },
            Step::Finish => {
                self.recorder.observations.finished = Some(self.asked);
                self.phase = Phase::Finished;
            }
            step @ (Step::Read | Step::Renew | Step::GiveUp(_)) => {
                self.fault = Some(format!("{step:?} after {outcome:?}"));
            }
        }
    }

    /// Resets the connection, or gives an attempt up. Bytes on the way are lost.
    pub(crate) fn reset(&mut self, counts: &mut Counts) -> bool {
        match &self.phase {
            Phase::Open { wire, host, .. } => {
                wire.reset();
                self.left.push((wire.clone(), *host));
                counts.add("reader reset");
                self.count_wire(counts);
                self.lose(Outcome::Ended);
                true
            }
            Phase::Body { .. } => {
                counts.add("body dropped");
                self.lose(Outcome::Ended);
                true
            }
            Phase::Requesting { .. } => {
                counts.add("request given up");
                self.lose(Outcome::NoResponse);
                true
            }
            Phase::Waiting { .. } | Phase::Finished => false,
        }
    }

    /// The server was killed.
    pub(crate) fn server_killed(&mut self, counts: &mut Counts) {
        self.left.clear();
        match self.phase {
            Phase::Open { .. } => {
                counts.add("broken stream");
                self.count_wire(counts);
                self.lose(Outcome::Ended);
            }
            Phase::Body { .. } => self.lose(Outcome::Ended),
            Phase::Requesting { .. } => self.lose(Outcome::NoResponse),
            Phase::Waiting { .. } | Phase::Finished => {}
        }
    }

    fn count_wire(&self, counts: &mut Counts) {
        let Phase::Open { wire, .. } = &self.phase else { return };
        if wire.blocks() > 0 {
            counts.add("reader blocked");
        }
        if self.plan.byte_by_byte {
            counts.add("byte by byte");
        }
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }
}
