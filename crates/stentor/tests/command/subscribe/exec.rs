//! `sub --exec`: a command for each event.

use std::path::Path;

use super::{sub, sub_foreign};
use crate::foreign::{Foreign, stream_of};
use crate::harness::{Output, Server, stentor};

/// Subscribes to a whole topic with this command.
async fn exec(server: &Server, command: &str, args: &[&str]) -> Output {
    let all: Vec<&str> =
        ["t", "--from", "earliest", "--exec", command].iter().chain(args).copied().collect();
    sub(server, &all).run().await
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[tokio::test]
async fn a_command_gets_the_data_on_stdin_and_the_rest_in_its_environment() {
    let server = Server::in_memory().await;
    let id = server.publish("/topics/t?type=tick", "a\r\nb").await;
    let time = server.history("/topics/t").await[0]["time"].as_str().unwrap().to_owned();
    let command = "cat; echo; echo \"$STENTOR_ID $STENTOR_TYPE $STENTOR_TOPIC $STENTOR_TIME\"";
    let done = exec(&server, command, &["--count", "1"]).await;
    assert_eq!(done.stdout, format!("a\r\nb\n{id} tick t {time}\n"), "{done:?}");
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{done:?}");
}

#[tokio::test]
async fn unknown_fields_of_an_event_are_not_in_the_environment() {
    let command =
        "echo \"${STENTOR_ID-none} $STENTOR_TYPE ${STENTOR_TOPIC-none} ${STENTOR_TIME-none}\"";
    let done = sub_foreign("id: 7\ndata: x\n\ndata: y\n\n", &["--exec", command]).await;
    let lines = "7 message none none\n7 message none none\n";
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), lines), "{done:?}");
}

#[tokio::test]
async fn nothing_of_an_event_becomes_part_of_the_command() {
    let stream = "event: $(echo bad)`echo bad`; echo bad\nid: '\"; echo bad\ndata: $(echo bad)\n\n";
    let command = "echo \"$STENTOR_TYPE\" \"$STENTOR_ID\"; cat; echo";
    let done = sub_foreign(stream, &["--exec", command]).await;
    let lines = "$(echo bad)`echo bad`; echo bad '\"; echo bad\n$(echo bad)\n";
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), lines), "{done:?}");
    // A NUL byte, which no environment variable can hold, does not stop it.
    let done = sub_foreign("event: a\0b\ndata: x\n\n", &["--exec", "echo $STENTOR_TYPE"]).await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "a\u{FFFD}b\n"), "{done:?}");
}

#[tokio::test]
async fn a_field_that_is_too_long_for_the_environment_is_left_out_and_reported_once() {
    let long = "x".repeat(150 << 10);
    let typed = format!("event: {long}\ndata: x\n\n");
    let stream = stream_of(&format!("{typed}{typed}id: {long}\ndata: x\n\n"));
    let server = Foreign::start().await;
    let command = "echo \"${STENTOR_TYPE-none} ${STENTOR_ID-none}\"";
    let call = stentor(&["sub", &server.url, "--count", "3", "--exec", command]);
    let (done, _) = tokio::join!(call.run(), server.answer([stream]));
    let lines = "none \nnone \nmessage none\n";
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), lines), "{done:?}");
    for name in ["STENTOR_TYPE", "STENTOR_ID"] {
        assert_eq!(done.stderr.matches(&format!("{name} is left out")).count(), 1, "{done:?}");
    }
}

#[tokio::test]
async fn a_command_starts_where_the_system_takes_only_a_short_environment() {
    // The kernel takes a quarter of the stack limit for all arguments and variables, but at least 128 KiB.
    let long = "x".repeat(100 << 10);
    let stream = format!("event: {long}\nid: {long}\ndata: 1\n\n");
    let server = Foreign::start().await;
    let script =
        "ulimit -s 512; exec \"$0\" sub \"$1\" --count 1 --exec 'cat; echo ${STENTOR_TYPE-none}'";
    let sub = tokio::process::Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_stentor"), &server.url])
        .output();
    let (done, _) = tokio::join!(sub, server.answer([stream_of(&stream)]));
    let done = done.unwrap();
    assert_eq!(String::from_utf8_lossy(&done.stdout), "1none\n", "{done:?}");
    assert!(done.status.success(), "{done:?}");
}

