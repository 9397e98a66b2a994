//! A load test: one thread, one poll, and the phases of a run.

mod measure;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use mio::{Events, Poll, Token, Waker};
use tokio_util::sync::CancellationToken;

use crate::cleanup::{self, Cleanup};
use crate::clock::{Clock, Nanos};
use crate::options::{Options, Pace};
use crate::pacer;
use crate::phase::{Phase, Times, Usage};
use crate::plan::Plan;
use crate::process::{self, ProcessTree};
use crate::progress::Progress;
use crate::publishers::{FIRST_TOKEN, Publishers};
use crate::report::{self, Connected, Report, Setting};
use crate::schedule::Unsent;
use crate::stats::Stats;
use crate::subscribers::Subscribers;
use crate::tracker::Tracker;

/// Maximum number of connections handled before the next check for due events. Small at a rate, so that events are
/// sent on time; larger in a closed loop, where the next event waits for arrivals anyway.
const EVENTS_AT_A_RATE: usize = 256;
const EVENTS_IN_A_WINDOW: usize = 1024;
/// Maximum number of bytes read at a time.
const BUFFER_BYTES: usize = 64 << 10;
/// Maximum time the poll sleeps.
const SLEEP_MAX: Duration = Duration::from_millis(50);
const WAKER: Token = Token(usize::MAX);

/// A load test against one server.
///
/// ```no_run
/// use stentor_load::{LoadTest, Options, report};
/// use tokio_util::sync::CancellationToken;
///
/// # fn main() -> anyhow::Result<()> {
/// let options = Options { subscribers: 1_000, ..Options::new("http://localhost:8080") };
/// let mut test = LoadTest::new(&options, CancellationToken::new())?;
/// println!("{}", report::text(&test.run(None)?));
/// test.delete_topics();
/// # Ok(())
/// # }
/// ```
pub struct LoadTest {
    plan: Plan,
    stats: Stats,
    subscribers: Subscribers,
    publishers: Publishers,
    poll: Poll,
    events: Events,
    waker: Arc<Waker>,
    buffer: Vec<u8>,
    stop: CancellationToken,
    setting: Setting,
    server: Option<ProcessTree>,
    /// Numbers of the topics below `bench/` that this run may create. Empty if they cannot be known.
    own_topics: Vec<usize>,
    /// Current time, as of the end of the last turn.
    now: Nanos,
    /// Time spent on polling without a result. Counted only if the run never sleeps.
    idle: Nanos,
    ends: Nanos,
}

