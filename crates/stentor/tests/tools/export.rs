//! `stentor log export`.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::harness::{Server, TIMEOUT};
use crate::{data, done, log, server_with_events};

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn the_lines_are_those_of_an_ndjson_stream() {
    let server = server_with_events().await;
    let exported = lines(&done("export", &data(&server), &[]).await.stdout);
    let all = server.get("/events?topic=news&topic=job/*&from=earliest");
    let mut stream = all.header("Accept", "application/x-ndjson").open().await;
    let mut read = Vec::new();
    while read.len() < exported.len() {
        let line = stream.line().await.unwrap();
        if line["type"] != "stentor.cursor" {
            read.push(line);
        }
    }
    assert_eq!(exported, read);
    assert_eq!(exported.last().unwrap()["type"], "stentor.end");
    assert_eq!(exported.len(), 22, "deleted events are left out");
}

#[tokio::test]
async fn topics_and_a_start_can_be_chosen() {
    let server = server_with_events().await;
    let dir = data(&server);
    let all = lines(&done("export", &dir, &[]).await.stdout);
    let news = lines(&done("export", &dir, &["--topic", "news"]).await.stdout);
    assert_eq!(news.len(), 20);
    let job = lines(&done("export", &dir, &["--topic", "job/*", "--topic", "other"]).await.stdout);
    assert_eq!(job[0]["data"], "ä \"half\"\r\nway");
    assert_eq!((&job[0]["type"], &job[0]["retry"]), (&"step".into(), &1500.into()));
    let id = all[4]["id"].as_str().unwrap();
    let after = lines(&done("export", &dir, &["--from", id]).await.stdout);
    assert_eq!(after, all[5..]);
    let time = all[20]["time"].as_str().unwrap();
    let since = lines(&done("export", &dir, &["--from", time]).await.stdout);
    assert_eq!(since.first(), Some(&all[20]));
}

#[tokio::test]
async fn an_invalid_start_is_refused_with_advice() {
    let server = server_with_events().await;
    let dir = data(&server);
    let wrong = log("export", &dir, &["--from", "yesterday"]).run().await;
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.stderr.contains("earliest"), "{wrong:?}");
    let other = Server::start().await;
    let id = other.publish("/topics/news", "elsewhere").await;
    let foreign = log("export", &dir, &["--from", &id]).run().await;
    assert_eq!((foreign.code, foreign.stdout.as_str()), (Some(1), ""));
    assert!(foreign.stderr.contains("is not from this log"), "{foreign:?}");
}

#[tokio::test]
async fn a_closed_pipe_is_not_an_error() {
    let server = Server::start().await;
    let filler = "x".repeat(2_000);
    server.publish_each("/topics/news", (0..500).map(|_| &filler)).await;
    let mut export = Command::new(env!("CARGO_BIN_EXE_stentor"))
        .args(["log", "export", "--data", data(&server).to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(export.stdout.take().unwrap()).lines();
    assert!(lines.next_line().await.unwrap().is_some());
    drop(lines);
    let output = timeout(TIMEOUT, export.wait_with_output()).await.expect("it ends").unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
