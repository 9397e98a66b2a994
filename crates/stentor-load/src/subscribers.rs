//! The subscribers: connecting, reading, dropping connections and reconnecting.

mod connect_queue;
mod connections;
mod http2_streams;
mod subscriber;

use std::io::{self, Read};

use mio::Registry;

use self::connect_queue::ConnectQueue;
use self::connections::Connections;
use self::subscriber::{Kind, Link, Subscriber, is_stream, refusal};
use crate::clock::{Nanos, SECOND};
use crate::http::response::Part;
use crate::plan::Plan;
use crate::stats::Stats;

/// Maximum time from the start of a connect to the response head.
const HEAD_TIMEOUT: Nanos = 10 * SECOND;
/// Maximum number of reconnects in a row that lead to no event.
const TRIES_MAX: u8 = 3;
/// Bytes that a slow subscriber reads at a time, and the time from one read to the next.
const SLOW_BYTES: usize = 1024;
const SLOW_EVERY: Nanos = SECOND;

#[derive(Debug)]
pub(crate) struct Subscribers {
    all: Vec<Subscriber>,
    connects: ConnectQueue,
    /// Connections that carry the streams, with `--http2`. With HTTP/1.1 each subscriber has its own socket.
    connections: Option<Connections>,
    connected: usize,
    /// Time of the next check for timeouts and slow reads.
    next_check: Nanos,
    /// First subscriber that drops its connection in the next storm.
    next_in_storm: usize,
    /// Passing subscribers (`--churn`) that are not connected.
    idle_passing: Vec<usize>,
    request: Vec<u8>,
}

impl Subscribers {
    pub(crate) fn new(plan: &Plan, now: Nanos) -> Subscribers {
        let kind = |slow| if slow { Kind::Slow } else { Kind::Steady };
        let all = (0..plan.subscribers)
            .map(|number| Subscriber { kind: kind(plan.is_slow(number)), ..Subscriber::default() });
        Subscribers {
            all: all.collect(),
            connects: ConnectQueue::new(plan.subscribers, now),
            connections: plan
                .streams_per_connection
                .map(|streams| Connections::new(plan.subscribers, streams)),
            connected: 0,
            next_check: 0,
            next_in_storm: 0,
            idle_passing: Vec::new(),
            request: Vec::new(),
        }
    }

    /// Returns `true` while a subscriber is connecting or waits to connect.
    pub(crate) fn is_connecting(&self) -> bool {
        self.connects.is_busy()
    }

    pub(crate) fn connected(&self) -> usize {
        self.connected
    }

    /// Number of HTTP/2 connections that are open; `None` with HTTP/1.1.
    pub(crate) fn connections(&self) -> Option<usize> {
        self.connections.as_ref().map(Connections::count)
    }

    /// Ends the first connects. Reconnects are not limited.
    pub(crate) fn finish_connecting(&mut self) {
        self.connects.lift_limits();
    }

    /// Starts the connects that are due. Once a second, also checks timeouts and reads for slow subscribers.
    pub(crate) fn tend(&mut self, plan: &Plan, stats: &mut Stats, registry: &Registry, now: Nanos) {
        while let Some(number) = self.connects.next(plan, now) {
            let Some(subscriber) = self.all.get_mut(number) else { break };
            if self.connections.is_some() {
                self.open_stream(number, plan, stats, registry, now);
            } else if let Err(error) = subscriber.connect(number, plan, registry, now) {
                self.fail(number, plan, stats, &error.to_string());
            }
        }
        if now < self.next_check {
            return;
        }
        self.next_check = now + SLOW_EVERY;
        for number in 0..self.all.len() {
            let Some(subscriber) = self.all.get_mut(number) else { continue };
            match subscriber.link {
                Link::Requesting { .. } | Link::Waiting
                    if now > subscriber.connect_started + HEAD_TIMEOUT =>
                {
                    let what = match &self.connections {
                        Some(connections) => connections.timeout_text(number),
                        None => subscriber.timeout_text().to_owned(),
                    };
                    self.fail(number, plan, stats, &what);
                }
                Link::Open if subscriber.kind == Kind::Slow => {
                    self.read_slowly(number, plan, stats);
                }
                _ => {}
            }
        }
    }

