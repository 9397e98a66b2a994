//! Power failures at any moment.

use std::path::Path;

use fastrand::Rng;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::content::Left;
use super::disk::Disk;
use super::examine::{arguments, examine};
use super::journal::{Change, Entry};
use super::ledger::Ledger;
use super::machine::Machine;
use super::publisher::{Habit, Publisher};
use super::reader::Reader;
use super::shim::{Rule, Shim};
use super::verdict::Promise;
use crate::harness::TIMEOUT;

/// How often the power fails unless `STENTOR_POWER_CUTS` says otherwise.
const CUTS: usize = 40;

/// A server with publishers and readers, on a watched disk.
struct Run {
    shim: Shim,
    ledger: Ledger,
    promise: Promise,
    publishers: Vec<Publisher>,
    readers: Vec<Reader>,
    rng: Rng,
}

/// How a server comes to its end.
enum End {
    /// It is left alone until it has copied its write-ahead log, and then stopped.
    Stop,
    /// It is killed when it is about to change such a file.
    Kill { name: &'static str, after: u32 },
}

impl Run {
    fn new(promise: Promise, habits: &[Habit], seed: u64) -> Run {
        let (shim, ledger, mut rng) = (Shim::new(), Ledger::default(), Rng::with_seed(seed));
        let publishers = habits
            .iter()
            .map(|habit| Publisher::new(*habit, &ledger, shim.journal(), rng.fork()))
            .collect();
        let readers = (0..2).map(|_| Reader::new(&ledger, shim.journal())).collect();
        Run { shim, ledger, promise, publishers, readers, rng }
    }

    /// A server from its start to its end, with everybody at work.
    async fn live(&mut self, ops: usize, end: End) {
        self.shim.mend();
        let machine = Machine::under(&self.shim, arguments(self.promise)).await;
        let mut reading = JoinSet::new();
        for reader in self.readers.drain(..) {
            let stream = reader.open(&machine).await;
            reading.spawn(reader.follow(stream));
        }
        let from = self.shim.now();
        if let End::Kill { name, after } = end {
            self.shim.breaks(Rule::kill(name).after(after));
        }
        let mut working = JoinSet::new();
        for publisher in self.publishers.drain(..) {
            working.spawn(publisher.work(machine.address.clone(), ops));
        }
        self.publishers = working.join_all().await;
        match end {
            End::Stop => {
                self.until_copied(from).await;
                assert_eq!(machine.stop().await, Some(0));
            }
            End::Kill { .. } => assert_eq!(machine.end().await.0, None),
        }
        self.readers = reading.join_all().await;
    }

    /// Waits until the write-ahead log was copied into the file, which is done when nobody asks for anything.
    async fn until_copied(&self, from: u64) {
        let copied = timeout(TIMEOUT, async {
            let log = self.log_file();
            while !self.shim.entries(from).iter().any(|entry| entry.change == log) {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        });
        copied.await.expect("the log is put in order");
    }

    /// A sync of the database.
    fn log_file(&self) -> Change {
        let file = self.shim.entries(0).into_iter().find_map(|entry| match entry.change {
            Change::Create { file, name } if name.ends_with("log.db") => Some(file),
            _ => None,
        });
        Change::Sync { file: file.expect("the log was created") }
    }

    /// Cuts the power so many times and gives the complaints.
    async fn cut(mut self, cuts: usize) -> Vec<String> {
        let entries = self.shim.entries(0);
        let (mut disk, mut applied) = (Disk::default(), 0);
        let mut complaints = Vec::new();
        for cut in choose(&entries, cuts, &mut self.rng) {
            entries[applied..cut].iter().for_each(|entry| disk.apply(&entry.change));
            applied = cut;
            let left =
                *self.rng.choice(&[Left::Synced, Left::All, Left::Some, Left::Some]).unwrap();
            let end = cut.checked_sub(1).map_or(0, |last| entries[last].end);
            let found = self.fail(&disk, left, end, self.promise).await;
            complaints.extend(found.into_iter().map(|what| format!("cut {cut}, {left:?}: {what}")));
        }
        complaints
    }

    /// The power fails when the disk is like this and the journal ends here.
    async fn fail(&mut self, disk: &Disk, left: Left, end: u64, promise: Promise) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        disk.leave(left, &mut self.rng, root.path());
        let memory = self.ledger.memory().clone();
        examine(root.path(), &memory, end, promise).await
    }

