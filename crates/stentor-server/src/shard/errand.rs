//! A question to the log on behalf of a reader, which a shard itself never asks.

use std::sync::Arc;

use stentor_hub::storage::Budget;
use stentor_hub::{Batch, Hub, Offset, Record, StartPosition, StorageError, Subscription};

/// What is read for a reader at once, and all that is in memory for it while it is served. Larger pages
/// make a replay quicker, and publishers and other readers of the same core wait longer meanwhile.
pub(super) const PAGE: Budget = Budget { records: 64, bytes: 64 << 10, rows: 10_000 };

/// What is to be found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// How the stream begins.
    Opening,
    /// What comes next, behind the live window.
    Next,
    /// The record at an offset, of which a part is written.
    Record(Offset),
}

/// Who wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// The reader in this place, if it is still the one with this id.
    Reader { slot: u32, id: u64 },
    /// A feed, for all its readers.
    Feed { index: usize },
}

/// A question with all that it takes to ask it. [`Errand::run`] it somewhere, and hand what comes back
/// to the shard it came from.
pub struct Errand {
    pub(super) asker: Asker,
    pub(super) question: Question,
    pub(super) hub: Hub,
    pub(super) subscription: Box<Subscription>,
}

/// What an errand brings back.
pub struct Findings {
    pub(super) asker: Asker,
    pub(super) subscription: Box<Subscription>,
    pub(super) answer: Result<Answer, StorageError>,
}

pub(super) enum Answer {
    Opening(StartPosition),
    Batch(Batch),
    /// `None`: retention took it.
    Record(Option<Arc<Record>>),
}

impl Errand {
    /// Asks the log.
    pub async fn run(self) -> Findings {
        let Errand { asker, question, hub, mut subscription } = self;
        let answer = match question {
            Question::Opening => subscription.start_position().await.map(Answer::Opening),
            Question::Next => subscription.read_from_storage(PAGE).await.map(Answer::Batch),
            Question::Record(offset) => hub.record(offset).await.map(Answer::Record),
        };
        Findings { asker, subscription, answer }
    }
}
