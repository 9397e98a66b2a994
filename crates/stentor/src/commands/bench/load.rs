//! The load itself: one thread, one poll, and the phases of a run.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Poll, Token, Waker};
use tokio_util::sync::CancellationToken;

use super::book::Book;
use super::clock::{Clock, Nanos, SECOND};
use super::ledger::Ledger;
use super::pace::{Pacer, asked_to_stop};
use super::plan::{Pace, Plan};
use super::process::{Cpu, Family, own_cpu};
use super::progress::Progress;
use super::publishers::{FIRST_TOKEN, Publishers};
use super::readers::Readers;
use super::recorder::Recorder;

/// How many connections are served before it is looked whether an event is to be published: few at a
/// rate, so that it leaves in time; more where it leaves when others have arrived.
const SERVED_AT_A_RATE: usize = 256;
const SERVED_AT_ONCE: usize = 1024;
/// What is read at a time, in bytes.
const BUFFER_BYTES: usize = 64 << 10;
/// The longest sleep.
const NAP: Duration = Duration::from_millis(50);
const WAKER: Token = Token(usize::MAX);

pub(super) struct Load {
    pub(super) plan: Plan,
    pub(super) book: Book,
    pub(super) readers: Readers,
    publishers: Publishers,
    poll: Poll,
    events: Events,
    waker: Arc<Waker>,
    buffer: Vec<u8>,
    stop: CancellationToken,
    progress: Progress,
    pub(super) server: Option<Family>,
    /// The time as of the end of the last turn.
    pub(super) now: Nanos,
    /// For how long it has looked in vain for what came, which only counts when it never sleeps.
    idle: Nanos,
    ends: Nanos,
}

/// What a phase took.
#[derive(Debug)]
pub(super) struct Span {
    /// Until the last arrival, or the last acknowledgement when nobody listens.
    pub(super) seconds: f64,
    /// Until the end of publishing.
    pub(super) publish_seconds: f64,
    pub(super) server_cpu: Option<Cpu>,
    pub(super) load_cpu: Option<Cpu>,
    /// For how many seconds the load looked in vain, when it never sleeps.
    pub(super) load_idle: f64,
    /// For how long the load was ready to run and had no core.
    pub(super) load_wait: Option<f64>,
    /// Events that were due, but could not be sent in time.
    pub(super) unsent: u64,
    /// Late events that found all publishers waiting for the server.
    pub(super) held_up: u64,
}

