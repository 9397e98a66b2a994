//! The history of publishers and readers.

use std::sync::{Arc, Mutex, MutexGuard};

use stentor_hub::Cursor;

/// The history of all of them.
#[derive(Clone, Default)]
pub struct SharedHistory(Arc<Mutex<History>>);

#[derive(Clone, Default)]
pub struct History {
    /// Ops of each publisher, in order. It waits for each response before the next request.
    pub publishers: Vec<Vec<Op>>,
    /// Events that each reader received, in order.
    pub readers: Vec<Vec<Seen>>,
}

/// A request of a publisher. Times are lengths of the journal.
#[derive(Clone, Debug)]
pub struct Op {
    pub kind: Kind,
    pub requested: u64,
    pub acknowledged: Option<Acknowledged>,
}

#[derive(Clone, Debug)]
pub enum Kind {
    /// One event after the other. An upload that was cut may continue in a repeat.
    Upload(Vec<Sent>),
    /// All or nothing.
    Batch(Vec<Sent>),
    /// One event, with an optional idempotency key and an optional end.
    Single { sent: Sent, key: Option<String>, ends: bool },
    /// Deletes all earlier events of this publisher in the topic.
    Delete { topic: String },
}

/// An event. Its data is unique.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub topic: String,
    pub data: String,
}

/// The successful response to an op.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledged {
    pub at: u64,
    /// The first and the last id, if the response contained ids.
    pub ids: Option<(Cursor, Cursor)>,
}

/// An event that a reader received.
#[derive(Clone, Debug)]
pub struct Seen {
    pub at: u64,
    pub id: Cursor,
    pub event: Sent,
}

impl Op {
    /// Its events.
    pub fn sent(&self) -> &[Sent] {
        match &self.kind {
            Kind::Upload(sent) | Kind::Batch(sent) => sent,
            Kind::Single { sent, .. } => std::slice::from_ref(sent),
            Kind::Delete { .. } => &[],
        }
    }

    pub fn acknowledged_by(&self, cut: u64) -> Option<Acknowledged> {
        self.acknowledged.filter(|acknowledged| acknowledged.at <= cut)
    }
}

impl SharedHistory {
    pub fn lock(&self) -> MutexGuard<'_, History> {
        self.0.lock().unwrap()
    }

    /// Adds a publisher. Returns its index.
    pub fn publisher(&self) -> usize {
        let mut history = self.lock();
        history.publishers.push(Vec::new());
        history.publishers.len() - 1
    }

    /// Adds a reader. Returns its index.
    pub fn reader(&self) -> usize {
        let mut history = self.lock();
        history.readers.push(Vec::new());
        history.readers.len() - 1
    }
}