    /// Closes the connections of a share of the subscribers, which then reconnect. Returns their number. With HTTP/2
    /// that number is rounded up to whole connections.
    pub(crate) fn storm(&mut self, share: f64) -> usize {
        let ready = |subscriber: &Subscriber| {
            subscriber.link == Link::Open && subscriber.kind != Kind::Slow
        };
        let count = self.all.iter().filter(|subscriber| ready(subscriber)).count();
        let count = (count as f64 * share).ceil() as usize;
        let mut dropped = 0;
        for _ in 0..self.all.len() {
            let number = self.next_in_storm % self.all.len().max(1);
            if dropped >= count {
                break;
            }
            self.next_in_storm = number + 1;
            let peers = self.connections.as_ref().map(|connections| connections.peers(number));
            for number in peers.unwrap_or(number..number + 1) {
                if self.all.get(number).is_some_and(ready) {
                    self.close(number);
                    if let Some(subscriber) = self.all.get_mut(number) {
                        subscriber.is_in_storm = true;
                    }
                    self.connects.add(number);
                    dropped += 1;
                }
            }
        }
        dropped
    }

    /// Adds `at_once` passing subscribers (`--churn`).
    pub(crate) fn expect_passing(&mut self, at_once: usize) {
        let first = self.all.len();
        self.idle_passing = (first..first + at_once).collect();
        let passing = || Subscriber { kind: Kind::Passing, ..Subscriber::default() };
        self.all.resize_with(first + at_once, passing);
        if let Some(connections) = &mut self.connections {
            connections.add_passing(at_once);
        }
    }

    /// Starts the connects of all idle passing subscribers, at most `most`. Returns their number.
    pub(crate) fn pass(&mut self, most: u64) -> u64 {
        let mut count = 0;
        while count < most
            && let Some(number) = self.idle_passing.pop()
        {
            self.connects.add(number);
            count += 1;
        }
        count
    }

    /// Reads and writes when the socket of a subscriber is ready, or that of an HTTP/2 connection.
    pub(crate) fn ready(
        &mut self,
        token: usize,
        is_closed: bool,
        plan: &Plan,
        stats: &mut Stats,
        registry: &Registry,
        buffer: &mut [u8],
    ) {
        if let Some(connections) = &mut self.connections {
            connections.on_ready(token, is_closed);
            self.handle_streams(token, plan, stats);
        } else {
            self.readable(token, is_closed, plan, stats, buffer);
            // A request may have to wait for bytes of a TLS handshake.
            self.writable(token, plan, stats, registry);
        }
    }

    /// Writes the request, as far as the socket accepts it.
    fn writable(&mut self, number: usize, plan: &Plan, stats: &mut Stats, registry: &Registry) {
        let Some(subscriber) = self.all.get_mut(number) else { return };
        if let Err(error) = subscriber.write_request(number, plan, registry, &mut self.request) {
            self.fail(number, plan, stats, &error.to_string());
        }
    }

    /// Reads until the socket is empty. For slow subscribers, only [`tend`](Subscribers::tend) reads.
    fn readable(
        &mut self,
        number: usize,
        is_closed: bool,
        plan: &Plan,
        stats: &mut Stats,
        buffer: &mut [u8],
    ) {
        loop {
            let Some(subscriber) = self.all.get_mut(number) else { return };
            let Some(socket) = subscriber.socket.as_mut() else { return };
            if subscriber.kind == Kind::Slow && subscriber.link == Link::Open {
                return;
            }
            let drains = socket.is_drained_by_a_short_read() && !is_closed;
            let count = match socket.read(buffer) {
                Ok(0) => return self.ended(number, plan, stats),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return self.fail(number, plan, stats, &error.to_string()),
            };
            let bytes = buffer.get(..count).unwrap_or_default();
            if !self.take(number, bytes, plan, stats) || (drains && count < buffer.len()) {
                return;
            }
        }
    }

