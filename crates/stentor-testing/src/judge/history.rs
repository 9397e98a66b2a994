//! The history of a run: the requests of the publishers, and their responses.

use std::collections::HashMap;
use std::fmt;

use tokio::time::Instant;

/// Everything that the publishers did.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The writes, in the order in which they were sent.
    pub writes: Vec<Write>,
    /// Deletions by topic.
    pub deletes: HashMap<String, Vec<Delete>>,
    /// Indices of the writes that were to end a topic.
    pub ends: HashMap<String, Vec<usize>>,
    /// The topics whose oldest events retention removes.
    pub trimmed: Option<Trimmed>,
    /// `true` if the log has a size limit, which removes the oldest records of all topics.
    pub is_bounded: bool,
}

/// Retention by number of events.
#[derive(Clone, Copy, Debug)]
pub struct Trimmed {
    /// Prefix of the topic names.
    pub prefix: &'static str,
    /// Number of events of each topic that it keeps.
    pub kept: usize,
}

/// One publish request, with its repeats under one idempotency key.
#[derive(Clone, Debug)]
pub struct Write {
    /// The guarantee for its events.
    pub atomicity: Atomicity,
    /// Its events.
    pub lines: Vec<SentEvent>,
    /// The topic that it ends after its events, and the reason.
    pub end: Option<(String, String)>,
    /// The id of that end, if the response contained it. If the topic had ended before, it is the id of the earlier
    /// end.
    pub end_id: Option<String>,
    /// Time before the first byte was sent.
    pub sent: Instant,
    /// The response.
    pub outcome: Outcome,
}

/// The guarantee for the events of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Atomicity {
    /// All or nothing: a single event, alone or with the end of its topic, or a batch.
    Atomic,
    /// One after the other: the log contains the first events of it, without a hole. True of uploads.
    Prefix,
}

/// One event of a write.
#[derive(Clone, Debug)]
pub struct SentEvent {
    /// The topic.
    pub topic: String,
    /// The identity of the event, which is part of its data.
    pub event_key: EventKey,
    /// The id, if the response contained it.
    pub id: Option<String>,
}

/// The response to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No response: it may be in the log or not.
    Unknown,
    /// 200 or 201, received at this time: it is in the log.
    Acknowledged(Instant),
    /// Another status, received at this time: it is not in the log.
    Refused(Instant, u16),
}

/// A deletion of a topic, with its repeats until the response.
#[derive(Clone, Debug)]
pub struct Delete {
    /// Time before the first byte was sent.
    pub sent: Instant,
    /// Time of the response.
    pub acknowledged: Option<Instant>,
}

/// Identity of an event: its publisher, and the publisher's counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventKey {
    /// The publisher.
    pub publisher: u32,
    /// The publisher's counter.
    pub number: u64,
}

impl History {
    /// Adds a write that is about to be sent. Returns its index.
    pub fn push(&mut self, write: Write) -> usize {
        let at = self.writes.len();
        if let Some((topic, _)) = &write.end {
            self.ends.entry(topic.clone()).or_default().push(at);
        }
        self.writes.push(write);
        at
    }

    /// The writes that were to end a topic, each with its reason.
    pub fn ends_of(&self, topic: &str) -> impl Iterator<Item = (&Write, &str)> {
        let ends = self.ends.get(topic).into_iter().flatten().map(|at| &self.writes[*at]);
        ends.filter_map(|write| Some((write, write.end.as_ref()?.1.as_str())))
    }

    /// The history as it was known at this time: responses that arrived later count as missing.
    #[must_use]
    pub fn at(mut self, moment: Instant) -> History {
        for write in &mut self.writes {
            if let Outcome::Acknowledged(at) | Outcome::Refused(at, _) = write.outcome
                && at > moment
            {
                write.outcome = Outcome::Unknown;
            }
        }
        for delete in self.deletes.values_mut().flatten() {
            delete.acknowledged = delete.acknowledged.filter(|at| *at <= moment);
        }
        self
    }

    /// The write and the event of each key.
    pub fn by_key(&self) -> HashMap<EventKey, (&Write, &SentEvent)> {
        let lines = |write| Write::lines(write).map(move |line| (line.event_key, (write, line)));
        self.writes.iter().flat_map(lines).collect()
    }

    /// Returns `true` if an event sent at this time may have been removed by now, other than by the log size limit.
    pub fn may_be_removed(&self, topic: &str, sent: Instant) -> bool {
        self.is_trimmed(topic)
            || self.deletes_of(topic).any(|delete| delete.acknowledged.is_none_or(|at| sent < at))
    }

    /// Returns `true` if an event acknowledged at this time must have been removed by now.
    pub fn must_be_removed(&self, topic: &str, acknowledged: Instant) -> bool {
        let mut deletes = self.deletes_of(topic);
        deletes.any(|delete| delete.acknowledged.is_some() && acknowledged < delete.sent)
    }

    /// Returns `true` if retention limits this topic.
    pub fn is_trimmed(&self, topic: &str) -> bool {
        self.trimmed.is_some_and(|trimmed| topic.starts_with(trimmed.prefix))
    }

    /// Returns `true` if a reader may get a gap with reason `trimmed` for this topic.
    pub fn may_be_trimmed(&self, topic: &str) -> bool {
        self.is_bounded || self.is_trimmed(topic)
    }

    /// The deletions of a topic.
    pub fn deletes_of(&self, topic: &str) -> impl Iterator<Item = &Delete> {
        self.deletes.get(topic).into_iter().flatten()
    }

    /// Number of acknowledged events.
    pub fn acknowledged(&self) -> usize {
        let known = self.writes.iter().filter(|write| write.acknowledged().is_some());
        known.map(|write| write.lines.len()).sum()
    }

    /// Number of events that were sent and got no response.
    pub fn unknown(&self) -> usize {
        let unknown = self.writes.iter().filter(|write| write.outcome == Outcome::Unknown);
        unknown.map(|write| write.lines.len()).sum()
    }
}

impl Write {
    fn lines(&self) -> impl Iterator<Item = &SentEvent> {
        self.lines.iter()
    }

    /// Time of the acknowledgement, if there was one.
    pub fn acknowledged(&self) -> Option<Instant> {
        match self.outcome {
            Outcome::Acknowledged(at) => Some(at),
            Outcome::Unknown | Outcome::Refused(..) => None,
        }
    }

    /// Returns `true` if it was refused, so that it must not be in the log.
    pub fn is_refused(&self) -> bool {
        matches!(self.outcome, Outcome::Refused(..))
    }
}

impl EventKey {
    /// The data of the event, with `fill` bytes of filler.
    pub fn data(self, fill: usize) -> String {
        format!("{self}:{fill}:{}", self.filler().repeat(fill))
    }

    /// Parses the key from the data of an event. `None` if the data is damaged.
    pub fn of(data: &str) -> Option<EventKey> {
        let mut parts = data.splitn(4, ':');
        let (publisher, number) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let event_key = EventKey { publisher, number };
        let fill: usize = parts.next()?.parse().ok()?;
        let filling = parts.next()?;
        let whole = filling.len() == fill
            && filling.bytes().all(|byte| [byte] == event_key.filler().as_bytes());
        whole.then_some(event_key)
    }

    fn filler(self) -> &'static str {
        ["a", "b", "c", "d", "e"][usize::try_from(self.number % 5).unwrap_or_default()]
    }
}

impl fmt::Display for EventKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.publisher, self.number)
    }
}
