//! A storage under test, with helpers for scenarios.

use std::sync::{Arc, Mutex, PoisonError};

use stentor_sse::Event;

use crate::cursor::{Cursor, Offset};
use crate::filter::Filters;
use crate::lease::LeaseChange;
use crate::publish::{Entry, Publish};
use crate::record::{Body, Record};
use crate::storage::{Budget, Outcome, Page, ReadRequest, Removed, Seek, Storage, TopicState};
use crate::timestamp::Timestamp;
use crate::topic::TopicName;

/// A storage under test, with the records that its sink got.
pub struct Log {
    /// The storage itself.
    pub storage: Arc<dyn Storage>,
    sink_records: Arc<Mutex<Vec<Arc<Record>>>>,
    sink_leases: Arc<Mutex<Vec<LeaseChange>>>,
}

impl Log {
    /// Wraps a new storage and follows it.
    pub fn of(storage: Arc<dyn Storage>) -> Log {
        let sink_records: Arc<Mutex<Vec<Arc<Record>>>> = Arc::default();
        let sink = Arc::clone(&sink_records);
        let sink_leases: Arc<Mutex<Vec<LeaseChange>>> = Arc::default();
        let leases = Arc::clone(&sink_leases);
        storage.follow(Box::new(move |commit| {
            sink.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(commit.records);
            leases.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(commit.leases);
        }));
        Log { storage, sink_records, sink_leases }
    }

