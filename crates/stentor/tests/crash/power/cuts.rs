//! Power failures at any moment.

use std::path::Path;

use fastrand::Rng;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::check::Guarantee;
use super::content::Survival;
use super::disk::Disk;
use super::examine::{arguments, examine};
use super::history::SharedHistory;
use super::journal::{Change, Entry};
use super::publisher::{Behavior, Publisher};
use super::reader::Reader;
use super::server::TestServer;
use super::shim::{Rule, Shim};
use crate::harness::TIMEOUT;

/// Number of power failures. `STENTOR_POWER_CUTS` changes it.
const CUTS: usize = 40;

/// A server with publishers and readers, on a watched disk.
struct Run {
    shim: Shim,
    history: SharedHistory,
    guarantee: Guarantee,
    publishers: Vec<Publisher>,
    readers: Vec<Reader>,
    rng: Rng,
}

/// How a server process ends.
enum End {
    /// It is stopped after its next checkpoint.
    Stop,
    /// It is killed when it is about to change a file with this name, after this many such changes.
    Kill { name: &'static str, after: u32 },
}

impl Run {
    fn new(guarantee: Guarantee, behavior: &[Behavior], seed: u64) -> Run {
        let (shim, history, mut rng) =
            (Shim::new(), SharedHistory::default(), Rng::with_seed(seed));
        let publishers = behavior
            .iter()
            .map(|behavior| Publisher::new(*behavior, &history, shim.journal(), rng.fork()))
            .collect();
        let readers = (0..2).map(|_| Reader::new(&history, shim.journal())).collect();
        Run { shim, history, guarantee, publishers, readers, rng }
    }

    /// Runs the server from its start to its end, with all publishers and readers at work.
    async fn run_server(&mut self, ops: usize, end: End) {
        self.shim.clear_faults();
        let server = TestServer::with_shim(&self.shim, arguments(self.guarantee)).await;
        let mut reading = JoinSet::new();
        for reader in self.readers.drain(..) {
            let stream = reader.open(&server).await;
            reading.spawn(reader.follow(stream));
        }
        let from = self.shim.now();
        if let End::Kill { name, after } = end {
            self.shim.set_fault(Rule::kill(name).after(after));
        }
        let mut working = JoinSet::new();
        for publisher in self.publishers.drain(..) {
            working.spawn(publisher.work(server.address.clone(), ops));
        }
        self.publishers = working.join_all().await;
        match end {
            End::Stop => {
                self.wait_for_checkpoint(from).await;
                assert_eq!(server.stop().await, Some(0));
            }
            End::Kill { .. } => assert_eq!(server.end().await.0, None),
        }
        self.readers = reading.join_all().await;
    }

    /// Waits until the write-ahead log has been copied into the database, which happens when the server is idle.
    async fn wait_for_checkpoint(&self, from: u64) {
        let copied = timeout(TIMEOUT, async {
            let log = self.log_file();
            while !self.shim.entries(from).iter().any(|entry| entry.change == log) {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        });
        copied.await.expect("the write-ahead log is copied");
    }

    /// A sync of the database file.
    fn log_file(&self) -> Change {
        let file = self.shim.entries(0).into_iter().find_map(|entry| match entry.change {
            Change::Create { file, name } if name.ends_with("log.db") => Some(file),
            _ => None,
        });
        Change::Sync { file: file.expect("the journal has the creation of the log") }
    }

    /// Simulates this many power failures. Returns the violations.
    async fn cut(mut self, cuts: usize) -> Vec<String> {
        let entries = self.shim.entries(0);
        let (mut disk, mut applied) = (Disk::default(), 0);
        let mut violations = Vec::new();
        for cut in choose(&entries, cuts, &mut self.rng) {
            entries[applied..cut].iter().for_each(|entry| disk.apply(&entry.change));
            applied = cut;
            let survival = *self
                .rng
                .choice(&[Survival::Synced, Survival::All, Survival::Some, Survival::Some])
                .unwrap();
            let end = cut.checked_sub(1).map_or(0, |last| entries[last].end);
            let found = self.fail(&disk, survival, end, self.guarantee).await;
            violations
                .extend(found.into_iter().map(|what| format!("cut {cut}, {survival:?}: {what}")));
        }
        violations
    }

    /// Simulates a power failure with this state of the disk. `end` is the length of the journal.
    async fn fail(
        &mut self,
        disk: &Disk,
        survival: Survival,
        end: u64,
        guarantee: Guarantee,
    ) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        disk.write_survivors(survival, &mut self.rng, root.path());
        let history = self.history.lock().clone();
        examine(root.path(), &history, end, guarantee).await
    }

