//! `stentor demo progress`.

use crate::harness::{EventStream, Received, Server, stentor};

async fn start() -> Server {
    Server::with(&["demo", "progress"]).await
}

fn step(number: u32) -> String {
    format!(r#"{{"resMsg":"server sent event message: {number}","status":200}}"#)
}

fn steps(numbers: std::ops::RangeInclusive<u32>) -> Vec<String> {
    numbers.map(step).collect()
}

/// Reads a job to its clean end: the data of its messages, and the end itself.
async fn rest(mut reader: EventStream) -> (Vec<String>, Received) {
    let mut events = reader.rest().await;
    let end = events.pop().expect("an end");
    assert_eq!(end.name, "stentor.end");
    (events.into_iter().map(|event| event.data).collect(), end)
}

#[tokio::test]
async fn ten_messages_then_the_end_then_no_content() {
    let server = start().await;
    let mut reader = server.subscribe("/sse").await;
    let text = reader.until("message: 1\"").await;
    assert!(
        text.contains(&format!("\ndata: {}", step(1).trim_end_matches(",\"status\":200}"))),
        "{text}"
    );
    let (messages, end) = rest(reader).await;
    assert_eq!(messages, steps(1..=10));
    assert!(end.data.contains(r#""reason":"done""#), "{end:?}");
    // What a browser asks next, and again after a reload: it starts nothing anew.
    for _ in 0..2 {
        let over = server.get("/sse").header("Last-Event-ID", &end.id).send().await;
        assert_eq!(over.status, 204);
        let over = server.get(&format!("/sse?last_event_id={}", end.id)).send().await;
        assert_eq!(over.status, 204);
    }
}

#[tokio::test]
async fn a_cursor_resumes_its_own_job_and_no_other() {
    let server = start().await;
    let mut reader = server.subscribe("/sse").await;
    reader.data(3).await;
    let third = reader.last_event_id();
    drop(reader);
    let resumed = server.resume("/sse", &third).await;
    let (messages, end) = rest(resumed).await;
    assert_eq!(messages, steps(4..=10));

    // Another job runs, and the cursor is still one of the first.
    let mut next = server.subscribe("/sse").await;
    assert_eq!(next.data(1).await, [step(1)]);
    let (messages, same_end) = rest(server.resume("/sse", &third).await).await;
    assert_eq!((messages, same_end), (steps(4..=10), end.clone()));
    let (messages, next_end) = rest(next).await;
    assert_eq!(messages, steps(2..=10));
    assert_ne!(next_end.id, end.id);
}

#[tokio::test]
async fn two_readers_see_one_job_from_its_first_message() {
    let server = start().await;
    let mut first = server.subscribe("/sse").await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(first.next().await.unwrap());
    }
    // It joins in the middle.
    let mut second = server.subscribe("/sse").await;
    seen.extend(first.rest().await);
    assert_eq!(second.rest().await, seen);
    assert_eq!(seen.len(), 11);
}

#[tokio::test]
async fn a_job_goes_on_without_readers() {
    let server = start().await;
    let mut reader = server.subscribe("/sse").await;
    reader.data(1).await;
    let cursor = reader.last_event_id();
    drop(reader);
    // Whoever asks for the same job in the end finds it whole.
    let (messages, end) = rest(server.resume("/sse", &cursor).await).await;
    assert_eq!(messages, steps(2..=10));
    assert!(end.data.contains("done"));
}

#[tokio::test]
async fn a_job_that_a_crash_interrupts_is_ended_and_nobody_waits_for_ever() {
    let mut server = start().await;
    let mut reader = server.subscribe("/sse").await;
    let before = reader.position().await;
    reader.data(3).await;
    let cursor = reader.last_event_id();
    server.kill_and_restart().await;

    // Who was with it, and who had received nothing of it yet.
    let (more, end) = rest(server.resume("/sse", &cursor).await).await;
    assert!(end.data.contains(r#""reason":"interrupted""#), "{end:?}");
    let (all, same_end) = rest(server.resume("/sse", &before).await).await;
    assert_eq!(all.len(), 3 + more.len());
    assert_eq!((all.as_slice(), &same_end), (&steps(1..=10)[..all.len()], &end));
    assert_eq!(server.get("/sse").header("Last-Event-ID", &end.id).send().await.status, 204);

    let (messages, new_end) = rest(server.subscribe("/sse").await).await;
    assert_eq!(messages, steps(1..=10));
    assert!(new_end.data.contains(r#""reason":"done""#), "{new_end:?}");
}

#[tokio::test]
async fn the_command_line_prints_the_ten_lines_and_exits() {
    let server = start().await;
    let done = stentor(&["sub", &server.url("/sse")]).run().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(done.stdout, steps(1..=10).join("\n") + "\n");
}
