//! `stentor log`, with the real binary and next to a real server. Each of its commands has a file.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]
#![allow(unreachable_pub, dead_code, reason = "a test program has no public API")]

#[path = "../harness/mod.rs"]
mod harness;

mod backup;
mod export;
mod import;
mod info;
mod verify;

use std::path::{Path, PathBuf};

use crate::harness::{Output, Server, StentorCommand, stentor};

/// Returns the directory of a server's log.
fn data(server: &Server) -> PathBuf {
    server.directory().join("stentor-data")
}

/// Builds a `stentor log` command.
fn log(command: &str, data: &Path, args: &[&str]) -> StentorCommand {
    let mut all = vec!["log", command, "--data", data.to_str().unwrap()];
    all.extend(args);
    stentor(&all)
}

/// Runs a `stentor log` command that must succeed.
async fn done(command: &str, data: &Path, args: &[&str]) -> Output {
    let done = log(command, data, args).run().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    done
}

/// Starts a server and publishes events of several kinds.
async fn server_with_events() -> Server {
    let server = Server::start().await;
    server.publish_each("/topics/news", 0..20).await;
    server.publish("/topics/job/7?type=step&retry=1500", "ä \"half\"\r\nway").await;
    server.publish("/topics/job/7?end=done", "").await;
    server.publish("/topics/gone", "deleted").await;
    assert_eq!(server.delete("/topics/gone").send().await.status, 204);
    server
}