    /// The disk right after the last acknowledgement, and the length of the journal then. Only changes that satisfy
    /// `survives` reach the disk.
    fn at_last_acknowledgement(&self, survives: impl Fn(&Entry) -> bool) -> (Disk, u64) {
        let history = self.history.lock();
        let answers = history.publishers.iter().flatten().filter_map(|op| op.acknowledged);
        let last = answers.map(|acknowledged| acknowledged.at).max().unwrap();
        let mut disk = Disk::default();
        let entries = self.shim.entries(0);
        let entries = entries.iter().filter(|entry| entry.end <= last && survives(entry));
        entries.for_each(|entry| disk.apply(&entry.change));
        (disk, last)
    }
}

/// Chooses the moments of power failures, in order. Half of them are random, the others are near syncs, where errors
/// are most likely.
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
    given.map_or_else(|| fastrand::u64(..), |seed| seed.parse().expect("the seed is a number"))
}

fn cuts() -> usize {
    std::env::var("STENTOR_POWER_CUTS")
        .map_or(CUTS, |cuts| cuts.parse().expect("the number of power cuts is a number"))
}

#[track_caller]
fn report(what: &str, cuts: usize, seed: u64, violations: &[String]) {
    println!(
        "{what}: {cuts} power cuts, {} violations, STENTOR_CRASH_SEED={seed}",
        violations.len()
    );
    assert!(violations.is_empty(), "STENTOR_CRASH_SEED={seed}\n{}", violations.join("\n"));
}

const ALL_PUBLISHERS: [Behavior; 7] = [
    Behavior::Shared,
    Behavior::Shared,
    Behavior::Keyed,
    Behavior::Uploads,
    Behavior::Batches,
    Behavior::Ends,
    Behavior::Deletes,
];

async fn run_server_four_times(guarantee: Guarantee, seed: u64) -> Run {
    let mut run = Run::new(guarantee, &ALL_PUBLISHERS, seed);
    run.run_server(12, End::Stop).await;
    let after = run.rng.u32(100..700);
    run.run_server(60, End::Kill { name: "-wal", after }).await;
    let after = run.rng.u32(0..40);
    run.run_server(8, End::Kill { name: "log.db", after }).await;
    run.run_server(8, End::Stop).await;
    run
}

#[tokio::test]
async fn nothing_visible_is_lost_when_the_power_fails() {
    let (seed, cuts) = (seed(), cuts());
    let run = run_server_four_times(Guarantee::NoLoss, seed).await;
    report("fsync", cuts, seed, &run.cut(cuts).await);
}

#[tokio::test]
async fn with_durability_os_only_the_newest_events_are_lost_and_readers_get_a_gap() {
    let (seed, cuts) = (seed(), cuts().div_ceil(3));
    let run = run_server_four_times(Guarantee::Prefix, seed).await;
    report("os", cuts, seed, &run.cut(cuts).await);
}

#[tokio::test]
async fn with_durability_os_the_newest_events_may_be_lost() {
    let seed = seed();
    let mut run = Run::new(Guarantee::Prefix, &ALL_PUBLISHERS, seed);
    run.run_server(4, End::Stop).await;
    let (disk, end) = run.at_last_acknowledgement(|_| true);
    let violations = run.fail(&disk, Survival::Synced, end, Guarantee::Prefix).await;
    assert!(violations.is_empty(), "STENTOR_CRASH_SEED={seed}\n{}", violations.join("\n"));
    let violations = run.fail(&disk, Survival::Synced, end, Guarantee::NoLoss).await;
    assert!(violations.iter().any(|what| what.starts_with("lost")), "{violations:?}");
}

#[tokio::test]
async fn offsets_are_not_used_twice_although_the_disk_lost_tens_of_thousands() {
    let mut run = Run::new(Guarantee::Prefix, &[Behavior::Floods], seed());
    run.run_server(3, End::Stop).await;
    let (disk, end) = run.at_last_acknowledgement(|_| true);
    let violations = run.fail(&disk, Survival::Synced, end, Guarantee::Prefix).await;
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[tokio::test]
async fn a_disk_that_does_not_sync_is_detected() {
    let mut run = Run::new(Guarantee::NoLoss, &ALL_PUBLISHERS, seed());
    run.run_server(4, End::Stop).await;
    let first =
        run.history.lock().publishers.iter().flatten().map(|op| op.requested).min().unwrap();
    let syncs = |entry: &Entry| entry.end <= first || !entry.change.is_sync();
    let (disk, end) = run.at_last_acknowledgement(syncs);
    let violations = run.fail(&disk, Survival::Synced, end, Guarantee::NoLoss).await;
    assert!(violations.iter().any(|what| what.starts_with("lost")), "{violations:?}");
}

#[tokio::test]
async fn the_journal_contains_every_change_to_the_disk() {
    let run = run_server_four_times(Guarantee::NoLoss, seed()).await;
    let mut disk = Disk::default();
    for entry in run.shim.entries(0) {
        disk.apply(&entry.change);
    }
    let root = tempfile::tempdir().unwrap();
    disk.write_survivors(Survival::All, &mut Rng::new(), root.path());
    let data = |root: &Path| files(&root.join("stentor-data"));
    assert_eq!(data(root.path()), data(&run.shim.root()));
}

/// All files of a directory with their content, except the mapped ones.
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
