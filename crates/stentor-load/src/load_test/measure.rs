//! The measured phase of a run: publishing, listening, or opening and closing connections.

use std::io;
use std::time::Duration;

use super::LoadTest;
use crate::clock::Nanos;
use crate::options::Pace;
use crate::pacer::Pacer;
use crate::phase::{Phase, Times};
use crate::plan::{Plan, Task};
use crate::progress::Progress;
use crate::sampler::{Sample, Sampler};
use crate::schedule::Schedule;

impl LoadTest {
    /// Runs the warm-up and the measured phase. If the run measures only connects, returns the connect phase.
    pub(super) fn measure(
        &mut self,
        connecting: Phase,
        progress: &mut Progress<'_>,
    ) -> anyhow::Result<(Vec<Sample>, Phase)> {
        let Plan { task, span, warm_up, events, .. } = self.plan;
        if task == Task::Publish && !warm_up.is_zero() {
            let mut sampler = self.sampler(warm_up);
            self.publish(warm_up, u64::from(u32::MAX), &mut sampler, progress)?;
        }
        let mut sampler = self.sampler(span);
        let phase = match task {
            Task::Publish => self.publish(span, events.into(), &mut sampler, progress)?,
            Task::Listen => self.listen(&mut sampler, progress)?,
            Task::Churn(connections) => self.churn(connections, &mut sampler, progress)?,
            Task::ConnectOnly => connecting,
        };
        Ok((sampler.into_samples(), phase))
    }

    fn sampler(&self, length: Duration) -> Sampler {
        Sampler::new(self.stats.clock.now(), length.as_nanos() as Nanos, self.server.as_ref())
    }

    /// Opens and closes the connections of `--churn`.
    fn churn(
        &mut self,
        connections: u64,
        sampler: &mut Sampler,
        progress: &mut Progress<'_>,
    ) -> io::Result<Phase> {
        self.subscribers.expect_passing(self.plan.connecting);
        self.stats.begin_phase();
        let usage = self.usage();
        let started = self.stats.clock.now();
        let until = started + self.plan.span.as_nanos() as Nanos;
        let mut opened = 0;
        while (opened < connections || self.subscribers.is_connecting())
            && self.now < until
            && !self.is_over()
        {
            opened += self.subscribers.pass(connections - opened);
            self.turn()?;
            self.sample(sampler, progress);
        }
        let phase = self.end_phase(&usage, started);
        self.finish_samples(sampler);
        Ok(phase)
    }

    /// Receives without publishing.
    fn listen(&mut self, sampler: &mut Sampler, progress: &mut Progress<'_>) -> io::Result<Phase> {
        self.stats.begin_phase();
        let usage = self.usage();
        let started = self.stats.clock.now();
        let until = started + self.plan.span.as_nanos() as Nanos;
        while self.now < until && !self.is_over() {
            self.turn_with_storms()?;
            self.sample(sampler, progress);
        }
        let phase = self.end_phase(&usage, started);
        self.finish_samples(sampler);
        Ok(phase)
    }

    /// Publishes for `span` or until `events` are sent. Then waits until all have arrived, or until none has arrived
    /// for the configured patience.
    fn publish(
        &mut self,
        span: Duration,
        events: u64,
        sampler: &mut Sampler,
        progress: &mut Progress<'_>,
    ) -> io::Result<Phase> {
        self.stats.begin_phase();
        let usage = self.usage();
        let started = self.stats.clock.now();
        // The pacer starts after the schedule, so that an event is due whenever it wakes the poll.
        let pacer = match self.plan.pace {
            Pace::Rate(rate) if !self.plan.spins => Some(Pacer::start(rate, self.waker.clone())),
            _ => None,
        };
        let ends = started + span.as_nanos() as Nanos;
        let mut schedule = Schedule::new(self.plan.pace, started, ends, events);
        self.now = started;
        while !schedule.is_over(self.now) && !self.is_over() {
            self.publish_due(&mut schedule);
            self.turn_with_storms()?;
            self.write_off_in_closed_loop();
            self.sample(sampler, progress);
        }
        drop(pacer);
        let published = self.stats.clock.now();
        self.drain(sampler)?;
        self.finish_samples(sampler);
        let last = self.stats.last_arrival;
        let ended = if last > started { last } else { self.stats.clock.now() };
        let times = Times { started, published, ended };
        Ok(usage.phase(&self.usage(), times, schedule.unsent(published)))
    }

    /// Waits until all events have arrived, or none has arrived for the configured patience.
    fn drain(&mut self, sampler: &mut Sampler) -> io::Result<()> {
        let patience = self.plan.patience.as_nanos() as Nanos;
        let mut moved = self.stats.clock.now();
        while self.stats.tracker.open() > 0 || self.publishers.busy() > 0 {
            moved = moved.max(self.stats.last_arrival);
            if self.stats.storms.away > 0 {
                moved = self.now;
            }
            // An interrupt does not end the wait: events in flight must not count as lost.
            if self.now > moved + patience || self.now >= self.ends {
                break;
            }
            self.turn()?;
            sampler.tick(
                self.now,
                &mut self.stats,
                self.subscribers.connected(),
                self.server.as_ref(),
            );
        }
        Ok(())
    }

    /// Stops waiting for missing events after the patience. Otherwise a lost event would block a closed loop.
    fn write_off_in_closed_loop(&mut self) {
        let patience = self.plan.patience.as_nanos() as Nanos;
        let is_closed = matches!(self.plan.pace, Pace::Window(_));
        let is_silent = self.now > self.stats.last_arrival + patience;
        if is_closed && is_silent && self.stats.storms.away == 0 {
            self.stats.tracker.write_off();
            self.stats.last_arrival = self.now;
        }
    }

    /// Publishes the events that are due while a publisher is free.
    fn publish_due(&mut self, schedule: &mut Schedule) {
        let registry = self.poll.registry();
        while !schedule.is_complete() {
            if let Pace::Window(window) = self.plan.pace
                && !self.stats.tracker.has_room(window)
            {
                return;
            }
            let Some(due) = schedule.next_due(self.stats.clock.now()) else { return };
            if self.publishers.are_all_busy() {
                return schedule.count_held_up();
            }
            let topic = (schedule.sent() % self.plan.topics as u64) as usize;
            schedule.count_sent();
            self.publishers.publish(topic, due, &self.plan, &mut self.stats, registry);
        }
    }

    fn sample(&mut self, sampler: &mut Sampler, progress: &mut Progress<'_>) {
        let connected = self.subscribers.connected();
        sampler.tick(self.now, &mut self.stats, connected, self.server.as_ref());
        progress.running(connected, self.stats.tracker.counts(), sampler.last());
    }

    fn finish_samples(&mut self, sampler: &mut Sampler) {
        sampler.finish(&mut self.stats, self.subscribers.connected(), self.server.as_ref());
    }
}
