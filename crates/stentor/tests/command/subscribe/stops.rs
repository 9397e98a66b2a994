//! Stop options, signals and closed pipes.

use super::{sub, sub_foreign};
use crate::foreign::{Foreign, stream_of};
use crate::harness::{Server, stentor};

#[tokio::test]
async fn it_follows_live_and_stops_after_its_count() {
    let server = Server::in_memory().await;
    server.publish("/topics/live", "before").await;
    let mut running = sub(&server, &["live", "--last", "1", "--count", "3"]).start().await;
    assert_eq!(running.line().await.as_deref(), Some("before"));
    server.publish("/topics/live", "during").await;
    assert_eq!(running.line().await.as_deref(), Some("during"));
    server.publish("/topics/live", "third").await;
    server.publish("/topics/live", "fourth").await;
    let done = running.end().await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "third\n"), "{done:?}");
}

#[tokio::test]
async fn only_selected_events_are_counted() {
    let stream = "event: a\ndata: 1\n\ndata: 2\n\nevent: a\ndata: 3\n\nevent: a\ndata: 4\n\n";
    let server = Foreign::start().await;
    let url = server.url.clone();
    let stream = [stream_of(stream)];
    let call = stentor(&["sub", &url, "--type", "a", "--count", "2"]);
    let (done, _) = tokio::join!(call.run(), server.answer(stream));
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "1\n3\n"), "{done:?}");
}

#[tokio::test]
async fn a_timeout_is_a_success_unless_a_goal_was_missed() {
    let server = Server::in_memory().await;
    let done = sub(&server, &["t", "--for", "50ms"]).run().await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), ""), "{done:?}");
    for (args, words) in [
        (["t", "--for", "50ms", "--count", "2"].as_slice(), "2 events missing"),
        (&["**", "--for", "50ms", "--until-end"], "before the end"),
    ] {
        let done = sub(&server, args).run().await;
        assert_eq!((done.code, done.stdout.as_str()), (Some(6), ""), "{done:?}");
        assert!(done.stderr.contains(words), "{done:?}");
    }
}

#[tokio::test]
async fn named_topics_are_complete_when_the_last_has_ended() {
    let server = Server::in_memory().await;
    server.publish("/topics/a?end", "1").await;
    let mut running = sub(&server, &["a", "b", "--from", "earliest"]).start().await;
    assert_eq!(running.line().await.as_deref(), Some("1"));
    server.publish("/topics/b?end", "2").await;
    let done = running.end().await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "2\n"), "{done:?}");
}

#[tokio::test]
async fn until_end_stops_when_all_topics_of_a_pattern_have_ended() {
    let server = Server::in_memory().await;
    server.publish("/topics/job/1", "1").await;
    server.publish("/topics/job/2?end", "2").await;
    let args = ["job/*", "--from", "earliest", "--until-end"];
    let mut running = sub(&server, &args).start().await;
    assert_eq!(running.line().await.as_deref(), Some("1"));
    assert_eq!(running.line().await.as_deref(), Some("2"));
    server.publish("/topics/job/1?end", "3").await;
    let done = running.end().await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "3\n"), "{done:?}");
}

#[tokio::test]
async fn until_end_stops_when_the_connection_of_a_url_ends() {
    for retry in ["retry: 0\n\n", "retry: 1\n\n", "retry: 3600000\n\n"] {
        let server = Foreign::start().await;
        let url = server.url.clone();
        let stream = [stream_of(&format!("{retry}data: all\n\n"))];
        // The only attempt brings no id, but it is still a success.
        let call = stentor(&["sub", &url, "--until-end", "--retry-max", "1"]);
        let (done, _) = tokio::join!(call.run(), server.answer(&stream));
        assert_eq!((done.code, done.stdout.as_str()), (Some(0), "all\n"), "{retry}: {done:?}");
        let call = stentor(&["sub", &url, "--until-end"]);
        let (done, _) = tokio::join!(call.run(), server.answer(&stream));
        assert_eq!((done.code, done.stdout.as_str()), (Some(0), "all\n"), "{retry}: {done:?}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_not_the_end() {
    let server = Foreign::start().await;
    let url = server.url.clone();
    let broken = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 999\r\n\r\n\
        retry: 1\n\ndata: 1\n\n";
    let whole = stream_of("data: 2\n\n");
    let call = stentor(&["sub", &url, "--until-end"]);
    let (done, _) = tokio::join!(call.run(), server.answer([broken, &whole]));
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "1\n2\n"), "{done:?}");
}

#[tokio::test]
async fn fail_on_gap_stops_at_lost_events() {
    let stream = "data: 1\n\n\
        event: stentor.gap\nid: 5\ndata: {\"reason\":\"trimmed\",\"topics\":[\"a\"]}\n\n\
        data: 2\n\n";
    let done = sub_foreign(stream, &[]).await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "1\n2\n"), "{done:?}");
    let server = Foreign::start().await;
    let url = server.url.clone();
    let stream = [stream_of(stream)];
    let call = stentor(&["sub", &url, "--fail-on-gap"]);
    let (done, _) = tokio::join!(call.run(), server.answer(stream));
    assert_eq!((done.code, done.stdout.as_str()), (Some(4), "1\n"), "{done:?}");
    assert!(done.stderr.contains("events were lost (trimmed): a"), "{done:?}");
}

