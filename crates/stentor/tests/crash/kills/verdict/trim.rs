//! What is left of trimmed topics, judged.

use std::collections::HashMap;

use tokio::time::Instant;

use super::{Fault, Finding};
use crate::kills::ledger::{Ledger, Line, Write};
use crate::kills::log::{Log, offset};

/// What is left of a topic.
#[derive(Clone, Copy, Default)]
struct Left {
    events: usize,
    /// The offset of the oldest, and when that was acknowledged.
    oldest: u64,
    acknowledged: Option<Instant>,
}

/// What is wrong with the trimmed topics of a log: their oldest events are gone, and nothing else.
pub fn judge_trim(ledger: &Ledger, log: &Log) -> Vec<Finding> {
    let places = ledger.places();
    let mut there: HashMap<&str, Left> = HashMap::new();
    let mut tokens = HashMap::new();
    for (logged, token) in log.events() {
        tokens.insert(token, logged);
        let write = places.get(&token).map(|(write, _)| *write);
        let left = there.entry(&logged.topic).or_insert_with(|| Left {
            events: 0,
            oldest: logged.offset,
            acknowledged: write.and_then(Write::acknowledged),
        });
        left.events += 1;
    }
    let falsely = log.trimmed.iter().filter(|topic| !ledger.is_trimmed(topic));
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
            let left = there.get(line.topic.as_str()).copied().unwrap_or_default();
            let name = format!("{} of {}, acknowledged", line.token, line.topic);
            if left.has_before(write, line) {
                let detail = format!("{name}, behind offset {}", left.oldest);
                findings.push(Finding::new(Fault::Lost, detail));
            }
            if log.is_final && left.events < kept {
                let detail = format!("{name}, although only {} are left", left.events);
                findings.push(Finding::new(Fault::Lost, detail));
            }
        }
    }
    findings
}

impl Left {
    /// Whether something is left that came before this.
    fn has_before(&self, write: &Write, line: &Line) -> bool {
        self.events > 0
            && match &line.id {
                Some(id) => self.oldest < offset(id),
                None => self.acknowledged.is_some_and(|at| at < write.sent),
            }
    }
}
