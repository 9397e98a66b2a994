//! What a log that was found must hold, going by what was remembered.

use std::collections::HashMap;

use stentor_hub::{Cursor, Offset};

use super::ledger::{Kind, Memory, Op, Seen, Sent};

/// An event or an end that was found.
#[derive(Clone, Debug)]
pub struct Found {
    pub id: Cursor,
    pub topic: String,
    /// `None` for an end.
    pub data: Option<String>,
}

/// What may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// Nothing that anybody knew of.
    All,
    /// The newest, but nothing before something that is there.
    Prefix,
}

/// A log, and what was known when the power failed.
pub struct Verdict<'a> {
    memory: &'a Memory,
    cut: u64,
    promise: Promise,
    /// Who asked for an event, and as which op.
    asked: HashMap<&'a str, (usize, usize)>,
    found: HashMap<&'a str, &'a Found>,
    ends: HashMap<&'a str, &'a Found>,
    newest: Offset,
    complaints: Vec<String>,
}

impl<'a> Verdict<'a> {
    /// Complaints about this log, none if it is as promised.
    pub fn of(memory: &'a Memory, cut: u64, promise: Promise, log: &'a [Found]) -> Verdict<'a> {
        let mut verdict = Verdict {
            memory,
            cut,
            promise,
            asked: HashMap::new(),
            found: HashMap::new(),
            ends: HashMap::new(),
            newest: log.iter().map(|found| found.id.offset).max().unwrap_or_default(),
            complaints: Vec::new(),
        };
        verdict.index();
        verdict.take(log);
        for ops in &memory.publishers {
            let ops: Vec<&Op> = ops.iter().filter(|op| op.asked <= cut).collect();
            verdict.judge_order(&ops);
            for (at, op) in ops.iter().enumerate() {
                verdict.judge_op(op, &ops[at..]);
            }
        }
        for seen in memory.readers.iter().flatten().filter(|seen| seen.at <= cut) {
            verdict.expect(&seen.event, Some(seen.id), "seen");
        }
        verdict
    }

    pub fn complaints(self) -> Vec<String> {
        self.complaints
    }

    /// The highest offset that anybody had been told.
    pub fn newest_known(&self) -> Offset {
        let answered = self.memory.publishers.iter().flatten();
        let answered = answered.filter_map(|op| op.was_answered_by(self.cut)?.ids);
        let seen = self.memory.readers.iter().flatten().filter(|seen| seen.at <= self.cut);
        let offsets = answered.map(|ids| ids.1.offset).chain(seen.map(|seen| seen.id.offset));
        offsets.max().unwrap_or_default()
    }

    /// Whether a reader has seen something that is not there any more, `None` if that cannot be told: it
    /// may have been deleted.
    pub fn has_lost(&self, seen: &[Seen]) -> Option<bool> {
        let mut seen = seen.iter().filter(|seen| seen.at <= self.cut).rev();
        let last = seen.next()?;
        let is_there = self.found.contains_key(last.event.data.as_str());
        (is_there || !self.is_excused(&last.event)).then_some(!is_there)
    }

    fn complain(&mut self, what: &str, about: &str) {
        // Without the padding.
        let about = about.replace('.', "");
        self.complaints.push(format!("{what}: {about}"));
    }

    fn index(&mut self) {
        for (publisher, ops) in self.memory.publishers.iter().enumerate() {
            let ops = ops.iter().enumerate().filter(|(_, op)| op.asked <= self.cut);
            for (at, op) in ops {
                let events = op.sent().iter().map(|sent| (sent.data.as_str(), (publisher, at)));
                self.asked.extend(events);
            }
        }
    }

    fn take(&mut self, log: &'a [Found]) {
        for pair in log.windows(2) {
            if pair[0].id.offset >= pair[1].id.offset {
                self.complain("reordered", &format!("{:?}", pair[1]));
            }
        }
        for found in log {
            let before = match &found.data {
                Some(data) => self.found.insert(data, found),
                None => self.ends.insert(&found.topic, found),
            };
            if before.is_some() {
                self.complain("doubled", found.data.as_ref().unwrap_or(&found.topic));
            }
            if found.data.as_ref().is_some_and(|data| !self.asked.contains_key(data.as_str())) {
                self.complain("invented", found.data.as_ref().unwrap_or(&found.topic));
            }
        }
    }

    /// What one publisher sent to a topic is in its order.
    fn judge_order(&mut self, ops: &[&Op]) {
        let mut newest: HashMap<&str, Offset> = HashMap::new();
        for sent in ops.iter().flat_map(|op| op.sent()) {
            let Some(found) = self.found.get(sent.data.as_str()) else { continue };
            let offset = found.id.offset;
            if newest.insert(&sent.topic, offset).is_some_and(|before| before > offset) {
                self.complain("reordered", &sent.data);
            }
        }
    }

    fn judge_op(&mut self, op: &Op, later: &[&Op]) {
        let (sent, cut) = (op.sent(), self.cut);
        let there: Vec<bool> =
            sent.iter().map(|sent| self.found.contains_key(sent.data.as_str())).collect();
        let deletion = sent.first().and_then(|sent| deletion(&sent.topic, later));
        let broken = match op.kind {
            Kind::Batch(_) => there.contains(&true) && there.contains(&false),
            _ => !there.is_sorted_by(|a, b| a >= b),
        };
        if broken {
            self.complain("torn", &sent[0].data);
        }
        if self.promise == Promise::All
            && there.contains(&true)
            && deletion.is_some_and(|deletion| deletion.was_answered_by(cut).is_some())
        {
            self.complain("deleted and back", &sent[0].data);
        }
        let Some(answered) = op.was_answered_by(cut) else { return };
        for (at, sent) in sent.iter().enumerate() {
            let id = answered.ids.and_then(|(first, last)| match at {
                0 => Some(first),
                at => (at + 1 == op.sent().len()).then_some(last),
            });
            self.expect(sent, id, "acknowledged");
        }
        if matches!(op.kind, Kind::Single { ends: true, .. })
            && there.contains(&true)
            && !self.ends.contains_key(sent[0].topic.as_str())
        {
            self.complain("torn from its end", &sent[0].data);
        }
    }

    /// This must be there, with this id.
    fn expect(&mut self, sent: &Sent, id: Option<Cursor>, how: &str) {
        let Some(found) = self.found.get(sent.data.as_str()) else {
            let is_newer = id.is_none_or(|id| id.offset > self.newest);
            let may_be_lost = self.promise == Promise::Prefix && is_newer;
            if !may_be_lost && !self.is_excused(sent) {
                self.complain("lost", &format!("{} ({how})", sent.data));
            }
            return;
        };
        if id.is_some_and(|id| id != found.id) {
            self.complain("there with another id", &sent.data);
        }
    }

    /// Whether somebody asked for the deletion of this.
    fn is_excused(&self, sent: &Sent) -> bool {
        self.asked.get(sent.data.as_str()).is_some_and(|(publisher, at)| {
            let ops = &self.memory.publishers[*publisher][*at..];
            let later: Vec<&Op> = ops.iter().filter(|op| op.asked <= self.cut).collect();
            deletion(&sent.topic, &later).is_some()
        })
    }
}

fn deletion<'a>(topic: &str, later: &[&'a Op]) -> Option<&'a Op> {
    let deletes = |op: &Op| matches!(&op.kind, Kind::Delete { topic: gone } if gone == topic);
    later.iter().copied().find(|op| deletes(op))
}
