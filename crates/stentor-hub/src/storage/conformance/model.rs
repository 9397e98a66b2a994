//! Random calls, compared with a simple model of the log.

mod naive;
mod strategy;

use std::any::Any;
use std::sync::Arc;

use proptest::test_runner::{Config, TestRunner};

use self::naive::{ModelOutcome, Naive};
use self::strategy::{Call, FILTERS, Limits, TOPICS};
use super::fresh::{Fresh, Reopen};
use super::log::{Log, at, event, filters, name};
use crate::cursor::Offset;
use crate::publish::Publish;
use crate::record::Record;
use crate::storage::{
    Outcome, ReadRequest, Removed, Seek, TopicInfo, TopicState, TopicsQuery, TrimLimits, Trimmed,
};
use crate::timestamp::Timestamp;
use crate::topic::TopicName;

/// Default number of sequences; `PROPTEST_CASES` overrides it.
const CASES: u32 = 64;

/// Runs random sequences of calls against new storages and the model.
pub fn run<F: Into<Fresh>>(make: impl AsyncFn() -> F) {
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcome = TestRunner::new(config).run(&strategy::calls(), |calls| {
        runtime.block_on(async {
            let mut pair = Pair::of(make().await.into());
            pair.note_removals().await;
            for call in calls {
                pair.call(call).await;
                pair.note_removals().await;
            }
            pair.agree().await;
            pair.append(vec![event("last", "x")], at(0)).await;
            pair.take_fed();
            let lines = pair.naive.lines.iter();
            let all: Vec<_> = lines.map(|line| Arc::clone(line.record())).collect();
            assert_eq!(pair.sink_records, all, "the sink gets each record once, in order");
            pair.log.storage.close().await;
        });
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// A storage and the model, which must agree.
struct Pair {
    log: Log,
    /// Dropped after the storage.
    _place: Box<dyn Any>,
    reopen: Option<Reopen>,
    /// The records that earlier sinks got, before the storage was opened again.
    sink_records: Vec<Arc<Record>>,
    naive: Naive,
    /// The storage's count of removals before and after each call. A reader can have any of these counts.
    reported: Vec<u64>,
}

impl Pair {
    fn of(fresh: Fresh) -> Pair {
        let Fresh { storage, place, reopen } = fresh;
        let log = Log::of(storage);
        Pair {
            log,
            _place: place,
            reopen,
            sink_records: Vec::new(),
            naive: Naive::new(),
            reported: Vec::new(),
        }
    }

    async fn note_removals(&mut self) {
        self.reported.push(self.log.removals().await);
        self.naive.moment += 1;
    }

    async fn call(&mut self, call: Call) {
        match call {
            Call::Append { batch, seconds } => {
                let now = self.naive.clock(seconds);
                self.append(batch, now).await;
            }
            Call::Delete { topic, seconds } => {
                let now = self.naive.clock(seconds);
                let expected = self.naive.delete(&topic, now);
                let deletion = self.log.storage.delete(topic, now).await.unwrap();
                assert_eq!(deletion.is_some(), expected);
                if let Some(deletion) = deletion {
                    let records = self.log.storage.fetch(vec![deletion]).await.unwrap();
                    self.naive.is_appended(&records);
                }
            }
            Call::Trim(topics) => {
                let topics: Vec<_> = topics
                    .into_iter()
                    .map(|(topic, through)| (topic, self.place(through)))
                    .collect();
                for (topic, through) in &topics {
                    self.naive.trim(topic, *through);
                }
                self.log.storage.trim(topics).await.unwrap();
            }
            Call::TrimTo { topic, limits } => self.trim_to(topic, limits).await,
            Call::Reopen => self.reopen().await,
            Call::Read { filters: text, after, until, budget, reported } => {
                let reported = reported.index(self.reported.len());
                let request = ReadRequest {
                    filters: filters(&text),
                    after: self.place(after),
                    until: until.map_or(Offset::MAX, |until| self.place(until)),
                    budget,
                    losses_reported: self.reported[reported],
                };
                self.read(request, reported).await;
            }
        }
    }

    /// Trims until the topic is within the limits.
    async fn trim_to(&mut self, topic: TopicName, limits: Limits) {
        let before = |seconds: Option<i64>| {
            let micros = |seconds: i64| self.naive.now.as_micros() - seconds * 1_000_000;
            seconds.map(|seconds| Timestamp::from_micros(micros(seconds)))
        };
        let Limits { age, events, bytes, ended } = limits;
        let limits = TrimLimits { since: before(age), events, bytes, ended_since: before(ended) };
        let expected = self.naive.trim_point(&topic, &limits);
        let mut through = None;
        while let Some(next) = self.log.storage.trim_point(topic.clone(), limits).await.unwrap() {
            assert!(Some(next) > through, "no progress after {next}");
            assert!(Some(next) <= expected, "{next} may stay");
            through = Some(next);
            self.log.storage.trim(vec![(topic.clone(), next)]).await.unwrap();
        }
        assert_eq!(through, expected, "{limits:?}");
        if let Some(through) = through {
            self.naive.trim(&topic, through);
        }
    }

    /// Closes the storage cleanly and opens it again, if it can be opened again.
    async fn reopen(&mut self) {
        let Some(open) = &self.reopen else { return };
        let identity = |log: &Log| (log.storage.epoch(), log.storage.bounds());
        let before = identity(&self.log);
        self.log.storage.close().await;
        let log = Log::of(open());
        self.take_fed();
        self.log = log;
        self.naive.trimmed = Trimmed::default();
        self.naive.key_time = Timestamp::default();
        assert_eq!(identity(&self.log), before);
        self.agree_on_topics().await;
    }

    fn take_fed(&mut self) {
        self.sink_records.extend(self.log.sink_records());
    }

    /// An offset from zero to slightly beyond the tail.
    fn place(&self, index: proptest::sample::Index) -> Offset {
        let tail = usize::try_from(self.log.storage.bounds().tail.get()).unwrap();
        Offset::new(index.index(tail + 3) as u64)
    }

    async fn append(&mut self, batch: Vec<Publish>, now: Timestamp) {
        let expected = self.naive.append(&batch, now);
        let outcomes = self.log.append_at(batch, now).await;
        let appended: usize = expected.iter().map(ModelOutcome::records).sum();
        // A deletion can reach the sink slightly after `delete` has returned.
        let sink_records = self.log.sink_records();
        self.naive.is_appended(&sink_records[sink_records.len() - appended..]);
        for (outcome, expected) in outcomes.iter().zip(&expected) {
            self.assert_outcome(outcome, expected);
        }
    }

    fn assert_outcome(&self, outcome: &Outcome, expected: &ModelOutcome) {
        let id = |at: usize| self.naive.lines[at].record().cursor();
        let agree = match (outcome, expected) {
            (Outcome::Appended { first, last }, ModelOutcome::Appended(from, to))
            | (Outcome::Repeat { first, last }, ModelOutcome::Repeat(from, to)) => {
                (*first, *last) == (id(*from), id(*to))
            }
            (Outcome::Ended { topic, end }, ModelOutcome::Ended(of, at)) => {
                topic == of && at.is_none_or(|at| *end == id(at))
            }
            (Outcome::KeyReused, ModelOutcome::KeyReused)
            | (Outcome::Withheld, ModelOutcome::Withheld) => true,
            _ => false,
        };
        assert!(agree, "{outcome:?} where {expected:?} was expected");
    }

    /// Reads page by page. `reported` is the index of the request's count of removals.
    async fn read(&self, mut request: ReadRequest, reported: usize) {
        let ReadRequest { filters, after, until, .. } = request.clone();
        let end = until.min(self.log.storage.bounds().tail);
        let mut read = Vec::new();
        loop {
            // `Log::read` checks order, bounds and progress.
            let page = self.log.read(request.clone()).await;
            self.assert_gap(&request, reported, page.removed);
            read.extend(page.records);
            request.after = page.through;
            if request.after >= end {
                break;
            }
        }
        let expected = self.naive.alive().filter(|record| {
            record.offset() > after && record.offset() <= until && filters.matches(record.topic())
        });
        assert_eq!(read, expected.cloned().collect::<Vec<_>>());
    }

    fn assert_gap(&self, request: &ReadRequest, reported: usize, removed: Option<Removed>) {
        let mut lost = self.naive.lost(&request.filters, request.after, reported);
        let Some(mut removed) = removed else {
            assert!(lost.is_empty(), "a gap was not reported: {lost:?} after {}", request.after);
            return;
        };
        let first = lost.iter().find(|lost| Some(&lost.topic) == removed.topics.first());
        let deleted = first.map(|lost| lost.deleted);
        assert!(deleted.is_some(), "a false gap: {removed:?}");
        // For a topic that lost records both by trim and by deletion, either reason is allowed.
        if let Some(Some(deleted)) = deleted {
            assert_eq!(removed.deleted, deleted);
        }
        removed.topics.sort();
        lost.sort_by(|a, b| a.topic.cmp(&b.topic));
        assert_eq!(removed.topics, lost.iter().map(|lost| lost.topic.clone()).collect::<Vec<_>>());
        assert_eq!(Some(&removed.removals), self.reported.last());
    }

    /// All queries.
    async fn agree(&self) {
        self.agree_on_topics().await;
        self.agree_on_seeks().await;
        self.agree_on_single_records().await;
    }

    async fn agree_on_topics(&self) {
        let names: Vec<_> = TOPICS.iter().map(|topic| name(topic)).collect();
        let states = self.log.storage.states(names.clone()).await.unwrap();
        for (topic, state) in names.iter().zip(states) {
            let expected = self.naive.state(topic);
            if self.naive.is_deleted(topic) {
                // `removed_through` is anywhere below the deletion.
                assert!(state.end.as_ref().is_some_and(|end| end.offset() > state.removed_through));
                assert_eq!(TopicState { removed_through: Offset::ZERO, ..state }, expected);
            } else {
                assert_eq!(state, expected, "of {topic}");
            }
        }
        let mut listed: Vec<TopicInfo> = names
            .iter()
            .filter(|topic| self.naive.exists(topic))
            .map(|topic| {
                let TopicState { events, bytes, end, .. } = self.naive.state(topic);
                TopicInfo { topic: topic.clone(), events, bytes, ended: end.is_some() }
            })
            .collect();
        listed.sort_by(|a, b| a.topic.as_str().cmp(b.topic.as_str()));
        let query = TopicsQuery { limit: 100, ..TopicsQuery::default() };
        assert_eq!(self.log.storage.topics(query).await, Ok(listed));
        assert_eq!(self.log.storage.trimmed(), self.naive.trimmed);
    }

    async fn agree_on_seeks(&self) {
        let tail = self.log.storage.bounds().tail;
        for text in FILTERS {
            for count in [0, 1, 3] {
                for before in [tail.next(), Offset::new(tail.get() / 2)] {
                    self.agree_on_newest(text, count, before).await;
                }
                let until = Offset::new(tail.get() * 2 / 3);
                let found = self.log.storage.newest_each(filters(text), count, until, 1_000).await;
                assert_eq!(found, Ok(Some(self.naive.newest_each(&filters(text), count, until))));
            }
            for time in self.naive.times() {
                let sought = self.log.storage.seek(filters(text), Seek::Since(time)).await.unwrap();
                let read = self.log.after(text, sought.after).await;
                let expected = self.matching(text, |record| record.time() >= time);
                assert_eq!(read, expected, "{text} since {time}");
            }
        }
    }

    async fn agree_on_newest(&self, text: &str, count: usize, before: Offset) {
        let seek = Seek::Newest { count, before };
        let sought = self.log.storage.seek(filters(text), seek).await.unwrap();
        let mut read = self.log.between(text, sought.after, before.previous()).await;
        read.retain(|record| record.event().is_some());
        let events =
            self.matching(text, |record| record.offset() < before && record.event().is_some());
        assert_eq!(read, events[events.len().saturating_sub(count)..], "{text} {seek:?}");
    }

    fn matching(&self, text: &str, also: impl Fn(&Record) -> bool) -> Vec<Arc<Record>> {
        let filters = filters(text);
        let alive = self.naive.alive();
        alive.filter(|record| filters.matches(record.topic()) && also(record)).cloned().collect()
    }

    async fn agree_on_single_records(&self) {
        let offsets: Vec<_> =
            self.naive.lines.iter().rev().map(|line| line.record().offset()).collect();
        let mut alive: Vec<_> = self.naive.alive().cloned().collect();
        alive.reverse();
        assert_eq!(self.log.storage.fetch(offsets).await, Ok(alive));
    }
}
