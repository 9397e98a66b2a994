//! The log in memory: for tests, and for hubs whose history may end with the program.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound::{Included, Unbounded};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use futures_core::future::BoxFuture;
use futures_util::future::{FutureExt, ready};

use super::{
    Bounds, Feed, KeyName, Outcome, Page, ReadRequest, Removed, Ring, Seek, Sought, Storage,
    StorageError, TopicInfo, TopicState, TopicsQuery, Upload,
};
use crate::cursor::{Cursor, Epoch, Offset};
use crate::filter::Filters;
use crate::publish::{Entry, Key, KeyContent, Publish};
use crate::record::{Attributes, Body, Record};
use crate::timestamp::Timestamp;
use crate::topic::TopicName;

/// A log in a bounded ring: when it is full, the oldest records go and readers are told a gap.
///
/// Appending runs on the calling thread and never waits. Each start begins a new history.
pub struct MemoryStorage {
    epoch: Epoch,
    log: Mutex<Log>,
    feed: OnceLock<Feed>,
}

impl MemoryStorage {
    /// How much a ring holds unless told otherwise: 64 MiB.
    pub const BYTES: usize = 64 << 20;

    /// An empty log that holds [`MemoryStorage::BYTES`].
    pub fn new() -> MemoryStorage {
        MemoryStorage::with_bytes(Self::BYTES)
    }

    /// An empty log that holds about so many bytes of memory, and always the newest record.
    pub fn with_bytes(bytes_max: usize) -> MemoryStorage {
        let epoch = Epoch::random();
        MemoryStorage { epoch, log: Mutex::new(Log::new(epoch, bytes_max)), feed: OnceLock::new() }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        // No code below panics half-way through a change, so a poisoned lock guards whole data.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a change and hands what it appended to the feed before anybody else appends.
    fn change<T>(&self, change: impl FnOnce(&mut Log) -> T) -> T {
        let mut log = self.log();
        let answer = change(&mut log);
        let appended = std::mem::take(&mut log.appended);
        if let Some(feed) = self.feed.get()
            && !appended.is_empty()
        {
            feed(appended);
        }
        answer
    }
}

impl Default for MemoryStorage {
    fn default() -> MemoryStorage {
        MemoryStorage::new()
    }
}

/// Every question is answered at once.
fn now<'a, T: Send + 'a>(answer: T) -> BoxFuture<'a, T> {
    ready(answer).boxed()
}

impl Storage for MemoryStorage {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn bounds(&self) -> Bounds {
        Bounds { tail: self.log().tail, burned: Vec::new() }
    }

    fn tail(&self, feed: Feed) {
        // A second feed would be a mistake of the program; the first one stays.
        let _ = self.feed.set(feed);
    }

    fn append(
        &self,
        batch: Vec<Publish>,
        time: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<Outcome>, StorageError>> {
        now(Ok(self
            .change(|log| batch.into_iter().map(|publish| log.publish(publish, time)).collect())))
    }

    fn read(&self, request: ReadRequest) -> BoxFuture<'_, Result<Page, StorageError>> {
        now(Ok(self.log().read(&request)))
    }

