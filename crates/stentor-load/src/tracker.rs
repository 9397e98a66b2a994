//! Checks which subscriber has received which event: losses, duplicates and order.

use std::collections::HashSet;

use crate::clock::Nanos;
use crate::mark::Mark;

/// Maximum number of missing deliveries that are remembered, to tell a late event from a duplicate. Beyond it a late
/// event counts as a duplicate.
const SKIPPED_MAX: usize = 1 << 20;

/// The published events, and the progress of each subscriber.
#[derive(Debug)]
pub(crate) struct Tracker {
    run: u32,
    topics: usize,
    publishers: usize,
    events: Vec<Published>,
    /// Number of subscribers of each topic that are expected to receive events.
    fan_out: Vec<u32>,
    /// Number of such subscribers of all topics.
    subscribers: u64,
    /// Next sequence number, for each publisher and topic.
    next_sequence: Vec<u32>,
    /// Next expected sequence number, for each subscriber and publisher. A publisher sends an event only after the
    /// previous one was acknowledged, so the order of its events is known.
    expected: Vec<u32>,
    /// Subscriber, publisher and sequence number of events that were skipped.
    skipped: HashSet<(u32, u16, u32)>,
    /// Index of the first event of the current phase.
    first: usize,
    /// Index of the oldest event that the run waits for.
    oldest: usize,
    /// Number of deliveries that the run waits for.
    open: u64,
    counts: Counts,
}

#[derive(Debug)]
struct Published {
    /// Scheduled send time.
    due: Nanos,
    sequence: u32,
    topic: u32,
    /// Number of subscribers that are expected to receive it.
    subscribers: u32,
    /// Number of subscribers that have not received it yet.
    left: u32,
    publisher: u16,
    /// `true` while the run waits for deliveries of this event.
    is_open: bool,
    /// `true` if the server refused it. It is then not expected anywhere.
    is_refused: bool,
}

/// Results of one phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) published: u64,
    pub(crate) expected: u64,
    pub(crate) received: u64,
    pub(crate) duplicated: u64,
    pub(crate) out_of_order: u64,
    /// Events of a topic that the subscriber did not subscribe to.
    pub(crate) misrouted: u64,
    /// Events without a marker of this run.
    pub(crate) foreign: u64,
}

impl Counts {
    pub(crate) fn lost(&self) -> u64 {
        self.expected.saturating_sub(self.received)
    }
}

/// An event that arrived at a subscriber for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub(crate) due: Nanos,
    /// `true` if all subscribers have received the event now.
    pub(crate) is_last: bool,
}

impl Tracker {
    pub(crate) fn new(run: u32, subscribers: usize, topics: usize, publishers: usize) -> Tracker {
        Tracker {
            run,
            topics,
            publishers,
            events: Vec::new(),
            fan_out: vec![0; topics],
            subscribers: 0,
            next_sequence: vec![0; topics * publishers],
            expected: vec![0; subscribers * publishers],
            skipped: HashSet::new(),
            first: 0,
            oldest: 0,
            open: 0,
            counts: Counts::default(),
        }
    }

    /// Adds a subscriber that is expected to receive the events of its topic from now on.
    pub(crate) fn join(&mut self, topic: usize) {
        if let Some(subscribers) = self.fan_out.get_mut(topic) {
            *subscribers += 1;
            self.subscribers += 1;
        }
    }

    /// Removes a subscriber that has given up. Events it has not received yet count as lost.
    pub(crate) fn leave(&mut self, topic: usize) {
        if let Some(subscribers) = self.fan_out.get_mut(topic) {
            *subscribers = subscribers.saturating_sub(1);
            self.subscribers = self.subscribers.saturating_sub(1);
        }
    }