#[tokio::test]
async fn a_command_need_not_read_its_stdin() {
    let server = Server::in_memory().await;
    server.publish("/topics/t", vec![b'x'; 1 << 20]).await;
    server.publish("/topics/t?end", "y").await;
    // A background process that keeps the pipe open does not block it either.
    for command in ["echo done", "exec <&-; echo done", "sleep 1 & echo done"] {
        let done = exec(&server, command, &[]).await;
        assert_eq!(
            (done.code, done.stdout.as_str()),
            (Some(0), "done\ndone\n"),
            "{command}: {done:?}"
        );
    }
}

#[tokio::test]
async fn a_command_that_fails_stops_it_before_the_event() {
    let server = Server::in_memory().await;
    for data in ["1", "2", "3"] {
        server.publish("/topics/t", data).await;
    }
    server.publish("/topics/t?end", "4").await;
    let directory = tempfile::tempdir().unwrap();
    let (cursor, fails) = (directory.path().join("cursor"), directory.path().join("fails"));
    std::fs::write(&fails, "").unwrap();
    let command = format!("read x; echo $x; [ $x != 3 ] || [ ! -e {} ]", fails.display());
    let args = ["--cursor", cursor.to_str().unwrap()];

    let done = exec(&server, &command, &args).await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(5), "1\n2\n3\n"), "{done:?}");
    assert!(done.stderr.contains("exit status: 1"), "{done:?}");
    let second = server.history("/topics/t").await[1]["id"].as_str().unwrap().to_owned();
    assert_eq!(text(&cursor), second + "\n");

    let done = exec(&server, &command, &args).await;
    assert_eq!(
        (done.code, done.stdout.as_str()),
        (Some(5), "3\n"),
        "the event is repeated: {done:?}"
    );
    std::fs::remove_file(&fails).unwrap();
    let done = exec(&server, &command, &args).await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "3\n4\n"), "{done:?}");
    let done = exec(&server, &command, &args).await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), ""), "nothing is left: {done:?}");
}

#[tokio::test]
async fn a_closed_stdout_is_not_a_failure_of_the_command() {
    let server = Server::in_memory().await;
    server.publish("/topics/t", "1").await;
    let args = ["t", "--from", "earliest", "--exec", "echo x"];
    let mut running = sub(&server, &args).start().await;
    assert_eq!(running.line().await.as_deref(), Some("x"));
    let left = running.close_stdout();
    let (code, _) = tokio::join!(left, server.publish("/topics/t", "2"));
    assert_eq!(code, Some(0));
}

#[tokio::test]
async fn ctrl_c_waits_for_the_current_event() {
    let server = Server::in_memory().await;
    let first = server.publish("/topics/t", "1").await;
    server.publish("/topics/t", "2").await;
    let directory = tempfile::tempdir().unwrap();
    let (cursor, go) = (directory.path().join("cursor"), directory.path().join("go"));
    let command =
        format!("echo begun; until [ -e {} ]; do sleep 0.01; done; echo done", go.display());
    let args =
        ["t", "--from", "earliest", "--cursor", cursor.to_str().unwrap(), "--exec", &command];
    let mut running = sub(&server, &args).in_process_group().start().await;
    assert_eq!(running.line().await.as_deref(), Some("begun"));
    running.signal_group("INT").await;
    running.until_stderr("finishing the current event").await;
    std::fs::write(&go, "").unwrap();
    let done = running.end().await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "done\n"), "{done:?}");
    assert_eq!(text(&cursor), first + "\n");
}

#[tokio::test]
async fn the_command_replaces_the_format() {
    let server = Server::in_memory().await;
    let done = exec(&server, "cat", &["--format", "json"]).await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(2), ""), "{done:?}");
}
