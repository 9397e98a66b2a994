//! The way to a shard: a bounded inbox, which outlives a shard that fails.

use std::any::Any;
use std::collections::HashSet;
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use stentor_hub::Consumer;
use tokio::sync::watch;

use crate::shard::{Arrival, Connection, QueryResult};
use crate::stream::session::{Key, KeyId};
use crate::stream::shards::StreamShard;

/// Maximum number of readers that wait for a shard to take them. Further ones are refused: they are asked
/// to reconnect later. A shard takes all of them in each turn, so this many wait only if it hangs.
pub(super) const ARRIVALS_MAX: usize = 16_384;

/// Sends messages to a shard, from any thread. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct ShardHandle(Arc<Inner>);

struct Inner {
    inbox: Mutex<Inbox>,
    state: watch::Sender<State>,
    /// Number of turns after which a check was waiting.
    turns: watch::Sender<u64>,
}

/// Messages for a shard: at most [`ARRIVALS_MAX`] readers, one result for each running query, and one
/// closing for each key.
struct Inbox {
    messages: Vec<Message>,
    /// Number of readers in `messages`.
    arrivals: usize,
    /// Wakes the shard.
    consumer: Consumer,
    /// Number of the shard. After a restart it is another one, to which older queries mean nothing.
    number: u64,
    /// `true` if a check waits for the next turn.
    is_checked: bool,
    /// The keys of which `messages` has a closing.
    closing: HashSet<KeyId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    phase: Phase,
    /// `true` if the shard ends with its last reader.
    is_closed: bool,
    /// `true` if the shard ends now.
    is_stopped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Runs,
    /// It has failed. Its driver starts another one.
    IsDown,
    /// It has ended and takes no more messages.
    HasEnded,
}

pub(super) enum Message {
    Arrival(Box<Arrival<Connection>>),
    QueryResult(Box<QueryResult>),
    CloseKey(Arc<Key>),
    #[cfg(test)]
    Kill(Kill),
}

/// A way in which a test kills a task of a driver.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kill {
    Panic,
    Error,
    Watchers,
}

/// The content of an inbox, as a shard takes it.
pub(super) struct Taken {
    pub(super) is_closed: bool,
    pub(super) is_stopped: bool,
    /// `true` if a check waits for the turn.
    pub(super) is_checked: bool,
}

impl ShardHandle {
    pub(super) fn new(consumer: Consumer) -> ShardHandle {
        let state = State { phase: Phase::Runs, is_closed: false, is_stopped: false };
        ShardHandle(Arc::new(Inner {
            inbox: Mutex::new(Inbox {
                messages: Vec::new(),
                arrivals: 0,
                consumer,
                number: 0,
                is_checked: false,
                closing: HashSet::new(),
            }),
            state: watch::Sender::new(state),
            turns: watch::Sender::new(0),
        }))
    }

    /// Returns the handle of a shard that a service knows.
    pub(crate) fn of(shard: Arc<dyn StreamShard>) -> Option<ShardHandle> {
        let shard: Arc<dyn Any + Send + Sync> = shard;
        shard.downcast().ok().map(ShardHandle)
    }

    /// Returns the shard as a service knows it.
    pub(crate) fn into_shard(self) -> Arc<dyn StreamShard> {
        self.0
    }

    /// Hands a reader over to the shard.
    ///
    /// # Errors
    ///
    /// Returns the reader if the shard has ended, has failed and was not restarted yet, or hangs while
    /// too many readers wait for it.
    pub(crate) fn adopt(
        &self,
        arrival: Box<Arrival<Connection>>,
    ) -> Result<(), Box<Arrival<Connection>>> {
        let mut inbox = self.0.inbox();
        if self.0.phase() != Phase::Runs || inbox.arrivals >= ARRIVALS_MAX {
            return Err(arrival);
        }
        inbox.arrivals += 1;
        inbox.messages.push(Message::Arrival(arrival));
        inbox.consumer.wake();
        Ok(())
    }

    /// Announces that the shard ends when its last reader has left.
    pub(crate) fn close(&self) {
        self.0.state.send_modify(|state| state.is_closed = true);
        self.0.inbox().consumer.wake();
    }

    /// Ends the shard. The streams of its readers are interrupted.
    pub(super) fn stop(&self) {
        self.0.state.send_modify(|state| state.is_stopped = true);
        self.0.inbox().consumer.wake();
    }

    /// Waits until the shard runs or has ended.
    pub(crate) async fn not_down(&self) {
        let mut state = self.0.state.subscribe();
        let _ = state.wait_for(|state| state.phase != Phase::IsDown).await;
    }

    /// Returns `true` if the shard has not failed and not ended.
    pub(crate) fn runs(&self) -> bool {
        self.0.phase() == Phase::Runs
    }

