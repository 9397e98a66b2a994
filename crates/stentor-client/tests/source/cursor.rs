//! Cursor stores.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use stentor_client::cursor::{CallbackCursor, CursorError, CursorStore, FileCursor};
use stentor_client::{EventSource, EventSourceError};
use tempfile::TempDir;

use crate::support::{NO_CONTENT, STREAM, Server, stream};
use crate::{data_of, fatal_error, quick};

const TWO: &str = "id: 1\ndata: a\n\nid: 2\ndata: b\n\n";

fn source(server: &Server, cursor: impl CursorStore) -> EventSource {
    quick(&server.url("/")).last_event_id("start").cursor(cursor).build().unwrap()
}

/// Returns the data of the next event, from a server that sends `body` and keeps the stream open.
async fn next_of(source: &mut EventSource, server: &Server, body: &str) -> Option<String> {
    let script = async {
        let mut connection = server.accept().await;
        connection.write(&stream(body)).await;
        connection
    };
    let (_connection, event) = tokio::join!(script, source.next());
    event.map(|event| event.unwrap().into_data())
}

/// Returns the id at which a new source with this cursor starts.
async fn start(server: &Server, cursor: impl CursorStore) -> Option<String> {
    let mut source = source(server, cursor);
    let (requests, _) = tokio::join!(server.respond([NO_CONTENT]), data_of(&mut source));
    requests[0].last_event_id().map(str::to_owned)
}

#[tokio::test]
async fn an_uncommitted_event_is_received_again() {
    let (server, directory) = (Server::start().await, TempDir::new().unwrap());
    let path = directory.path().join("cursor");
    let mut source = source(&server, FileCursor::new(&path));
    assert_eq!(next_of(&mut source, &server, TWO).await.unwrap(), "a");
    assert!(!path.exists(), "nothing is committed yet");
    source.commit().await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
    assert_eq!(source.next().await.unwrap().unwrap().data(), "b");
    drop(source);
    assert_eq!(start(&server, FileCursor::new(&path)).await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_source_starts_after_the_stored_id_or_else_the_given_one() {
    let (server, directory) = (Server::start().await, TempDir::new().unwrap());
    let path = directory.path().join("cursor");
    for (content, expected) in [
        (None, "start"),
        (Some(""), "start"),
        (Some("\n"), "start"),
        (Some("42"), "42"),
        (Some("42\r\n"), "42"),
        (Some("ü 1\n"), "ü 1"),
    ] {
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        let begun = start(&server, FileCursor::new(&path)).await;
        assert_eq!(begun.as_deref(), Some(expected), "{content:?}");
    }
}

#[tokio::test]
async fn a_reconnect_continues_after_the_last_id_even_if_it_is_not_committed() {
    let (server, directory) = (Server::start().await, TempDir::new().unwrap());
    let mut source = source(&server, FileCursor::new(directory.path().join("cursor")));
    let responses = [stream(TWO), NO_CONTENT.to_owned()];
    let (requests, _) = tokio::join!(server.respond(responses), data_of(&mut source));
    assert_eq!(requests[1].last_event_id(), Some("2"));
}

#[tokio::test]
async fn workers_commit_by_id() {
    let (server, directory) = (Server::start().await, TempDir::new().unwrap());
    let path = directory.path().join("cursor");
    let mut source = source(&server, FileCursor::new(&path));
    let committer = source.committer();
    let body = format!("{TWO}data: c\n\n");
    next_of(&mut source, &server, &body).await.unwrap();
    let first = source.last_event_id().to_owned();
    source.next().await.unwrap().unwrap();
    source.next().await.unwrap().unwrap();
    let last = source.last_event_id().to_owned();
    tokio::spawn(async move { committer.commit_id(&first).await }).await.unwrap().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
    assert_eq!(last, "2", "the last event has the id of the one before it");
    tokio::spawn(source.commit()).await.unwrap().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "2\n");
}

#[tokio::test]
async fn a_commit_before_the_first_event_leaves_the_store_alone() {
    let (server, directory) = (Server::start().await, TempDir::new().unwrap());
    let path = directory.path().join("cursor");
    for content in ["5\n", "no\ncursor\n"] {
        fs::write(&path, content).unwrap();
        let mut source = source(&server, FileCursor::new(&path));
        source.commit().await.unwrap();
        if content == "5\n" {
            tokio::join!(server.respond([NO_CONTENT]), data_of(&mut source));
        } else {
            fatal_error(&mut source).await;
        }
        source.commit().await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
}

#[tokio::test]
async fn an_id_that_is_not_a_valid_header_is_stored() {
    let (server, directory) = (Server::start().await, TempDir::new().unwrap());
    let path = directory.path().join("cursor");
    let mut first = source(&server, FileCursor::new(&path));
    next_of(&mut first, &server, "id: a\u{C}b\ndata: x\n\n").await.unwrap();
    first.commit().await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "a\u{C}b\n");
    let mut next = source(&server, FileCursor::new(&path));
    let (requests, _) = tokio::join!(server.respond([NO_CONTENT]), data_of(&mut next));
    assert_eq!(requests[0].last_event_id(), None);
    assert_eq!(next.last_event_id(), "a\u{C}b");
}

#[tokio::test]
async fn an_empty_id_is_stored() {
    let (server, directory) = (Server::start().await, TempDir::new().unwrap());
    let path = directory.path().join("cursor");
    fs::write(&path, "5\n").unwrap();
    let mut source = source(&server, FileCursor::new(&path));
    next_of(&mut source, &server, "id\ndata: a\n\n").await.unwrap();
    source.commit().await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "\n");
}