    /// Handles bytes that a subscriber has received. Returns `true` if it continues to read.
    fn take(&mut self, number: usize, mut bytes: &[u8], plan: &Plan, stats: &mut Stats) -> bool {
        let now = stats.clock.now();
        stats.reads += 1;
        stats.bytes += bytes.len() as u64;
        let topic = plan.topic(number);
        loop {
            let Some(subscriber) = self.all.get_mut(number) else { return false };
            match subscriber.response.next(&mut bytes) {
                Ok(None) if subscriber.response.is_done() => {
                    self.ended(number, plan, stats);
                    return false;
                }
                Ok(None) => return true,
                Ok(Some(Part::Body(body))) => subscriber.receive(number, topic, body, now, stats),
                Ok(Some(Part::Head(head))) => {
                    if !is_stream(&head) {
                        let body = subscriber.response.next(&mut bytes);
                        let refusal = refusal(&head, body.ok().flatten().as_ref());
                        self.fail(number, plan, stats, &refusal);
                        return false;
                    }
                    if !self.opened(number, plan, stats, now) {
                        return false;
                    }
                }
                Err(broken) => {
                    self.fail(number, plan, stats, broken.0);
                    return false;
                }
            }
        }
    }

    /// Handles the response head of a stream. Returns `false` if the subscriber closes the connection at once.
    fn opened(&mut self, number: usize, plan: &Plan, stats: &mut Stats, now: Nanos) -> bool {
        let Some(subscriber) = self.all.get_mut(number) else { return false };
        self.connects.count_done();
        self.connected += 1;
        subscriber.link = Link::Open;
        let took = now - subscriber.connect_started;
        if subscriber.kind == Kind::Passing {
            stats.unreachable = None;
            stats.churn.add(took);
            self.close(number);
            self.idle_passing.push(number);
            return false;
        }
        if std::mem::take(&mut subscriber.is_in_storm) {
            stats.returned(took);
        } else if !subscriber.has_joined {
            stats.connect.add(took);
        }
        if !std::mem::replace(&mut subscriber.has_joined, true) && subscriber.kind != Kind::Slow {
            stats.tracker.join(plan.topic(number));
        }
        true
    }

    /// Handles a connection closed by the server, or the end of the response.
    fn ended(&mut self, number: usize, plan: &Plan, stats: &mut Stats) {
        let Some(subscriber) = self.all.get(number) else { return };
        let what = match subscriber.link {
            Link::Open if subscriber.response.may_end() => "the server ended the stream",
            Link::Open => "the connection was closed in the middle of the stream",
            _ => "the connection was closed without a response",
        };
        self.fail(number, plan, stats, what);
    }

    /// Handles the failure of a connection. A subscriber that was connected before reconnects.
    fn fail(&mut self, number: usize, plan: &Plan, stats: &mut Stats, what: &str) {
        let was_open = self.close(number);
        let Some(subscriber) = self.all.get_mut(number) else { return };
        if subscriber.kind == Kind::Slow && subscriber.has_joined {
            stats.slow_cuts += u64::from(was_open);
            return;
        }
        stats.problems.add(what);
        if subscriber.kind == Kind::Passing {
            stats.churn_failed += 1;
            stats.unreachable = Some(what.to_owned());
            self.idle_passing.push(number);
            return;
        }
        stats.cuts += u64::from(was_open);
        if !subscriber.has_joined {
            return;
        }
        if subscriber.tries < TRIES_MAX {
            subscriber.tries += 1;
            self.connects.add(number);
        } else {
            stats.gave_up(plan.topic(number), std::mem::take(&mut subscriber.is_in_storm));
        }
    }

    /// Closes a connection. Returns `true` if its stream was open.
    fn close(&mut self, number: usize) -> bool {
        let Some(subscriber) = self.all.get_mut(number) else { return false };
        subscriber.socket = None;
        if let Some(connections) = &mut self.connections {
            connections.close_stream(number);
        }
        let link = std::mem::replace(&mut subscriber.link, Link::Closed);
        match link {
            Link::Closed => {}
            Link::Requesting { .. } | Link::Waiting => self.connects.count_done(),
            Link::Open => self.connected -= 1,
        }
        link == Link::Open
    }

    fn read_slowly(&mut self, number: usize, plan: &Plan, stats: &mut Stats) {
        let mut bytes = [0; SLOW_BYTES];
        let socket = self.all.get_mut(number).and_then(|subscriber| subscriber.socket.as_mut());
        match socket.map(|socket| socket.read(&mut bytes)) {
            Some(Ok(0)) => self.ended(number, plan, stats),
            Some(Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {
                self.fail(number, plan, stats, &error.to_string());
            }
            _ => {}
        }
    }
}