    fn fetch(&self, offsets: Vec<Offset>) -> BoxFuture<'_, Result<Vec<Arc<Record>>, StorageError>> {
        let log = self.log();
        now(Ok(offsets.into_iter().filter_map(|offset| log.ring.get(offset).cloned()).collect()))
    }

    fn seek(
        &self,
        filters: Arc<Filters>,
        seek: Seek,
    ) -> BoxFuture<'_, Result<Sought, StorageError>> {
        now(Ok(self.log().seek(&filters, seek)))
    }

    fn newest_each(
        &self,
        filters: Arc<Filters>,
        count: usize,
        until: Offset,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Offset>, StorageError>> {
        now(self.log().newest_each(&filters, count, until, limit))
    }

    fn states(
        &self,
        topics: Vec<TopicName>,
    ) -> BoxFuture<'_, Result<Vec<TopicState>, StorageError>> {
        let log = self.log();
        now(Ok(topics.iter().map(|topic| log.state(topic)).collect()))
    }

    fn topics(&self, query: TopicsQuery) -> BoxFuture<'_, Result<Vec<TopicInfo>, StorageError>> {
        now(Ok(self.log().list(&query)))
    }

    fn trim(&self, topic: TopicName, through: Offset) -> BoxFuture<'_, Result<(), StorageError>> {
        self.change(|log| log.trim(&topic, through));
        now(Ok(()))
    }

    fn delete(
        &self,
        topic: TopicName,
        time: Timestamp,
    ) -> BoxFuture<'_, Result<Option<Offset>, StorageError>> {
        now(Ok(self.change(|log| log.delete(&topic, time))))
    }

    fn upload(
        &self,
        key: KeyName,
        time: Timestamp,
    ) -> BoxFuture<'_, Result<Option<Upload>, StorageError>> {
        now(Ok(self.log().keys.find(&key, time)))
    }

    fn by_publisher_id(
        &self,
        topic: TopicName,
        publisher_id: String,
    ) -> BoxFuture<'_, Result<Option<Arc<Record>>, StorageError>> {
        let log = self.log();
        let found = log
            .ring
            .of_topic(&topic)
            .rev()
            .find(|record| record.attributes().publisher_id.as_deref() == Some(&publisher_id));
        now(Ok(found.cloned()))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        now(())
    }
}

/// Topics that hold nothing any more but whose `removed_through` is still known exactly. The
/// oldest beyond these fold into one floor.
const VANISHED_MAX: usize = 10_000;

struct Log {
    epoch: Epoch,
    bytes_max: usize,
    ring: Ring,
    /// What the change under way appended, for the feed.
    appended: Vec<Arc<Record>>,
    tail: Offset,
    time: Timestamp,
    topics: BTreeMap<TopicName, Topic>,
    /// Vanished topics, longest vanished first; some of these may live again.
    vanished: VecDeque<TopicName>,
    /// The removals of topics that are no longer known by name, folded into one.
    floor: Removal,
    removals: u64,
    keys: Keys,
}

#[derive(Default)]
struct Topic {
    events: u64,
    bytes: u64,
    end: Option<Arc<Record>>,
    removed: Removal,
}

/// What a topic lost last.
#[derive(Clone, Copy, Default)]
struct Removal {
    through: Offset,
    by_delete: bool,
    /// The log's count of removals with this one.
    count: u64,
}

impl Removal {
    /// Whether a reader lost something by it and was not told.
    fn is_news(self, after: Offset, told: u64) -> bool {
        self.through > after && self.count > told
    }
}

impl Topic {
    fn is_deleted(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end.body() == Body::Deleted)
    }
}

impl Log {
    fn new(epoch: Epoch, bytes_max: usize) -> Log {
        Log {
            epoch,
            bytes_max,
            ring: Ring::default(),
            appended: Vec::new(),
            tail: Offset::ZERO,
            time: Timestamp::default(),
            topics: BTreeMap::new(),
            vanished: VecDeque::new(),
            floor: Removal::default(),
            removals: 0,
            keys: Keys::default(),
        }
    }

    fn publish(&mut self, publish: Publish, time: Timestamp) -> Outcome {
        if let Some(key) = &publish.key
            && let Some(outcome) = self.keys.check(key, time)
        {
            return outcome;
        }
        // The hub lets through neither a deletion nor nothing at all.
        if publish.entries.iter().any(|entry| entry.body == Body::Deleted) {
            return Outcome::Differs;
        }
        if let Some((topic, end)) = self.ended(&publish.entries) {
            return Outcome::Ended { topic, end };
        }
        let mut ids = publish.entries.into_iter().map(|entry| self.append(entry, time));
        let Some(first) = ids.next() else { return Outcome::Differs };
        let last = ids.last().unwrap_or(first);
        if let Some(key) = &publish.key {
            self.keys.store(key, first, last, time);
        }
        Outcome::Appended { first, last }
    }

