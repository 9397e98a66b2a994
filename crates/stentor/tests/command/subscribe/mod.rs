//! `stentor sub`.

mod cursor;
mod exec;
mod formats;
mod images;
mod kills;
mod request;
mod starts;
mod stops;

use crate::foreign::{Foreign, NOTHING_MORE, stream_of};
use crate::harness::{Output, Server, StentorCommand, stentor};

/// Subscribes to topics of this server.
fn sub(server: &Server, args: &[&str]) -> StentorCommand {
    let url = server.url("");
    let all: Vec<&str> = ["sub", "--url", &url].iter().chain(args).copied().collect();
    stentor(&all)
}

/// Subscribes to a URL that sends this stream, and then responds 204.
async fn sub_foreign(body: &str, args: &[&str]) -> Output {
    let server = Foreign::start().await;
    let url = server.url.clone();
    let all: Vec<&str> = ["sub", &url].iter().chain(args).copied().collect();
    let stream = stream_of(&format!("retry: 1\n\n{body}"));
    let answers = server.answer([stream.as_str(), NOTHING_MORE]);
    let (done, _) = tokio::join!(stentor(&all).run(), answers);
    done
}

#[tokio::test]
async fn data_is_printed_until_the_topic_ends() {
    let server = Server::start().await;
    server.publish("/topics/finite", "one").await;
    server.publish("/topics/finite", "two\nlines").await;
    server.publish("/topics/finite?end=done", "last").await;
    let done = sub(&server, &["finite", "--from", "earliest"]).run().await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "one\ntwo\nlines\nlast\n"), "{done:?}");
    assert!(done.stderr.contains("finite has ended: done"), "{done:?}");
    // Only the end of the topic is left.
    let done = sub(&server, &["finite"]).run().await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), ""), "{done:?}");
}

#[tokio::test]
async fn any_stream_is_read_until_a_204() {
    let done = sub_foreign("data: one\n\nevent: tick\nid: 7\ndata: two\n\n", &[]).await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "one\ntwo\n"), "{done:?}");
}

#[tokio::test]
async fn several_topics_share_one_stream() {
    let server = Server::in_memory().await;
    server.publish("/topics/a/1", "first").await;
    server.publish("/topics/b", "second").await;
    server.publish("/topics/a/2", "third").await;
    let done = sub(&server, &["a/*", "b", "--from", "earliest", "--count", "3"]).run().await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "first\nsecond\nthird\n"), "{done:?}");
}

#[tokio::test]
async fn it_misses_nothing_over_a_crash_of_the_server() {
    let mut server = Server::start().await;
    server.publish("/topics/t", "before").await;
    let mut running = sub(&server, &["t", "--from", "earliest"]).start().await;
    assert_eq!(running.line().await.as_deref(), Some("before"));
    server.kill_and_restart().await;
    server.publish("/topics/t", "after").await;
    server.publish("/topics/t?end", "").await;
    assert_eq!(running.line().await.as_deref(), Some("after"));
    let done = running.end().await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), ""), "{done:?}");
    assert!(done.stderr.contains("connected again"), "{done:?}");
}

#[tokio::test]
async fn a_connection_is_reported_with_verbose_only() {
    let server = Server::in_memory().await;
    let url = server.url("");
    let sub = ["sub", "--url", &url, "t"];
    let verbose = [&sub[..], &["-v"]].concat();
    let mut running = stentor(&verbose).start().await;
    running.until_stderr(&format!("t: connected to {url}; waiting for events")).await;
    running.kill().await;
    let quiet = stentor(&[&sub[..], &["--for", "300ms"]].concat()).run().await;
    assert_eq!((quiet.code, quiet.stderr.as_str()), (Some(0), ""), "{quiet:?}");
}

#[tokio::test]
async fn a_failed_subscription_has_a_message_and_an_exit_code() {
    let server = Server::in_memory().await;
    let wrong = server.url("/nowhere");
    let page = server.url("/");
    for (args, words, code) in [
        (vec!["sub", wrong.as_str()], "404", 3),
        (vec!["sub", page.as_str()], "text/event-stream", 3),
        (vec!["sub", "http://127.0.0.1:1/", "--retry-max", "1"], "cannot reach the server", 3),
        (vec!["sub", "--url", "nonsense", "t"], "nonsense", 2),
        (vec!["sub", "nonsense://x"], "nonsense", 2),
    ] {
        let done = stentor(&args).run().await;
        assert_eq!((done.code, done.stdout.as_str()), (Some(code), ""), "{args:?}: {done:?}");
        let start = if code == 2 { "error: " } else { "stentor: " };
        assert!(
            done.stderr.starts_with(start) && done.stderr.contains(words),
            "{args:?}: {done:?}"
        );
        assert!(!done.stderr.contains("panicked"), "{done:?}");
    }
}

#[tokio::test]
async fn the_help_lists_the_exit_codes() {
    let help = stentor(&["sub", "--help"]).run().await.stdout;
    let (_, codes) = help.split_once("Exit codes:").unwrap();
    for code in 0..=6 {
        assert!(codes.contains(&format!("\n  {code}  ")), "{codes}");
    }
}