#[tokio::test]
async fn a_gap_of_a_stentor_server_counts() {
    let server = Server::in_memory().await;
    let args = ["t", "--last-event-id", "nonsense", "--fail-on-gap"];
    let done = sub(&server, &args).run().await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(4), ""), "{done:?}");
    assert!(done.stderr.contains("unreadable"), "{done:?}");
}

#[tokio::test]
async fn a_closed_stdout_ends_it_quietly_and_at_once() {
    let server = Server::in_memory().await;
    server.publish("/topics/t", "one").await;
    for format in ["data", "raw"] {
        let args = ["t", "--from", "earliest", "--format", format];
        let mut running = sub(&server, &args).start().await;
        assert!(running.line().await.is_some());
        // No further event is published, so it must notice without writing.
        assert_eq!(running.close_stdout().await, Some(0));
    }
}

#[tokio::test]
async fn a_signal_ends_it_successfully() {
    let server = Server::in_memory().await;
    server.publish("/topics/t", "one").await;
    for signal in ["INT", "TERM"] {
        let mut running = sub(&server, &["t", "--from", "earliest"]).start().await;
        assert_eq!(running.line().await.as_deref(), Some("one"));
        running.signal(signal).await;
        let done = running.end().await;
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{signal}: {done:?}");
    }
}

#[tokio::test]
async fn a_second_signal_does_not_wait_for_a_blocked_stdout() {
    let server = Server::in_memory().await;
    server.publish("/topics/t", vec![b'x'; 1 << 20]).await;
    server.publish("/topics/t", "end").await;
    let mut running = sub(&server, &["t", "--from", "earliest"]).start().await;
    // The event is larger than the pipe's buffer.
    running.until_output().await;
    running.signal("TERM").await;
    running.signal("INT").await;
    assert_eq!(running.exit_code().await, Some(130));
}

#[tokio::test]
async fn silence_for_the_idle_timeout_reconnects_after_the_last_event() {
    let server = Foreign::start().await;
    for (args, is_topic) in
        [(["--idle-timeout", "200ms"].as_slice(), false), (&["--idle-timeout", "200ms"], true)]
    {
        let base = server.url.replace("/stream", "");
        let target = if is_topic { vec!["t", "--url", &base] } else { vec![server.url.as_str()] };
        let running = stentor(&[&["sub"], &target[..], args].concat()).start().await;
        // The connection stays open, as behind a proxy that does not notice a crash.
        let silent = server.stream("retry: 1\n\nid: 7\ndata: x\n\n").await;
        let next = server.refuse("204 No Content").await;
        assert_eq!(next.header("last-event-id"), Some("7"));
        let done = running.end().await;
        assert_eq!(done.code, Some(0), "{done:?}");
        assert!(done.stderr.contains("no data for 0.2 s"), "{done:?}");
        drop(silent);
    }
}

/// Publishes an event that is larger than the buffer of a pipe, and one after it. Returns the id of the one before.
async fn publish_more_than_a_pipe_takes(server: &Server) -> String {
    let first = server.publish("/topics/t", "first").await;
    server.publish("/topics/t", vec![b'x'; 1 << 20]).await;
    server.publish("/topics/t", "last").await;
    first
}

#[tokio::test]
async fn a_blocked_stdout_does_not_delay_the_end_of_its_time() {
    let server = Server::in_memory().await;
    let first = publish_more_than_a_pipe_takes(&server).await;
    let directory = tempfile::tempdir().unwrap();
    for (index, (goal, code)) in
        [([].as_slice(), 0), (&["--count", "3"], 6), (&["--format", "raw"], 0)].iter().enumerate()
    {
        let cursor = directory.path().join(index.to_string());
        let cursor_text = cursor.to_str().unwrap();
        let args = ["t", "--from", "earliest", "--for", "1s", "--cursor", cursor_text];
        let mut running = sub(&server, &[&args[..], goal].concat()).start().await;
        running.until_output().await;
        running.until_stderr("stdout takes no data, so the last event is incomplete").await;
        assert_eq!(running.exit_code().await, Some(*code), "{goal:?}");
        let position = std::fs::read_to_string(cursor).unwrap();
        assert_eq!(position, format!("{first}\n"), "{goal:?}: the large event is printed again");
    }
}

#[tokio::test]
async fn one_signal_ends_it_although_stdout_is_blocked() {
    let server = Server::in_memory().await;
    publish_more_than_a_pipe_takes(&server).await;
    for signal in ["TERM", "INT"] {
        let mut running = sub(&server, &["t", "--from", "earliest"]).start().await;
        running.until_output().await;
        running.signal(signal).await;
        assert_eq!(running.exit_code().await, Some(0), "{signal}");
    }
}

#[tokio::test]
async fn a_slow_reader_of_stdout_gets_every_event() {
    let server = Server::in_memory().await;
    publish_more_than_a_pipe_takes(&server).await;
    let args = ["t", "--from", "earliest", "--count", "3"];
    let mut running = sub(&server, &args).start().await;
    running.until_output().await;
    let done = running.end().await;
    assert_eq!(done.code, Some(0));
    assert!(done.stdout.ends_with("xlast\n".replace('x', "x\n").as_str()), "the last event");
}
