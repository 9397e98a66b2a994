//! What was published, and what each reader got of it.

use std::collections::HashSet;

use super::clock::Nanos;
use super::mark::Mark;

/// How many events that readers passed over are remembered, to tell a late one from a double one; beyond
/// it a late event counts as a double.
const SKIPPED_MAX: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Ledger {
    run: u32,
    topics: usize,
    publishers: usize,
    events: Vec<Issued>,
    /// How many readers of each topic an event is to reach.
    fan_out: Vec<u32>,
    /// The same of all topics together.
    readers: u64,
    /// The sequence of each publisher in each topic, as far as it was issued.
    issued: Vec<u32>,
    /// For each reader and publisher the sequence that comes next. A publisher sends an event only after
    /// the one before was acknowledged, so that its order is certain.
    expected: Vec<u32>,
    /// Reader, publisher and sequence of what was passed over.
    skipped: HashSet<(u32, u16, u32)>,
    /// Where the phase at hand begins.
    first: usize,
    /// All events before this one are closed.
    oldest: usize,
    /// Deliveries that are waited for.
    open: u64,
    counts: Counts,
}

#[derive(Debug)]
struct Issued {
    /// When it was to be sent.
    due: Nanos,
    sequence: u32,
    topic: u32,
    /// How many readers it is for, and how many have not got it.
    readers: u32,
    left: u32,
    publisher: u16,
    /// Whether somebody waits for it.
    is_open: bool,
    /// It was refused, and nobody needs to get it.
    is_void: bool,
}

/// What came of the events of one phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) published: u64,
    pub(super) expected: u64,
    pub(super) received: u64,
    pub(super) duplicated: u64,
    pub(super) out_of_order: u64,
    /// Of another topic.
    pub(super) misrouted: u64,
    /// Not marked by this run.
    pub(super) foreign: u64,
}

impl Counts {
    pub(super) fn lost(&self) -> u64 {
        self.expected.saturating_sub(self.received)
    }
}

/// An event at a reader that was waiting for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    pub(super) due: Nanos,
    /// Whether all readers have it now.
    pub(super) is_last: bool,
}

impl Ledger {
    pub(super) fn new(run: u32, readers: usize, topics: usize, publishers: usize) -> Ledger {
        Ledger {
            run,
            topics,
            publishers,
            events: Vec::new(),
            fan_out: vec![0; topics],
            readers: 0,
            issued: vec![0; topics * publishers],
            expected: vec![0; readers * publishers],
            skipped: HashSet::new(),
            first: 0,
            oldest: 0,
            open: 0,
            counts: Counts::default(),
        }
    }

    /// A reader that events of its topic are to reach from here.
    pub(super) fn join(&mut self, topic: usize) {
        if let Some(readers) = self.fan_out.get_mut(topic) {
            *readers += 1;
            self.readers += 1;
        }
    }

    /// It has given up; what it has not got is lost.
    pub(super) fn leave(&mut self, topic: usize) {
        if let Some(readers) = self.fan_out.get_mut(topic) {
            *readers = readers.saturating_sub(1);
            self.readers = self.readers.saturating_sub(1);
        }
    }