#[tokio::test]
async fn an_invalid_cursor_file_is_a_fatal_error_that_names_it() {
    let (server, directory) = (Server::start().await, TempDir::new().unwrap());
    let path = directory.path().join("cursor");
    let long = "x".repeat(FileCursor::ID_BYTES_MAX + 1);
    for (content, text) in [
        (&b"1\n2\n"[..], "line break"),
        (b"1\r2\n", "line break"),
        (b"a\0b\n", "NUL"),
        (b"\xFF\n", "UTF-8"),
        (long.as_bytes(), "64 KiB"),
    ] {
        fs::write(&path, content).unwrap();
        let mut source = source(&server, FileCursor::new(&path));
        let error = fatal_error(&mut source).await;
        assert!(matches!(error, EventSourceError::Cursor(_)), "{error}");
        let error = error.to_string();
        assert!(error.contains(path.to_str().unwrap()) && error.contains(text), "{error}");
    }
    let mut source = source(&server, FileCursor::new(directory.path()));
    let error = fatal_error(&mut source).await.to_string();
    assert!(error.contains("cannot be read"), "{error}");
}

#[tokio::test]
async fn a_file_that_cannot_be_written_fails_only_the_commit() {
    let (server, directory) = (Server::start().await, TempDir::new().unwrap());
    let path = directory.path().join("cursor");
    fs::write(&path, "0\n").unwrap();
    let temporary = directory.path().join("cursor.tmp");
    fs::create_dir(&temporary).unwrap();
    let mut source = source(&server, FileCursor::new(&path));
    next_of(&mut source, &server, TWO).await.unwrap();
    let error = source.commit().await.unwrap_err().to_string();
    assert!(error.contains("cannot be written") && error.contains("cursor"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "0\n", "the old file is unchanged");

    assert_eq!(source.next().await.unwrap().unwrap().data(), "b");
    fs::remove_dir(&temporary).unwrap();
    source.commit().await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "2\n");
    assert!(!temporary.exists(), "the temporary file is gone");
}

#[tokio::test]
async fn a_file_contains_at_most_one_line() {
    let directory = TempDir::new().unwrap();
    let cursor = FileCursor::new(directory.path().join("cursor"));
    for id in ["a\nb", "a\rb", "a\0b", &"x".repeat(FileCursor::ID_BYTES_MAX + 1)] {
        assert!(cursor.save(id).await.is_err());
    }
    assert_eq!(cursor.load().await, Ok(None));
    let longest = "x".repeat(FileCursor::ID_BYTES_MAX);
    cursor.save(&longest).await.unwrap();
    assert_eq!(cursor.load().await.unwrap(), Some(longest));
}