    /// Waits until the shard has failed or ended.
    pub(crate) async fn failed(&self) {
        let mut state = self.0.state.subscribe();
        let _ = state.wait_for(|state| state.phase != Phase::Runs).await;
    }

    /// Waits until the shard has failed and needs no restart.
    pub(super) async fn down_and_closed(&self) {
        let mut state = self.0.state.subscribe();
        let is_over = |state: &State| state.is_closed || state.is_stopped;
        let _ = state.wait_for(|state| state.phase == Phase::IsDown && is_over(state)).await;
    }

    /// Announces that a shard runs that this consumer wakes. Returns its number.
    pub(crate) fn up(&self, consumer: Consumer) -> u64 {
        let mut inbox = self.0.inbox();
        inbox.consumer = consumer;
        inbox.number += 1;
        self.set_phase(Phase::Runs);
        inbox.number
    }

    /// Announces that the shard has failed, unless it has ended. The streams of late readers are
    /// interrupted.
    pub(crate) fn fail(&self) {
        if self.0.phase() == Phase::Runs {
            self.refuse_all(Phase::IsDown);
        }
    }

    /// Announces that the shard has ended.
    pub(super) fn ended(&self) {
        self.refuse_all(Phase::HasEnded);
    }

    fn refuse_all(&self, phase: Phase) {
        let mut inbox = self.0.inbox();
        self.set_phase(phase);
        inbox.arrivals = 0;
        inbox.closing.clear();
        let late = std::mem::take(&mut inbox.messages);
        drop(inbox);
        for message in late {
            if let Message::Arrival(arrival) = message {
                arrival.refuse();
            }
        }
    }

    /// Ends the shard, unless messages have arrived. Returns `true` if it has ended.
    pub(super) fn end(&self) -> bool {
        let inbox = self.0.inbox();
        let ends = inbox.messages.is_empty();
        if ends {
            self.set_phase(Phase::HasEnded);
        }
        ends
    }

    /// Takes the result of a query of the shard with this number.
    pub(super) fn answer(&self, number: u64, result: QueryResult) {
        let mut inbox = self.0.inbox();
        if inbox.number == number && self.0.phase() == Phase::Runs {
            inbox.messages.push(Message::QueryResult(Box::new(result)));
            inbox.consumer.wake();
        }
    }

    /// Moves the messages to `into`, which is empty.
    pub(super) fn take(&self, into: &mut Vec<Message>) -> Taken {
        let mut inbox = self.0.inbox();
        std::mem::swap(&mut inbox.messages, into);
        inbox.arrivals = 0;
        inbox.closing.clear();
        let is_checked = std::mem::take(&mut inbox.is_checked);
        drop(inbox);
        let state = self.0.state.borrow();
        Taken { is_closed: state.is_closed, is_stopped: state.is_stopped, is_checked }
    }

    /// Reports a turn to the checks that wait for it.
    pub(super) fn report_turn(&self) {
        self.0.turns.send_modify(|turns| *turns += 1);
    }

    #[cfg(test)]
    pub(super) fn kill(&self, kill: Kill) {
        let mut inbox = self.0.inbox();
        inbox.messages.push(Message::Kill(kill));
        inbox.consumer.wake();
    }

    fn set_phase(&self, phase: Phase) {
        self.0.state.send_modify(|state| state.phase = phase);
        if phase == Phase::HasEnded {
            // No check waits for a turn that never comes.
            self.report_turn();
        }
    }
}

impl Inner {
    fn phase(&self) -> Phase {
        self.state.borrow().phase
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StreamShard for Inner {
    fn close_key(&self, key: &Arc<Key>) {
        let mut inbox = self.inbox();
        // A closing that waits covers this one: a stream that arrives after it finds its key closed.
        if self.phase() == Phase::Runs && inbox.closing.insert(key.id()) {
            inbox.messages.push(Message::CloseKey(Arc::clone(key)));
            inbox.consumer.wake();
        }
    }

    fn has_ended(&self) -> bool {
        self.phase() == Phase::HasEnded
    }

    fn is_up(&self) -> bool {
        self.phase() == Phase::Runs
    }

    fn turned(&self) -> BoxFuture<'static, ()> {
        // Subscribed first, so that the turn is not missed.
        let mut turns = self.turns.subscribe();
        let mut inbox = self.inbox();
        if self.phase() == Phase::HasEnded {
            return ready(()).boxed();
        }
        inbox.is_checked = true;
        inbox.consumer.wake();
        drop(inbox);
        async move {
            // The sender is gone only if the shard has ended.
            let _ = turns.changed().await;
        }
        .boxed()
    }
}
