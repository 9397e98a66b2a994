//! `stentor log info`.

use serde_json::Value;

use crate::harness::Server;
use crate::{data, done, log, server_with_events, stentor};

async fn info_of(server: &Server) -> Value {
    serde_json::from_str(&done("info", &data(server), &["--json"]).await.stdout).unwrap()
}

#[tokio::test]
async fn a_log_is_described_while_the_server_runs_and_afterwards() {
    let mut server = server_with_events().await;
    let info = info_of(&server).await;
    assert_eq!((&info["in_use"], &info["process"]), (&true.into(), &server.pid().into()));
    assert_eq!((&info["events"], &info["topics"]), (&21.into(), &2.into()));
    assert_eq!((&info["ended_topics"], &info["clean"]), (&1.into(), &false.into()));
    let id = server.history("/topics/news").await[0]["id"].as_str().unwrap().to_owned();
    assert!(id.contains(info["epoch"].as_str().unwrap()), "{id} {info}");
    assert_eq!(server.stop().await, Some(0));
    let info = info_of(&server).await;
    assert_eq!((&info["in_use"], &info["process"]), (&false.into(), &Value::Null));
    assert_eq!((&info["events"], &info["clean"]), (&21.into(), &true.into()));
}

#[tokio::test]
async fn without_json_there_is_a_line_for_each_fact() {
    let server = server_with_events().await;
    let done = done("info", &data(&server), &[]).await;
    let in_use = format!("state        in use by process {}\n", server.pid());
    assert!(done.stdout.contains(&in_use), "{done:?}");
    assert!(done.stdout.contains("topics       2, 1 of them ended\n"), "{done:?}");
    assert_eq!(done.stderr, "");
}

#[tokio::test]
async fn reading_a_log_does_not_disturb_its_server() {
    let mut server = server_with_events().await;
    for _ in 0..5 {
        info_of(&server).await;
        server.publish("/topics/news", "goes on").await;
    }
    assert_eq!(server.stop().await, Some(0));
    info_of(&server).await;
    server.start_again().await;
    assert_eq!(server.history("/topics/news").await.len(), 25);
}

#[tokio::test]
async fn a_missing_log_is_an_error_with_advice() {
    let directory = tempfile::tempdir().unwrap();
    let nothing = directory.path().join("nothing");
    for command in ["info", "verify", "export"] {
        let done = log(command, &nothing, &[]).run().await;
        assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""), "{command}: {done:?}");
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
async fn the_directory_can_come_from_the_environment() {
    let server = server_with_events().await;
    let dir = data(&server);
    let done = stentor(&["log", "info"]).env("STENTOR_DATA", dir.to_str().unwrap()).run().await;
    assert!(done.stdout.contains(dir.to_str().unwrap()), "{done:?}");
}