    /// The records that the sink has got so far.
    pub(in crate::storage) fn sink_records(&self) -> Vec<Arc<Record>> {
        self.sink_records.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The changes of leases that the sink has got so far.
    pub(in crate::storage) fn sink_leases(&self) -> Vec<LeaseChange> {
        self.sink_leases.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Appends a batch at the default time.
    pub(in crate::storage) async fn append(&self, batch: Vec<Publish>) -> Vec<Outcome> {
        self.append_at(batch, at(0)).await
    }

    pub(in crate::storage) async fn append_at(
        &self,
        batch: Vec<Publish>,
        now: Timestamp,
    ) -> Vec<Outcome> {
        let publishes = batch.len();
        let outcomes = self.storage.append(batch, now).await.unwrap();
        assert_eq!(outcomes.len(), publishes, "one outcome for each publish");
        outcomes
    }

    /// Appends one publish.
    pub(in crate::storage) async fn publish(&self, publish: Publish) -> Outcome {
        self.publish_at(publish, at(0)).await
    }

    pub(in crate::storage) async fn publish_at(&self, publish: Publish, now: Timestamp) -> Outcome {
        self.append_at(vec![publish], now).await.remove(0)
    }

    /// Appends an event; panics if it is refused.
    pub(in crate::storage) async fn event(&self, topic: &str, data: &str) -> Cursor {
        appended(&self.publish(event(topic, data)).await).0
    }

    /// Ends a topic; panics if it has ended.
    pub(in crate::storage) async fn end(&self, topic: &str) -> Cursor {
        appended(&self.publish(end(topic, "done")).await).0
    }

    pub(in crate::storage) async fn trim(&self, topic: &str, through: Cursor) {
        self.storage.trim(vec![(name(topic), through.offset)]).await.unwrap();
    }

    /// Deletes a topic; panics if it does not exist.
    pub(in crate::storage) async fn delete(&self, topic: &str) -> Offset {
        self.storage.delete(name(topic), at(0)).await.unwrap().unwrap()
    }

    /// Reads a page and checks the rules for every page.
    pub(in crate::storage) async fn read(&self, request: ReadRequest) -> Page {
        let ReadRequest { filters, after, until, budget, .. } = request.clone();
        // The tail can move during the read.
        let readable = until.min(self.storage.bounds().tail);
        let page = self.storage.read(request).await.unwrap();
        let end = until.min(self.storage.bounds().tail);
        let bytes: usize = page.records.iter().map(|record| record.body().bytes()).sum();
        assert!(page.records.is_sorted_by(|a, b| a.offset() < b.offset()), "{page:?}");
        for record in &page.records {
            assert!(filters.matches(record.topic()), "{record:?}");
            assert!(record.offset() > after && record.offset() <= until, "{record:?}");
            assert!(record.offset() <= page.through, "{record:?} is past what was considered");
        }
        assert!(page.records.len() <= budget.records.max(1));
        assert!(bytes <= budget.bytes || page.records.len() == 1);
        assert_eq!(page.damaged, None, "nothing is damaged");
        assert!(page.through >= after, "{page:?} goes back from {after}");
        assert!(page.through > after || after >= readable, "no progress from {after}");
        assert!(page.through <= end.max(after), "considered more than requested");
        page
    }

    /// Reads to the tail with a large budget; ignores losses.
    pub(in crate::storage) async fn all(&self, filters: &str) -> Vec<Arc<Record>> {
        self.after(filters, Offset::ZERO).await
    }

    pub(in crate::storage) async fn after(&self, filters: &str, after: Offset) -> Vec<Arc<Record>> {
        self.between(filters, after, Offset::MAX).await
    }

    pub(in crate::storage) async fn between(
        &self,
        filters: &str,
        after: Offset,
        until: Offset,
    ) -> Vec<Arc<Record>> {
        let budget = Budget { records: 10_000, bytes: 64 << 20, rows: 1_000_000 };
        let mut request = ReadRequest { until, budget, ..request(filters, after) };
        let mut records = Vec::new();
        while request.after < until.min(self.storage.bounds().tail) {
            let page = self.read(request.clone()).await;
            records.extend(page.records);
            request.after = page.through;
        }
        records
    }

    /// The losses of a reader that was notified of none.
    pub(in crate::storage) async fn gap(
        &self,
        filters: &str,
        after: impl Into<Place>,
    ) -> Option<Removed> {
        self.gap_beyond(filters, after, 0).await
    }

    /// The losses of a reader that was notified of `reported` removals.
    pub(in crate::storage) async fn gap_beyond(
        &self,
        filters: &str,
        after: impl Into<Place>,
        reported: u64,
    ) -> Option<Removed> {
        let Place(after) = after.into();
        self.read(ReadRequest { losses_reported: reported, ..request(filters, after) })
            .await
            .removed
    }

    pub(in crate::storage) async fn state(&self, topic: &str) -> TopicState {
        self.storage.states(vec![name(topic)]).await.unwrap().remove(0)
    }

    /// The storage's count of removals.
    pub(in crate::storage) async fn removals(&self) -> u64 {
        let sought = self.storage.seek(filters("**"), Seek::Earliest).await.unwrap();
        assert_eq!(self.storage.removals(), sought.removals);
        sought.removals
    }
}

/// An offset, or the offset of a cursor.
pub(in crate::storage) struct Place(Offset);

impl From<Offset> for Place {
    fn from(offset: Offset) -> Place {
        Place(offset)
    }
}

impl From<Cursor> for Place {
    fn from(cursor: Cursor) -> Place {
        Place(cursor.offset)
    }
}

pub(in crate::storage) fn name(topic: &str) -> TopicName {
    topic.parse().unwrap()
}

pub(in crate::storage) fn event(topic: &str, data: &str) -> Publish {
    Publish::event(name(topic), Event::new(data))
}

pub(in crate::storage) fn end(topic: &str, reason: &str) -> Publish {
    Publish::end(name(topic), reason)
}

/// An event entry.
pub(in crate::storage) fn entry(topic: &str, data: &str) -> Entry {
    Entry::new(name(topic), Body::Event(Event::new(data)))
}

pub(in crate::storage) fn end_entry(topic: &str) -> Entry {
    Entry::new(name(topic), Body::End { reason: "done".to_owned() })
}

/// Parses filters that are separated by spaces.
pub(in crate::storage) fn filters(text: &str) -> Arc<Filters> {
    Arc::new(Filters::new(text.split(' ').map(|filter| filter.parse().unwrap())).unwrap())
}

/// A request up to the tail, with a large budget.
pub(in crate::storage) fn request(text: &str, after: Offset) -> ReadRequest {
    ReadRequest {
        filters: filters(text),
        after,
        until: Offset::MAX,
        budget: Budget::default(),
        losses_reported: 0,
    }
}

/// The time this many seconds after the default time.
pub(in crate::storage) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 + seconds * 1_000_000)
}

/// The ids of an appended publish; panics for other outcomes.
pub(in crate::storage) fn appended(outcome: &Outcome) -> (Cursor, Cursor) {
    match outcome {
        Outcome::Appended { first, last } => (*first, *last),
        other => panic!("not appended: {other:?}"),
    }
}

pub(in crate::storage) fn cursors(records: &[Arc<Record>]) -> Vec<Cursor> {
    records.iter().map(|record| record.cursor()).collect()
}

pub(in crate::storage) fn offsets(cursors: &[Cursor]) -> Vec<Offset> {
    cursors.iter().map(|cursor| cursor.offset).collect()
}

/// The contents of records, one line each.
pub(in crate::storage) fn contents(records: &[Arc<Record>]) -> Vec<String> {
    let line = |record: &Arc<Record>| match record.body() {
        Body::Event(event) => format!("{}: {}", record.topic(), event.data()),
        Body::End { reason } => format!("{} ends: {reason}", record.topic()),
        Body::Deleted => format!("{} deleted", record.topic()),
    };
    records.iter().map(line).collect()
}

pub(in crate::storage) fn topic_names(names: &[&str]) -> Vec<TopicName> {
    names.iter().map(|topic| name(topic)).collect()
}
