//! One run: a server is killed many times while publishers and readers are at work, and everything is checked.

use std::collections::HashSet;
use std::fmt;
use std::ops::AddAssign;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fastrand::Rng;
use stentor_testing::judge::{
    Atomicity, EventKey, History, Index, Log, Observations, Trimmed, assert_no_violations,
    check_log, check_reader,
};
use tokio::time::{Instant, sleep, timeout};

use crate::kills::behavior::{self, Behavior};
use crate::kills::connection::{Connection, Response};
use crate::kills::log::read_log;
use crate::kills::reader::Reader;
use crate::kills::schedule::{AbortedStart, Load, Round};
use crate::kills::server_process::ServerProcess;
use crate::kills::sub_command::SubCommand;
use crate::kills::workload::{Shared, Workload};

/// A retention that trims all the time.
const RETENTION: &[&str] = &["--retain", "trim/**=count:50"];
/// The size limit of a log that is to trim its oldest events all the time: a fixed number of bytes, and a number per
/// kill, because remembered idempotency keys need space too.
const BOUND: (usize, usize) = (256 << 10, 10 << 10);
/// The topics that it trims, and the number of events of each that it keeps.
const TRIMMED: Trimmed = Trimmed { prefix: "trim/", kept: 50 };
/// Number of kills after which the whole log is read, instead of its newest part.
const WHOLE_EVERY: usize = 10;
/// Maximum number of readers.
const READERS_MAX: usize = 40;
/// Limit for all readers to catch up after the last kill, against a hang. `stentor sub` may wait for half a minute
/// before it reconnects.
const CATCH_UP_MAX: Duration = Duration::from_mins(5);
/// Time between two checks that a reader has caught up.
const CATCH_UP_POLL: Duration = Duration::from_millis(50);
/// Maximum number of readings of a log that is trimmed meanwhile.
const READINGS_MAX: usize = 1_000;
/// Publisher number of events that only mark the end of a reading of the log.
const FENCE: u32 = u32::MAX;
/// The topic of these events.
const FENCES: &str = "fence";
/// The topic of the last of them, which `stentor sub` gets. It is the newest event, so it is never trimmed.
const LAST_FENCE: &str = "news/last";

/// Result of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    pub kills: usize,
    pub acknowledged: usize,
    pub unknown: usize,
    pub ends: usize,
    pub deletes: usize,
    pub trimmed: usize,
    pub readers: usize,
    pub deliveries: usize,
    pub reconnects: usize,
    pub gaps: usize,
}

/// Kills a server `kills` times, by the schedule of `seed`. A bounded log trims its oldest events all the time.
///
/// # Panics
///
/// If a guarantee is broken.
pub async fn run(seed: u64, kills: usize, is_bounded: bool) -> Summary {
    let directory = tempfile::tempdir().unwrap();
    let bound = is_bounded.then_some(BOUND.0 + BOUND.1 * kills);
    let mut run = Run::start(directory.path(), seed, bound).await;
    // `finish` does the last kill.
    while run.server.kills + 1 < kills {
        run.round().await;
    }
    run.finish().await
}

struct Run {
    seed: u64,
    /// The log size limit in bytes, if there is one.
    bound: Option<usize>,
    rng: Rng,
    server: ServerProcess,
    workload: Workload,
    connection: Connection,
    readers: Vec<Reader>,
    sub_command: SubCommand,
    fences: u64,
    rounds: usize,
    /// The id of the last fence, and the time of its acknowledgement.
    fence: Option<(String, Instant)>,
}

impl Run {
    async fn start(data: &Path, seed: u64, bound: Option<usize>) -> Run {
        let mut rng = Rng::with_seed(seed);
        let is_bounded = bound.is_some();
        let bytes = bound.map(|bytes| ["--retain-bytes".to_owned(), bytes.to_string()]);
        let args = RETENTION.iter().map(ToString::to_string);
        let args = args.chain(bytes.into_iter().flatten()).collect();
        let mut server = ServerProcess::new(data, args, &mut rng);
        server.start().await;
        let history = History { trimmed: Some(TRIMMED), is_bounded, ..History::default() };
        let workload = Workload::start(&server.address, rng.u64(..), history);
        let behaviors = behavior::first(is_bounded);
        let start = |behavior| Reader::start(&server.address, behavior, rng.fork());
        let readers = behaviors.into_iter().map(start).collect();
        Run {
            seed,
            bound,
            readers,
            sub_command: SubCommand::start(&server.address),
            connection: Connection::new(&server.address),
            workload,
            server,
            rng,
            fences: 0,
            rounds: 0,
            fence: None,
        }
    }

