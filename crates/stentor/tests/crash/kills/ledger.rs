//! What the publishers know: what they sent, and what they were told of it.

use std::collections::HashMap;
use std::fmt;

use tokio::time::Instant;

/// All that publishers did.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    pub writes: Vec<Write>,
    /// By topic.
    pub deletes: HashMap<String, Vec<Delete>>,
    /// Which writes were to end a topic.
    pub ends: HashMap<String, Vec<usize>>,
    /// The topics that lose their oldest events to retention.
    pub trimmed: Option<Trimmed>,
    /// Whether the log as a whole has a bound, so that its oldest records go, whatever their topics.
    pub is_bounded: bool,
}

/// A retention by count.
#[derive(Clone, Copy, Debug)]
pub struct Trimmed {
    /// What the names of its topics begin with.
    pub prefix: &'static str,
    /// How many events of each topic it leaves.
    pub kept: usize,
}

/// One request that publishes, with its repeats under one key.
#[derive(Clone, Debug)]
pub struct Write {
    pub way: Way,
    pub lines: Vec<Line>,
    /// The topic that it ends after these, and the reason.
    pub end: Option<(String, String)>,
    /// The id of that end, if the answer named it. A topic that had ended by then was answered its own.
    pub end_id: Option<String>,
    /// Before the first byte of it was sent.
    pub sent: Instant,
    pub outcome: Outcome,
}

/// What holds the events of a write together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// All or nothing: a single event, alone or with the end of its topic, or a batch.
    Whole,
    /// One after the other: what is in the log is a beginning of it.
    Upload,
}

/// One event of a write.
#[derive(Clone, Debug)]
pub struct Line {
    pub topic: String,
    pub token: Token,
    /// The id, if the answer named it.
    pub id: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was never answered: there, or not.
    Unknown,
    /// 200 or 201, received at this moment: there for good.
    Acknowledged(Instant),
    /// Another answer, received at this moment: not there.
    Refused(Instant, u16),
}

/// A topic that was to be deleted, with its repeats until the answer came.
#[derive(Clone, Debug)]
pub struct Delete {
    pub sent: Instant,
    pub acknowledged: Option<Instant>,
}

/// What tells an event from all others: its publisher, and that one's count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token {
    pub publisher: u32,
    pub number: u64,
}

impl Ledger {
    /// Notes a write that is about to be sent, and gives its place among the writes.
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

    /// What was known at this moment: answers that came later had not come.
    #[must_use]
    pub fn at(mut self, moment: Instant) -> Ledger {
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

    /// Where each event stands: write and line.
    pub fn places(&self) -> HashMap<Token, (&Write, &Line)> {
        let lines = |write| Write::lines(write).map(move |line| (line.token, (write, line)));
        self.writes.iter().flat_map(lines).collect()
    }

    /// Whether an event sent at this moment may have been taken from the log by now, other than by the
    /// bound of the log.
    pub fn may_be_removed(&self, topic: &str, sent: Instant) -> bool {
        self.is_trimmed(topic)
            || self.deletes_of(topic).any(|delete| delete.acknowledged.is_none_or(|at| sent < at))
    }

    /// Whether an event acknowledged at this moment must have been taken from the log by now.
    pub fn must_be_removed(&self, topic: &str, acknowledged: Instant) -> bool {
        let mut deletes = self.deletes_of(topic);
        deletes.any(|delete| delete.acknowledged.is_some() && acknowledged < delete.sent)
    }

    /// Whether retention holds a topic to limits of its own.
    pub fn is_trimmed(&self, topic: &str) -> bool {
        self.trimmed.is_some_and(|trimmed| topic.starts_with(trimmed.prefix))
    }

    /// Whether readers of a topic may be told that it was trimmed.
    pub fn may_be_trimmed(&self, topic: &str) -> bool {
        self.is_bounded || self.is_trimmed(topic)
    }

    pub fn deletes_of(&self, topic: &str) -> impl Iterator<Item = &Delete> {
        self.deletes.get(topic).into_iter().flatten()
    }

    /// How many events were acknowledged.
    pub fn acknowledged(&self) -> usize {
        let known = self.writes.iter().filter(|write| write.acknowledged().is_some());
        known.map(|write| write.lines.len()).sum()
    }

    /// How many events were sent and never answered.
    pub fn unknown(&self) -> usize {
        let unknown = self.writes.iter().filter(|write| write.outcome == Outcome::Unknown);
        unknown.map(|write| write.lines.len()).sum()
    }
}

impl Write {
    fn lines(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter()
    }

    pub fn acknowledged(&self) -> Option<Instant> {
        match self.outcome {
            Outcome::Acknowledged(at) => Some(at),
            Outcome::Unknown | Outcome::Refused(..) => None,
        }
    }

    pub fn is_refused(&self) -> bool {
        matches!(self.outcome, Outcome::Refused(..))
    }
}

impl Token {
    /// The data of the event, with so many bytes to fill it.
    pub fn data(self, fill: usize) -> String {
        format!("{self}:{fill}:{}", self.filler().repeat(fill))
    }

    /// The token of an event that has this data; `None` if it was damaged.
    pub fn of(data: &str) -> Option<Token> {
        let mut parts = data.splitn(4, ':');
        let (publisher, number) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let token = Token { publisher, number };
        let fill: usize = parts.next()?.parse().ok()?;
        let filling = parts.next()?;
        let whole = filling.len() == fill
            && filling.bytes().all(|byte| [byte] == token.filler().as_bytes());
        whole.then_some(token)
    }

    fn filler(self) -> &'static str {
        ["a", "b", "c", "d", "e"][usize::try_from(self.number % 5).unwrap_or_default()]
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.publisher, self.number)
    }
}
