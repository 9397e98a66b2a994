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
use crate::kills::ledger::{Ledger, Token, Trimmed, Way};
use crate::kills::listener::Listener;
use crate::kills::log::Log;
use crate::kills::reader::{Form, Habit, Reader};
use crate::kills::schedule::{FalseStart, Load, Round};
use crate::kills::verdict::{Facts, assert_kept, judge_diary, judge_log};
use crate::kills::victim::Victim;
use crate::kills::workload::{Desk, Workload};

/// A retention under which trimming is always under way.
const RETENTION: &[&str] = &["--retain", "trim/**=count:50"];
/// The topics that it trims, and how many events of each it leaves.
const TRIMMED: Trimmed = Trimmed { prefix: "trim/", kept: 50 };
/// So many kills between two readings of the whole log.
const WHOLE_EVERY: usize = 10;
/// Readers beyond these are not begun.
const READERS_MAX: usize = 40;
/// How long readers may take to catch up when all is quiet.
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

/// Kills a server so many times, by the schedule of a seed.
///
/// # Panics
/// If a promise is broken.
pub async fn trial(seed: u64, kills: usize) -> Summary {
    let directory = tempfile::tempdir().unwrap();
    let mut trial = Trial::start(directory.path(), seed).await;
    // The last one is struck when all is done.
    while trial.victim.kills + 1 < kills {
        trial.round().await;
    }
    trial.finish().await
}

struct Trial {
    seed: u64,
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
    async fn start(data: &Path, seed: u64) -> Trial {
        let mut rng = Rng::with_seed(seed);
        let mut victim = Victim::new(data, RETENTION, &mut rng);
        victim.start().await;
        let ledger = Ledger { trimmed: Some(TRIMMED), ..Ledger::default() };
        let workload = Workload::start(&victim.address, rng.u64(..), ledger);
        let habits = first_readers();
        let start = |habit| Reader::start(&victim.address, habit, rng.fork());
        let readers = habits.into_iter().map(start).collect();
        Trial {
            seed,
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
        let mut log = Log::read(&self.victim.address, before.as_deref(), &fence).await;
        log.since = moment.filter(|_| before.is_some());
        self.fence = Some((fence, Instant::now()));
        // What was sent meanwhile is in the ledger too, but not as known.
        let ledger = self.workload.ledger().at(killed);
        let findings = judge_log(&ledger, &log);
        assert_kept(&findings, format_args!("{}, after {round:?}", self.context()));
    }

    /// An event up to which the log is to be read.
    async fn publish_fence(&mut self) -> String {
        self.fences += 1;
        let token = Token { publisher: FENCE, number: self.fences };
        let body = token.data(0);
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
        let forms = [Form::Plain, Form::Envelope, Form::Ndjson];
        let habit = Habit {
            filters,
            form: forms[self.rng.usize(0..forms.len())],
            from_earliest: self.rng.bool(),
            stalls: self.rng.bool(),
            cuts: self.rng.bool(),
        };
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
        let mut log = Log::read(&self.victim.address, None, &fence).await;
        log.is_final = true;
        let (context, ledger) = (self.context(), self.workload.ledger());
        assert_kept(&judge_log(&ledger, &log), &context);
        let facts = Facts::new(&ledger, &log);
        let mut diaries = vec![self.listener.finish(&log, CATCH_UP).await];
        for reader in self.readers {
            diaries.push(reader.finish(&log, CATCH_UP).await);
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
    let lines = known.flat_map(|write| &write.lines);
    lines.filter(|line| ledger.is_trimmed(&line.topic) && !there.contains(&line.token)).count()
}

/// The readers that are there from the beginning.
fn first_readers() -> Vec<Habit> {
    let habit = |filters: &[&str], form, from_earliest, stalls, cuts| Habit {
        filters: filters.iter().map(ToString::to_string).collect(),
        form,
        from_earliest,
        stalls,
        cuts,
    };
    vec![
        habit(&["news/0"], Form::Plain, false, false, false),
        habit(&["news/1"], Form::Plain, false, true, true),
        habit(&["news/2"], Form::Ndjson, true, false, true),
        habit(&["news/0", "news/1", "news/3", "job/0/0"], Form::Plain, true, false, true),
        habit(&["news/*"], Form::Plain, false, true, false),
        habit(&["news/*", "job/**"], Form::Envelope, true, false, true),
        habit(&["job/*/1", "gone/1"], Form::Envelope, false, false, true),
        habit(&["gone/0"], Form::Plain, false, false, true),
        habit(&["gone/*"], Form::Ndjson, true, true, false),
        habit(&["large/**"], Form::Plain, true, true, true),
        habit(&["trim/0"], Form::Plain, false, true, true),
        habit(&["trim/*"], Form::Ndjson, true, true, true),
        habit(&["**"], Form::Envelope, false, false, true),
    ]
}