    fn shared(&self) -> &Shared {
        self.workload.shared()
    }

    /// Runs the server once, until it is killed and started again.
    async fn round(&mut self) {
        let round = Round::random(&mut self.rng);
        self.shared().large.store(round.load == Load::Large, Ordering::Relaxed);
        self.shared().paused.store(round.load == Load::None, Ordering::Relaxed);
        if self.rng.u8(0..4) == 0 {
            self.sub_command.toggle_stop().await;
        }
        self.another_reader();
        round.wait_for_kill(self.shared()).await;
        self.server.kill().await;
        let killed = Instant::now();
        self.server.streams = round.streams;
        for start in &round.aborted_starts {
            match start {
                AbortedStart::After(after) => self.server.start_and_kill(*after).await,
                AbortedStart::WhenItListens => self.server.start_and_kill_when_it_listens().await,
            }
        }
        self.server.start().await;
        self.shared().paused.store(false, Ordering::Relaxed);
        self.rounds += 1;
        self.check(killed, &round).await;
    }

    /// Checks that everything acknowledged before the kill is in the log.
    async fn check(&mut self, killed: Instant, round: &Round) {
        let (before, moment) = self.fence.take().unzip();
        let before = before.filter(|_| !self.rounds.is_multiple_of(WHOLE_EVERY));
        let fence = self.publish_fence(FENCES).await;
        let mut log = self.read_log(before.as_deref(), &fence).await;
        log.since = moment.filter(|_| before.is_some());
        self.fence = Some((fence, Instant::now()));
        // Events sent since then are in the history too, but without their responses.
        let history = self.workload.history().at(killed);
        let violations = check_log(&history, &log);
        assert_no_violations(&violations, format_args!("{}, after {round:?}", self.context()));
    }

    async fn read_log(&self, after: Option<&str>, until: &str) -> Log {
        read_log(&self.server.address, after, until, self.bound.is_some()).await
    }

    /// Reads the whole log after the last publish. If it is trimmed meanwhile, the reading lacks records that are left,
    /// so it is repeated. Without publishes the trims come to an end.
    async fn read_last_log(&self, until: &str) -> Log {
        for _ in 0..READINGS_MAX {
            let log = self.read_log(None, until).await;
            if log.trimmed.is_empty() {
                return Log { is_final: true, ..log };
            }
        }
        panic!("the log is still trimmed after {READINGS_MAX} readings");
    }

    /// Publishes an event up to which the log is to be read. In a bounded log, these events alone reach the size
    /// limit.
    async fn publish_fence(&mut self, topic: &str) -> String {
        self.fences += 1;
        let event_key = EventKey { publisher: FENCE, number: self.fences };
        let body = event_key.data(self.bound.unwrap_or_default() / 8);
        let request = format!(
            "POST /topics/{topic} HTTP/1.1\r\nHost: {}\r\nContent-Type: text/plain\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.server.address,
            body.len()
        );
        let write = self.shared().begin(Atomicity::Atomic, &[(topic.to_owned(), event_key)], None);
        // The connection may belong to the server that was killed.
        self.connection.reset();
        let response = self.connection.call(request.as_bytes()).await;
        let response: Response = response.expect("a listening server responds");
        assert!(response.is_success(), "{response:?}");
        self.shared().responded(write, &response);
        response.text("id").expect("an id")
    }

    fn context(&self) -> String {
        format!(
            "STENTOR_CRASH_SEED={}, kill {}; stderr of the server: {}",
            self.seed,
            self.server.kills,
            self.server.stderr()
        )
    }

    /// Sometimes starts another reader: of all topics, of a deleted one, or in the middle of a job.
    fn another_reader(&mut self) {
        let kind = self.rng.u8(0..8);
        if self.readers.len() >= READERS_MAX || kind > 2 {
            return;
        }
        let job = || {
            let history = self.workload.history();
            let topics =
                history.writes.iter().rev().filter_map(|write| Some(&write.lines.first()?.topic));
            topics.into_iter().find(|topic| topic.starts_with("job/")).cloned()
        };
        let filters = match kind {
            0 => vec!["**".to_owned()],
            1 => vec![format!("gone/{}", self.rng.u8(0..3))],
            _ => job().into_iter().collect(),
        };
        if filters.is_empty() {
            return;
        }
        let behavior = Behavior::late(filters, &mut self.rng);
        self.readers.push(Reader::start(&self.server.address, behavior, self.rng.fork()));
    }