    /// The disk right after the last answer, and where the journal ended then. Not every change comes to it.
    fn at_the_last_answer(&self, comes: impl Fn(&Entry) -> bool) -> (Disk, u64) {
        let memory = self.ledger.memory();
        let answers = memory.publishers.iter().flatten().filter_map(|op| op.answered);
        let last = answers.map(|answered| answered.at).max().unwrap();
        let mut disk = Disk::default();
        let entries = self.shim.entries(0);
        let entries = entries.iter().filter(|entry| entry.end <= last && comes(entry));
        entries.for_each(|entry| disk.apply(&entry.change));
        (disk, last)
    }
}

/// Half of the cuts anywhere, the others around syncs, where most can go wrong; in order.
fn choose(entries: &[Entry], cuts: usize, rng: &mut Rng) -> Vec<usize> {
    let syncs: Vec<usize> = (0..entries.len()).filter(|at| entries[*at].change.is_sync()).collect();
    let one = |rng: &mut Rng| match rng.u8(..2) {
        0 => rng.usize(..=entries.len()),
        _ => (syncs[rng.usize(..syncs.len())] + rng.usize(..3)).saturating_sub(1),
    };
    let mut chosen: Vec<usize> = (0..cuts).map(|_| one(rng).min(entries.len())).collect();
    chosen.sort_unstable();
    chosen
}

fn seed() -> u64 {
    let given = std::env::var("STENTOR_CRASH_SEED").ok();
    given.map_or_else(|| fastrand::u64(..), |seed| seed.parse().expect("a number as a seed"))
}

fn cuts() -> usize {
    std::env::var("STENTOR_POWER_CUTS").map_or(CUTS, |cuts| cuts.parse().expect("a number of cuts"))
}

#[track_caller]
fn report(what: &str, cuts: usize, seed: u64, complaints: &[String]) {
    println!(
        "{what}: {cuts} power cuts, {} complaints, STENTOR_CRASH_SEED={seed}",
        complaints.len()
    );
    assert!(complaints.is_empty(), "STENTOR_CRASH_SEED={seed}\n{}", complaints.join("\n"));
}

const EVERYBODY: [Habit; 7] = [
    Habit::Shared,
    Habit::Shared,
    Habit::Keyed,
    Habit::Uploads,
    Habit::Batches,
    Habit::Ends,
    Habit::Deletes,
];

async fn run_of_four_lives(promise: Promise, seed: u64) -> Run {
    let mut run = Run::new(promise, &EVERYBODY, seed);
    run.live(12, End::Stop).await;
    let after = run.rng.u32(100..700);
    run.live(60, End::Kill { name: "-wal", after }).await;
    let after = run.rng.u32(0..40);
    run.live(8, End::Kill { name: "log.db", after }).await;
    run.live(8, End::Stop).await;
    run
}

#[tokio::test]
async fn nothing_that_anybody_knew_of_is_lost_when_the_power_fails() {
    let (seed, cuts) = (seed(), cuts());
    let run = run_of_four_lives(Promise::All, seed).await;
    report("fsync", cuts, seed, &run.cut(cuts).await);
}

#[tokio::test]
async fn without_waiting_for_the_disk_only_the_newest_are_lost_and_readers_are_told() {
    let (seed, cuts) = (seed(), cuts().div_ceil(3));
    let run = run_of_four_lives(Promise::Prefix, seed).await;
    report("os", cuts, seed, &run.cut(cuts).await);
}

#[tokio::test]
async fn without_waiting_for_the_disk_nothing_is_promised_of_the_newest() {
    let seed = seed();
    let mut run = Run::new(Promise::Prefix, &EVERYBODY, seed);
    run.live(4, End::Stop).await;
    let (disk, end) = run.at_the_last_answer(|_| true);
    let complaints = run.fail(&disk, Left::Synced, end, Promise::Prefix).await;
    assert!(complaints.is_empty(), "STENTOR_CRASH_SEED={seed}\n{}", complaints.join("\n"));
    let complaints = run.fail(&disk, Left::Synced, end, Promise::All).await;
    assert!(complaints.iter().any(|what| what.starts_with("lost")), "{complaints:?}");
}

#[tokio::test]
async fn offsets_are_not_given_out_twice_although_the_disk_forgot_tens_of_thousands() {
    let mut run = Run::new(Promise::Prefix, &[Habit::Floods], seed());
    run.live(3, End::Stop).await;
    let (disk, end) = run.at_the_last_answer(|_| true);
    let complaints = run.fail(&disk, Left::Synced, end, Promise::Prefix).await;
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[tokio::test]
async fn a_disk_that_does_not_sync_is_found_out() {
    let mut run = Run::new(Promise::All, &EVERYBODY, seed());
    run.live(4, End::Stop).await;
    let first = run.ledger.memory().publishers.iter().flatten().map(|op| op.asked).min().unwrap();
    let syncs = |entry: &Entry| entry.end <= first || !entry.change.is_sync();
    let (disk, end) = run.at_the_last_answer(syncs);
    let complaints = run.fail(&disk, Left::Synced, end, Promise::All).await;
    assert!(complaints.iter().any(|what| what.starts_with("lost")), "{complaints:?}");
}

#[tokio::test]
async fn the_journal_holds_every_change_to_the_disk() {
    let run = run_of_four_lives(Promise::All, seed()).await;
    let mut disk = Disk::default();
    for entry in run.shim.entries(0) {
        disk.apply(&entry.change);
    }
    let root = tempfile::tempdir().unwrap();
    disk.leave(Left::All, &mut Rng::new(), root.path());
    let data = |root: &Path| files(&root.join("stentor-data"));
    assert_eq!(data(root.path()), data(&run.shim.root()));
}

/// All files of a directory with their bytes, but for those that are mapped.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<(String, Vec<u8>)> = entries
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), path))
        .filter(|(name, _)| !name.ends_with("-shm"))
        .map(|(name, path)| (name, std::fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}
