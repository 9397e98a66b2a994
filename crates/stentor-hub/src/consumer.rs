//! Who is told that the tail has moved.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
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
    /// The marks of subscriptions with news, each once: at most one of each that is registered.
    marks: Mutex<Vec<usize>>,
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

    /// Wakes it for a reason of the caller's own.
    pub fn wake(&self) {
        if !self.0.rung.swap(true, Ordering::AcqRel) {
            self.0.waker.wake();
        }
    }

    /// Takes the marks of the subscriptions that have had news since the last call: those which were
    /// given one by [`Subscription::notify`](crate::Subscription::notify).
    pub fn take_ready(&self, into: &mut Vec<usize>) {
        into.append(&mut self.0.marks.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Which consumers want to be woken by which topics. Topics that nobody reads cost nothing.
#[derive(Debug, Default)]
pub(crate) struct Interest(RwLock<Maps>);

#[derive(Debug, Default)]
struct Maps {
    exact: HashMap<TopicName, Seats>,
    patterns: HashMap<TopicFilter, Seats>,
}

/// Those who asked for one filter, by address.
type Seats = HashMap<usize, Arc<Seat>>;

/// Who is to be told about the topics of a subscription.
#[derive(Debug)]
struct Seat {
    consumer: Consumer,
    mark: Option<usize>,
    /// Whether the mark is among those that the consumer has not taken yet.
    marked: AtomicBool,
    /// How many readers stand behind this subscription.
    readers: AtomicUsize,
}

impl Seat {
    fn ring(&self) {
        if let Some(mark) = self.mark {
            if self.marked.swap(true, Ordering::AcqRel) {
                return;
            }
            let marks = &self.consumer.0.marks;
            marks.lock().unwrap_or_else(PoisonError::into_inner).push(mark);
        }
        self.consumer.wake();
    }
}

impl Interest {
    /// Registers a subscription until the registration is dropped.
    pub(crate) fn register(
        self: &Arc<Interest>,
        filters: Arc<Filters>,
        consumer: Consumer,
        mark: Option<usize>,
    ) -> Registration {
        let (marked, readers) = (AtomicBool::new(false), AtomicUsize::new(1));
        let seat = Arc::new(Seat { consumer, mark, marked, readers });
        let address = address(&seat);
        let mut maps = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for name in filters.exact() {
            maps.exact.entry(name.clone()).or_default().insert(address, Arc::clone(&seat));
        }
        for pattern in filters.patterns() {
            maps.patterns.entry(pattern.clone()).or_default().insert(address, Arc::clone(&seat));
        }
        drop(maps);
        Registration { interest: Arc::clone(self), filters, seat }
    }

    /// Wakes whoever reads the topics of these records.
    pub(crate) fn wake(&self, records: &[Arc<Record>]) {
        let maps = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if maps.exact.is_empty() && maps.patterns.is_empty() {
            return;
        }
        let mut before = None;
        for topic in records.iter().map(|record| record.topic()) {
            // Who was rung already hears nothing new, but runs of one topic are frequent.
            if before.replace(topic) != Some(topic) {
                maps.seats(topic).for_each(Seat::ring);
            }
        }
    }

    /// How many readers ask for this topic.
    pub(crate) fn subscribers(&self, topic: &TopicName) -> usize {
        let maps = self.0.read().unwrap_or_else(PoisonError::into_inner);
        maps.seats(topic).map(|seat| seat.readers.load(Ordering::Relaxed)).sum()
    }
}

impl Maps {
    fn seats(&self, topic: &TopicName) -> impl Iterator<Item = &Seat> {
        let patterns = self.patterns.iter().filter(|(pattern, _)| pattern.matches(topic));
        let seats = self.exact.get(topic).into_iter().chain(patterns.map(|(_, seats)| seats));
        seats.flat_map(|seats| seats.values().map(|seat| &**seat))
    }
}

fn address(seat: &Arc<Seat>) -> usize {
    Arc::as_ptr(seat).addr()
}

/// A subscription's place among the interested. Dropping it takes it out.
#[derive(Debug)]
pub(crate) struct Registration {
    interest: Arc<Interest>,
    filters: Arc<Filters>,
    seat: Arc<Seat>,
}

impl Registration {
    pub(crate) fn consumer(&self) -> &Consumer {
        &self.seat.consumer
    }

    /// From here on news is marked again. Called before the news is read.
    pub(crate) fn rearm(&self) {
        self.seat.marked.store(false, Ordering::Release);
    }

    /// Says how many readers stand behind it.
    pub(crate) fn set_readers(&self, count: usize) {
        self.seat.readers.store(count, Ordering::Relaxed);
    }

    /// The same interest for another consumer.
    pub(crate) fn moved_to(&self, consumer: Consumer, mark: Option<usize>) -> Registration {
        self.interest.register(Arc::clone(&self.filters), consumer, mark)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let address = address(&self.seat);
        let mut maps = self.interest.0.write().unwrap_or_else(PoisonError::into_inner);
        for name in self.filters.exact() {
            if maps.exact.get_mut(name).is_some_and(|seats| remove(seats, address)) {
                maps.exact.remove(name);
            }
        }
        for pattern in self.filters.patterns() {
            if maps.patterns.get_mut(pattern).is_some_and(|seats| remove(seats, address)) {
                maps.patterns.remove(pattern);
            }
        }
    }
}

/// Takes a seat away and says whether none is left.
fn remove(seats: &mut Seats, address: usize) -> bool {
    seats.remove(&address);
    seats.is_empty()
}
