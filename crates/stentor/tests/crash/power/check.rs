//! Checks the log after a power failure against the history of publishers and readers.

use std::collections::HashMap;

use stentor_hub::{Cursor, Offset};

use super::history::{History, Kind, Op, Seen, Sent};

/// An event or an end in the log after the failure.
#[derive(Clone, Debug)]
pub struct Found {
    pub id: Cursor,
    pub topic: String,
    /// `None` for an end.
    pub data: Option<String>,
}

/// The guarantee that is checked: the events that may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarantee {
    /// None of those that a publisher or a reader knew of. This is `--durability fsync`.
    NoLoss,
    /// Only the newest: nothing older than an event that is in the log. This is `--durability os`.
    Prefix,
}

/// A log after a failure, and the history up to the failure.
pub struct Check<'a> {
    history: &'a History,
    cut: u64,
    guarantee: Guarantee,
    /// The publisher and the op of each requested event, by its data.
    requested: HashMap<&'a str, (usize, usize)>,
    found: HashMap<&'a str, &'a Found>,
    ends: HashMap<&'a str, &'a Found>,
    newest: Offset,
    violations: Vec<String>,
}

impl<'a> Check<'a> {
    /// Checks this log. `cut` is the length of the journal at the failure.
    pub fn of(history: &'a History, cut: u64, guarantee: Guarantee, log: &'a [Found]) -> Check<'a> {
        let mut check = Check {
            history,
            cut,
            guarantee,
            requested: HashMap::new(),
            found: HashMap::new(),
            ends: HashMap::new(),
            newest: log.iter().map(|found| found.id.offset).max().unwrap_or_default(),
            violations: Vec::new(),
        };
        check.index();
        check.take(log);
        for ops in &history.publishers {
            let ops: Vec<&Op> = ops.iter().filter(|op| op.requested <= cut).collect();
            check.check_order(&ops);
            for (at, op) in ops.iter().enumerate() {
                check.check_op(op, &ops[at..]);
            }
        }
        for seen in history.readers.iter().flatten().filter(|seen| seen.at <= cut) {
            check.expect(&seen.event, Some(seen.id), "seen");
        }
        check
    }

    pub fn violations(self) -> Vec<String> {
        self.violations
    }

    /// The highest offset that a publisher or a reader knew of.
    pub fn newest_known(&self) -> Offset {
        let acknowledged = self.history.publishers.iter().flatten();
        let acknowledged = acknowledged.filter_map(|op| op.acknowledged_by(self.cut)?.ids);
        let seen = self.history.readers.iter().flatten().filter(|seen| seen.at <= self.cut);
        let offsets = acknowledged.map(|ids| ids.1.offset).chain(seen.map(|seen| seen.id.offset));
        offsets.max().unwrap_or_default()
    }

    /// Returns `true` if the last event that a reader received is missing. `None` if that event may have been
    /// deleted.
    pub fn has_lost(&self, seen: &[Seen]) -> Option<bool> {
        let mut seen = seen.iter().filter(|seen| seen.at <= self.cut).rev();
        let last = seen.next()?;
        let is_there = self.found.contains_key(last.event.data.as_str());
        (is_there || !self.may_be_deleted(&last.event)).then_some(!is_there)
    }

    fn report(&mut self, what: &str, about: &str) {
        // Removes the padding.
        let about = about.replace('.', "");
        self.violations.push(format!("{what}: {about}"));
    }

    fn index(&mut self) {
        for (publisher, ops) in self.history.publishers.iter().enumerate() {
            let ops = ops.iter().enumerate().filter(|(_, op)| op.requested <= self.cut);
            for (at, op) in ops {
                let events = op.sent().iter().map(|sent| (sent.data.as_str(), (publisher, at)));
                self.requested.extend(events);
            }
        }
    }

    fn take(&mut self, log: &'a [Found]) {
        for pair in log.windows(2) {
            if pair[0].id.offset >= pair[1].id.offset {
                self.report("reordered", &format!("{:?}", pair[1]));
            }
        }
        for found in log {
            let before = match &found.data {
                Some(data) => self.found.insert(data, found),
                None => self.ends.insert(&found.topic, found),
            };
            if before.is_some() {
                self.report("duplicated", found.data.as_ref().unwrap_or(&found.topic));
            }
            if found.data.as_ref().is_some_and(|data| !self.requested.contains_key(data.as_str())) {
                self.report("never sent", found.data.as_ref().unwrap_or(&found.topic));
            }
        }
    }

    /// Checks that the events of one publisher in a topic are in its order.
    fn check_order(&mut self, ops: &[&Op]) {
        let mut newest: HashMap<&str, Offset> = HashMap::new();
        for sent in ops.iter().flat_map(|op| op.sent()) {
            let Some(found) = self.found.get(sent.data.as_str()) else { continue };
            let offset = found.id.offset;
            if newest.insert(&sent.topic, offset).is_some_and(|before| before > offset) {
                self.report("reordered", &sent.data);
            }
        }
    }

    fn check_op(&mut self, op: &Op, later: &[&Op]) {
        let (sent, cut) = (op.sent(), self.cut);
        let is_found: Vec<bool> =
            sent.iter().map(|sent| self.found.contains_key(sent.data.as_str())).collect();
        let deletion = sent.first().and_then(|sent| deletion(&sent.topic, later));
        let broken = match op.kind {
            Kind::Batch(_) => is_found.contains(&true) && is_found.contains(&false),
            _ => !is_found.is_sorted_by(|a, b| a >= b),
        };
        if broken {
            self.report("torn", &sent[0].data);
        }
        if self.guarantee == Guarantee::NoLoss
            && is_found.contains(&true)
            && deletion.is_some_and(|deletion| deletion.acknowledged_by(cut).is_some())
        {
            self.report("in the log again after its deletion", &sent[0].data);
        }
        let Some(acknowledged) = op.acknowledged_by(cut) else { return };
        for (at, sent) in sent.iter().enumerate() {
            let id = acknowledged.ids.and_then(|(first, last)| match at {
                0 => Some(first),
                at => (at + 1 == op.sent().len()).then_some(last),
            });
            self.expect(sent, id, "acknowledged");
        }
        if matches!(op.kind, Kind::Single { ends: true, .. })
            && is_found.contains(&true)
            && !self.ends.contains_key(sent[0].topic.as_str())
        {
            self.report("without its end", &sent[0].data);
        }
    }

    /// Checks that the log has this event, with this id.
    fn expect(&mut self, sent: &Sent, id: Option<Cursor>, how: &str) {
        let Some(found) = self.found.get(sent.data.as_str()) else {
            let is_newer = id.is_none_or(|id| id.offset > self.newest);
            let may_be_lost = self.guarantee == Guarantee::Prefix && is_newer;
            if !may_be_lost && !self.may_be_deleted(sent) {
                self.report("lost", &format!("{} ({how})", sent.data));
            }
            return;
        };
        if id.is_some_and(|id| id != found.id) {
            self.report("has another id", &sent.data);
        }
    }

    /// Returns `true` if the deletion of this event was requested.
    fn may_be_deleted(&self, sent: &Sent) -> bool {
        self.requested.get(sent.data.as_str()).is_some_and(|(publisher, at)| {
            let ops = &self.history.publishers[*publisher][*at..];
            let later: Vec<&Op> = ops.iter().filter(|op| op.requested <= self.cut).collect();
            deletion(&sent.topic, &later).is_some()
        })
    }
}

fn deletion<'a>(topic: &str, later: &[&'a Op]) -> Option<&'a Op> {
    let deletes = |op: &Op| matches!(&op.kind, Kind::Delete { topic: gone } if gone == topic);
    later.iter().copied().find(|op| deletes(op))
}