#[tokio::test]
async fn a_relative_path_is_enough() {
    let directory = TempDir::new_in(".").unwrap();
    let path = Path::new(directory.path().file_name().unwrap()).join("cursor");
    let cursor = FileCursor::new(&path);
    cursor.save("1").await.unwrap();
    assert_eq!(cursor.load().await.unwrap().as_deref(), Some("1"));
}

/// A cursor store made of two functions, and the calls of both.
fn recording(fails: bool) -> (impl CursorStore, Arc<Mutex<Vec<String>>>) {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let (of_load, of_save) = (Arc::clone(&calls), Arc::clone(&calls));
    let cursor = CallbackCursor::new(
        move || {
            of_load.lock().unwrap().push("load".to_owned());
            async { Ok(Some("1".to_owned())) }
        },
        move |id| {
            of_save.lock().unwrap().push(format!("save {id}"));
            async move { if fails { Err(CursorError::new("no room")) } else { Ok(()) } }
        },
    );
    (cursor, calls)
}

#[tokio::test]
async fn the_store_is_called_once_for_each_new_id() {
    let server = Server::start().await;
    let (cursor, calls) = recording(false);
    let mut source = source(&server, cursor);
    next_of(&mut source, &server, "data: x\n\nid: 2\ndata: y\n\n").await.unwrap();
    source.commit().await.unwrap();
    assert_eq!(*calls.lock().unwrap(), ["load"], "the id is the stored one");
    source.next().await.unwrap().unwrap();
    source.commit().await.unwrap();
    source.commit().await.unwrap();
    assert_eq!(*calls.lock().unwrap(), ["load", "save 2"]);
}

#[tokio::test]
async fn a_failed_commit_can_be_repeated() {
    let server = Server::start().await;
    let (cursor, calls) = recording(true);
    let mut source = source(&server, cursor);
    next_of(&mut source, &server, "id: 2\ndata: y\n\n").await.unwrap();
    for _ in 0..2 {
        assert_eq!(source.commit().await.unwrap_err().to_string(), "no room");
    }
    assert_eq!(*calls.lock().unwrap(), ["load", "save 2", "save 2"]);
}

#[tokio::test]
async fn after_a_dropped_commit_the_next_one_always_saves() {
    let server = Server::start().await;
    let calls = Arc::new(Mutex::new(Vec::new()));
    let of_save = Arc::clone(&calls);
    let cursor = CallbackCursor::new(
        || async { Ok(Some("1".to_owned())) },
        move |id| {
            of_save.lock().unwrap().push(id.clone());
            async move { if id == "2" { std::future::pending().await } else { Ok(()) } }
        },
    );
    let mut source = source(&server, cursor);
    next_of(&mut source, &server, TWO).await.unwrap();
    let committer = source.committer();
    tokio::select! {
        biased;
        _ = committer.commit_id("2") => panic!("the save never completes"),
        () = tokio::task::yield_now() => {}
    }
    committer.commit_id("1").await.unwrap();
    assert_eq!(*calls.lock().unwrap(), ["2", "1"]);
}

#[tokio::test]
async fn a_source_without_a_store_commits_nothing() {
    let server = Server::start().await;
    let mut source = crate::source(&server.url("/"));
    next_of(&mut source, &server, TWO).await.unwrap();
    source.commit().await.unwrap();
    source.committer().commit_id("x").await.unwrap();
}

#[tokio::test]
async fn without_its_cursor_a_source_sends_no_request() {
    let server = Server::start().await;
    let cursor = CallbackCursor::new(
        || async { Err(CursorError::new("the database is unreachable")) },
        |_| async { Ok(()) },
    );
    let mut source = source(&server, cursor);
    assert_eq!(fatal_error(&mut source).await.to_string(), "the database is unreachable");
    let mut other = crate::source(&server.url("/other"));
    let responses = [format!("{STREAM}data: x\n\n")];
    let (requests, _) = tokio::join!(server.respond(responses), other.next());
    assert_eq!(requests[0].line(), "GET /other", "this is the first request");
}
