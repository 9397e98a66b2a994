//! Finds the newest events of the topics that filters match, in steps.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::merge::{Merge, Order};
use super::scan_filter::ScanFilter;
use super::snapshot::Snapshot;
use super::topic_walk::TopicWalk;
use crate::cursor::Offset;
use crate::filter::Filters;
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::tables::column::{self, Columns};
use crate::storage::sqlite::tables::record;
use crate::storage::sqlite::tables::topic::Topic;

pub(crate) const SCAN_BACK: &str =
    "SELECT offset, topic, kind FROM records WHERE offset <= ?1 ORDER BY offset DESC LIMIT ?2";

/// Number of newest rows that a scan reads before the matching topics are looked up instead. If twice the number of
/// requested events is more, the scan reads that number.
const SCAN_BACK_ROWS: u64 = 10_000;
/// Minimum number of topics that one walk over the matching topics keeps.
const CANDIDATES_MIN: usize = 4_096;
/// Maximum number of them: about 400 KB for a query.
const CANDIDATES_MAX: usize = 16_384;

/// A search for the oldest of the newest `count` events up to an offset.
///
/// For patterns it scans the newest records. If that does not suffice, it walks over the matching topics, keeps those
/// with the newest records, and merges their events, newest first. If it dropped topics on the walk that may have newer
/// events than the merge, it walks again, over the other topics.
///
/// `until` is fixed in the first step. So records that are appended between two steps do not count, and only removals
/// change what later steps find. An event that is removed after it was found still counts, as if the query had been
/// answered before the removal.
pub(crate) struct Newest {
    filters: Arc<Filters>,
    count: u64,
    until: Offset,
    found: u64,
    oldest: Option<Offset>,
    phase: Phase,
    candidates: Candidates,
    merge: Merge,
}

enum Phase {
    /// Scanning back from an offset; `left` is the number of rows.
    Scan {
        from: Offset,
        left: u64,
    },
    Walk(TopicWalk),
    Merge,
}

impl Newest {
    pub(crate) fn new(filters: &Arc<Filters>, count: u64, until: Offset) -> Newest {
        let phase = if filters.patterns().is_empty() {
            Phase::Walk(TopicWalk::new(filters))
        } else {
            Phase::Scan { from: until, left: SCAN_BACK_ROWS.max(count.saturating_mul(2)) }
        };
        Newest {
            filters: Arc::clone(filters),
            count,
            until,
            found: 0,
            oldest: None,
            phase,
            candidates: Candidates::new(count),
            merge: Merge::new(Order::NewestEvents),
        }
    }

    /// Continues the search. Breaks with the offset after which a reader of the events begins.
    pub(crate) fn step(
        &mut self,
        snapshot: &Snapshot<'_>,
        rows_max: u64,
    ) -> Result<Option<Offset>, DbError> {
        while self.found < self.count {
            if snapshot.work() >= rows_max {
                return Ok(None);
            }
            let is_complete = match &mut self.phase {
                Phase::Scan { .. } => self.scan_back(snapshot, rows_max)?,
                Phase::Walk(_) => self.walk(snapshot, rows_max)?,
                Phase::Merge => self.take_next(snapshot, rows_max)?,
            };
            if is_complete {
                break;
            }
        }
        Ok(Some(self.oldest.map_or(self.until, Offset::previous)))
    }

    /// Scans the newest records. Returns `true` if it has scanned all records.
    fn scan_back(&mut self, snapshot: &Snapshot<'_>, rows_max: u64) -> Result<bool, DbError> {
        let Phase::Scan { from, left } = &mut self.phase else { return Ok(false) };
        let limit = (*left).min(rows_max.saturating_sub(snapshot.work()).max(1));
        let mut filter = ScanFilter::new(snapshot, &self.filters);
        let mut statement = snapshot.connection.prepare_cached(SCAN_BACK)?;
        let mut rows = statement.query([column::offset(*from), column::number(limit)])?;
        let mut rows_read = 0;
        while snapshot.work() < rows_max
            && let Some(row) = rows.next()?
        {
            snapshot.count_row();
            rows_read += 1;
            let read = || Ok((row.offset(0)?, row.get(1)?, row.get::<_, i64>(2)?));
            let (offset, id, kind) = read().map_err(|error| DbError::at("a record", error))?;
            *from = offset.previous();
            let is_match = match filter.matches(id, offset) {
                // It may match. The reader that begins here gets a gap for it.
                Err(error) if error.is_corrupt() => {
                    snapshot.note_damaged_row(error.place());
                    true
                }
                matches => matches?,
            };
            if kind == record::EVENT && is_match {
                self.oldest = Some(offset);
                self.found += 1;
            }
            if self.found == self.count {
                return Ok(true);
            }
        }
        *left = left.saturating_sub(rows_read);
        if rows_read < limit && snapshot.work() < rows_max {
            return Ok(true);
        }
        if *left == 0 {
            // The merge finds the events of the scan again.
            (self.found, self.oldest) = (0, None);
            self.phase = Phase::Walk(TopicWalk::new(&self.filters));
        }
        Ok(false)
    }

