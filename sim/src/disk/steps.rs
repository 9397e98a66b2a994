//! The steps of storage operations, and the faults in between.

use std::time::Duration;

use stentor_hub::StorageError;
use tokio::time::Instant;

use super::{Disk, DiskAction, State, unavailable};
use crate::pending::{Kind, Pending};

impl Disk {
    /// Does one thing: completes a part of an operation, or passes changes to the commit sink. `None` if there is
    /// nothing to do now.
    pub(crate) fn step(&self) -> Option<DiskAction> {
        let now = Instant::now();
        let mut state = self.state();
        let unfed = state.unfed.len();
        // Writes are done one after the other, as by the writer of a log on disk.
        let writes = state.pending.iter().filter(|pending| pending.kind.is_write());
        let first_write = writes.map(|pending| pending.id).min();
        let ready = |pending: &Pending| {
            let is_next = !pending.kind.is_write() || Some(pending.id) == first_write;
            is_next && pending.held_until.is_none_or(|until| until <= now)
        };
        let ready: Vec<usize> = (0..state.pending.len())
            .filter(|at| state.pending.get(*at).is_some_and(ready))
            .collect();
        let choices = ready.len() + usize::from(unfed > 0);
        if choices == 0 {
            return None;
        }
        let choice = state.rng.usize(0..choices);
        let Some(at) = ready.get(choice).copied() else {
            let count = state.rng.usize(1..=unfed);
            if count < unfed {
                state.counts.add("batch split");
            }
            drop(state);
            self.feed(count);
            return Some(DiskAction { name: "feed", id: count as u64, kind: Kind::Feed });
        };
        let pending = state.pending.swap_remove(at);
        drop(state);
        Some(self.advance(pending))
    }

    /// Takes the next step of an operation.
    fn advance(&self, mut pending: Pending) -> DiskAction {
        let (id, kind) = (pending.id, pending.kind);
        let action = |name| DiskAction { name, id, kind };
        let mut state = self.state();
        let fed = state.applied - state.unfed.len() as u64;
        let State { rng, faults, counts, .. } = &mut *state;
        let faults = faults.clone();
        let mut chance = |percent: u8| rng.u8(0..100) < percent;
        if !pending.was_held && chance(faults.hang) {
            let seconds = if chance(4) { 300 } else { 2 };
            pending.held_until = Some(Instant::now() + Duration::from_secs(seconds));
            pending.was_held = true;
            counts.add(if kind.is_write() { "append delayed" } else { "query hung" });
            state.pending.push(pending);
            return action("hold");
        }
        if !pending.is_applied() && chance(faults.fail) {
            let error = match (kind.is_write(), chance(30)) {
                (true, true) => {
                    counts.add("disk full");
                    StorageError::Full
                }
                (true, false) => {
                    counts.add("append failed");
                    unavailable("simulated")
                }
                (false, _) => {
                    counts.add("query failed");
                    unavailable("simulated")
                }
            };
            drop(state);
            pending.finish(Err(error));
            return action("fail");
        }
        if kind.is_write() && chance(faults.break_log) {
            counts.add("log failed");
            let error = StorageError::Failed { reason: "simulated".to_owned() };
            state.failure = Some(error.clone());
            for waiter in state.on_failure.drain(..) {
                let _ = waiter.send(error.clone());
            }
            drop(state);
            pending.finish(Err(error));
            return action("break");
        }
        if !pending.is_applied() {
            drop(state);
            self.apply(&mut pending);
            self.state().pending.push(pending);
            return action("apply");
        }
        if kind.is_write() && chance(faults.lose_answer) {
            counts.add("answer lost");
            drop(state);
            pending.finish(Err(unavailable("the answer was lost")));
            return action("lose");
        }
        if kind.is_write() && fed < pending.through {
            state.pending.push(pending);
            drop(state);
            self.feed(1);
            return action("feed one");
        }
        if pending.is_abandoned() {
            state.counts.add("query abandoned");
        }
        drop(state);
        pending.finish(Ok(()));
        action("answer")
    }
}
