//! A disk that is really full: a small file system in memory.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::timeout;

use crate::harness::{Response, Server, TIMEOUT};

/// Size of the disk: enough for the log itself and some dozen events.
const SIZE: &str = "size=64m";
/// Bytes of an event.
const EVENT: usize = 256 << 10;
/// Maximum size of an almost empty log: its ballast, a new write-ahead log, and some pages.
const SMALL: u64 = 28 << 20;
/// More events than the disk has room for.
const EVENTS_MAX: usize = 400;

/// A file system in memory. It is unmounted when this is dropped.
struct Disk(TempDir);

impl Disk {
    /// # Errors
    ///
    /// If this program has no permission to mount.
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
///
/// If no disk can be mounted, or a guarantee is broken.
pub async fn fill_and_empty() {
    let disk = Disk::mount().unwrap_or_else(|error| {
        panic!("cannot mount a small disk ({error}); run this as root, where mounting is allowed")
    });
    let data = disk.path().join("data");
    let mut server = Server::with(&["serve", "--data", data.to_str().unwrap()]).await;
    for round in 0..3 {
        let kept = until_published(&server, &format!("before {round}")).await;
        let mut live = server.resume("/topics/kept", &kept).await;
        let ids = fill(&server).await;
        assert!(ids.len() > 50, "the disk has room for too few events: {}", ids.len());
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
    assert_eq!(kept, wanted, "the log has exactly the acknowledged events");
}

/// Publishes until the disk has no room, even after a pause. Returns the ids of the acknowledged events.
async fn fill(server: &Server) -> Vec<String> {
    let mut ids = Vec::new();
    let mut refused = 0;
    for number in 0..EVENTS_MAX {
        let data = format!("{number:0>8}").repeat(EVENT / 8);
        let response = server.post("/topics/fill", data).send().await;
        if response.status == 201 {
            ids.push(response.json()["id"].as_str().unwrap().to_owned());
            refused = 0;
            continue;
        }
        tokio::time::sleep(assert_refused(&response)).await;
        refused += 1;
        if refused == 2 {
            return ids;
        }
    }
    panic!("{EVENTS_MAX} events fit on a disk of {SIZE}");
}

/// The `Retry-After` of a refused publish.
fn assert_refused(response: &Response) -> Duration {
    let detail = response.problem(503, "disk-full");
    assert!(detail.contains("full"), "{detail}");
    Duration::from_secs(response.header("retry-after").unwrap().parse().unwrap())
}

async fn assert_readable(server: &Server, ids: &[String]) {
    let mut stream = server.subscribe("/topics/fill?from=earliest").await;
    stream.position().await;
    for id in ids {
        assert_eq!(stream.next().await.unwrap().id, *id);
    }
    assert_eq!(server.page("/topics/fill?last=1").await["events"][0]["id"], ids[ids.len() - 1]);
}

/// Publishes as soon as the disk has room, by repeating refused publishes at once. Returns the id.
async fn until_published(server: &Server, data: &str) -> String {
    let published = timeout(TIMEOUT, async {
        loop {
            let response = server.post("/topics/kept", data).send().await;
            if response.status == 201 {
                return response.json()["id"].as_str().unwrap().to_owned();
            }
            assert_refused(&response);
        }
    });
    published.await.expect("the disk has room again without a restart")
}

/// Waits until deleted events have been returned to the file system.
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
    assert!(small.await.is_ok(), "the log still has {} bytes", size());
}