    /// Begins a phase: what was published before counts no more.
    pub(super) fn begin(&mut self) {
        self.write_off();
        self.first = self.events.len();
        self.counts = Counts::default();
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// How many deliveries are waited for.
    pub(super) fn open(&self) -> u64 {
        self.open
    }

    /// Whether one more event would make no more deliveries than so many events do.
    pub(super) fn has_room(&self, window: usize) -> bool {
        let each = self.readers.div_ceil(self.topics as u64);
        self.open + each <= window as u64 * each
    }

    /// An event that leaves now.
    pub(super) fn issue(&mut self, publisher: usize, topic: usize, due: Nanos) -> Mark {
        let number = self.events.len() as u32;
        let sequence = self.issued.get_mut(publisher * self.topics + topic).map_or(0, |next| {
            *next += 1;
            *next - 1
        });
        let readers = self.fan_out.get(topic).copied().unwrap_or_default();
        self.counts.published += 1;
        self.counts.expected += u64::from(readers);
        self.open += u64::from(readers);
        self.events.push(Issued {
            due,
            sequence,
            topic: topic as u32,
            readers,
            left: readers,
            publisher: publisher as u16,
            is_open: readers > 0,
            is_void: false,
        });
        Mark { run: self.run, number }
    }

    /// The server did not take it.
    pub(super) fn refused(&mut self, mark: Mark) {
        let number = mark.number as usize;
        let Some(event) = self.events.get_mut(number).filter(|event| !event.is_void) else {
            return;
        };
        event.is_void = true;
        if std::mem::take(&mut event.is_open) {
            self.open -= u64::from(event.left);
        }
        if number >= self.first {
            self.counts.expected -= u64::from(event.readers);
            self.counts.received -= u64::from(event.readers - event.left);
        }
    }

    /// Nobody waits any longer for what has not come.
    pub(super) fn write_off(&mut self) {
        for event in self.events.get_mut(self.oldest..).unwrap_or_default() {
            event.is_open = false;
        }
        (self.open, self.oldest) = (0, self.events.len());
    }

    /// Judges an event that came to a reader.
    pub(super) fn arrived(
        &mut self,
        reader: usize,
        topic: usize,
        mark: Option<Mark>,
    ) -> Option<Delivery> {
        let number = mark.filter(|mark| mark.run == self.run).map(|mark| mark.number as usize);
        let Some((number, event)) =
            number.and_then(|number| Some((number, self.events.get_mut(number)?)))
        else {
            self.counts.foreign += 1;
            return None;
        };
        if event.topic as usize != topic {
            self.counts.misrouted += 1;
            return None;
        }
        let (publisher, sequence) = (event.publisher, event.sequence);
        let place = reader * self.publishers + usize::from(publisher);
        let next = self.expected.get_mut(place)?;
        if sequence >= *next {
            for skipped in *next..sequence {
                if self.skipped.len() < SKIPPED_MAX {
                    self.skipped.insert((reader as u32, publisher, skipped));
                }
            }
            *next = sequence + 1;
        } else if self.skipped.remove(&(reader as u32, publisher, sequence)) {
            self.counts.out_of_order += 1;
        } else {
            self.counts.duplicated += 1;
            return None;
        }
        event.left = event.left.saturating_sub(1);
        let is_last = event.left == 0;
        self.open -= u64::from(event.is_open);
        event.is_open &= !is_last;
        if number < self.first || event.is_void {
            return None;
        }
        self.counts.received += 1;
        Some(Delivery { due: event.due, is_last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two readers of one topic, one publisher.
    fn ledger() -> Ledger {
        let mut ledger = Ledger::new(9, 2, 1, 1);
        ledger.join(0);
        ledger.join(0);
        ledger.begin();
        ledger
    }

    fn counts(ledger: &Ledger) -> (u64, u64, u64, u64) {
        let counts = ledger.counts();
        (counts.received, counts.lost(), counts.duplicated, counts.out_of_order)
    }

    #[test]
    fn an_event_is_over_with_its_last_reader() {
        let mut ledger = ledger();
        let mark = ledger.issue(0, 0, 5);
        assert_eq!((ledger.open(), ledger.has_room(1), ledger.has_room(2)), (2, false, true));
        let first = ledger.arrived(0, 0, Some(mark));
        assert_eq!(first, Some(Delivery { due: 5, is_last: false }));
        let last = ledger.arrived(1, 0, Some(mark));
        assert_eq!(last, Some(Delivery { due: 5, is_last: true }));
        assert_eq!((ledger.open(), counts(&ledger)), (0, (2, 0, 0, 0)));
    }

    #[test]
    fn loss_doubles_and_disorder_are_told_apart() {
        let mut ledger = ledger();
        let marks = [0; 4].map(|_| ledger.issue(0, 0, 0));
        for at in [0, 2, 1, 2, 1] {
            ledger.arrived(0, 0, Some(marks[at]));
        }
        // Reader 0 lacks one event, reader 1 all four.
        assert_eq!(counts(&ledger), (3, 5, 2, 1));
    }

    #[test]
    fn publishers_are_not_ordered_among_each_other() {
        let mut ledger = Ledger::new(9, 1, 1, 2);
        ledger.join(0);
        let (a, b) = (ledger.issue(0, 0, 0), ledger.issue(1, 0, 0));
        ledger.arrived(0, 0, Some(b));
        ledger.arrived(0, 0, Some(a));
        assert_eq!(counts(&ledger), (2, 0, 0, 0));
    }

    #[test]
    fn a_refused_event_is_not_missed_wherever_it_came() {
        let mut ledger = ledger();
        let mark = ledger.issue(0, 0, 0);
        ledger.arrived(0, 0, Some(mark));
        ledger.refused(mark);
        assert_eq!(ledger.arrived(1, 0, Some(mark)), None);
        assert_eq!((ledger.open(), counts(&ledger)), (0, (0, 0, 0, 0)));
    }

    #[test]
    fn what_is_written_off_is_not_waited_for_but_counts_when_it_comes() {
        let mut ledger = ledger();
        let mark = ledger.issue(0, 0, 0);
        ledger.write_off();
        assert_eq!((ledger.open(), counts(&ledger)), (0, (0, 2, 0, 0)));
        ledger.arrived(0, 0, Some(mark));
        assert_eq!((ledger.open(), counts(&ledger)), (0, (1, 1, 0, 0)));
    }

    #[test]
    fn events_of_others_and_of_before_are_not_measured() {
        let mut ledger = ledger();
        let before = ledger.issue(0, 0, 0);
        ledger.begin();
        for mark in [None, Some(Mark { run: 8, number: 0 }), Some(Mark { run: 9, number: 7 })] {
            assert_eq!(ledger.arrived(0, 0, mark), None);
        }
        assert_eq!(ledger.arrived(0, 0, Some(before)), None);
        assert_eq!((ledger.counts().foreign, counts(&ledger)), (3, (0, 0, 0, 0)));
        let mark = ledger.issue(0, 0, 0);
        assert_eq!(ledger.arrived(0, 1, Some(mark)), None);
        assert_eq!(ledger.counts().misrouted, 1);
    }

    #[test]
    fn who_has_given_up_is_not_waited_for() {
        let mut ledger = ledger();
        ledger.leave(0);
        let mark = ledger.issue(0, 0, 0);
        assert_eq!(ledger.arrived(0, 0, Some(mark)).map(|it| it.is_last), Some(true));
        assert_eq!(ledger.counts().expected, 1);
    }
}