impl LoadTest {
    /// Checks the options and resolves the addresses. When `stop` is cancelled, [`run`](LoadTest::run) ends early.
    ///
    /// Blocks for up to 5 s for each address of the server.
    ///
    /// # Errors
    ///
    /// If options contradict each other, the server cannot be reached, the limit of open files is too low, or no
    /// process has the given id.
    pub fn new(options: &Options, stop: CancellationToken) -> anyhow::Result<LoadTest> {
        pacer::use_precise_timers();
        let plan = Plan::new(options)?;
        let server = options.pid.map(|pid| {
            ProcessTree::of(pid)
                .with_context(|| format!("there is no process {pid}, or this system has no /proc"))
        });
        let server = server.transpose()?;
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let run = std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_nanos() as u32);
        let tracker = Tracker::new(run, plan.subscribers, plan.topics, plan.publishers);
        let storm_every = plan.storm.map_or(0, |storm| storm.every.as_nanos() as Nanos);
        Ok(LoadTest {
            stats: Stats::new(Clock::start(), tracker, plan.publish.is_some(), storm_every),
            subscribers: Subscribers::new(&plan, 0),
            publishers: Publishers::new(&plan),
            poll,
            events: Events::with_capacity(match plan.pace {
                Pace::Rate(_) => EVENTS_AT_A_RATE,
                Pace::Window(_) => EVENTS_IN_A_WINDOW,
            }),
            waker,
            buffer: vec![0; BUFFER_BYTES],
            stop,
            setting: Setting::new(options, plan.publish.is_some()),
            server,
            own_topics: Vec::new(),
            now: 0,
            idle: 0,
            ends: plan.limit.as_nanos() as Nanos,
            plan,
        })
    }

    /// Connects, warms up, measures, and returns the report. Blocks until the run is over.
    ///
    /// `progress` is called about four times a second with one line of text.
    ///
    /// # Errors
    ///
    /// If no subscriber could connect, or the poll fails.
    pub fn run(&mut self, progress: Option<&mut dyn FnMut(&str)>) -> anyhow::Result<Report> {
        let mut progress = Progress::new(progress);
        if self.plan.uses_bench_topics && self.plan.publish.is_some() {
            self.own_topics = cleanup::missing_topics(&self.plan);
        }
        let memory = |server: &Option<ProcessTree>| server.as_ref().map(ProcessTree::memory);
        let (before, kernel_before) = (memory(&self.server), process::kernel_memory());
        let connecting = self.connect(&mut progress)?;
        let connected = self.subscribers.connected();
        if connected == 0 && self.plan.subscribers > 0 && !self.stop.is_cancelled() {
            bail!("no subscriber could connect{}", self.stats.problems.in_words());
        }
        self.settle()?;
        let connected = Connected {
            subscribers: connected,
            connections: self.subscribers.connections(),
            seconds: connecting.seconds,
            memory: before.zip(memory(&self.server)),
            kernel: kernel_before.zip(process::kernel_memory()),
        };
        let (samples, phase) = self.measure(connecting, &mut progress)?;
        let server_memory = memory(&self.server);
        let inputs = report::Inputs {
            plan: &self.plan,
            stats: &self.stats,
            connected: &connected,
            phase: &phase,
            server_memory,
            was_interrupted: self.stop.is_cancelled(),
        };
        Ok(report::build(self.setting.clone(), &inputs, samples))
    }

    /// Closes all connections and deletes the topics that [`run`](LoadTest::run) created on a Stentor server.
    ///
    /// Topics that existed before the run are not deleted, nor are topics named in a URL of the options. Blocks for
    /// up to 30 s.
    pub fn delete_topics(mut self) -> Cleanup {
        let topics = std::mem::take(&mut self.own_topics);
        let LoadTest { plan, subscribers, publishers, .. } = self;
        // Otherwise the server would report the end of the topic to each of them.
        drop((subscribers, publishers));
        cleanup::delete(&plan, &topics)
    }

    fn is_over(&self) -> bool {
        self.stop.is_cancelled() || self.now >= self.ends
    }

    fn usage(&self) -> Usage {
        Usage::now(self.server.as_ref(), self.idle)
    }

    /// Connects all subscribers.
    fn connect(&mut self, progress: &mut Progress<'_>) -> io::Result<Phase> {
        let usage = self.usage();
        let started = self.stats.clock.now();
        while self.subscribers.is_connecting() && !self.is_over() {
            self.turn()?;
            progress.connecting(self.subscribers.connected(), self.plan.subscribers);
        }
        self.subscribers.finish_connecting();
        Ok(self.end_phase(&usage, started))
    }

    /// Leaves the subscribers idle for the configured time.
    fn settle(&mut self) -> io::Result<()> {
        let until = self.stats.clock.now() + self.plan.settle.as_nanos() as Nanos;
        while self.now < until && !self.is_over() {
            self.turn()?;
        }
        Ok(())
    }

    fn end_phase(&self, usage: &Usage, started: Nanos) -> Phase {
        let now = self.stats.clock.now();
        let times = Times { started, published: now, ended: now };
        usage.phase(&self.usage(), times, Unsent::default())
    }

    /// Starts a storm if one is due, then runs one turn.
    fn turn_with_storms(&mut self) -> io::Result<()> {
        if let Some(storm) = self.plan.storm
            && self.stats.storms.away == 0
            && self.now >= self.stats.storms.next
        {
            let dropped = self.subscribers.storm(storm.share);
            self.stats.begin_storm(dropped);
        }
        self.turn()
    }

    /// Waits for readiness, and handles it.
    fn turn(&mut self) -> io::Result<()> {
        let LoadTest { plan, stats, subscribers, publishers, poll, events, buffer, .. } = self;
        subscribers.tend(plan, stats, poll.registry(), self.now);
        let timeout = if plan.spins { Duration::ZERO } else { SLEEP_MAX };
        match poll.poll(events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => result?,
        }
        for event in &*events {
            let is_closed = event.is_read_closed() || event.is_error();
            match event.token() {
                WAKER => {}
                Token(number) if number < FIRST_TOKEN => {
                    subscribers.ready(number, is_closed, plan, stats, poll.registry(), buffer);
                }
                Token(token) => {
                    let number = token - FIRST_TOKEN;
                    publishers.readable(number, stats, buffer);
                    publishers.writable(number, stats);
                }
            }
        }
        let now = stats.clock.now();
        if plan.spins && events.is_empty() {
            self.idle += now - self.now;
        }
        self.now = now;
        Ok(())
    }
}
