//! A server is killed many times while publishers and readers go on, and everything is judged.

use std::collections::HashSet;
use std::fmt;
use std::ops::AddAssign;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

use crate::kills::connection::{Answer, Connection};
use crate::kills::diary::Diary;
use crate::kills::habit::{self, Habit};
use crate::kills::ledger::{Ledger, Token, Trimmed, Way};
use crate::kills::listener::Listener;
use crate::kills::log::Log;
use crate::kills::reader::Reader;
use crate::kills::schedule::{FalseStart, Load, Round};
use crate::kills::verdict::{Facts, assert_kept, judge_diary, judge_log};
use crate::kills::victim::Victim;
use crate::kills::workload::{Desk, Workload};

/// A retention under which trimming is always under way.
const RETENTION: &[&str] = &["--retain", "trim/**=count:50"];
/// The bound of a log that is to trim its oldest events all the time: so many bytes, and so many for each
/// kill, which is about what is remembered of keys.
const BOUND: (usize, usize) = (256 << 10, 10 << 10);
/// The topics that it trims, and how many events of each it leaves.
const TRIMMED: Trimmed = Trimmed { prefix: "trim/", kept: 50 };
/// So many kills between two readings of the whole log.
const WHOLE_EVERY: usize = 10;
/// Readers beyond these are not begun.
const READERS_MAX: usize = 40;
/// How long all readers may take to catch up when all is quiet.
const CATCH_UP: Duration = Duration::from_mins(1);
/// The number of a publisher that only marks how far a reading of the log is to go.
const FENCE: u32 = u32::MAX;

/// What came of a trial.
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

/// Kills a server so many times, by the schedule of a seed. If its log is bounded, that trims the oldest
/// events all the time.
///
/// # Panics
/// If a promise is broken.
pub async fn trial(seed: u64, kills: usize, is_bounded: bool) -> Summary {
    let directory = tempfile::tempdir().unwrap();
    let bound = is_bounded.then_some(BOUND.0 + BOUND.1 * kills);
    let mut trial = Trial::start(directory.path(), seed, bound).await;
    // The last one is struck when all is done.
    while trial.victim.kills + 1 < kills {
        trial.round().await;
    }
    trial.finish().await
}

struct Trial {
    seed: u64,
    /// How many bytes the log may have, if that is bounded.
    bound: Option<usize>,
    rng: Rng,
    victim: Victim,
    workload: Workload,
    connection: Connection,
    readers: Vec<Reader>,
    listener: Listener,
    fences: u64,
    rounds: usize,
    /// The last fence, and when its answer was there.
    fence: Option<(String, Instant)>,
}

impl Trial {
    async fn start(data: &Path, seed: u64, bound: Option<usize>) -> Trial {
        let mut rng = Rng::with_seed(seed);
        let is_bounded = bound.is_some();
        let bytes = bound.map(|bytes| ["--retain-bytes".to_owned(), bytes.to_string()]);
        let args = RETENTION.iter().map(ToString::to_string);
        let args = args.chain(bytes.into_iter().flatten()).collect();
        let mut victim = Victim::new(data, args, &mut rng);
        victim.start().await;
        let ledger = Ledger { trimmed: Some(TRIMMED), is_bounded, ..Ledger::default() };
        let workload = Workload::start(&victim.address, rng.u64(..), ledger);
        let habits = habit::first(is_bounded);
        let start = |habit| Reader::start(&victim.address, habit, rng.fork());
        let readers = habits.into_iter().map(start).collect();
        Trial {
            seed,
            bound,
            readers,
            listener: Listener::start(&victim.address),
            connection: Connection::new(&victim.address),
            workload,
            victim,
            rng,
            fences: 0,
            rounds: 0,
            fence: None,
        }
    }

    fn desk(&self) -> &Desk {
        self.workload.desk()
    }

    /// One life of the server.
    async fn round(&mut self) {
        let round = Round::random(&mut self.rng);
        self.desk().large.store(round.load == Load::Large, Ordering::Relaxed);
        self.desk().paused.store(round.load == Load::None, Ordering::Relaxed);
        if self.rng.u8(0..4) == 0 {
            self.listener.stop_or_go_on().await;
        }
        self.another_reader();
        round.moment(self.desk()).await;
        self.victim.kill().await;
        let killed = Instant::now();
        self.victim.streams = round.streams;
        for start in &round.false_starts {
            match start {
                FalseStart::After(after) => self.victim.start_and_kill(*after).await,
                FalseStart::WhenItListens => self.victim.start_and_kill_when_it_listens().await,
            }
        }
        self.victim.start().await;
        self.desk().paused.store(false, Ordering::Relaxed);
        self.rounds += 1;
        self.check(killed, &round).await;
    }

