//! Who is told that the tail has moved.

use std::collections::{HashMap, HashSet};
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use crate::filter::{Filters, TopicFilter};
use crate::record::Record;
use crate::topic::TopicName;

/// A task that serves one subscription or many. It is woken once, however many of them have news.
#[derive(Clone, Debug, Default)]
pub struct Consumer(Arc<Bell>);

#[derive(Debug, Default)]
struct Bell {
    rung: AtomicBool,
    waker: AtomicWaker,
}

impl Consumer {
    /// A consumer that serves nothing yet.
    pub fn new() -> Consumer {
        Consumer::default()
    }

    /// Waits until records have come since the last call. Only one task may wait.
    pub async fn woken(&self) {
        poll_fn(|cx| self.poll_woken(cx)).await;
    }

    /// The same for hand-written futures.
    pub fn poll_woken(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.0.rung.swap(false, Ordering::AcqRel) {
            return Poll::Ready(());
        }
        self.0.waker.register(cx.waker());
        // A bell that rang between the two lines above would otherwise not be heard.
        if self.0.rung.swap(false, Ordering::AcqRel) { Poll::Ready(()) } else { Poll::Pending }
    }

    fn ring(&self) {
        if !self.0.rung.swap(true, Ordering::AcqRel) {
            self.0.waker.wake();
        }
    }

    fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }
}

/// Which consumers want to be woken by which topics. Topics that nobody reads cost nothing.
#[derive(Debug, Default)]
pub(crate) struct Interest(RwLock<Maps>);

#[derive(Debug, Default)]
struct Maps {
    exact: HashMap<TopicName, Readers>,
    globs: HashMap<TopicFilter, Readers>,
}

/// The consumers of one filter, by address, with the number of their subscriptions.
#[derive(Debug, Default)]
struct Readers(HashMap<usize, (Consumer, usize)>);

impl Interest {
    /// Registers a subscription until the registration is dropped.
    pub(crate) fn register(
        self: &Arc<Interest>,
        filters: Arc<Filters>,
        consumer: Consumer,
    ) -> Registration {
        let mut maps = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for name in filters.exact() {
            maps.exact.entry(name.clone()).or_default().add(&consumer);
        }
        for glob in filters.globs() {
            maps.globs.entry(glob.clone()).or_default().add(&consumer);
        }
        Registration { interest: Arc::clone(self), filters, consumer }
    }

    /// Wakes whoever reads the topics of these records.
    pub(crate) fn wake(&self, records: &[Arc<Record>]) {
        let maps = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if maps.exact.is_empty() && maps.globs.is_empty() {
            return;
        }
        let topics: HashSet<&TopicName> = records.iter().map(|record| record.topic()).collect();
        for topic in topics {
            maps.readers(topic).for_each(Readers::ring);
        }
    }

    /// How many subscriptions ask for this topic.
    pub(crate) fn subscribers(&self, topic: &TopicName) -> usize {
        let maps = self.0.read().unwrap_or_else(PoisonError::into_inner);
        maps.readers(topic).map(Readers::len).sum()
    }
}

impl Maps {
    fn readers(&self, topic: &TopicName) -> impl Iterator<Item = &Readers> {
        let globs = self.globs.iter().filter(|(glob, _)| glob.matches(topic));
        self.exact.get(topic).into_iter().chain(globs.map(|(_, readers)| readers))
    }
}

impl Readers {
    fn add(&mut self, consumer: &Consumer) {
        self.0.entry(consumer.address()).or_insert_with(|| (consumer.clone(), 0)).1 += 1;
    }

    /// Takes one subscription away and says whether none is left.
    fn remove(&mut self, consumer: &Consumer) -> bool {
        let address = consumer.address();
        if let Some((_, count)) = self.0.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&address);
            }
        }
        self.0.is_empty()
    }

    fn ring(&self) {
        self.0.values().for_each(|(consumer, _)| consumer.ring());
    }

    fn len(&self) -> usize {
        self.0.values().map(|(_, count)| count).sum()
    }
}

/// A subscription's place among the interested. Dropping it takes it out.
#[derive(Debug)]
pub(crate) struct Registration {
    interest: Arc<Interest>,
    filters: Arc<Filters>,
    consumer: Consumer,
}

impl Registration {
    pub(crate) fn consumer(&self) -> &Consumer {
        &self.consumer
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut maps = self.interest.0.write().unwrap_or_else(PoisonError::into_inner);
        for name in self.filters.exact() {
            if maps.exact.get_mut(name).is_some_and(|readers| readers.remove(&self.consumer)) {
                maps.exact.remove(name);
            }
        }
        for glob in self.filters.globs() {
            if maps.globs.get_mut(glob).is_some_and(|readers| readers.remove(&self.consumer)) {
                maps.globs.remove(glob);
            }
        }
    }
}