    /// The first entry whose topic has ended, be it by an entry before it.
    fn ended(&self, entries: &[Entry]) -> Option<(TopicName, Cursor)> {
        entries.iter().enumerate().find_map(|(at, entry)| {
            let topic = self.topics.get(&entry.topic);
            let end =
                topic.filter(|topic| !topic.is_deleted()).and_then(|topic| topic.end.as_ref());
            let within = entries.iter().take(at).any(|earlier| {
                earlier.topic == entry.topic && matches!(earlier.body, Body::End { .. })
            });
            match end {
                Some(end) => Some((entry.topic.clone(), end.cursor())),
                None if within => {
                    Some((entry.topic.clone(), Cursor::position(self.epoch, self.tail)))
                }
                None => None,
            }
        })
    }

    fn append(&mut self, entry: Entry, time: Timestamp) -> Cursor {
        let Entry { topic: name, body, attributes } = entry;
        self.begin_anew(&name);
        let record = self.record(name, body, attributes, time);
        let id = record.cursor();
        self.ring.push(Arc::clone(&record));
        self.appended.push(record);
        while self.ring.bytes() > self.bytes_max && self.tail_is_not_first() {
            self.pop();
        }
        id
    }

    /// Makes the next record and counts it in its topic.
    fn record(
        &mut self,
        name: TopicName,
        body: Body,
        attributes: Attributes,
        time: Timestamp,
    ) -> Arc<Record> {
        self.tail = self.tail.next();
        self.time = self.time.max(time);
        let record =
            Arc::new(Record::new(self.epoch, self.tail, self.time, name, body, attributes));
        let topic = self.topics.entry(record.topic().clone()).or_default();
        if record.event().is_some() {
            topic.events += 1;
            topic.bytes += record.body().bytes() as u64;
        } else {
            topic.end = Some(Arc::clone(&record));
        }
        record
    }

    /// A deleted topic that is written to again: its deletion is now a removal like any other.
    fn begin_anew(&mut self, name: &TopicName) {
        let Some(topic) = self.topics.get_mut(name) else {
            // Nothing is known of the name, so it may be one that was folded into the floor.
            if self.floor.through > Offset::ZERO {
                let removed = self.floor;
                self.topics.insert(name.clone(), Topic { removed, ..Topic::default() });
            }
            return;
        };
        if !topic.is_deleted() {
            return;
        }
        if let Some(deletion) = topic.end.take() {
            self.removals += 1;
            let through = deletion.offset();
            topic.removed = Removal { through, by_delete: true, count: self.removals };
            self.ring.remove(name, through);
        }
    }

    fn tail_is_not_first(&self) -> bool {
        self.ring.first().is_some_and(|first| first.offset() < self.tail)
    }

    /// Lets the oldest record go.
    fn pop(&mut self) {
        if let Some(record) = self.ring.pop() {
            self.note_removed(&record);
        }
    }

    /// Counts a record that trim took out of the ring.
    fn note_removed(&mut self, record: &Arc<Record>) {
        self.removals += 1;
        let Some(topic) = self.topics.get_mut(record.topic()) else { return };
        topic.removed = Removal {
            through: record.offset(),
            by_delete: *record.body() == Body::Deleted,
            count: self.removals,
        };
        if record.event().is_some() {
            topic.events = topic.events.saturating_sub(1);
            topic.bytes = topic.bytes.saturating_sub(record.body().bytes() as u64);
        } else {
            // An end is the last of its topic, so the whole topic is gone with it.
            topic.end = None;
        }
        if topic.events == 0 && topic.end.is_none() {
            self.vanish(record.topic().clone());
        }
    }

    fn vanish(&mut self, name: TopicName) {
        self.vanished.push_back(name);
        while self.vanished.len() > VANISHED_MAX {
            let Some(name) = self.vanished.pop_front() else { return };
            if let Some(topic) = self.topics.get(&name)
                && topic.events == 0
                && topic.end.is_none()
            {
                self.floor = Removal {
                    through: self.floor.through.max(topic.removed.through),
                    by_delete: false,
                    count: self.floor.count.max(topic.removed.count),
                };
                self.topics.remove(&name);
            }
        }
    }