    /// What was acknowledged when the server was killed is there.
    async fn check(&mut self, killed: Instant, round: &Round) {
        let (before, moment) = self.fence.take().unzip();
        let before = before.filter(|_| !self.rounds.is_multiple_of(WHOLE_EVERY));
        let fence = self.publish_fence().await;
        let mut log = self.read_log(before.as_deref(), &fence).await;
        log.since = moment.filter(|_| before.is_some());
        self.fence = Some((fence, Instant::now()));
        // What was sent meanwhile is in the ledger too, but not as known.
        let ledger = self.workload.ledger().at(killed);
        let findings = judge_log(&ledger, &log);
        assert_kept(&findings, format_args!("{}, after {round:?}", self.context()));
    }

    async fn read_log(&self, after: Option<&str>, until: &str) -> Log {
        Log::read(&self.victim.address, after, until, self.bound.is_some()).await
    }

    /// An event up to which the log is to be read. A log with a bound comes to it by these alone.
    async fn publish_fence(&mut self) -> String {
        self.fences += 1;
        let token = Token { publisher: FENCE, number: self.fences };
        let body = token.data(self.bound.unwrap_or_default() / 8);
        let request = format!(
            "POST /topics/fence HTTP/1.1\r\nHost: {}\r\nContent-Type: text/plain\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.victim.address,
            body.len()
        );
        let write = self.desk().begin(Way::Whole, &[("fence".to_owned(), token)], None);
        // The connection may be one to the server that was killed.
        self.connection.reset();
        let answer = self.connection.call(request.as_bytes()).await;
        let answer: Answer = answer.expect("a server that listens answers");
        assert!(answer.is_success(), "{answer:?}");
        self.desk().answered(write, &answer);
        answer.text("id").expect("an id")
    }

    fn context(&self) -> String {
        format!(
            "STENTOR_CRASH_SEED={}, kill {}; the server said: {}",
            self.seed,
            self.victim.kills,
            self.victim.said()
        )
    }

    /// Now and then a reader begins late: with all that there is, or in the middle of a job.
    fn another_reader(&mut self) {
        let kind = self.rng.u8(0..8);
        if self.readers.len() >= READERS_MAX || kind > 2 {
            return;
        }
        let job = || {
            let ledger = self.workload.ledger();
            let topics =
                ledger.writes.iter().rev().filter_map(|write| Some(&write.lines.first()?.topic));
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
        let habit = Habit::late(filters, &mut self.rng);
        self.readers.push(Reader::start(&self.victim.address, habit, self.rng.fork()));
    }

    /// Publishers finish, readers catch up, and all is judged.
    async fn finish(mut self) -> Summary {
        self.readers.iter().for_each(Reader::calm);
        self.workload.finish().await;
        // Requests that publishers cut off may still be under way; this ends them.
        self.victim.kill().await;
        self.victim.start().await;
        let fence = self.publish_fence().await;
        let mut log = self.read_log(None, &fence).await;
        log.is_final = true;
        let (context, ledger) = (self.context(), self.workload.ledger());
        assert_kept(&judge_log(&ledger, &log), &context);
        let facts = Facts::new(&ledger, &log);
        let until = Instant::now() + CATCH_UP;
        let mut diaries = vec![self.listener.finish(&facts, until).await];
        for reader in self.readers {
            diaries.push(reader.finish(&facts, until).await);
        }
        for diary in &diaries {
            assert_kept(&judge_diary(&facts, diary), &context);
        }
        Summary {
            kills: self.victim.kills,
            acknowledged: ledger.acknowledged(),
            unknown: ledger.unknown(),
            ends: ledger.writes.iter().filter(|write| write.end.is_some()).count(),
            deletes: ledger.deletes.values().flatten().count(),
            trimmed: trimmed(&ledger, &log),
            readers: diaries.len(),
            deliveries: diaries.iter().map(Diary::events).sum(),
            reconnects: diaries.iter().map(|diary| diary.reconnects).sum(),
            gaps: diaries.iter().map(Diary::gaps).sum(),
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
            "{kills} kills; {acknowledged} events acknowledged, {unknown} sent without an answer, {ends} \
             ends, {deletes} deletions, {trimmed} events trimmed; {readers} readers with {deliveries} deliveries over {reconnects} \
             connections, {gaps} gaps told; 0 lost, 0 doubled, 0 reordered, 0 false gaps"
        )
    }
}

/// How many events were acknowledged and then trimmed.
fn trimmed(ledger: &Ledger, log: &Log) -> usize {
    let there: HashSet<Token> = log.events().map(|(_, token)| token).collect();
    let known = ledger.writes.iter().filter(|write| write.acknowledged().is_some());
    let lines = known.flat_map(|write| write.lines.iter().map(move |line| (write.sent, line)));
    let by_trimming = lines.filter(|(sent, line)| {
        ledger.is_trimmed(&line.topic)
            || ledger.is_bounded && !ledger.may_be_removed(&line.topic, *sent)
    });
    by_trimming.filter(|(_, line)| !there.contains(&line.token)).count()
}
