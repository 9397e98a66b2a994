//! The world of one run: server, disk, publishers and readers, and the order in which they act.

mod restarts;
mod settle;

use std::io;
use std::time::Duration;

use fastrand::Rng;
use stentor_hub::{Event, Publish, Timestamp};
use stentor_testing::judge::{Atomicity, EventKey, History, Outcome, Trimmed};
use tokio::time::Instant;

use crate::counts::Counts;
use crate::disk::Disk;
use crate::host::Host;
use crate::leases::LeasedTopics;
use crate::node::Node;
use crate::options::Options;
use crate::plan::{Plan, SHARED_TOPICS, TRIM_KEPT, TRIM_PREFIX};
use crate::publisher::{Publisher, begin};
use crate::reader::Reader;
use crate::trace::Trace;
use crate::wire::Wire;

/// Publisher number of events of other nodes.
const FOREIGN: u32 = 1_000_000;

/// Everything in one run.
pub(crate) struct World {
    rng: Rng,
    plan: Plan,
    options: Options,
    /// The disk.
    pub(crate) disk: Disk,
    node: Option<Node>,
    drain_until: Option<Instant>,
    publishers: Vec<Publisher>,
    /// The readers that have started.
    pub(crate) readers: Vec<Reader>,
    /// The requests of the publishers.
    pub(crate) history: History,
    /// The leases they got.
    pub(crate) leases: LeasedTopics,
    /// Faults and outcomes so far.
    pub(crate) counts: Counts,
    /// The trace.
    pub(crate) trace: Trace,
    /// The time of both clocks at the start.
    pub(crate) origin: (Instant, Timestamp),
    foreign: u64,
    /// There are no faults and disturbances any more.
    is_calm: bool,
    /// Publishers start no new requests.
    is_quiet: bool,
}

impl World {
    /// Creates the world of a plan. Call it on a runtime with paused time.
    ///
    /// # Errors
    ///
    /// If the system has no event queue left.
    pub(crate) fn new(
        plan: Plan,
        mut rng: Rng,
        options: &Options,
        trace: Trace,
    ) -> io::Result<World> {
        fastrand::seed(rng.u64(..));
        let start = Timestamp::from_micros(1_750_000_000_000_000);
        Timestamp::simulate(start);
        let log_bytes = plan.log_bytes.unwrap_or(64 << 20);
        let disk = Disk::new(log_bytes, plan.faults.clone(), rng.fork());
        // A log with a size limit holds a few dozen events at least.
        let event_bytes_max = if plan.log_bytes.is_some() { 3_000 } else { 90_000 };
        let publishers = (0..plan.publishers).zip(0..);
        let publishers = publishers
            .map(|(_, number)| Publisher::new(number, event_bytes_max, rng.fork()))
            .collect();
        let history = History {
            trimmed: Some(Trimmed { prefix: TRIM_PREFIX, kept: TRIM_KEPT }),
            is_bounded: plan.log_bytes.is_some(),
            ..History::default()
        };
        let node = Some(Node::start(&disk, &plan)?);
        let readers = Vec::new();
        Ok(World {
            rng,
            plan,
            options: options.clone(),
            disk,
            node,
            drain_until: None,
            publishers,
            readers,
            history,
            leases: LeasedTopics::default(),
            counts: Counts::default(),
            trace,
            origin: (Instant::now(), start),
            foreign: 0,
            is_calm: false,
            is_quiet: false,
        })
    }

    /// The plan.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The first broken rule of HTTP or of a client.
    pub(crate) fn fault(&self) -> Option<&String> {
        let readers = self.readers.iter().filter_map(|reader| reader.fault.as_ref());
        let publishers = self.publishers.iter().filter_map(|publisher| publisher.fault.as_ref());
        readers.chain(publishers).next()
    }

    /// Acts until the steps of the plan are done.
    ///
    /// # Errors
    ///
    /// If the system has no event queue left.
    pub(crate) async fn disturb(&mut self) -> io::Result<()> {
        for step in 0..self.options.steps {
            self.start_readers(step);
            self.act().await?;
            if self.fault().is_some() {
                break;
            }
        }
        Ok(())
    }

    fn start_readers(&mut self, step: u64) {
        while let Some(plan) = self.plan.readers.get(self.readers.len()) {
            if plan.begins_at > step && !self.is_calm {
                return;
            }
            let mut plan = plan.clone();
            let number = self.readers.len();
            if self.options.without_readers.contains(&number) {
                plan.filters = vec!["nothing".to_owned()];
            }
            let reader = Reader::new(number, plan, self.rng.fork());
            self.readers.push(reader);
        }
    }

