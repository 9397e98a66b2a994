//! The subscribers that wait to connect, and the limits on connecting.

use std::collections::VecDeque;

use crate::clock::{Nanos, SECOND};
use crate::plan::Plan;

/// Queue of subscribers that wait to connect. Counts those that wait for their response head.
#[derive(Debug)]
pub(crate) struct ConnectQueue {
    queue: VecDeque<usize>,
    /// Number of subscribers that wait for their response head.
    waiting: usize,
    /// Number of connects started after `since`.
    started: u64,
    since: Nanos,
    /// `true` until the first connects are over. Limits apply only to those; reconnects start at once.
    is_limited: bool,
}

impl ConnectQueue {
    /// A queue with all subscribers.
    pub(crate) fn new(subscribers: usize, now: Nanos) -> ConnectQueue {
        let queue = (0..subscribers).collect();
        ConnectQueue { queue, waiting: 0, started: 0, since: now, is_limited: true }
    }

    /// Returns `true` while a subscriber is connecting or waits to connect.
    pub(crate) fn is_busy(&self) -> bool {
        self.waiting > 0 || !self.queue.is_empty()
    }

    /// Ends the first connects: empties the queue, and lifts the limits.
    pub(crate) fn lift_limits(&mut self) {
        self.is_limited = false;
        self.queue.clear();
    }

    /// Adds a subscriber to the queue.
    pub(crate) fn add(&mut self, subscriber: usize) {
        self.queue.push_back(subscriber);
    }

    /// Returns the next subscriber to connect, if the limits allow one now.
    pub(crate) fn next(&mut self, plan: &Plan, now: Nanos) -> Option<usize> {
        if !self.is_due(plan, now) {
            return None;
        }
        let subscriber = self.queue.pop_front()?;
        self.started += 1;
        self.waiting += 1;
        Some(subscriber)
    }

    /// Counts a subscriber that has received its response head, or has failed.
    pub(crate) fn count_done(&mut self) {
        self.waiting -= 1;
    }

    fn is_due(&self, plan: &Plan, now: Nanos) -> bool {
        let by_ramp = plan.ramp.is_none_or(|rate| {
            let seconds = (now - self.since) as f64 / SECOND as f64;
            (self.started as f64) < seconds * rate + 1.0
        });
        !self.is_limited || (by_ramp && self.waiting < plan.connecting)
    }
}
