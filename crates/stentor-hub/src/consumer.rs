//! Consumers: the tasks that are woken when a topic gets records.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use crate::filter::{Filters, TopicFilter};
use crate::record::Record;
use crate::topic::TopicName;

/// The wake-up handle of a task that serves one or more subscriptions.
///
/// The task is woken once, no matter how many of its subscriptions have new records. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Consumer(Arc<Signal>);

#[derive(Debug, Default)]
struct Signal {
    is_set: AtomicBool,
    waker: AtomicWaker,
    /// Keys of subscriptions with new records, each once. At most one entry per registered subscription.
    ready: Mutex<Vec<usize>>,
}

impl Consumer {
    /// Creates a consumer without subscriptions.
    pub fn new() -> Consumer {
        Consumer::default()
    }

    /// Waits until the consumer has been woken since the last call. At most one task may wait. Cancel safe.
    pub async fn woken(&self) {
        poll_fn(|cx| self.poll_woken(cx)).await;
    }

    /// Polls [`Consumer::woken`], for hand-written futures.
    pub fn poll_woken(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.0.is_set.swap(false, Ordering::AcqRel) {
            return Poll::Ready(());
        }
        self.0.waker.register(cx.waker());
        // A wake-up between the two lines above found no waker, so check again.
        if self.0.is_set.swap(false, Ordering::AcqRel) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Wakes the task. Callers may use this for any purpose.
    pub fn wake(&self) {
        if !self.0.is_set.swap(true, Ordering::AcqRel) {
            self.0.waker.wake();
        }
    }

    /// Appends to `into` the keys of the subscriptions that got records since the last call. Only subscriptions with a
    /// key are included, see [`Subscription::notify`](crate::Subscription::notify).
    pub fn take_ready(&self, into: &mut Vec<usize>) {
        into.append(&mut self.0.ready.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The registered subscriptions by filter. A publish to a topic without readers wakes nothing.
#[derive(Debug, Default)]
pub(crate) struct Interest(RwLock<Maps>);

#[derive(Debug, Default)]
struct Maps {
    exact: HashMap<TopicName, Listeners>,
    patterns: HashMap<TopicFilter, Listeners>,
}

/// The listeners of one filter, by address.
type Listeners = HashMap<usize, Arc<Listener>>;

/// A registered subscription: the consumer to wake, and its key.
#[derive(Debug)]
struct Listener {
    consumer: Consumer,
    key: Option<usize>,
    /// `true` if the key is in the consumer's list of ready keys, or the subscription has not been re-armed since.
    is_ready: AtomicBool,
    /// Number of readers of this subscription.
    readers: AtomicUsize,
}

impl Listener {
    fn notify(&self) {
        if let Some(key) = self.key {
            if self.is_ready.swap(true, Ordering::AcqRel) {
                return;
            }
            let ready = &self.consumer.0.ready;
            ready.lock().unwrap_or_else(PoisonError::into_inner).push(key);
        }
        self.consumer.wake();
    }
}

impl Interest {
    /// Registers a subscription until the returned registration is dropped.
    pub(crate) fn register(
        self: &Arc<Interest>,
        filters: Arc<Filters>,
        consumer: Consumer,
        key: Option<usize>,
    ) -> Registration {
        let (is_ready, readers) = (AtomicBool::new(false), AtomicUsize::new(1));
        let listener = Arc::new(Listener { consumer, key, is_ready, readers });
        let address = address(&listener);
        let mut maps = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for name in filters.exact() {
            maps.exact.entry(name.clone()).or_default().insert(address, Arc::clone(&listener));
        }
        for pattern in filters.patterns() {
            let listeners = maps.patterns.entry(pattern.clone()).or_default();
            listeners.insert(address, Arc::clone(&listener));
        }
        drop(maps);
        Registration { interest: Arc::clone(self), filters, listener }
    }

    /// Wakes the consumers whose filters match the topics of these records.
    pub(crate) fn wake(&self, records: &[Arc<Record>]) {
        let maps = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if maps.exact.is_empty() && maps.patterns.is_empty() {
            return;
        }
        let mut previous = None;
        for topic in records.iter().map(|record| record.topic()) {
            // Waking twice is harmless, but runs of records of one topic are frequent.
            if previous.replace(topic) != Some(topic) {
                maps.listeners(topic).for_each(Listener::notify);
            }
        }
    }

    /// Number of readers whose filters match this topic.
    pub(crate) fn subscribers(&self, topic: &TopicName) -> usize {
        let maps = self.0.read().unwrap_or_else(PoisonError::into_inner);
        maps.listeners(topic).map(|listener| listener.readers.load(Ordering::Relaxed)).sum()
    }
}

impl Maps {
    fn listeners(&self, topic: &TopicName) -> impl Iterator<Item = &Listener> {
        let patterns = self.patterns.iter().filter(|(pattern, _)| pattern.matches(topic));
        let matching = patterns.map(|(_, listeners)| listeners);
        let all = self.exact.get(topic).into_iter().chain(matching);
        all.flat_map(|listeners| listeners.values().map(|listener| &**listener))
    }
}

fn address(listener: &Arc<Listener>) -> usize {
    Arc::as_ptr(listener).addr()
}

/// The registration of a subscription. Dropping it ends the wake-ups.
#[derive(Debug)]
pub(crate) struct Registration {
    interest: Arc<Interest>,
    filters: Arc<Filters>,
    listener: Arc<Listener>,
}

impl Registration {
    pub(crate) fn consumer(&self) -> &Consumer {
        &self.listener.consumer
    }

    /// Makes the key ready again at the next record. Called before the new records are read, so that none is missed.
    pub(crate) fn rearm(&self) {
        self.listener.is_ready.store(false, Ordering::Release);
    }

    /// Sets the number of readers that [`Interest::subscribers`] counts for this subscription.
    pub(crate) fn set_readers(&self, count: usize) {
        self.listener.readers.store(count, Ordering::Relaxed);
    }

    /// Registers these filters for another consumer or key.
    pub(crate) fn moved_to(&self, consumer: Consumer, key: Option<usize>) -> Registration {
        self.interest.register(Arc::clone(&self.filters), consumer, key)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let address = address(&self.listener);
        let mut maps = self.interest.0.write().unwrap_or_else(PoisonError::into_inner);
        for name in self.filters.exact() {
            if maps.exact.get_mut(name).is_some_and(|listeners| remove(listeners, address)) {
                maps.exact.remove(name);
            }
        }
        for pattern in self.filters.patterns() {
            if maps.patterns.get_mut(pattern).is_some_and(|listeners| remove(listeners, address)) {
                maps.patterns.remove(pattern);
            }
        }
    }
}

/// Removes a listener. Returns `true` if none is left.
fn remove(listeners: &mut Listeners, address: usize) -> bool {
    listeners.remove(&address);
    listeners.is_empty()
}
