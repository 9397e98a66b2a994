//! `sub --exec` is killed at random moments.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::time::Duration;

use fastrand::Rng;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use super::sub;
use crate::harness::{RunningCommand, Server, TIMEOUT};

const EVENTS: usize = 10_000;
const KILLS: usize = 100;

/// Maximum delay of a kill after the run has reached its event: time for a few more events.
const DELAY_MAX: Duration = Duration::from_millis(8);

#[tokio::test]
async fn killed_a_hundred_times_it_skips_no_event_and_its_cursor_never_runs_ahead() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let began = Instant::now();

    let server = Server::in_memory().await;
    server.publish_each("/topics/t", 0..EVENTS - 1).await;
    server.publish("/topics/t?end", "last").await;
    let mut notes = Notes::new(&ids(&server).await);
    for kill in 0..KILLS {
        let mut running = notes.start(&server).await;
        let left = EVENTS - notes.runs.min(EVENTS);
        let goal = notes.runs + rng.usize(0..=2 * left / (KILLS - kill + 1));
        notes.wait_for(goal).await;
        sleep(DELAY_MAX.mul_f64(rng.f64())).await;
        running.kill().await;
        notes.check_cursor();
    }
    let running = notes.start(&server).await;
    let done = running.end().await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), ""), "{done:?}");
    notes.check_cursor();
    notes.read();
    assert_eq!(notes.reached, EVENTS, "every event was handled");
    let repeats = notes.runs - EVENTS;
    println!("{repeats} repeats after {KILLS} kills, in {:?}", began.elapsed());
    assert!(repeats <= KILLS, "a kill repeats at most the current event");
}

/// Returns the ids of all events in order.
async fn ids(server: &Server) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    while ids.len() < EVENTS {
        let after = ids.last().map(|id| format!("&after={id}")).unwrap_or_default();
        let page = server.history(&format!("/topics/t?limit=1000{after}")).await;
        ids.extend(page.iter().map(|event| event["id"].as_str().unwrap().to_owned()));
    }
    ids
}

/// The notes of the command about the events that it handled.
struct Notes {
    directory: TempDir,
    /// Positions of the events in the log. They sort as text.
    positions: Vec<String>,
    lines: BufReader<File>,
    /// The start of an incomplete line: a line can be read in two parts.
    line: String,
    /// Number of runs of the command.
    runs: usize,
    /// Number of events handled without a gap from the first one.
    reached: usize,
}

impl Notes {
    fn new(ids: &[String]) -> Notes {
        // In memory if possible: a kill loses no written data, synced or not.
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let positions: Vec<_> = ids.iter().map(|id| position(id).to_owned()).collect();
        assert!(positions.is_sorted());
        let path = directory.path().join("notes");
        std::fs::write(&path, "").unwrap();
        let lines = BufReader::new(File::open(path).unwrap());
        Notes { directory, positions, lines, line: String::new(), runs: 0, reached: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    async fn start(&self, server: &Server) -> RunningCommand {
        let (cursor, notes) = (self.path("cursor"), self.path("notes"));
        let cursor = cursor.to_str().unwrap();
        let command = "echo \"$STENTOR_ID\" >> \"$NOTES\"";
        let args = ["t", "--from", "earliest", "--cursor", cursor, "--exec", command];
        sub(server, &args).env("NOTES", notes.to_str().unwrap()).start().await
    }

    /// Waits until the command has run this number of times.
    async fn wait_for(&mut self, runs: usize) {
        let reached = timeout(TIMEOUT, async {
            self.read();
            while self.runs < runs {
                sleep(Duration::from_millis(1)).await;
                self.read();
            }
        });
        reached.await.expect("the command makes progress");
    }

    /// Reads new notes. The command can outlive the process that started it.
    fn read(&mut self) {
        while self.lines.read_line(&mut self.line).unwrap() > 0 {
            if !self.line.ends_with('\n') {
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let event = self.up_to(&line).checked_sub(1);
            let event = event.unwrap_or_else(|| panic!("{line:?} is the id of no event"));
            assert!(event <= self.reached, "event {} was skipped", self.reached);
            self.reached = self.reached.max(event + 1);
            self.runs += 1;
        }
    }

    /// Returns the number of events up to this id.
    fn up_to(&self, id: &str) -> usize {
        let position = position(id.trim_end());
        self.positions.partition_point(|other| other.as_str() <= position)
    }

    /// Asserts that all events up to the cursor were handled.
    fn check_cursor(&mut self) {
        let cursor = std::fs::read_to_string(self.path("cursor")).unwrap_or_default();
        self.read();
        let before_cursor = self.up_to(&cursor);
        assert!(
            before_cursor <= self.reached,
            "the cursor is after {before_cursor} events, but only {} were handled",
            self.reached
        );
    }
}

/// Returns the position in the log from an event id or a position.
fn position(id: &str) -> &str {
    let end = id.match_indices('_').nth(1).map_or(id.len(), |(end, _)| end);
    &id[..end]
}
