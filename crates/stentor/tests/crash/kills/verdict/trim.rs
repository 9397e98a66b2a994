//! What is left of trimmed topics, judged.

use std::collections::HashMap;

use super::oldest::Oldest;
use super::{Fault, Finding};
use crate::kills::ledger::{Ledger, Line, Write};
use crate::kills::log::Log;

/// What is wrong with the trimmed topics of a log: their oldest events are gone, and nothing else.
pub fn judge_trim(ledger: &Ledger, log: &Log) -> Vec<Finding> {
    let places = ledger.places();
    // How many events are left of a topic, and the oldest.
    let mut there: HashMap<&str, (usize, Oldest)> = HashMap::new();
    let mut tokens = HashMap::new();
    for (logged, token) in log.events() {
        tokens.insert(token, logged);
        let write = places.get(&token).map(|(write, _)| *write);
        let left = there.entry(&logged.topic).or_insert_with(|| (0, Oldest::of(logged, write)));
        left.0 += 1;
    }
    let falsely = log.trimmed.iter().filter(|topic| !ledger.may_be_trimmed(topic));
    let falsely = falsely.map(|topic| {
        Finding::new(Fault::FalseGap, format!("{topic} has lost something while it was read"))
    });
    let mut findings: Vec<Finding> = falsely.collect();
    let due = |write: &&Write| {
        write.acknowledged().is_some() && log.since.is_none_or(|since| write.sent >= since)
    };
    let kept = ledger.trimmed.map_or(0, |trimmed| trimmed.kept);
    for write in ledger.writes.iter().filter(due) {
        let is_gone =
            |line: &&Line| ledger.is_trimmed(&line.topic) && !tokens.contains_key(&line.token);
        for line in write.lines.iter().filter(is_gone) {
            let (events, oldest) = there.get(line.topic.as_str()).copied().unzip();
            let events = events.unwrap_or_default();
            let name = format!("{} of {}, acknowledged", line.token, line.topic);
            if let Some(oldest) = oldest.filter(|oldest| oldest.is_before(write, Some(line))) {
                let detail = format!("{name}, behind offset {}", oldest.offset);
                findings.push(Finding::new(Fault::Lost, detail));
            }
            if log.is_final && events < kept && !ledger.is_bounded {
                let detail = format!("{name}, although only {events} are left");
                findings.push(Finding::new(Fault::Lost, detail));
            }
        }
    }
    findings
}
