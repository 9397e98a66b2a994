//! Indices over a history and a log, built once for many readers.

use std::collections::{HashMap, HashSet};

use tokio::time::Instant;

use super::history::{Delete, EventKey, History, SentEvent, Write};
use super::log::{Content, Log, LoggedRecord, offset};

/// Indices over a history and a log.
pub struct Index<'a> {
    /// The history.
    pub history: &'a History,
    /// The log.
    pub log: &'a Log,
    /// The write and the event of each key in the history.
    pub by_key: HashMap<EventKey, (&'a Write, &'a SentEvent)>,
    /// The record at each offset.
    pub by_offset: HashMap<u64, &'a LoggedRecord>,
    /// The events sent to each topic.
    by_topic: HashMap<&'a str, Vec<(&'a Write, &'a SentEvent)>>,
    /// The events that were left when the log was read last.
    pub events: HashSet<EventKey>,
    /// The offsets that were left then.
    left: HashSet<u64>,
    /// The lowest of them.
    oldest: u64,
    /// Events whose id was acknowledged.
    pub acknowledged: Vec<(&'a Write, &'a SentEvent, u64)>,
    /// Send times of writes, each with the lowest offset of all writes sent then or later.
    lowest: Vec<(Instant, u64)>,
}

impl<'a> Index<'a> {
    /// Builds the indices. `log` was read after the last publish.
    pub fn new(history: &'a History, log: &'a Log) -> Index<'a> {
        let lines = |write: &'a Write| write.lines.iter().map(move |line| (write, line));
        let mut by_topic: HashMap<&str, Vec<_>> = HashMap::new();
        for (write, line) in history.writes.iter().flat_map(lines) {
            by_topic.entry(&line.topic).or_default().push((write, line));
        }
        let known = history.writes.iter().flat_map(lines);
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
        let mut index = Index {
            by_key: history.by_key(),
            by_topic,
            events: HashSet::new(),
            left: HashSet::new(),
            oldest: u64::MAX,
            by_offset: log.records.iter().map(|logged| (logged.offset, logged)).collect(),
            history,
            log,
            acknowledged,
            lowest,
        };
        index.read_again(log);
        index
    }

    /// Takes a later reading of the log. Trims continue after the last publish, so fewer records may be left.
    pub fn read_again(&mut self, newest: &Log) {
        self.events = newest.events().map(|(_, event_key)| event_key).collect();
        self.left = newest.records.iter().map(|logged| logged.offset).collect();
        self.oldest = newest.records.first().map_or(u64::MAX, |logged| logged.offset);
    }

    /// Returns `true` if the record was left when the log was read last.
    pub fn is_left(&self, logged: &LoggedRecord) -> bool {
        self.left.contains(&logged.offset)
    }

    /// Returns `true` if the record was trimmed, and this may have been before that time.
    pub fn may_be_trimmed_before(&self, logged: &LoggedRecord, time: Instant) -> bool {
        let is_sent = match &logged.what {
            Content::End(reason) => {
                let mut ends = self.history.ends_of(&logged.topic);
                ends.any(|(write, asked)| asked == reason && write.sent < time)
            }
            Content::Event(event_key) => {
                self.by_key.get(event_key).is_some_and(|(write, _)| write.sent < time)
            }
            Content::Damaged(_) => false,
        };
        is_sent && self.history.may_be_trimmed(&logged.topic) && !self.is_left(logged)
    }

    /// Returns `true` if an event with this offset, sent at this time, may have been removed by now.
    pub fn may_be_gone(&self, topic: &str, sent: Instant, offset: u64) -> bool {
        self.history.may_be_removed(topic, sent) || self.history.is_bounded && offset < self.oldest
    }

    /// Returns `true` if a topic may have ended at or before this offset, by a write sent before this time. The size
    /// limit may have removed its end since.
    pub fn may_have_ended_before(&self, topic: &str, offset_max: u64, time: Instant) -> bool {
        let is_end = |logged: &&LoggedRecord| {
            logged.topic == topic && matches!(logged.what, Content::End(_))
        };
        let mut left = self.log.records.iter().filter(is_end);
        let may_be_gone = |write: &Write| {
            // The end has this offset, or follows it at once.
            let id = write.end_id.as_ref().or_else(|| write.lines.last()?.id.as_ref());
            let is_early = id.map(|id| offset(id)).is_none_or(|offset| {
                offset <= offset_max && self.may_be_gone(topic, write.sent, offset)
            });
            is_early && write.sent < time && !write.is_refused()
        };
        left.any(|logged| logged.offset <= offset_max)
            || self.history.is_bounded
                && self.history.ends_of(topic).any(|(write, _)| may_be_gone(write))
    }

    /// Returns `true` if trimming may have removed an event of a topic after `offset_min`, sent before this time,
    /// that is not in `seen`.
    pub fn may_be_trimmed_behind(
        &self,
        topic: &str,
        offset_min: u64,
        before: Instant,
        seen: &HashSet<EventKey>,
    ) -> bool {
        let is_gone = |(write, line): &(&Write, &SentEvent)| {
            let is_behind = line.id.as_deref().is_none_or(|id| offset(id) > offset_min);
            let is_unseen =
                !self.events.contains(&line.event_key) && !seen.contains(&line.event_key);
            is_behind && is_unseen && write.sent < before && !write.is_refused()
        };
        let history = self.history;
        let mut events = self.by_topic.get(topic).into_iter().flatten();
        // Ends and deletions have offsets too, which no response contained.
        let has_closing =
            history.ends_of(topic).next().is_some() || history.deletes_of(topic).next().is_some();
        history.may_be_trimmed(topic) && (events.any(is_gone) || history.is_bounded && has_closing)
    }

    /// An upper bound for the offset of a deletion: the lowest offset of the writes sent after its response.
    pub fn offset_max(&self, delete: &Delete) -> u64 {
        let Some(at) = delete.acknowledged else { return u64::MAX };
        let later = self.lowest.partition_point(|(sent, _)| *sent <= at);
        self.lowest.get(later).map_or(u64::MAX, |(_, offset)| *offset)
    }
}
