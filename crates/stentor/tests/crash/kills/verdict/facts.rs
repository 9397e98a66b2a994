//! What follows from a ledger and a log, found once for many readers.

use std::collections::{HashMap, HashSet};

use tokio::time::Instant;

use crate::kills::ledger::{Delete, Ledger, Line, Token, Write};
use crate::kills::log::{Log, Logged, offset};

pub struct Facts<'a> {
    pub ledger: &'a Ledger,
    pub log: &'a Log,
    /// Where each event stands in the ledger.
    pub places: HashMap<Token, (&'a Write, &'a Line)>,
    pub by_offset: HashMap<u64, &'a Logged>,
    /// What was sent to each topic.
    by_topic: HashMap<&'a str, Vec<(&'a Write, &'a Line)>>,
    /// What is in the log.
    pub events: HashSet<Token>,
    /// Events whose id was acknowledged.
    pub acknowledged: Vec<(&'a Write, &'a Line, u64)>,
    /// When writes were sent, and the lowest offset of all that were sent then or later.
    lowest: Vec<(Instant, u64)>,
}

impl<'a> Facts<'a> {
    pub fn new(ledger: &'a Ledger, log: &'a Log) -> Facts<'a> {
        let lines = |write: &'a Write| write.lines.iter().map(move |line| (write, line));
        let mut by_topic: HashMap<&str, Vec<_>> = HashMap::new();
        for (write, line) in ledger.writes.iter().flat_map(lines) {
            by_topic.entry(&line.topic).or_default().push((write, line));
        }
        let known = ledger.writes.iter().flat_map(lines);
        let known =
            known.filter_map(|(write, line)| Some((write, line, offset(line.id.as_deref()?))));
        let acknowledged: Vec<_> = known.collect();
        let mut lowest: Vec<(Instant, u64)> =
            acknowledged.iter().map(|(write, _, offset)| (write.sent, *offset)).collect();
        lowest.sort_unstable();
        let mut least = u64::MAX;
        for (_, offset) in lowest.iter_mut().rev() {
            least = least.min(*offset);
            *offset = least;
        }
        Facts {
            places: ledger.places(),
            by_topic,
            events: log.events().map(|(_, token)| token).collect(),
            by_offset: log.records.iter().map(|logged| (logged.offset, logged)).collect(),
            ledger,
            log,
            acknowledged,
            lowest,
        }
    }

    /// Whether something that had this offset and was sent at this moment may be gone by now.
    pub fn may_be_gone(&self, topic: &str, sent: Instant, offset: u64) -> bool {
        let oldest = self.log.records.first().map_or(u64::MAX, |logged| logged.offset);
        self.ledger.may_be_removed(topic, sent) || self.ledger.is_bounded && offset < oldest
    }

    /// Whether trimming may have taken something of a topic behind an offset before this moment that is
    /// not among those `seen`.
    pub fn may_be_trimmed_behind(
        &self,
        topic: &str,
        offset_min: u64,
        before: Instant,
        seen: &HashSet<Token>,
    ) -> bool {
        let is_gone = |(write, line): &(&Write, &Line)| {
            let is_behind = line.id.as_deref().is_none_or(|id| offset(id) > offset_min);
            let is_unseen = !self.events.contains(&line.token) && !seen.contains(&line.token);
            is_behind && is_unseen && write.sent < before && !write.is_refused()
        };
        let ledger = self.ledger;
        let mut events = self.by_topic.get(topic).into_iter().flatten();
        // Ends and deletions have a place too, which nobody was told.
        let has_closing =
            ledger.ends_of(topic).next().is_some() || ledger.deletes_of(topic).next().is_some();
        ledger.may_be_trimmed(topic) && (events.any(is_gone) || ledger.is_bounded && has_closing)
    }

    /// The offset of a delete is below this one: that of what was sent after its answer.
    pub fn offset_max(&self, delete: &Delete) -> u64 {
        let Some(at) = delete.acknowledged else { return u64::MAX };
        let later = self.lowest.partition_point(|(sent, _)| *sent <= at);
        self.lowest.get(later).map_or(u64::MAX, |(_, offset)| *offset)
    }
}
