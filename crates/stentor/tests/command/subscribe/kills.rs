//! Killed at random while it runs a command for each event.

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

/// How long after the event that a life is to reach it is killed, at most: a few events more.
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
    let mut diary = Diary::new(&ids(&server).await);
    for kill in 0..KILLS {
        let mut running = diary.start(&server).await;
        let left = EVENTS - diary.runs.min(EVENTS);
        let goal = diary.runs + rng.usize(0..=2 * left / (KILLS - kill + 1));
        diary.wait_for(goal).await;
        sleep(DELAY_MAX.mul_f64(rng.f64())).await;
        running.kill().await;
        diary.check_cursor();
    }
    let running = diary.start(&server).await;
    let done = running.end().await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), ""), "{done:?}");
    diary.check_cursor();
    diary.read();
    assert_eq!(diary.reached, EVENTS, "every event was handled");
    let repeats = diary.runs - EVENTS;
    println!("{repeats} repeats after {KILLS} kills, in {:?}", began.elapsed());
    assert!(repeats <= KILLS, "a kill costs no more than the event at hand");
}

/// The ids of all events, in order.
async fn ids(server: &Server) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    while ids.len() < EVENTS {
        let after = ids.last().map(|id| format!("&after={id}")).unwrap_or_default();
        let page = server.history(&format!("/topics/t?limit=1000{after}")).await;
        ids.extend(page.iter().map(|event| event["id"].as_str().unwrap().to_owned()));
    }
    ids
}

/// What the command has noted, which is what it had success with.
struct Diary {
    directory: TempDir,
    /// The places of the events in the log, which sort as text.
    places: Vec<String>,
    lines: BufReader<File>,
    /// The beginning of a line: one that lies on two pages of the file comes in two parts.
    line: String,
    /// How often the command ran.
    runs: usize,
    /// How many events, from the first on without a hole, it ran for.
    reached: usize,
}

impl Diary {
    fn new(ids: &[String]) -> Diary {
        // In memory if that can be: a kill takes nothing from a file, synced or not.
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let places: Vec<_> = ids.iter().map(|id| place(id).to_owned()).collect();
        assert!(places.is_sorted());
        let path = directory.path().join("diary");
        std::fs::write(&path, "").unwrap();
        let lines = BufReader::new(File::open(path).unwrap());
        Diary { directory, places, lines, line: String::new(), runs: 0, reached: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    async fn start(&self, server: &Server) -> RunningCommand {
        let (cursor, diary) = (self.path("cursor"), self.path("diary"));
        let cursor = cursor.to_str().unwrap();
        let command = "echo \"$STENTOR_ID\" >> \"$DIARY\"";
        let args = ["t", "--from", "earliest", "--cursor", cursor, "--exec", command];
        sub(server, &args).env("DIARY", diary.to_str().unwrap()).start().await
    }

    /// Waits until the command has run so often.
    async fn wait_for(&mut self, runs: usize) {
        let reached = timeout(TIMEOUT, async {
            self.read();
            while self.runs < runs {
                sleep(Duration::from_millis(1)).await;
                self.read();
            }
        });
        reached.await.expect("it gets on");
    }

    /// Reads what is new. The command may still run when who started it is dead.
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

    /// How many events there are up to this id.
    fn up_to(&self, id: &str) -> usize {
        let place = place(id.trim_end());
        self.places.partition_point(|other| other.as_str() <= place)
    }

    /// Whether all up to the cursor has been a success.
    fn check_cursor(&mut self) {
        let cursor = std::fs::read_to_string(self.path("cursor")).unwrap_or_default();
        self.read();
        let behind = self.up_to(&cursor);
        assert!(
            behind <= self.reached,
            "{behind} events are behind the cursor, {} were handled",
            self.reached
        );
    }
}

/// The place in the log that an id tells, be it that of an event or only of a reader.
fn place(id: &str) -> &str {
    let end = id.match_indices('_').nth(1).map_or(id.len(), |(end, _)| end);
    &id[..end]
}
