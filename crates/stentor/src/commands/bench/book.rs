//! Everything that is noted while the load runs.

use super::clock::{Clock, Nanos};
use super::ledger::Ledger;
use super::meter::Times;
use super::problems::Problems;
use super::stream::Arrival;

#[derive(Debug)]
pub(super) struct Book {
    pub(super) clock: Clock,
    pub(super) ledger: Ledger,
    pub(super) problems: Problems,
    /// Whether events are published, and so known again.
    publishes: bool,
    /// From when an event was to be sent until a reader had it; or, when only listening, from one
    /// arrival at a reader to the next. Of the stretch of time at hand, and of all before.
    pub(super) delivery: Times,
    pub(super) deliveries: Times,
    /// The same until the last reader had it.
    pub(super) last: Times,
    /// From sending an event to its acknowledgement, and how late it was sent.
    pub(super) acknowledged: Times,
    pub(super) lag: Times,
    /// From the beginning of a connect to the head of the answer.
    pub(super) head: Times,
    /// The same of those who only come to go, and how many of them got none.
    pub(super) churn: Times,
    pub(super) churn_failed: u64,
    /// How many events and bytes came in this phase, marked or not, and when the last of them did.
    pub(super) events: u64,
    pub(super) event_bytes: u64,
    pub(super) bytes: u64,
    pub(super) reads: u64,
    pub(super) last_arrival: Nanos,
    pub(super) refused: u64,
    pub(super) cuts: u64,
    pub(super) slow_cuts: u64,
    pub(super) gave_up: u64,
    pub(super) storms: Storms,
}

#[derive(Debug)]
pub(super) struct Storms {
    pub(super) count: u64,
    pub(super) dropped: u64,
    pub(super) returned: u64,
    /// How many are still on their way back, and since when.
    pub(super) away: usize,
    pub(super) begun: Nanos,
    /// When the next one may come.
    pub(super) next: Nanos,
    /// From the beginning of a connect to its head, and from a storm to the last head.
    pub(super) head: Times,
    pub(super) all_back: Times,
    every: Nanos,
}

impl Storms {
    fn one_less(&mut self, now: Nanos) {
        self.away = self.away.saturating_sub(1);
        if self.away == 0 {
            self.all_back.add(now - self.begun);
            self.next = now + self.every;
        }
    }
}

impl Book {
    pub(super) fn new(clock: Clock, ledger: Ledger, publishes: bool, storm_every: Nanos) -> Book {
        Book {
            clock,
            ledger,
            problems: Problems::default(),
            publishes,
            delivery: Times::new(),
            deliveries: Times::new(),
            last: Times::new(),
            acknowledged: Times::new(),
            lag: Times::new(),
            head: Times::new(),
            churn: Times::new(),
            churn_failed: 0,
            events: 0,
            event_bytes: 0,
            bytes: 0,
            reads: 0,
            last_arrival: 0,
            refused: 0,
            cuts: 0,
            slow_cuts: 0,
            gave_up: 0,
            storms: Storms {
                count: 0,
                dropped: 0,
                returned: 0,
                away: 0,
                begun: 0,
                next: 0,
                head: Times::new(),
                all_back: Times::new(),
                every: storm_every,
            },
        }
    }

    /// Begins a phase of publishing or listening; connects and problems stay.
    pub(super) fn begin(&mut self) {
        self.ledger.begin();
        for times in [
            &mut self.delivery,
            &mut self.deliveries,
            &mut self.last,
            &mut self.acknowledged,
            &mut self.lag,
        ] {
            *times = Times::new();
        }
        (self.events, self.event_bytes, self.bytes) = (0, 0, 0);
        (self.reads, self.refused) = (0, 0);
        let now = self.clock.now();
        self.last_arrival = now;
        self.storms.next = now + self.storms.every;
    }

    /// An event came to a reader; `last` is when the one before came to it, 0 for none.
    pub(super) fn arrived(
        &mut self,
        reader: usize,
        topic: usize,
        arrival: Arrival,
        now: Nanos,
        last: &mut Nanos,
    ) {
        self.events += 1;
        self.event_bytes += arrival.bytes;
        self.last_arrival = now;
        if self.publishes {
            // What has no data at all, such as a cursor block of ours, is nobody's event.
            if arrival.bytes == 0 {
                return;
            }
            if let Some(delivery) = self.ledger.arrived(reader, topic, arrival.mark) {
                let took = now.saturating_sub(delivery.due);
                self.delivery.add(took);
                if delivery.is_last {
                    self.last.add(took);
                }
            }
        } else {
            let before = std::mem::replace(last, now);
            if before > 0 {
                self.delivery.add(now - before);
            }
        }
    }

    /// So many readers dropped their connections.
    pub(super) fn storm(&mut self, dropped: usize) {
        let now = self.clock.now();
        let storms = &mut self.storms;
        if dropped == 0 {
            storms.next = now + storms.every;
            return;
        }
        storms.count += 1;
        storms.dropped += dropped as u64;
        (storms.away, storms.begun) = (dropped, now);
    }

    /// A reader came back from a storm.
    pub(super) fn is_back(&mut self, took: Nanos) {
        let now = self.clock.now();
        self.storms.returned += 1;
        self.storms.head.add(took);
        self.storms.one_less(now);
    }

    /// A reader comes back no more.
    pub(super) fn gave_up(&mut self, topic: usize, was_in_storm: bool) {
        self.gave_up += 1;
        self.ledger.leave(topic);
        if was_in_storm {
            self.storms.one_less(self.clock.now());
        }
    }
}