    /// Walks over the matching topics, up to the maximum of rows. Never completes the search.
    fn walk(&mut self, snapshot: &Snapshot<'_>, rows_max: u64) -> Result<bool, DbError> {
        let Phase::Walk(walk) = &mut self.phase else { return Ok(false) };
        let names = rows_max.saturating_sub(snapshot.work()).max(1);
        let (candidates, until) = (&mut self.candidates, self.until);
        let is_complete = walk.go_on(snapshot, names, |topic| {
            candidates.add(&topic, until);
            Ok(ControlFlow::Continue(()))
        })?;
        if is_complete {
            self.candidates.sort();
            self.phase = Phase::Merge;
        }
        Ok(false)
    }

    /// Takes the next event of the merge. Returns `true` if there is none.
    fn take_next(&mut self, snapshot: &Snapshot<'_>, rows_max: u64) -> Result<bool, DbError> {
        while let Some(candidate) = self.candidates.next_from(self.merge.next_offset()) {
            snapshot.count_lookup();
            let Candidate { topic, removed_through, .. } = candidate;
            self.merge.add_all(snapshot.connection, topic, removed_through, self.until)?;
            if snapshot.work() >= rows_max {
                return Ok(false);
            }
        }
        if self.candidates.have_dropped_from(self.merge.next_offset()) {
            self.phase = Phase::Walk(TopicWalk::new(&self.filters));
            return Ok(false);
        }
        let Some(entry) = self.merge.next(snapshot.connection)? else { return Ok(true) };
        snapshot.count_row();
        self.found += 1;
        self.oldest = Some(entry.offset);
        Ok(false)
    }
}

/// A topic that may have some of the newest events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    /// No event of the topic is newer.
    newest: Offset,
    topic: i64,
    removed_through: Offset,
}

/// The topics with the newest records that a walk has found, at most `max`.
struct Candidates {
    max: usize,
    kept: BinaryHeap<Reverse<Candidate>>,
    /// The kept candidates, oldest first, once the walk is complete.
    sorted: Vec<Candidate>,
    /// The topics that are part of the merge. Later walks leave them out.
    merged: HashSet<i64>,
    /// The newest record of a topic that was dropped on the last walk.
    dropped: Option<Offset>,
}

impl Candidates {
    fn new(count: u64) -> Candidates {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        Candidates {
            max: count.clamp(CANDIDATES_MIN, CANDIDATES_MAX),
            kept: BinaryHeap::new(),
            sorted: Vec::new(),
            merged: HashSet::new(),
            dropped: None,
        }
    }

    fn add(&mut self, topic: &Topic, until: Offset) {
        if topic.events == 0 || self.merged.contains(&topic.id) {
            return;
        }
        let newest = topic.last.min(until);
        let removed_through = topic.removed_through;
        self.kept.push(Reverse(Candidate { newest, topic: topic.id, removed_through }));
        if self.kept.len() > self.max
            && let Some(Reverse(oldest)) = self.kept.pop()
        {
            self.dropped = self.dropped.max(Some(oldest.newest));
        }
    }

    /// Completes a walk.
    fn sort(&mut self) {
        let kept = std::mem::take(&mut self.kept).into_vec();
        self.sorted = kept.into_iter().map(|Reverse(candidate)| candidate).collect();
        self.sorted.sort_unstable();
    }

    /// Takes the next candidate, if it may have an event as new as the next one of the merge.
    fn next_from(&mut self, next: Option<Offset>) -> Option<Candidate> {
        let newest = self.sorted.last()?;
        if next.is_some_and(|next| next > newest.newest) {
            return None;
        }
        let candidate = self.sorted.pop()?;
        self.merged.insert(candidate.topic);
        Some(candidate)
    }

    /// Returns `true` if a dropped topic may have an event as new as the next one of the merge. Forgets that topics
    /// were dropped then, because the next walk finds them.
    fn have_dropped_from(&mut self, next: Option<Offset>) -> bool {
        let may_have = self.dropped.is_some_and(|dropped| next.is_none_or(|next| next <= dropped));
        if may_have {
            self.dropped = None;
        }
        may_have
    }
}
