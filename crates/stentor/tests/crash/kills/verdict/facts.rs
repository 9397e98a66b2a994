//! What follows from a ledger and a log, found once for many readers.

use std::collections::HashMap;

use tokio::time::Instant;

use crate::kills::ledger::{Delete, Ledger, Line, Token, Write};
use crate::kills::log::{Log, Logged, offset};

pub struct Facts<'a> {
    pub ledger: &'a Ledger,
    pub log: &'a Log,
    /// Where each event stands in the ledger.
    pub places: HashMap<Token, (&'a Write, &'a Line)>,
    pub by_offset: HashMap<u64, &'a Logged>,
    /// Events whose id was acknowledged.
    pub acknowledged: Vec<(&'a Write, &'a Line, u64)>,
    /// When writes were sent, and the lowest offset of all that were sent then or later.
    lowest: Vec<(Instant, u64)>,
}

impl<'a> Facts<'a> {
    pub fn new(ledger: &'a Ledger, log: &'a Log) -> Facts<'a> {
        let lines = |write: &'a Write| write.lines.iter().map(move |line| (write, line));
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
            by_offset: log.records.iter().map(|logged| (logged.offset, logged)).collect(),
            ledger,
            log,
            acknowledged,
            lowest,
        }
    }

    /// The offset of a delete is below this one: that of what was sent after its answer.
    pub fn offset_max(&self, delete: &Delete) -> u64 {
        let Some(at) = delete.acknowledged else { return u64::MAX };
        let later = self.lowest.partition_point(|(sent, _)| *sent <= at);
        self.lowest.get(later).map_or(u64::MAX, |(_, offset)| *offset)
    }
}
