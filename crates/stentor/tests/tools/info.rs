//! `stentor log info`.

use serde_json::Value;

use crate::harness::Server;
use crate::{data, done, log, server_with_events, stentor};

async fn info(server: &Server) -> Value {
    serde_json::from_str(&done("info", &data(server), &["--json"]).await.stdout).unwrap()
}

#[tokio::test]
async fn a_log_is_described_while_it_is_served_and_after_that() {
    let mut server = server_with_events().await;
    let told = info(&server).await;
    assert_eq!((&told["in_use"], &told["process"]), (&true.into(), &server.pid().into()));
    assert_eq!((&told["events"], &told["topics"]), (&21.into(), &2.into()));
    assert_eq!((&told["ended_topics"], &told["clean"]), (&1.into(), &false.into()));
    let id = server.history("/topics/news").await[0]["id"].as_str().unwrap().to_owned();
    assert!(id.contains(told["epoch"].as_str().unwrap()), "{id} {told}");
    assert_eq!(server.stop().await, Some(0));
    let told = info(&server).await;
    assert_eq!((&told["in_use"], &told["process"]), (&false.into(), &Value::Null));
    assert_eq!((&told["events"], &told["clean"]), (&21.into(), &true.into()));
}

#[tokio::test]
async fn people_are_told_in_lines() {
    let server = server_with_events().await;
    let done = done("info", &data(&server), &[]).await;
    let in_use = format!("state        in use by process {}\n", server.pid());
    assert!(done.stdout.contains(&in_use), "{done:?}");
    assert!(done.stdout.contains("topics       2, 1 of them ended\n"), "{done:?}");
    assert_eq!(done.stderr, "");
}

#[tokio::test]
async fn looking_at_a_log_does_not_disturb_who_serves_it() {
    let mut server = server_with_events().await;
    for _ in 0..5 {
        info(&server).await;
        server.publish("/topics/news", "goes on").await;
    }
    assert_eq!(server.stop().await, Some(0));
    info(&server).await;
    server.start_again().await;
    assert_eq!(server.history("/topics/news").await.len(), 25);
}

#[tokio::test]
async fn where_there_is_no_log_the_remedy_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let nothing = directory.path().join("nothing");
    for what in ["info", "verify", "export"] {
        let done = log(what, &nothing, &[]).run().await;
        assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""), "{what}: {done:?}");
        assert!(
            done.stderr.contains("there is no log") && done.stderr.contains("--data"),
            "{done:?}"
        );
    }
    assert!(!nothing.exists());
    std::fs::create_dir(&nothing).unwrap();
    std::fs::write(nothing.join("log.db"), "something else, and long enough to be looked at")
        .unwrap();
    let done = log("info", &nothing, &[]).run().await;
    assert_eq!(done.code, Some(1));
    assert!(done.stderr.contains("is not a log of Stentor"), "{done:?}");
}

#[tokio::test]
async fn the_directory_may_come_from_the_environment() {
    let server = server_with_events().await;
    let dir = data(&server);
    let done = stentor(&["log", "info"]).env("STENTOR_DATA", dir.to_str().unwrap()).run().await;
    assert!(done.stdout.contains(dir.to_str().unwrap()), "{done:?}");
}
