//! `stentor log`, over the real binary and beside a real server. One file for each of its commands.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on shall panic"
)]
#![allow(unreachable_pub, dead_code, reason = "a test program has no public side")]

#[path = "../harness/mod.rs"]
mod harness;

mod backup;
mod export;
mod import;
mod info;
mod verify;

use std::path::{Path, PathBuf};

use crate::harness::{Output, Server, StentorCommand, stentor};

/// The log of a server.
fn data(server: &Server) -> PathBuf {
    server.directory().join("stentor-data")
}

/// `stentor log` of this kind on a log.
fn log(what: &str, data: &Path, args: &[&str]) -> StentorCommand {
    let mut all = vec!["log", what, "--data", data.to_str().unwrap()];
    all.extend(args);
    stentor(&all)
}

/// The same, which must do what it was asked.
async fn done(what: &str, data: &Path, args: &[&str]) -> Output {
    let done = log(what, data, args).run().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    done
}

/// A server with a few events of several kinds.
async fn server_with_events() -> Server {
    let server = Server::start().await;
    server.publish_each("/topics/news", 0..20).await;
    server.publish("/topics/job/7?type=step&retry=1500", "ä \"half\"\r\nway").await;
    server.publish("/topics/job/7?end=done", "").await;
    server.publish("/topics/gone", "deleted").await;
    assert_eq!(server.delete("/topics/gone").send().await.status, 204);
    server
}
