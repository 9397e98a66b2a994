//! Request options.

use std::io::Write;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use crate::foreign::{Foreign, NOTHING_MORE, Visit, stream_of};
use crate::harness::{Output, StentorCommand, stentor};

/// Runs `sub` with these arguments against a server that gives these responses; `URL` is replaced by its URL.
async fn ask(
    args: &[&str],
    answers: &[&str],
    also: impl Fn(StentorCommand) -> StentorCommand,
) -> (Output, Vec<Visit>) {
    let server = Foreign::start().await;
    let url = server.url.clone();
    let replace = |arg: &&str| if *arg == "URL" { url.clone() } else { (*arg).to_owned() };
    let args: Vec<String> = ["sub"].iter().chain(args).map(replace).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let call = also(stentor(&args));
    tokio::join!(call.run(), server.answer(answers))
}

#[tokio::test]
async fn headers_and_the_token_are_sent() {
    let args = ["URL", "--header", "X-One: 1", "--header", "x-two:2:3", "--token", "secret"];
    let (done, requests) = ask(&args, &[NOTHING_MORE], |call| call).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(requests[0].header("x-one"), Some("1"));
    assert_eq!(requests[0].header("x-two"), Some("2:3"));
    assert_eq!(requests[0].header("authorization"), Some("Bearer secret"));
}

#[tokio::test]
async fn a_token_of_the_environment_is_only_sent_to_the_server_at_url() {
    let with_token = |call: StentorCommand| call.env("STENTOR_TOKEN", "secret");
    let (_, requests) = ask(&["URL"], &[NOTHING_MORE], with_token).await;
    assert_eq!(requests[0].header("authorization"), None);
    let (_, requests) = ask(&["--url", "URL", "t"], &[NOTHING_MORE], with_token).await;
    assert_eq!(requests[0].header("authorization"), Some("Bearer secret"));
    let (_, requests) = ask(&["--url", "URL", "URL"], &[NOTHING_MORE], with_token).await;
    assert_eq!(requests[0].header("authorization"), Some("Bearer secret"));
    let args = ["--url", "URL", "t", "--header", "Authorization: Basic eA=="];
    let (_, requests) = ask(&args, &[NOTHING_MORE], with_token).await;
    assert_eq!(requests[0].header("authorization"), Some("Basic eA=="));
    let help = with_token(stentor(&["sub", "--help"])).run().await;
    assert!(!help.stdout.contains("secret"));
}

#[tokio::test]
async fn secrets_are_not_sent_to_several_servers() {
    for option in [["--token", "x"], ["--header", "x: y"], ["--data", "x"]] {
        let urls = ["sub", "http://127.0.0.1:1/", "http://127.0.0.1:2/"];
        let done = stentor(&[&urls[..], &option[..]].concat()).run().await;
        assert_eq!(done.code, Some(2), "{done:?}");
        assert!(done.stderr.contains("to one server only"), "{done:?}");
    }
}

#[tokio::test]
async fn a_body_is_sent_again_at_each_reconnect() {
    let stream = stream_of("retry: 1\n\ndata: x\n\n");
    let args = ["URL", "--data", "{\"q\":1}"];
    let (done, requests) = ask(&args, &[&stream, NOTHING_MORE], |call| call).await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "x\n"), "{done:?}");
    for request in &requests {
        assert_eq!((request.line(), request.body.as_str()), ("POST /stream", "{\"q\":1}"));
        assert_eq!(request.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn a_body_is_read_from_a_file_or_from_stdin() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"from a file").unwrap();
    let at = format!("@{}", file.path().display());
    let args = ["URL", "--method", "QUERY", "--data", &at];
    let (_, requests) = ask(&args, &[NOTHING_MORE], |call| call).await;
    assert_eq!((requests[0].line(), requests[0].body.as_str()), ("QUERY /stream", "from a file"));
    assert_eq!(requests[0].header("content-type"), Some("text/plain; charset=utf-8"));
    let args = ["URL", "--data", "@-", "--header", "Content-Type: a/b"];
    let (_, requests) = ask(&args, &[NOTHING_MORE], |call| call.stdin("from stdin")).await;
    assert_eq!((requests[0].line(), requests[0].body.as_str()), ("POST /stream", "from stdin"));
    assert_eq!(requests[0].header("content-type"), Some("a/b"));
    let done = stentor(&["sub", "http://127.0.0.1:1/", "--data", "@/no/such"]).run().await;
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(done.stderr.contains("/no/such"), "{done:?}");
}

#[tokio::test]
async fn a_topic_is_never_posted_to() {
    let done = stentor(&["sub", "t", "--data", "x"]).run().await;
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(done.stderr.contains("read with GET"), "{done:?}");
}

#[tokio::test]
async fn temporary_errors_are_retried_unless_strict() {
    let busy = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n";
    let stream = stream_of("retry: 1\n\ndata: x\n\n");
    let (done, _) = ask(&["URL"], &[busy, &stream, NOTHING_MORE], |call| call).await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "x\n"), "{done:?}");
    let (done, _) = ask(&["URL", "--strict"], &[busy], |call| call).await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(3), ""), "{done:?}");
    assert!(done.stderr.contains("503"), "{done:?}");
}

#[tokio::test]
async fn it_gives_up_after_the_maximum_number_of_attempts() {
    let stream = stream_of("retry: 1\n\n");
    let args = ["URL", "--retry-max", "2"];
    let (done, requests) = ask(&args, &[&stream, &stream], |call| call).await;
    assert_eq!((done.code, requests.len()), (Some(3), 2), "{done:?}");
    assert!(done.stderr.contains("gave up after 2 attempts"), "{done:?}");
}

#[tokio::test]
async fn a_unix_socket_replaces_the_host() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let args = ["sub", "http://anything/s", "--unix-socket", path.to_str().unwrap(), "--until-end"];
    let answer = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.unwrap());
        }
        socket.write_all(stream_of("data: x\n\n").as_bytes()).await.unwrap();
        String::from_utf8(head).unwrap()
    };
    let (done, head) = tokio::join!(stentor(&args).run(), answer);
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "x\n"), "{done:?}");
    assert!(head.starts_with("GET /s HTTP/1.1\r\n"), "{head}");
}