    fn trim(&mut self, name: &TopicName, through: Offset) {
        let Some(topic) = self.topics.get(name) else { return };
        if topic.is_deleted() {
            return;
        }
        // The end is the last of its topic, so it goes only when all before it does.
        for record in self.ring.remove(name, through) {
            self.note_removed(&record);
        }
    }

    fn delete(&mut self, name: &TopicName, time: Timestamp) -> Option<Offset> {
        let topic = self.topics.get_mut(name)?;
        if topic.is_deleted() || (topic.events == 0 && topic.end.is_none()) {
            return None;
        }
        let removed = Removal { through: self.tail, by_delete: true, count: self.removals };
        *topic = Topic { removed, ..Topic::default() };
        self.ring.remove(name, self.tail);
        let record = self.record(name.clone(), Body::Deleted, Attributes::default(), time);
        self.ring.push(Arc::clone(&record));
        self.appended.push(Arc::clone(&record));
        Some(record.offset())
    }

    fn read(&self, request: &ReadRequest) -> Page {
        let until = request.until.min(self.tail);
        let mut page = self.ring.read(&request.filters, request.after, until, request.budget);
        page.removed = self.removed(&request.filters, request.after, request.told);
        page
    }

    fn removed(&self, filters: &Filters, after: Offset, told: u64) -> Option<Removed> {
        if told == self.removals {
            return None;
        }
        let lost = |name: &TopicName, topic: &Topic| {
            let lost = topic.removed.is_news(after, told) && !topic.is_deleted();
            lost.then(|| (name.clone(), topic.removed.by_delete))
        };
        let mut topics: Vec<(TopicName, bool)> = if filters.globs().is_empty() {
            let exact = filters.exact().iter();
            exact
                .filter_map(|name| self.topics.get(name).and_then(|topic| lost(name, topic)))
                .collect()
        } else {
            let matching = self.topics.iter().filter(|(name, _)| filters.matches(name));
            matching
                .filter_map(|(name, topic)| lost(name, topic))
                .take(Removed::TOPICS_MAX)
                .collect()
        };
        // Names that are no longer known: rather a gap too many.
        if self.floor.is_news(after, told) {
            let unknown = filters.exact().iter().filter(|name| !self.topics.contains_key(*name));
            topics.extend(unknown.map(|name| (name.clone(), false)));
            if topics.is_empty() && !filters.globs().is_empty() {
                return Some(Removed {
                    deleted: false,
                    topics: Vec::new(),
                    removals: self.removals,
                });
            }
        }
        topics.truncate(Removed::TOPICS_MAX);
        let deleted = topics.first()?.1;
        let topics = topics.into_iter().map(|(name, _)| name).collect();
        Some(Removed { deleted, topics, removals: self.removals })
    }

    fn seek(&self, filters: &Filters, seek: Seek) -> Sought {
        let after = match seek {
            Seek::Earliest => Offset::ZERO,
            Seek::Newest { count, before } => self.before_newest(filters, count, before),
            Seek::Since(time) => {
                let first = self.ring.partition(|record| record.time() < time);
                first.map_or(self.tail, |record| record.offset().previous())
            }
        };
        Sought { after, tail: self.tail, removals: self.removals }
    }

    fn before_newest(&self, filters: &Filters, count: usize, before: Offset) -> Offset {
        let end = self.tail.min(before.previous());
        let mut offsets: Vec<Offset> =
            self.ring.matching(filters).flat_map(|name| self.newest(name, count, end)).collect();
        offsets.sort_unstable_by(|a, b| b.cmp(a));
        offsets.truncate(count);
        offsets.last().map_or(end, |oldest| oldest.previous())
    }

    /// The newest events of a topic, newest first.
    fn newest(
        &self,
        name: &TopicName,
        count: usize,
        until: Offset,
    ) -> impl Iterator<Item = Offset> {
        let events = self.ring.of_topic(name).rev().filter(|record| record.event().is_some());
        events.map(|record| record.offset()).skip_while(move |offset| *offset > until).take(count)
    }