    /// Starts a phase. Events published before no longer count.
    pub(crate) fn begin_phase(&mut self) {
        self.write_off();
        self.first = self.events.len();
        self.counts = Counts::default();
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Returns the number of deliveries that the run waits for.
    pub(crate) fn open(&self) -> u64 {
        self.open
    }

    /// Returns `true` if one more event keeps the open deliveries within those of `window` events.
    pub(crate) fn has_room(&self, window: usize) -> bool {
        let each = self.subscribers.div_ceil(self.topics as u64);
        self.open + each <= window as u64 * each
    }

    /// Adds an event that is being sent.
    pub(crate) fn publish(&mut self, publisher: usize, topic: usize, due: Nanos) -> Mark {
        let number = self.events.len() as u32;
        let next = self.next_sequence.get_mut(publisher * self.topics + topic);
        let sequence = next.map_or(0, |next| {
            *next += 1;
            *next - 1
        });
        let subscribers = self.fan_out.get(topic).copied().unwrap_or_default();
        self.counts.published += 1;
        self.counts.expected += u64::from(subscribers);
        self.open += u64::from(subscribers);
        self.events.push(Published {
            due,
            sequence,
            topic: topic as u32,
            subscribers,
            left: subscribers,
            publisher: publisher as u16,
            is_open: subscribers > 0,
            is_refused: false,
        });
        Mark { run: self.run, number }
    }

    /// Marks an event as refused by the server.
    pub(crate) fn refused(&mut self, mark: Mark) {
        let number = mark.number as usize;
        let Some(event) = self.events.get_mut(number).filter(|event| !event.is_refused) else {
            return;
        };
        event.is_refused = true;
        if std::mem::take(&mut event.is_open) {
            self.open -= u64::from(event.left);
        }
        if number >= self.first {
            self.counts.expected -= u64::from(event.subscribers);
            self.counts.received -= u64::from(event.subscribers - event.left);
        }
    }

    /// Stops waiting for events that have not arrived. They still count if they arrive later.
    pub(crate) fn write_off(&mut self) {
        for event in self.events.get_mut(self.oldest..).unwrap_or_default() {
            event.is_open = false;
        }
        (self.open, self.oldest) = (0, self.events.len());
    }

    /// Checks an event that arrived at a subscriber. Returns `None` if it is not a delivery of this phase.
    pub(crate) fn arrived(
        &mut self,
        subscriber: usize,
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
        let index = subscriber * self.publishers + usize::from(publisher);
        let next = self.expected.get_mut(index)?;
        if sequence >= *next {
            for skipped in *next..sequence {
                if self.skipped.len() < SKIPPED_MAX {
                    self.skipped.insert((subscriber as u32, publisher, skipped));
                }
            }
            *next = sequence + 1;
        } else if self.skipped.remove(&(subscriber as u32, publisher, sequence)) {
            self.counts.out_of_order += 1;
        } else {
            self.counts.duplicated += 1;
            return None;
        }
        event.left = event.left.saturating_sub(1);
        let is_last = event.left == 0;
        self.open -= u64::from(event.is_open);
        event.is_open &= !is_last;
        if number < self.first || event.is_refused {
            return None;
        }
        self.counts.received += 1;
        Some(Delivery { due: event.due, is_last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tracker with two subscribers of one topic and one publisher.
    fn tracker() -> Tracker {
        let mut tracker = Tracker::new(9, 2, 1, 1);
        tracker.join(0);
        tracker.join(0);
        tracker.begin_phase();
        tracker
    }

    fn counts(tracker: &Tracker) -> (u64, u64, u64, u64) {
        let counts = tracker.counts();
        (counts.received, counts.lost(), counts.duplicated, counts.out_of_order)
    }

    #[test]
    fn an_event_is_complete_with_its_last_subscriber() {
        let mut tracker = tracker();
        let mark = tracker.publish(0, 0, 5);
        assert_eq!((tracker.open(), tracker.has_room(1), tracker.has_room(2)), (2, false, true));
        let first = tracker.arrived(0, 0, Some(mark));
        assert_eq!(first, Some(Delivery { due: 5, is_last: false }));
        let last = tracker.arrived(1, 0, Some(mark));
        assert_eq!(last, Some(Delivery { due: 5, is_last: true }));
        assert_eq!((tracker.open(), counts(&tracker)), (0, (2, 0, 0, 0)));
    }

    #[test]
    fn losses_duplicates_and_disorder_are_distinguished() {
        let mut tracker = tracker();
        let marks = [0; 4].map(|_| tracker.publish(0, 0, 0));
        for at in [0, 2, 1, 2, 1] {
            tracker.arrived(0, 0, Some(marks[at]));
        }
        // Subscriber 0 lacks one event, subscriber 1 all four.
        assert_eq!(counts(&tracker), (3, 5, 2, 1));
    }

    #[test]
    fn publishers_are_not_ordered_among_each_other() {
        let mut tracker = Tracker::new(9, 1, 1, 2);
        tracker.join(0);
        let (a, b) = (tracker.publish(0, 0, 0), tracker.publish(1, 0, 0));
        tracker.arrived(0, 0, Some(b));
        tracker.arrived(0, 0, Some(a));
        assert_eq!(counts(&tracker), (2, 0, 0, 0));
    }

    #[test]
    fn a_refused_event_is_not_expected_even_if_it_arrived_somewhere() {
        let mut tracker = tracker();
        let mark = tracker.publish(0, 0, 0);
        tracker.arrived(0, 0, Some(mark));
        tracker.refused(mark);
        assert_eq!(tracker.arrived(1, 0, Some(mark)), None);
        assert_eq!((tracker.open(), counts(&tracker)), (0, (0, 0, 0, 0)));
    }

    #[test]
    fn a_written_off_event_is_not_waited_for_but_counts_when_it_arrives() {
        let mut tracker = tracker();
        let mark = tracker.publish(0, 0, 0);
        tracker.write_off();
        assert_eq!((tracker.open(), counts(&tracker)), (0, (0, 2, 0, 0)));
        tracker.arrived(0, 0, Some(mark));
        assert_eq!((tracker.open(), counts(&tracker)), (0, (1, 1, 0, 0)));
    }

    #[test]
    fn events_of_others_and_of_earlier_phases_are_not_measured() {
        let mut tracker = tracker();
        let before = tracker.publish(0, 0, 0);
        tracker.begin_phase();
        for mark in [None, Some(Mark { run: 8, number: 0 }), Some(Mark { run: 9, number: 7 })] {
            assert_eq!(tracker.arrived(0, 0, mark), None);
        }
        assert_eq!(tracker.arrived(0, 0, Some(before)), None);
        assert_eq!((tracker.counts().foreign, counts(&tracker)), (3, (0, 0, 0, 0)));
        let mark = tracker.publish(0, 0, 0);
        assert_eq!(tracker.arrived(0, 1, Some(mark)), None);
        assert_eq!(tracker.counts().misrouted, 1);
    }

    #[test]
    fn a_subscriber_that_has_given_up_is_not_waited_for() {
        let mut tracker = tracker();
        tracker.leave(0);
        let mark = tracker.publish(0, 0, 0);
        assert_eq!(tracker.arrived(0, 0, Some(mark)).map(|it| it.is_last), Some(true));
        assert_eq!(tracker.counts().expected, 1);
    }
}
