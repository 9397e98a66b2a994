//! Random readers, while the log changes and its queries are slow.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::FutureExt;
use stentor_hub::storage::{Storage, TopicState};
use stentor_hub::{
    Body, Cursor, Filters, Hub, MemoryStorage, Offset, Publish, Record, Start, Subscribed,
    TopicName,
};

use tokio::task::unconstrained;

use crate::gated::{Gate, GatedStorage};

const TOPICS: [&str; 2] = ["a", "b"];
const STEPS: usize = 120;
const HISTORIES: u64 = 100;

/// A log with random readers.
struct History {
    chance: fastrand::Rng,
    hub: Hub,
    gate: Gate,
    log: Arc<MemoryStorage>,
    /// All ids that were returned, and events with their topics.
    ids: Vec<Cursor>,
    events: Vec<(&'static str, Offset)>,
    readers: Vec<Reader>,
}

/// A reader of one topic, with the state of the log at its start.
struct Reader {
    topic: &'static str,
    cursor: Option<Cursor>,
    begun: TopicState,
    tail: Offset,
    seen: Rc<RefCell<Seen>>,
    reading: Pin<Box<dyn Future<Output = ()>>>,
}

#[derive(Debug, Default)]
struct Seen {
    events: Vec<Offset>,
    /// `true` if it got a gap, or a deletion, which means that all records before it are removed.
    is_loss_reported: bool,
    /// `true` if the subscription was refused as finished.
    refused: bool,
    is_over: bool,
}

#[tokio::test]
async fn no_event_is_lost_or_duplicated_while_the_log_changes() {
    for seed in 0..HISTORIES {
        let mut history = History::new(seed);
        for _ in 0..STEPS {
            history.step().await;
        }
        history.gate.hold_queries(false);
        history.settle();
        for reader in &history.readers {
            history.check(reader, seed).await;
        }
    }
}

impl History {
    fn new(seed: u64) -> History {
        let (storage, gate) = GatedStorage::new();
        gate.open();
        let log = storage.log();
        // The window has only the newest record.
        let hub = Hub::with_window(storage, 0);
        let chance = fastrand::Rng::with_seed(seed);
        let (ids, events, readers) = (Vec::new(), Vec::new(), Vec::new());
        History { chance, hub, gate, log, ids, events, readers }
    }

    async fn step(&mut self) {
        let topic = TOPICS[self.chance.usize(..TOPICS.len())];
        let name: TopicName = topic.parse().unwrap();
        match self.chance.u32(..20) {
            0..6 => {
                if let Ok(published) = self.hub.send(&name, "x").await {
                    self.ids.push(published.first);
                    self.events.push((topic, published.first.offset));
                }
            }
            6 => {
                if let Ok(published) = self.hub.publish(Publish::end(name, "done")).await {
                    self.ids.push(published.last);
                }
            }
            7 => drop(self.hub.delete(&name).await.unwrap()),
            8 if !self.ids.is_empty() => {
                let through = self.ids[self.chance.usize(..self.ids.len())].offset;
                // Not the newest record: it is in the live window, which learns only of trims by the hub itself.
                let through = through.min(self.log.bounds().tail.previous());
                self.log.trim(vec![(name, through)]).await.unwrap();
            }
            9..14 => self.begin(topic).await,
            14 => self.gate.hold_queries(true),
            15..17 => self.gate.hold_queries(false),
            _ => self.settle(),
        }
    }

    async fn begin(&mut self, topic: &'static str) {
        let name: TopicName = topic.parse().unwrap();
        let cursor = self.chance.choice(&self.ids).copied();
        // An event id is used only for its own topic. For others, a position is used.
        let cursor = cursor.filter(|_| self.chance.u32(..5) > 0).map(|cursor| {
            let own = self.events.contains(&(topic, cursor.offset));
            if own { cursor } else { Cursor::position(cursor.epoch, cursor.offset) }
        });
        let seen = Rc::<RefCell<Seen>>::default();
        let start = cursor.map_or(Start::Now, |cursor| Start::Cursor(cursor.to_string()));
        let hub = self.hub.clone();
        let mut reader = Reader {
            topic,
            cursor,
            begun: self.log.states(vec![name.clone()]).await.unwrap().remove(0),
            tail: self.log.bounds().tail,
            seen: Rc::clone(&seen),
            // Polled by hand, so that only the gate can make it wait.
            reading: Box::pin(unconstrained(read(hub, Filters::topic(name), start, seen))),
        };
        reader.poll();
        self.readers.push(reader);
    }

    /// Polls all readers until they wait.
    fn settle(&mut self) {
        const ROUNDS: usize = 12;
        for _ in 0..ROUNDS {
            self.readers.iter_mut().for_each(Reader::poll);
        }
    }

    async fn check(&self, reader: &Reader, number: u64) {
        let name: TopicName = reader.topic.parse().unwrap();
        let now = self.log.states(vec![name]).await.unwrap().remove(0);
        let seen = reader.seen.borrow();
        let context =
            format!("history {number}, {} from {:?}: {seen:?}", reader.topic, reader.cursor);
        let after = reader.cursor.map_or(reader.tail, |cursor| cursor.offset);
        let of_topic = |offset: &Offset| self.events.contains(&(reader.topic, *offset));

        assert!(seen.events.is_sorted_by(|a, b| a < b), "duplicated: {context}");
        let in_place = |offset: &Offset| *offset > after && of_topic(offset);
        assert!(seen.events.iter().all(in_place), "not requested: {context}");
        let removed = |offset: &Offset| *offset <= reader.begun.removed_through;
        assert!(!seen.events.iter().any(removed), "already removed: {context}");

        let lost = reader.begun.removed_through > after && !is_deleted(&reader.begun);
        assert!(
            !lost || reader.cursor.is_none() || seen.is_loss_reported,
            "a gap was not reported: {context}"
        );
        if seen.refused {
            let end = reader.begun.end.as_ref().map(|end| end.offset());
            assert!(end.is_some_and(|end| end <= after), "refused: {context}");
            return;
        }
        if !seen.is_over {
            assert!(now.end.is_none() || is_deleted(&now), "waits without end: {context}");
            let left = |offset: &Offset| *offset > now.removed_through;
            let all = self.events.iter().map(|(_, offset)| *offset);
            let expected: Vec<Offset> = all.filter(in_place).filter(left).collect();
            let got: Vec<Offset> = seen.events.iter().copied().filter(left).collect();
            assert_eq!(got, expected, "lost: {context}");
        }
    }
}

fn is_deleted(state: &TopicState) -> bool {
    state.end.as_ref().is_some_and(|end| *end.body() == Body::Deleted)
}

impl Reader {
    fn poll(&mut self) {
        if !self.seen.borrow().is_over && (&mut self.reading).now_or_never().is_some() {
            self.seen.borrow_mut().is_over = true;
        }
    }
}

async fn read(hub: Hub, filters: Filters, start: Start, seen: Rc<RefCell<Seen>>) {
    let Subscribed::Open(mut subscription) = hub.subscribe(filters, start).await.unwrap() else {
        seen.borrow_mut().refused = true;
        return;
    };
    while let Some(batch) = subscription.next().await.unwrap() {
        let mut seen = seen.borrow_mut();
        let is_deletion = |record: &Arc<Record>| *record.body() == Body::Deleted;
        seen.is_loss_reported |= batch.gap.is_some() || batch.records.iter().any(is_deletion);
        let events = batch.records.iter().filter(|record| record.event().is_some());
        seen.events.extend(events.map(|record| record.offset()));
    }
}
