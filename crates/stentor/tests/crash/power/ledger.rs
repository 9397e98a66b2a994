//! What those who wrote and read remember.

use std::sync::{Arc, Mutex, MutexGuard};

use stentor_hub::Cursor;

/// What all of them remember.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<Memory>>);

#[derive(Clone, Default)]
pub struct Memory {
    /// What each publisher did, in order: it waits for each answer before it goes on.
    pub publishers: Vec<Vec<Op>>,
    /// What each reader saw, in order.
    pub readers: Vec<Vec<Seen>>,
}

/// Something that a publisher asked for. Times are lengths of the journal.
#[derive(Clone, Debug)]
pub struct Op {
    pub kind: Kind,
    pub asked: u64,
    pub answered: Option<Answered>,
}

#[derive(Clone, Debug)]
pub enum Kind {
    /// One event after the other; a repeat may go on where it broke off.
    Upload(Vec<Sent>),
    /// All or nothing.
    Batch(Vec<Sent>),
    /// One event, perhaps with a key, perhaps with an end behind it.
    Single { sent: Sent, key: Option<String>, ends: bool },
    /// All that this publisher sent to the topic before goes.
    Delete { topic: String },
}

/// An event; its data is unlike that of any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub topic: String,
    pub data: String,
}

/// The good answer to an op.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    pub at: u64,
    /// The first and the last id, if it gave any.
    pub ids: Option<(Cursor, Cursor)>,
}

/// An event that a reader got.
#[derive(Clone, Debug)]
pub struct Seen {
    pub at: u64,
    pub id: Cursor,
    pub event: Sent,
}

impl Op {
    /// The events of it.
    pub fn sent(&self) -> &[Sent] {
        match &self.kind {
            Kind::Upload(sent) | Kind::Batch(sent) => sent,
            Kind::Single { sent, .. } => std::slice::from_ref(sent),
            Kind::Delete { .. } => &[],
        }
    }

    pub fn was_answered_by(&self, cut: u64) -> Option<Answered> {
        self.answered.filter(|answered| answered.at <= cut)
    }
}

impl Ledger {
    pub fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap()
    }

    /// A new publisher's place.
    pub fn publisher(&self) -> usize {
        let mut memory = self.memory();
        memory.publishers.push(Vec::new());
        memory.publishers.len() - 1
    }

    /// A new reader's place.
    pub fn reader(&self) -> usize {
        let mut memory = self.memory();
        memory.readers.push(Vec::new());
        memory.readers.len() - 1
    }
}