    /// Does one thing, chosen at random, and lets the tasks of the server run. Returns `false` if there was nothing to
    /// do but to wait.
    async fn act(&mut self) -> io::Result<bool> {
        const TRIES: usize = 6;
        let mut acted = (0..TRIES).any(|_| self.try_action());
        // In calm times, time passes only when there is nothing else to do.
        if !acted && (self.is_calm || self.rng.bool()) {
            acted = self.disk_acts()
                || self.shard_turns()
                || self.query_continues()
                || self.socket_event()
                || self.reader_acts()
                || self.publisher_acts();
        }
        if !acted {
            self.pass_time().await;
        }
        self.follow_server()?;
        // No two actions happen at one time, and all tasks that can run do.
        tokio::time::advance(Duration::from_micros(1)).await;
        Ok(acted)
    }

    fn try_action(&mut self) -> bool {
        let disturbance = self.rng.u32(0..1_000) < self.plan.disturbances;
        if disturbance && !self.is_calm {
            return self.disturbance();
        }
        if !self.is_calm && self.rng.u32(0..10_000) < self.plan.restarts {
            self.restart();
            return true;
        }
        match self.rng.u8(0..100) {
            0..25 => self.disk_acts(),
            25..45 => self.shard_turns(),
            45..55 => self.query_continues(),
            55..65 => self.socket_event(),
            65..80 => self.reader_acts(),
            80..90 => self.publisher_acts(),
            // Without faults, time is to pass between publishes.
            90..97 if !self.is_calm || self.rng.u8(0..8) == 0 => self.publisher_begins(),
            97 => self.foreign_append(),
            _ => false,
        }
    }

    fn disk_acts(&mut self) -> bool {
        let Some(action) = self.disk.step() else { return false };
        self.trace.add(action.name, &[action.id], || format!("{:?}", action.kind));
        true
    }

    fn shard_turns(&mut self) -> bool {
        let Some(node) = &mut self.node else { return false };
        let Some(at) = choose(&mut self.rng, &node.hosts, Host::is_due) else { return false };
        let Some(host) = node.hosts.get_mut(at) else { return false };
        for _ in 0..host.turn() {
            self.counts.add("query overdue");
        }
        self.trace.add("turn", &[at as u64], || format!("{} queries", host.queries()));
        true
    }

    fn query_continues(&mut self) -> bool {
        let Some(node) = &mut self.node else { return false };
        let is_due = |host: &Host| !host.woken_queries().is_empty();
        let Some(at) = choose(&mut self.rng, &node.hosts, is_due) else { return false };
        let Some(host) = node.hosts.get_mut(at) else { return false };
        let woken = host.woken_queries();
        let Some(query) = woken.get(self.rng.usize(0..woken.len().max(1))) else { return false };
        let is_done = host.poll_query(*query);
        self.trace.add("query", &[at as u64, *query as u64, u64::from(is_done)], String::new);
        true
    }

    fn socket_event(&mut self) -> bool {
        let connections = self.readers.iter().flat_map(Reader::connections);
        let due: Vec<(&Wire, usize)> = connections.filter(|(wire, _)| wire.has_event()).collect();
        let at = self.rng.usize(0..due.len().max(1));
        let Some((wire, host)) = due.get(at).copied() else { return false };
        let (Some(token), Some(node)) = (wire.take_event(), &mut self.node) else { return false };
        self.trace.add("socket event", &[host as u64, token as u64], String::new);
        if let Some(host) = node.hosts.get_mut(host) {
            host.notify(token);
        }
        true
    }

    fn reader_acts(&mut self) -> bool {
        let Some(at) = choose(&mut self.rng, &self.readers, Reader::is_due) else { return false };
        let Some(reader) = self.readers.get_mut(at) else { return false };
        if reader.plan.is_slow && !self.is_calm && self.rng.u8(0..8) > 0 {
            return false;
        }
        self.trace.add("reader", &[at as u64], String::new);
        reader.step(self.node.as_mut(), self.is_calm, &mut self.counts, &mut self.trace);
        true
    }