impl Load {
    pub(super) fn new(plan: Plan, server: Option<Family>) -> anyhow::Result<Load> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let clock = Clock::start();
        let run = std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_nanos() as u32);
        let ledger = Ledger::new(run, plan.readers, plan.topics, plan.publishers);
        let every = plan.storm.map_or(0, |storm| storm.every.as_nanos() as Nanos);
        Ok(Load {
            book: Book::new(clock, ledger, plan.publish.is_some(), every),
            readers: Readers::new(&plan, 0),
            publishers: Publishers::new(&plan),
            poll,
            events: Events::with_capacity(match plan.pace {
                Pace::Rate(_) => SERVED_AT_A_RATE,
                Pace::Window(_) => SERVED_AT_ONCE,
            }),
            waker,
            buffer: vec![0; BUFFER_BYTES],
            stop: asked_to_stop()?,
            progress: Progress::new(),
            server,
            now: 0,
            idle: 0,
            ends: plan.limit.as_nanos() as Nanos,
            plan,
        })
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.stop.is_cancelled()
    }

    pub(super) fn end_progress(&self) {
        self.progress.end();
    }

    fn is_over(&self) -> bool {
        self.is_interrupted() || self.now >= self.ends
    }

    /// Connects all readers.
    pub(super) fn connect(&mut self) -> io::Result<Span> {
        let meters = Meters::read(self);
        let begun = self.book.clock.now();
        while self.readers.is_connecting() && !self.is_over() {
            self.turn()?;
            self.progress.connecting(&self.readers, self.plan.readers);
        }
        self.readers.have_begun();
        let now = self.book.clock.now();
        Ok(meters.span(self, (begun, now, now), 0, 0))
    }

    /// Leaves the readers alone for a time.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        let until = self.book.clock.now() + self.plan.settle.as_nanos() as Nanos;
        while self.now < until && !self.is_over() {
            self.turn()?;
        }
        Ok(())
    }

    /// Has so many more connections come and go.
    pub(super) fn churn(&mut self, connections: u64, recorder: &mut Recorder) -> io::Result<Span> {
        self.readers.expect_passing(self.plan.connecting);
        self.book.begin();
        let meters = Meters::read(self);
        let begun = self.book.clock.now();
        let until = begun + self.plan.span.as_nanos() as Nanos;
        let mut started = 0;
        while (started < connections || self.readers.is_connecting())
            && self.now < until
            && !self.is_over()
        {
            started += self.readers.pass(connections - started);
            self.turn()?;
            recorder.tick(self);
            self.progress.running(&self.book, &self.readers, recorder);
        }
        let now = self.book.clock.now();
        recorder.finish(self);
        Ok(meters.span(self, (begun, now, now), 0, 0))
    }

    /// Only listens.
    pub(super) fn listen(&mut self, recorder: &mut Recorder) -> io::Result<Span> {
        self.book.begin();
        let meters = Meters::read(self);
        let begun = self.book.clock.now();
        let until = begun + self.plan.span.as_nanos() as Nanos;
        while self.now < until && !self.is_over() {
            self.tend()?;
            recorder.tick(self);
            self.progress.running(&self.book, &self.readers, recorder);
        }
        let now = self.book.clock.now();
        recorder.finish(self);
        Ok(meters.span(self, (begun, now, now), 0, 0))
    }

    /// Publishes for a time, and waits until all of it has arrived or nothing comes any more.
    pub(super) fn publish(
        &mut self,
        span: Duration,
        events: u32,
        recorder: &mut Recorder,
    ) -> io::Result<Span> {
        self.book.begin();
        let meters = Meters::read(self);
        let begun = self.book.clock.now();
        // It begins a little later, so that what it wakes for is due.
        let pacer = match self.plan.pace {
            Pace::Rate(rate) if !self.plan.spins => Some(Pacer::start(rate, self.waker.clone())),
            _ => None,
        };
        let until = begun + span.as_nanos() as Nanos;
        let mut feed = Feed { begun, until, events: events.into(), sent: 0, held_up: 0 };
        self.now = begun;
        while self.now < until && !feed.is_over() && !self.is_over() {
            self.feed(&mut feed);
            self.tend()?;
            self.lose_patience();
            recorder.tick(self);
            self.progress.running(&self.book, &self.readers, recorder);
        }
        drop(pacer);
        let published = self.book.clock.now();
        self.drain(recorder)?;
        recorder.finish(self);
        let now = self.book.clock.now();
        let last = if self.book.last_arrival > begun { self.book.last_arrival } else { now };
        let unsent = match self.plan.pace {
            Pace::Rate(rate) => feed.due(rate, published).saturating_sub(feed.sent),
            Pace::Window(_) => 0,
        };
        Ok(meters.span(self, (begun, published, last), unsent, feed.held_up))
    }

    /// Waits until all has arrived, or nothing comes any more.
    fn drain(&mut self, recorder: &mut Recorder) -> io::Result<()> {
        let patience = self.plan.patience.as_nanos() as Nanos;
        let mut moved = self.book.clock.now();
        while self.book.ledger.open() > 0 || self.publishers.busy() > 0 {
            moved = moved.max(self.book.last_arrival);
            if self.book.storms.away > 0 {
                moved = self.now;
            }
            // Who asks to stop does not ask to take for lost what is under way.
            if self.now > moved + patience || self.now >= self.ends {
                break;
            }
            self.turn()?;
            recorder.tick(self);
        }
        Ok(())
    }

    /// In a closed loop a lost event would be waited for, for ever.
    fn lose_patience(&mut self) {
        let patience = self.plan.patience.as_nanos() as Nanos;
        let is_closed = matches!(self.plan.pace, Pace::Window(_));
        let is_silent = self.now > self.book.last_arrival + patience;
        if is_closed && is_silent && self.book.storms.away == 0 {
            self.book.ledger.write_off();
            self.book.last_arrival = self.now;
        }
    }

    /// Publishes what is due.
    fn feed(&mut self, feed: &mut Feed) {
        let registry = self.poll.registry();
        while !feed.is_over() {
            let due = match self.plan.pace {
                Pace::Window(window) if !self.book.ledger.has_room(window) => return,
                Pace::Window(_) => None,
                Pace::Rate(rate) => {
                    if feed.due(rate, self.book.clock.now()) <= feed.sent {
                        return;
                    }
                    Some(feed.begun + (feed.sent as f64 / rate * SECOND as f64) as Nanos)
                }
            };
            if self.publishers.are_all_busy() {
                feed.held_up += u64::from(due.is_some());
                return;
            }
            let due = due.unwrap_or_else(|| self.book.clock.now());
            let topic = (feed.sent % self.plan.topics as u64) as usize;
            feed.sent += 1;
            self.publishers.issue(topic, due, &self.plan, &mut self.book, registry);
        }
    }

    /// A turn in a phase, with storms.
    fn tend(&mut self) -> io::Result<()> {
        if let Some(storm) = self.plan.storm
            && self.book.storms.away == 0
            && self.now >= self.book.storms.next
        {
            let dropped = self.readers.storm(storm.share);
            self.book.storm(dropped);
        }
        self.turn()
    }

    /// Waits until something can be done, and does it.
    fn turn(&mut self) -> io::Result<()> {
        let Load { plan, book, readers, publishers, poll, events, buffer, .. } = self;
        readers.tend(plan, book, poll.registry(), self.now);
        let nap = if plan.spins { Duration::ZERO } else { NAP };
        match poll.poll(events, Some(nap)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => result?,
        }
        for event in &*events {
            let is_closed = event.is_read_closed() || event.is_error();
            match event.token() {
                WAKER => {}
                Token(number) if number < FIRST_TOKEN => {
                    readers.readable(number, is_closed, plan, book, buffer);
                    // A request may have to wait for what is received in a handshake.
                    readers.writable(number, plan, book, poll.registry());
                }
                Token(token) => {
                    let number = token - FIRST_TOKEN;
                    publishers.readable(number, book, buffer);
                    publishers.writable(number, book);
                }
            }
        }
        let now = book.clock.now();
        if plan.spins && events.is_empty() {
            self.idle += now - self.now;
        }
        self.now = now;
        Ok(())
    }
}