    fn newest_each(
        &self,
        filters: &Filters,
        count: usize,
        until: Offset,
        limit: usize,
    ) -> Result<Vec<Offset>, StorageError> {
        let mut offsets = Vec::new();
        for name in self.ring.matching(filters) {
            offsets.extend(self.newest(name, count, until));
            if offsets.len() > limit {
                return Err(StorageError::TooMany { limit });
            }
        }
        offsets.sort_unstable();
        Ok(offsets)
    }

    fn state(&self, name: &TopicName) -> TopicState {
        match self.topics.get(name) {
            Some(topic) => TopicState {
                events: topic.events,
                bytes: topic.bytes,
                end: topic.end.clone(),
                removed_through: topic.removed.through,
            },
            None => TopicState { removed_through: self.floor.through, ..TopicState::default() },
        }
    }

    fn list(&self, query: &TopicsQuery) -> Vec<TopicInfo> {
        let after = query.after.as_deref().unwrap_or_default();
        let from = query.prefix.as_str().max(after);
        self.topics
            .range::<str, _>((Included(from), Unbounded))
            .take_while(|(name, _)| name.as_str().starts_with(&query.prefix))
            .filter(|(name, topic)| {
                name.as_str() > after
                    && (topic.events > 0 || topic.end.is_some())
                    && !topic.is_deleted()
            })
            .take(query.limit)
            .map(|(name, topic)| TopicInfo {
                topic: name.clone(),
                events: topic.events,
                bytes: topic.bytes,
                ended: topic.end.is_some(),
            })
            .collect()
    }
}

/// The idempotency keys that are remembered, at most [`Keys::MAX`]: the longest unused go first.
#[derive(Default)]
struct Keys {
    rows: HashMap<KeyName, Row>,
    /// Names by the number of their last use.
    used: BTreeMap<u64, KeyName>,
    uses: u64,
}

struct Row {
    /// The hash of the whole, or of the upload so far.
    hash: super::KeyHash,
    /// How many publishes of an upload.
    count: u64,
    first: Cursor,
    last: Cursor,
    expires: Timestamp,
    use_number: u64,
}

impl Keys {
    const MAX: usize = 100_000;

    /// What becomes of a publish under this key, unless it is to be appended.
    fn check(&self, key: &Key, time: Timestamp) -> Option<Outcome> {
        key.check(self.find(&key.to_name(), time))
    }

    fn store(&mut self, key: &Key, first: Cursor, last: Cursor, time: Timestamp) {
        let name = key.to_name();
        let expires = time.plus(key.window);
        let (hash, count) = match key.content {
            KeyContent::Whole(hash) => (hash, 1),
            KeyContent::Part { index, after, .. } => (after, index + 1),
        };
        let first = self.row(&name, time).map_or(first, |row| row.first);
        self.uses += 1;
        let row = Row { hash, count, first, last, expires, use_number: self.uses };
        if let Some(before) = self.rows.insert(name.clone(), row) {
            self.used.remove(&before.use_number);
        }
        self.used.insert(self.uses, name);
        self.forget(time);
    }

    fn forget(&mut self, time: Timestamp) {
        while let Some(longest_unused) = self.used.first_entry() {
            let row = self.rows.get(longest_unused.get());
            if self.rows.len() <= Keys::MAX && row.is_some_and(|row| row.expires > time) {
                return;
            }
            self.rows.remove(&longest_unused.remove());
        }
    }

    fn find(&self, name: &KeyName, time: Timestamp) -> Option<Upload> {
        let row = self.row(name, time)?;
        Some(Upload { count: row.count, hash: row.hash, first: row.first, last: row.last })
    }

    fn row(&self, name: &KeyName, time: Timestamp) -> Option<&Row> {
        self.rows.get(name).filter(|row| row.expires > time)
    }
}

#[cfg(test)]
mod tests;
