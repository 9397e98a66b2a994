//! A ring behaves like a plain list, for random pushes and removals.
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::cursor::Epoch;
use crate::record::{Attributes, Body};
use crate::storage::conformance::log::{at, filters, name};

const TOPICS: [&str; 4] = ["a", "a/b", "b", "c"];

#[derive(Clone, Debug)]
enum Step {
    /// Adds a record of a topic: this many offsets and seconds after the last one.
    Push(&'static str, u64, i64),
    Pop,
    PopUnlessLast,
    /// Removes the records of a topic up to some offset.
    Remove(&'static str, Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let topic = || select(&TOPICS[..]);
    let step = prop_oneof![
        6 => (topic(), 1..4_u64, 0..3_i64).prop_map(|(topic, n, s)| Step::Push(topic, n, s)),
        1 => Just(Step::Pop),
        1 => Just(Step::PopUnlessLast),
        2 => (topic(), any::<Index>()).prop_map(|(topic, through)| Step::Remove(topic, through)),
    ];
    prop::collection::vec(step, 1..80)
}

/// A ring, and a list of the records that it should have.
#[derive(Default)]
struct Pair {
    ring: Ring,
    list: Vec<Arc<Record>>,
    tail: u64,
    seconds: i64,
}

impl Pair {
    fn step(&mut self, step: &Step) {
        match *step {
            Step::Push(topic, offsets, seconds) => {
                self.tail += offsets;
                self.seconds += seconds;
                let body = Body::End { reason: "x".repeat(self.list.len()) };
                let (offset, time) = (Offset::new(self.tail), at(self.seconds));
                let (epoch, attributes) = (Epoch::new(1), Attributes::default());
                let record = Record::new(epoch, offset, time, name(topic), body, attributes);
                let record = Arc::new(record);
                self.list.push(Arc::clone(&record));
                self.ring.push(record);
            }
            Step::Pop => {
                let oldest = (!self.list.is_empty()).then(|| self.list.remove(0));
                assert_eq!(self.ring.pop(), oldest);
            }
            Step::PopUnlessLast => {
                let oldest = (self.list.len() > 1).then(|| self.list.remove(0));
                assert_eq!(self.ring.pop_unless_last(), oldest);
            }
            Step::Remove(topic, through) => {
                let through = self.offset(through);
                let topic = name(topic);
                let is_removed =
                    |record: &Arc<Record>| *record.topic() == topic && record.offset() <= through;
                let (removed, left) = self.list.drain(..).partition(is_removed);
                self.list = left;
                let removed: Vec<_> = removed;
                assert_eq!(self.ring.remove(&topic, through), removed);
            }
        }
    }

    fn offset(&self, index: Index) -> Offset {
        Offset::new(index.index(usize::try_from(self.tail).unwrap() + 2) as u64)
    }

    fn agree(&self, index: Index) {
        let Pair { ring, list, .. } = self;
        assert_eq!(ring.first(), list.first());
        assert_eq!(ring.bytes(), list.iter().map(|record| record.memory_bytes()).sum::<usize>());
        assert!(ring.empty <= ring.slots.len() / 2, "more than half of the slots are empty");
        for offset in (0..=self.tail + 1).map(Offset::new) {
            assert_eq!(ring.get(offset), list.iter().find(|record| record.offset() == offset));
        }
        for time in (0..=self.seconds + 1).map(at) {
            assert_eq!(ring.since(time), list.iter().find(|record| record.time() >= time));
        }
        for topic in TOPICS.map(name) {
            let of_topic = list.iter().filter(|record| *record.topic() == topic);
            assert!(ring.of_topic(&topic).eq(of_topic), "{topic}");
        }
        let after = self.offset(index);
        for text in ["a", "a c", "*", "a/*", "**", "b a/*", "none"] {
            self.agree_on_reading(&filters(text), after);
        }
    }

    fn agree_on_reading(&self, filters: &Filters, after: Offset) {
        let until = Offset::new(self.tail);
        let expected = self
            .list
            .iter()
            .filter(|record| record.offset() > after && filters.matches(record.topic()));
        let expected: Vec<_> = expected.cloned().collect();
        for records in [1, 2, 100] {
            let budget = Budget { records, bytes: 1 << 20, rows: 3 * records };
            let (mut read, mut position) = (Vec::new(), after);
            while position < until {
                let page = self.ring.read(filters, position, until, budget);
                assert!(page.through > position, "no progress after {position}");
                read.extend(page.records);
                position = page.through;
            }
            assert_eq!(read, expected, "after {after} by {records}");
        }
        let back = self.ring.slots_back(after).filter_map(|(_, record)| record);
        let expected = self.list.iter().rev().filter(|record| record.offset() <= after);
        assert!(back.eq(expected.clone()));
        for topic in filters.exact() {
            let expected = expected.clone().filter(|record| record.topic() == topic);
            assert!(self.ring.of_topic_back(topic, after).eq(expected));
        }
    }
}

proptest! {
    #[test]
    fn a_ring_agrees_with_a_list(steps in steps(), after in any::<Index>()) {
        let mut pair = Pair::default();
        for step in &steps {
            pair.step(step);
            assert_eq!(pair.ring.first(), pair.list.first());
        }
        pair.agree(after);
    }
}