    fn publisher_acts(&mut self) -> bool {
        let Some(at) = choose(&mut self.rng, &self.publishers, Publisher::is_due) else {
            return false;
        };
        let Some(publisher) = self.publishers.get_mut(at) else { return false };
        self.trace.add("publisher", &[at as u64], String::new);
        let (history, leases) = (&mut self.history, &mut self.leases);
        publisher.step(self.node.as_ref(), history, leases, &mut self.counts, &mut self.trace);
        true
    }

    fn publisher_begins(&mut self) -> bool {
        let Some(node) = self.node.as_ref().filter(|_| !self.is_quiet) else { return false };
        let Some(at) = choose(&mut self.rng, &self.publishers, Publisher::is_idle) else {
            return false;
        };
        if self.options.without_publishers.contains(&at) {
            return false;
        }
        if let Some(publisher) = self.publishers.get_mut(at) {
            publisher.begin(node, &mut self.history, &mut self.trace);
        }
        true
    }

    /// Another node appends to the log.
    fn foreign_append(&mut self) -> bool {
        if !self.plan.has_foreign || self.is_calm {
            return false;
        }
        self.foreign += 1;
        let event_key = EventKey { publisher: FOREIGN, number: self.foreign };
        let name = format!("news/{}", self.rng.usize(0..SHARED_TOPICS));
        let Ok(topic) = name.parse() else { return false };
        let lines = [(name, event_key)];
        let write = begin(&mut self.history, Atomicity::Atomic, &lines, None);
        let publish = Publish::event(topic, Event::new(event_key.data(9)));
        let is_stored = self.disk.append_foreign(publish, Timestamp::now()).is_some();
        if let Some(write) = self.history.writes.get_mut(write).filter(|_| is_stored) {
            write.outcome = Outcome::Acknowledged(Instant::now());
        }
        self.trace.add("foreign append", &[self.foreign], String::new);
        true
    }

    /// A client misbehaves.
    fn disturbance(&mut self) -> bool {
        if self.rng.u8(0..3) == 0 {
            let at = self.rng.usize(0..self.publishers.len().max(1));
            let Some(publisher) = self.publishers.get_mut(at) else { return false };
            self.trace.add("give up", &[at as u64], String::new);
            return publisher.give_up(&mut self.counts);
        }
        let at = self.rng.usize(0..self.readers.len().max(1));
        let Some(reader) = self.readers.get_mut(at) else { return false };
        let kind = self.rng.u8(0..5);
        self.trace.add("disturb", &[at as u64, u64::from(kind)], String::new);
        if kind < 2 {
            return reader.reset(&mut self.counts);
        }
        let Some((wire, host)) = reader.connection() else { return false };
        match kind {
            2 => {
                wire.close_input();
                self.counts.add("reader closed its side");
            }
            3 => {
                wire.send(self.rng.usize(1..2_000));
                self.counts.add("input after the request");
            }
            _ => {
                self.counts.add("spurious wake-up");
                let host = self.node.as_mut().and_then(|node| node.hosts.get_mut(host));
                if let (Some(token), Some(host)) = (wire.token(), host) {
                    host.notify(token);
                }
            }
        }
        true
    }

    /// Lets time pass: often until the next timer, sometimes for longer.
    async fn pass_time(&mut self) {
        let now = Instant::now();
        let random = match self.rng.u8(0..20) {
            0 => Duration::from_secs(self.rng.u64(1..40)),
            1..5 => Duration::from_millis(self.rng.u64(1..2_000)),
            _ => Duration::from_millis(self.rng.u64(1..30)),
        };
        let timers = self.node.iter().flat_map(|node| &node.hosts).filter_map(Host::next_timer);
        let readers = self.readers.iter().filter_map(Reader::waits_until);
        let publishers = self.publishers.iter().filter_map(Publisher::waits_until);
        let next = timers.chain(readers).chain(publishers).filter(|time| *time > now).min();
        let until_next = next.map_or(random, |next| next - now);
        let time = if self.is_calm { until_next.min(Duration::from_secs(1)) } else { random };
        self.trace.add("time", &[u64::try_from(time.as_micros()).unwrap_or(u64::MAX)], String::new);
        tokio::time::sleep(time).await;
    }
}

/// Chooses one of the values for which `is_due` returns `true`.
fn choose<T>(rng: &mut Rng, values: &[T], is_due: impl Fn(&T) -> bool) -> Option<usize> {
    let due: Vec<usize> =
        values.iter().enumerate().filter(|(_, value)| is_due(value)).map(|(at, _)| at).collect();
    due.get(rng.usize(0..due.len().max(1))).copied()
}