/// How far publishing is.
struct Feed {
    begun: Nanos,
    until: Nanos,
    events: u64,
    sent: u64,
    held_up: u64,
}

impl Feed {
    fn is_over(&self) -> bool {
        self.sent >= self.events
    }

    /// How many events are due by then.
    fn due(&self, rate: f64, now: Nanos) -> u64 {
        let now = now.min(self.until) - self.begun;
        // The first is due at once, none at the very end.
        let due = (now as f64 / SECOND as f64 * rate) as u64 + 1;
        due.min((self.length() * rate).ceil() as u64).min(self.events)
    }

    fn length(&self) -> f64 {
        (self.until - self.begun) as f64 / SECOND as f64
    }
}

/// Processor times at the beginning of a phase.
struct Meters {
    server: Option<Cpu>,
    load: Option<Cpu>,
    wait: Option<f64>,
    idle: Nanos,
}

impl Meters {
    fn read(load: &Load) -> Meters {
        Meters {
            server: load.server.as_ref().map(Family::cpu),
            load: own_cpu(),
            wait: super::process::own_wait(),
            idle: load.idle,
        }
    }

    fn span(
        &self,
        load: &Load,
        (begun, published, last): (Nanos, Nanos, Nanos),
        unsent: u64,
        held_up: u64,
    ) -> Span {
        let seconds = |until: Nanos| (until - begun) as f64 / SECOND as f64;
        let now = Meters::read(load);
        let since = |now: Option<Cpu>, before: Option<Cpu>| Some(now?.since(before?));
        Span {
            seconds: seconds(last),
            publish_seconds: seconds(published),
            server_cpu: since(now.server, self.server),
            load_cpu: since(now.load, self.load),
            load_idle: (now.idle - self.idle) as f64 / SECOND as f64,
            load_wait: now.wait.zip(self.wait).map(|(now, before)| now - before),
            unsent,
            held_up,
        }
    }
}
