//! The way in which a transport tells its shard that it is ready.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mio::{Registry, Token};
use stentor_hub::Consumer;

/// The events that a shard wants to be notified of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Input, and the end of the connection.
    Input,
    /// Input, the end of the connection, and room for output after a write was blocked.
    InputAndRoom,
}

/// Registers transports for readiness: a socket with the kernel's event queue, and a transport without
/// a descriptor with the shard's ready list.
#[derive(Clone, Copy, Debug)]
pub struct Registrar<'a> {
    registry: &'a Registry,
    ready: &'a ReadyList,
}

impl<'a> Registrar<'a> {
    pub(super) fn new(registry: &'a Registry, ready: &'a ReadyList) -> Registrar<'a> {
        Registrar { registry, ready }
    }

    /// Returns the registry of the shard's event queue.
    pub fn registry(&self) -> &Registry {
        self.registry
    }

    /// Returns the list to which a transport without a descriptor adds its token when it is ready.
    pub fn ready_list(&self) -> &ReadyList {
        self.ready
    }
}

/// The tokens of transports that have become ready, from any thread. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct ReadyList(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    consumer: Consumer,
    /// `true` if there may be tokens, so that a turn without any takes no lock.
    has_tokens: AtomicBool,
    /// A transport adds its token once for each time that the shard waits for it.
    tokens: Mutex<Vec<Token>>,
}

impl ReadyList {
    pub(super) fn new(consumer: Consumer) -> ReadyList {
        let (has_tokens, tokens) = (AtomicBool::new(false), Mutex::default());
        ReadyList(Arc::new(Inner { consumer, has_tokens, tokens }))
    }

    /// Adds a token and wakes the shard.
    pub fn notify(&self, token: Token) {
        self.0.tokens.lock().unwrap_or_else(PoisonError::into_inner).push(token);
        self.0.has_tokens.store(true, Ordering::Release);
        self.0.consumer.wake();
    }

    /// Moves the tokens to `into`.
    pub(super) fn take(&self, into: &mut Vec<Token>) {
        if self.0.has_tokens.swap(false, Ordering::Acquire) {
            into.append(&mut self.0.tokens.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}
