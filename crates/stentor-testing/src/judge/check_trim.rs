//! Checks the remaining events of trimmed topics.

use std::collections::HashMap;

use super::history::{History, SentEvent, Write};
use super::log::Log;
use super::oldest::Oldest;
use super::violation::{Fault, Violation};

/// Returns the violations in trimmed topics: only their oldest events may be missing.
pub(super) fn check_trim(history: &History, log: &Log) -> Vec<Violation> {
    let by_key = history.by_key();
    // The number of remaining events of a topic, and the oldest one.
    let mut remaining: HashMap<&str, (usize, Oldest)> = HashMap::new();
    let mut event_keys = HashMap::new();
    for (logged, event_key) in log.events() {
        event_keys.insert(event_key, logged);
        let write = by_key.get(&event_key).map(|(write, _)| *write);
        let left = remaining.entry(&logged.topic).or_insert_with(|| (0, Oldest::of(logged, write)));
        left.0 += 1;
    }
    let falsely = log.trimmed.iter().filter(|topic| !history.may_be_trimmed(topic));
    let falsely = falsely.map(|topic| {
        Violation::new(Fault::FalseGap, format!("{topic} was trimmed while it was read"))
    });
    let mut violations: Vec<Violation> = falsely.collect();
    let due = |write: &&Write| {
        write.acknowledged().is_some() && log.since.is_none_or(|since| write.sent >= since)
    };
    let kept = history.trimmed.map_or(0, |trimmed| trimmed.kept);
    for write in history.writes.iter().filter(due) {
        let is_gone = |line: &&SentEvent| {
            history.is_trimmed(&line.topic) && !event_keys.contains_key(&line.event_key)
        };
        for line in write.lines.iter().filter(is_gone) {
            let (events, oldest) = remaining.get(line.topic.as_str()).copied().unzip();
            let events = events.unwrap_or_default();
            let name = format!("{} of {}, acknowledged", line.event_key, line.topic);
            if let Some(oldest) = oldest.filter(|oldest| oldest.is_before(write, Some(line))) {
                let detail = format!("{name}, after offset {}", oldest.offset);
                violations.push(Violation::new(Fault::Lost, detail));
            }
            if log.is_final && events < kept && !history.is_bounded {
                let detail = format!("{name}, although only {events} events are left");
                violations.push(Violation::new(Fault::Lost, detail));
            }
        }
    }
    violations
}
