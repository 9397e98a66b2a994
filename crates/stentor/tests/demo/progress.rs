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

/// Reads a job to its end. Returns the data of its messages, and the end event.
async fn rest(mut reader: EventStream) -> (Vec<String>, Received) {
    let mut events = reader.rest().await;
    let end = events.pop().expect("an end");
    assert_eq!(end.name, "stentor.end");
    (events.into_iter().map(|event| event.data).collect(), end)
}

#[tokio::test]
async fn a_job_sends_ten_messages_and_an_end_and_then_204() {
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
    // A browser sends these requests next, and again after a reload. They must not start a new job.
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

    // While another job runs, the cursor still belongs to the first one.
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
    // The second reader joins in the middle of the job.
    let mut second = server.subscribe("/sse").await;
    seen.extend(first.rest().await);
    assert_eq!(second.rest().await, seen);
    assert_eq!(seen.len(), 11);
}

#[tokio::test]
async fn a_job_continues_without_readers() {
    let server = start().await;
    let mut reader = server.subscribe("/sse").await;
    reader.data(1).await;
    let cursor = reader.last_event_id();
    drop(reader);
    // A later request for the same job returns all of it.
    let (messages, end) = rest(server.resume("/sse", &cursor).await).await;
    assert_eq!(messages, steps(2..=10));
    assert!(end.data.contains("done"));
}

#[tokio::test]
async fn a_job_that_a_crash_interrupts_ends_for_all_readers() {
    let mut server = start().await;
    let mut reader = server.subscribe("/sse").await;
    let before = reader.position().await;
    reader.data(3).await;
    let cursor = reader.last_event_id();
    server.kill_and_restart().await;

    // One reader had received a part of the job, the other one nothing.
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