    /// Lets publishers finish and readers catch up, and checks everything.
    async fn finish(mut self) -> Summary {
        self.readers.iter().for_each(Reader::stop_disturbing);
        self.workload.finish().await;
        // The server may still work on requests whose publishers have cut the connection; this ends them.
        self.server.kill().await;
        self.server.start().await;
        let fence = self.publish_fence(LAST_FENCE).await;
        let log = self.read_last_log(&fence).await;
        let (context, history) = (self.context(), self.workload.history());
        assert_no_violations(&check_log(&history, &log), &context);
        let mut index = Index::new(&history, &log);
        self.sub_command.resume().await;
        // A timeout means that a reader has missed something, which the check of its observations reports.
        let _ = timeout(CATCH_UP_MAX, self.catch_up(&mut index, &fence)).await;
        let newest = self.read_last_log(&fence).await;
        assert_no_violations(&check_log(&history, &newest), &context);
        index.read_again(&newest);
        let mut observations = vec![self.sub_command.end()];
        for reader in self.readers {
            observations.push(reader.end().await);
        }
        for observations in &observations {
            assert_no_violations(&check_reader(&index, observations), &context);
        }
        Summary {
            kills: self.server.kills,
            acknowledged: history.acknowledged(),
            unknown: history.unknown(),
            ends: history.writes.iter().filter(|write| write.end.is_some()).count(),
            deletes: history.deletes.values().flatten().count(),
            trimmed: trimmed(&history, &log),
            readers: observations.len(),
            deliveries: observations.iter().map(Observations::events).sum(),
            reconnects: observations.iter().map(|observations| observations.reconnects).sum(),
            gaps: observations.iter().map(Observations::gaps).sum(),
        }
    }

    /// Waits until all readers have caught up. The log is trimmed meanwhile, and a reader that had no position gets
    /// only what is left, so the log is read again.
    async fn catch_up(&self, index: &mut Index<'_>, fence: &str) {
        let wait = async |index: &mut Index<'_>| {
            sleep(CATCH_UP_POLL).await;
            index.read_again(&self.read_last_log(fence).await);
        };
        while !self.sub_command.has_caught_up(index) {
            wait(index).await;
        }
        for reader in &self.readers {
            while !reader.has_caught_up(index) {
                wait(index).await;
            }
        }
    }
}

impl AddAssign for Summary {
    fn add_assign(&mut self, other: Summary) {
        self.kills += other.kills;
        self.acknowledged += other.acknowledged;
        self.unknown += other.unknown;
        self.ends += other.ends;
        self.deletes += other.deletes;
        self.trimmed += other.trimmed;
        self.readers += other.readers;
        self.deliveries += other.deliveries;
        self.reconnects += other.reconnects;
        self.gaps += other.gaps;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { kills, acknowledged, unknown, ends, deletes, trimmed, .. } = self;
        let Summary { readers, deliveries, reconnects, gaps, .. } = self;
        write!(
            f,
            "{kills} kills; {acknowledged} events acknowledged, {unknown} sent without a response, {ends} \
             ends, {deletes} deletions, {trimmed} events trimmed; {readers} readers with {deliveries} deliveries \
             over {reconnects} connections, {gaps} gaps reported; 0 lost, 0 duplicated, 0 reordered, 0 false gaps"
        )
    }
}

/// Number of events that were acknowledged and then trimmed.
fn trimmed(history: &History, log: &Log) -> usize {
    let remaining: HashSet<EventKey> = log.events().map(|(_, event_key)| event_key).collect();
    let known = history.writes.iter().filter(|write| write.acknowledged().is_some());
    let lines = known.flat_map(|write| write.lines.iter().map(move |line| (write.sent, line)));
    let by_trimming = lines.filter(|(sent, line)| {
        history.is_trimmed(&line.topic)
            || history.is_bounded && !history.may_be_removed(&line.topic, *sent)
    });
    by_trimming.filter(|(_, line)| !remaining.contains(&line.event_key)).count()
}
