//! Counters and latencies of a run.

use crate::clock::{Clock, Nanos};
use crate::latency::Latencies;
use crate::problems::Problems;
use crate::sse::Arrival;
use crate::tracker::Tracker;

/// Counters and histograms of a run. Those marked *per phase* restart with each phase.
#[derive(Debug)]
pub(crate) struct Stats {
    pub(crate) clock: Clock,
    pub(crate) tracker: Tracker,
    pub(crate) problems: Problems,
    /// `true` if the run publishes. Events are then recognized by their marker.
    publishes: bool,
    /// Delivery latencies since the last sample: from the scheduled send time to the arrival at a subscriber. If the
    /// run only listens: times from one arrival at a subscriber to the next. Per phase.
    pub(crate) recent: Latencies,
    /// The latencies of all earlier samples. Per phase.
    pub(crate) sampled: Latencies,
    /// From the scheduled send time to the arrival at the last subscriber. Per phase.
    pub(crate) to_last: Latencies,
    /// From the send of an event to its acknowledgement. Per phase.
    pub(crate) acknowledged: Latencies,
    /// From the scheduled to the actual send time. Per phase.
    pub(crate) send_delay: Latencies,
    /// From the start of a connect to the response head, for the first connect of each subscriber.
    pub(crate) connect: Latencies,
    /// From the start of a connect to the response head, for connections that are closed at once (`--churn`).
    pub(crate) churn: Latencies,
    /// Connections of `--churn` that failed.
    pub(crate) churn_failed: u64,
    /// Events that arrived, with or without a marker. Per phase.
    pub(crate) events: u64,
    /// Bytes of their data. Per phase.
    pub(crate) event_bytes: u64,
    /// Bytes received by subscribers. Per phase.
    pub(crate) bytes: u64,
    /// Reads from subscribers' sockets that returned bytes. Per phase.
    pub(crate) reads: u64,
    /// Time of the last arrival, or of the start of the phase.
    pub(crate) last_arrival: Nanos,
    /// Publishes that failed. Per phase.
    pub(crate) refused: u64,
    /// Streams that broke or were ended by the server.
    pub(crate) cuts: u64,
    /// Streams of slow subscribers that the server closed.
    pub(crate) slow_cuts: u64,
    /// Reason why the last publish or passing connection got no response; `None` if it got one.
    pub(crate) unreachable: Option<String>,
    /// Subscribers that gave up reconnecting.
    pub(crate) gave_up: u64,
    pub(crate) storms: StormStats,
}

/// Counters and histograms of storms.
#[derive(Debug)]
pub(crate) struct StormStats {
    pub(crate) count: u64,
    pub(crate) dropped: u64,
    pub(crate) returned: u64,
    /// Number of subscribers that are still reconnecting.
    pub(crate) away: usize,
    started: Nanos,
    /// Earliest start of the next storm.
    pub(crate) next: Nanos,
    /// From the start of a reconnect to the response head.
    pub(crate) reconnect: Latencies,
    /// From the start of a storm until the last subscriber has reconnected.
    pub(crate) all_back: Latencies,
    every: Nanos,
}

impl StormStats {
    fn new(every: Nanos) -> StormStats {
        StormStats {
            count: 0,
            dropped: 0,
            returned: 0,
            away: 0,
            started: 0,
            next: 0,
            reconnect: Latencies::new(),
            all_back: Latencies::new(),
            every,
        }
    }

    fn count_back(&mut self, now: Nanos) {
        self.away = self.away.saturating_sub(1);
        if self.away == 0 {
            self.all_back.add(now - self.started);
            self.next = now + self.every;
        }
    }
}

impl Stats {
    pub(crate) fn new(
        clock: Clock,
        tracker: Tracker,
        publishes: bool,
        storm_every: Nanos,
    ) -> Stats {
        Stats {
            clock,
            tracker,
            problems: Problems::default(),
            publishes,
            recent: Latencies::new(),
            sampled: Latencies::new(),
            to_last: Latencies::new(),
            acknowledged: Latencies::new(),
            send_delay: Latencies::new(),
            connect: Latencies::new(),
            churn: Latencies::new(),
            churn_failed: 0,
            events: 0,
            event_bytes: 0,
            bytes: 0,
            reads: 0,
            last_arrival: 0,
            refused: 0,
            cuts: 0,
            slow_cuts: 0,
            unreachable: None,
            gave_up: 0,
            storms: StormStats::new(storm_every),
        }
    }

    /// Starts a phase. Connects, cuts and problems are kept.
    pub(crate) fn begin_phase(&mut self) {
        self.tracker.begin_phase();
        for latencies in [
            &mut self.recent,
            &mut self.sampled,
            &mut self.to_last,
            &mut self.acknowledged,
            &mut self.send_delay,
        ] {
            *latencies = Latencies::new();
        }
        (self.events, self.event_bytes, self.bytes) = (0, 0, 0);
        (self.reads, self.refused) = (0, 0);
        let now = self.clock.now();
        self.last_arrival = now;
        self.storms.next = now + self.storms.every;
    }

    /// Number of deliveries in this phase; if the run only listens, of all events that arrived.
    pub(crate) fn delivered(&self) -> u64 {
        if self.publishes { self.tracker.counts().received } else { self.events }
    }

    /// Counts an event that arrived at a subscriber. `last` is the time of its previous arrival, 0 for none.
    pub(crate) fn arrived(
        &mut self,
        subscriber: usize,
        topic: usize,
        arrival: Arrival,
        now: Nanos,
        last: &mut Nanos,
    ) {
        self.events += 1;
        self.event_bytes += arrival.bytes;
        self.last_arrival = now;
        if self.publishes {
            // A block with empty data, such as the cursor block of Stentor, is not an event of a publisher.
            if arrival.bytes == 0 {
                return;
            }
            if let Some(delivery) = self.tracker.arrived(subscriber, topic, arrival.mark) {
                let took = now.saturating_sub(delivery.due);
                self.recent.add(took);
                if delivery.is_last {
                    self.to_last.add(took);
                }
            }
        } else {
            let before = std::mem::replace(last, now);
            if before > 0 {
                self.recent.add(now - before);
            }
        }
    }

    /// Starts a storm in which `dropped` subscribers closed their connections.
    pub(crate) fn begin_storm(&mut self, dropped: usize) {
        let now = self.clock.now();
        let storms = &mut self.storms;
        if dropped == 0 {
            storms.next = now + storms.every;
            return;
        }
        storms.count += 1;
        storms.dropped += dropped as u64;
        (storms.away, storms.started) = (dropped, now);
    }

    /// Counts a subscriber that reconnected after a storm.
    pub(crate) fn returned(&mut self, took: Nanos) {
        let now = self.clock.now();
        self.storms.returned += 1;
        self.storms.reconnect.add(took);
        self.storms.count_back(now);
    }

    /// Counts a subscriber that will not reconnect.
    pub(crate) fn gave_up(&mut self, topic: usize, was_in_storm: bool) {
        self.gave_up += 1;
        self.tracker.leave(topic);
        if was_in_storm {
            self.storms.count_back(self.clock.now());
        }
    }
}
