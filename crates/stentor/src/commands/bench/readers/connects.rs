//! Who is to connect, and when.

use std::collections::VecDeque;

use crate::commands::bench::clock::{Nanos, SECOND};
use crate::commands::bench::plan::Plan;

/// The readers that are to connect, and those that wait for an answer.
#[derive(Debug)]
pub(super) struct Connects {
    queue: VecDeque<usize>,
    /// How many wait for their head.
    waiting: usize,
    /// Connects that began since the time.
    begun: u64,
    since: Nanos,
    /// Whether connects are held back, as at the start, or all begin at once.
    is_first: bool,
}

impl Connects {
    /// All are to connect.
    pub(super) fn new(readers: usize, now: Nanos) -> Connects {
        let queue = (0..readers).collect();
        Connects { queue, waiting: 0, begun: 0, since: now, is_first: true }
    }

    /// Whether somebody is still on the way.
    pub(super) fn are_under_way(&self) -> bool {
        self.waiting > 0 || !self.queue.is_empty()
    }

    /// From here whoever connects does so at once.
    pub(super) fn have_begun(&mut self) {
        self.is_first = false;
        self.queue.clear();
    }

    /// Puts a reader into the queue.
    pub(super) fn add(&mut self, reader: usize) {
        self.queue.push_back(reader);
    }

    /// Who connects now, if somebody is due.
    pub(super) fn next(&mut self, plan: &Plan, now: Nanos) -> Option<usize> {
        if !self.is_due(plan, now) {
            return None;
        }
        let reader = self.queue.pop_front()?;
        self.begun += 1;
        self.waiting += 1;
        Some(reader)
    }

    /// One has its answer, or will have none.
    pub(super) fn one_less(&mut self) {
        self.waiting -= 1;
    }

    fn is_due(&self, plan: &Plan, now: Nanos) -> bool {
        let by_ramp = plan.ramp.is_none_or(|rate| {
            let seconds = (now - self.since) as f64 / SECOND as f64;
            (self.begun as f64) < seconds * rate + 1.0
        });
        !self.is_first || (by_ramp && self.waiting < plan.connecting)
    }
}
