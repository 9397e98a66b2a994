//! `sub --cursor`: a position in a file.

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::sub;
use crate::foreign::{Foreign, NOTHING_MORE, stream_of};
use crate::harness::{Server, TIMEOUT, stentor};

/// Returns the path of a cursor file in a new directory.
fn file() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cursor");
    (directory, path)
}

/// Waits until the condition is met.
async fn until(is_so: impl Fn() -> bool) {
    let waited = timeout(TIMEOUT, async {
        while !is_so() {
            sleep(Duration::from_millis(1)).await;
        }
    });
    waited.await.expect("the condition is met in time");
}

#[tokio::test]
async fn a_run_starts_where_the_last_one_stopped() {
    let server = Server::start().await;
    let (_directory, cursor) = file();
    let args = ["t", "--from", "earliest", "--cursor", cursor.to_str().unwrap()];
    for (run, expected) in [("1", "1\n"), ("2", "2\n")] {
        let id = server.publish("/topics/t", run).await;
        let args = [&args[..], &["--count", "1"]].concat();
        let done = sub(&server, &args).run().await;
        assert_eq!((done.code, done.stdout.as_str()), (Some(0), expected), "{done:?}");
        assert_eq!(std::fs::read_to_string(&cursor).unwrap(), id + "\n");
    }
    server.publish("/topics/t?end", "3").await;
    for expected in ["3\n", ""] {
        let done = sub(&server, &args).run().await;
        assert_eq!((done.code, done.stdout.as_str()), (Some(0), expected), "{done:?}");
    }
}

#[tokio::test]
async fn the_position_is_saved_while_it_waits() {
    let server = Server::in_memory().await;
    let (_directory, cursor) = file();
    let id = server.publish("/topics/t", "1").await;
    let args = ["t", "--from", "earliest", "--cursor", cursor.to_str().unwrap()];
    let mut running = sub(&server, &args).start().await;
    assert_eq!(running.line().await.as_deref(), Some("1"));
    until(|| std::fs::read_to_string(&cursor).is_ok_and(|text| text.trim_end() == id)).await;
    running.kill().await;
    server.publish("/topics/t?end", "2").await;
    let done = sub(&server, &args).run().await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "2\n"), "{done:?}");
}

#[tokio::test]
async fn a_first_run_without_events_saves_its_position_too() {
    let server = Server::in_memory().await;
    let (_directory, cursor) = file();
    let args = ["t", "--cursor", cursor.to_str().unwrap()];
    let running = sub(&server, &args).start().await;
    until(|| cursor.exists()).await;
    running.signal("INT").await;
    assert_eq!(running.exit_code().await, Some(0));
    server.publish("/topics/t?end", "not missed").await;
    let done = sub(&server, &args).run().await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "not missed\n"), "{done:?}");
}

#[tokio::test]
async fn it_works_with_any_server_that_has_ids() {
    let (_directory, cursor) = file();
    let server = Foreign::start().await;
    let url = server.url.clone();
    let call = || stentor(&["sub", &url, "--cursor", cursor.to_str().unwrap(), "--until-end"]);
    let stream = stream_of("id: 7\ndata: 1\n\ndata: 2\n\n");
    let (done, requests) = tokio::join!(call().run(), server.answer([stream]));
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "1\n2\n"), "{done:?}");
    assert_eq!(requests[0].header("last-event-id"), None);
    let (done, requests) = tokio::join!(call().run(), server.answer([NOTHING_MORE]));
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), ""), "{done:?}");
    assert_eq!(requests[0].header("last-event-id"), Some("7"));
}

#[tokio::test]
async fn a_loss_that_ends_the_run_leaves_the_position_before_it() {
    let (_directory, cursor) = file();
    let server = Foreign::start().await;
    let url = server.url.clone();
    let stream = stream_of(
        "id: 1\ndata: 1\n\nevent: stentor.gap\nid: 5\ndata: {\"reason\":\"trimmed\",\"topics\":[]}\n\n",
    );
    let args = ["sub", &url, "--cursor", cursor.to_str().unwrap(), "--fail-on-gap"];
    let (done, _) = tokio::join!(stentor(&args).run(), server.answer([stream]));
    assert_eq!((done.code, done.stdout.as_str()), (Some(4), "1\n"), "{done:?}");
    assert_eq!(std::fs::read_to_string(&cursor).unwrap(), "1\n");
}

#[tokio::test]
async fn a_cursor_is_the_position_in_one_stream() {
    let args = ["sub", "t", "http://127.0.0.1:1/", "--cursor", "x"];
    let done = stentor(&args).run().await;
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(done.stderr.contains("one file each"), "{done:?}");
}

#[tokio::test]
async fn a_file_that_cannot_be_a_cursor_is_named() {
    let server = Server::in_memory().await;
    let (_directory, cursor) = file();
    std::fs::write(&cursor, "two\nlines\n").unwrap();
    let missing = cursor.with_file_name("missing/cursor");
    for (path, words, code) in
        [(&cursor, "is not a cursor file", 1), (&missing, "create it first", 2)]
    {
        let path = path.to_str().unwrap();
        let done = sub(&server, &["t", "--cursor", path]).run().await;
        assert_eq!((done.code, done.stdout.as_str()), (Some(code), ""), "{done:?}");
        assert!(done.stderr.contains(words) && done.stderr.contains(path), "{done:?}");
    }
}
