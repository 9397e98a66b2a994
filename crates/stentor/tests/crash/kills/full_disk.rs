//! A disk that is really full: a small file system of its own.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::timeout;

use crate::harness::{Response, Server, TIMEOUT};

/// The size of the disk: what the program needs for itself, and some dozen events.
const SIZE: &str = "size=64m";
/// The size of an event.
const EVENT: usize = 256 << 10;
/// What the log may keep for itself: its ballast, a write-ahead log that begins anew, and some pages.
const SMALL: u64 = 28 << 20;
/// More events than there is room for.
const EVENTS_MAX: usize = 400;

/// A file system in memory, which is gone when this is dropped.
struct Disk(TempDir);

impl Disk {
    /// # Errors
    /// If this program may not mount one.
    fn mount() -> Result<Disk, String> {
        let directory = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(directory.path());
        match mount.output() {
            Ok(output) if output.status.success() => Ok(Disk(directory)),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

/// Fills the disk, and empties it again.
///
/// # Panics
/// If no disk can be mounted, or a promise is broken.
pub async fn fill_and_empty() {
    let disk = Disk::mount().unwrap_or_else(|error| {
        panic!(
            "no small disk can be mounted ({error}); run this as root, in a place that allows it"
        )
    });
    let data = disk.path().join("data");
    let mut server = Server::with(&["serve", "--data", data.to_str().unwrap()]).await;
    for round in 0..3 {
        let kept = until_published(&server, &format!("before {round}")).await;
        let mut live = server.resume("/topics/kept", &kept).await;
        let ids = fill(&server).await;
        assert!(ids.len() > 50, "there is room for many: {}", ids.len());
        assert_readable(&server, &ids).await;
        if round == 2 {
            server.kill_and_restart().await;
            live = server.resume("/topics/kept", &kept).await;
        }
        let deleted = server.delete("/topics/fill").send().await;
        assert_eq!(deleted.status, 204, "round {round}: {}", deleted.text());
        until_published(&server, &format!("after {round}")).await;
        live.position().await;
        assert_eq!(live.data(1).await, [format!("after {round}")]);
        until_small(&data).await;
    }
    let kept = server.history_data("/topics/kept").await;
    let wanted: Vec<String> =
        (0..3).flat_map(|round| [format!("before {round}"), format!("after {round}")]).collect();
    assert_eq!(kept, wanted, "what was refused is not there, what was acknowledged is");
}

/// Publishes until there is no room any more, also after a pause, and gives the ids of what was acknowledged.
async fn fill(server: &Server) -> Vec<String> {
    let mut ids = Vec::new();
    let mut refused = 0;
    for number in 0..EVENTS_MAX {
        let data = format!("{number:0>8}").repeat(EVENT / 8);
        let answer = server.post("/topics/fill", data).send().await;
        if answer.status == 201 {
            ids.push(answer.json()["id"].as_str().unwrap().to_owned());
            refused = 0;
            continue;
        }
        tokio::time::sleep(assert_refused(&answer)).await;
        refused += 1;
        if refused == 2 {
            return ids;
        }
    }
    panic!("{EVENTS_MAX} events fit on a disk of {SIZE}");
}

/// How long a publisher is told to wait.
fn assert_refused(answer: &Response) -> Duration {
    let detail = answer.problem(503, "disk-full");
    assert!(detail.contains("full"), "{detail}");
    Duration::from_secs(answer.header("retry-after").unwrap().parse().unwrap())
}

async fn assert_readable(server: &Server, ids: &[String]) {
    let mut stream = server.subscribe("/topics/fill?from=earliest").await;
    stream.position().await;
    for id in ids {
        assert_eq!(stream.next().await.unwrap().id, *id);
    }
    assert_eq!(server.page("/topics/fill?last=1").await["events"][0]["id"], ids[ids.len() - 1]);
}

/// Publishes as soon as there is room, as a publisher does that is told to come back, and gives the id.
async fn until_published(server: &Server, data: &str) -> String {
    let published = timeout(TIMEOUT, async {
        loop {
            let answer = server.post("/topics/kept", data).send().await;
            if answer.status == 201 {
                return answer.json()["id"].as_str().unwrap().to_owned();
            }
            assert_refused(&answer);
        }
    });
    published.await.expect("room again without a restart")
}

/// Waits until what was deleted is given back to the file system.
async fn until_small(data: &Path) {
    let size = || {
        let files = std::fs::read_dir(data).unwrap();
        files.map(|file| file.unwrap().metadata().map_or(0, |file| file.len())).sum::<u64>()
    };
    let small = timeout(TIMEOUT, async {
        while size() > SMALL {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(small.await.is_ok(), "the log still takes {} bytes", size());
}
