//! A storage operation that is under way.

use std::sync::{Arc, Mutex};

use stentor_hub::{MemoryStorage, Offset, StorageError};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::lock::lock;

/// The kinds of storage operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `Storage::append`.
    Append,
    /// `Storage::delete`.
    Delete,
    /// `Storage::trim`.
    Trim,
    /// `Storage::close`.
    Close,
    /// A call of the commit sink.
    Feed,
    /// `Storage::read`.
    Read,
    /// Another query.
    Query,
}

impl Kind {
    /// Returns `true` if the operation changes the log.
    pub(crate) fn is_write(self) -> bool {
        !matches!(self, Kind::Read | Kind::Query | Kind::Feed)
    }
}

type Work = Box<dyn FnOnce(&MemoryStorage, Offset) + Send>;
type Finish = Box<dyn FnOnce(Result<(), StorageError>) -> bool + Send>;

/// An operation that was started and not answered.
pub(crate) struct Pending {
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    work: Option<Work>,
    finish: Option<Finish>,
    is_closed: Box<dyn Fn() -> bool + Send>,
    /// The commit sink must have this number of changes before the operation succeeds.
    pub(crate) through: u64,
    /// Nothing happens before this time.
    pub(crate) held_until: Option<Instant>,
    pub(crate) was_held: bool,
}

impl Pending {
    /// Creates an operation, and the receiver of its result.
    pub(crate) fn new<T: Send + 'static>(
        id: u64,
        kind: Kind,
        work: impl FnOnce(&MemoryStorage, Offset) -> T + Send + 'static,
    ) -> (Pending, oneshot::Receiver<Result<T, StorageError>>) {
        let (sender, receiver) = oneshot::channel();
        let sender = Arc::new(Mutex::new(Some(sender)));
        let output = Arc::new(Mutex::new(None));
        let applied = Arc::clone(&output);
        let closing = Arc::clone(&sender);
        let pending = Pending {
            id,
            kind,
            work: Some(Box::new(move |log, fed| *lock(&applied) = Some(work(log, fed)))),
            is_closed: Box::new(move || {
                lock(&closing).as_ref().is_none_or(oneshot::Sender::is_closed)
            }),
            finish: Some(Box::new(move |result| {
                let Some(sender) = lock(&sender).take() else { return false };
                let output = lock(&output).take();
                let missing = StorageError::Unavailable { reason: "not applied".to_owned() };
                sender.send(result.and(output.ok_or(missing))).is_ok()
            })),
            through: 0,
            held_until: None,
            was_held: false,
        };
        (pending, receiver)
    }

    pub(crate) fn is_applied(&self) -> bool {
        self.work.is_none()
    }

    /// Returns `true` if the caller no longer waits.
    pub(crate) fn is_abandoned(&self) -> bool {
        (self.is_closed)()
    }

    /// Does the work of the operation.
    pub(crate) fn apply(&mut self, log: &MemoryStorage, fed: Offset) {
        if let Some(work) = self.work.take() {
            work(log, fed);
        }
    }

    /// Answers the caller.
    pub(crate) fn finish(&mut self, result: Result<(), StorageError>) {
        if let Some(finish) = self.finish.take() {
            finish(result);
        }
    }
}
