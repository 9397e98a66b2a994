//! `stentor log verify`.

use std::path::Path;

use crate::{data, done, log, server_with_events};

/// Replaces every occurrence of a text in the file with another text of the same length.
fn falsify(file: &Path, from: &[u8], to: &[u8]) {
    let mut bytes = std::fs::read(file).unwrap();
    let positions: Vec<usize> = bytes
        .windows(from.len())
        .enumerate()
        .filter(|(_, text)| *text == from)
        .map(|(at, _)| at)
        .collect();
    assert!(!positions.is_empty() && from.len() == to.len());
    for at in positions {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    std::fs::write(file, bytes).unwrap();
}

#[tokio::test]
async fn a_log_is_sound_while_the_server_runs() {
    let server = server_with_events().await;
    let done = done("verify", &data(&server), &[]).await;
    assert!(done.stdout.ends_with("is sound\n"), "{done:?}");
    assert_eq!(done.stderr, "");
}

#[tokio::test]
async fn a_log_is_sound_after_a_kill() {
    let mut server = server_with_events().await;
    server.signal("KILL").await;
    assert_eq!(server.exit_code().await, None);
    done("verify", &data(&server), &[]).await;
    server.start_again().await;
    done("verify", &data(&server), &[]).await;
    assert_eq!(server.history("/topics/news").await.len(), 20);
}

#[tokio::test]
async fn damage_is_reported_line_by_line_and_in_the_exit_code() {
    let mut server = server_with_events().await;
    server.publish("/topics/letter", "what was written").await;
    assert_eq!(server.stop().await, Some(0));
    falsify(&data(&server).join("log.db"), b"what was written", b"what was wr\xfftten");
    let done = log("verify", &data(&server), &[]).run().await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""), "{done:?}");
    let lines: Vec<&str> = done.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{done:?}");
    assert!(lines[0].starts_with("stentor: the record at offset 25 cannot be read"), "{done:?}");
    assert!(
        lines[1].contains("is damaged; stop the server and run `stentor log repair`"),
        "{done:?}"
    );
}
