//! `stentor log backup`.

use std::path::Path;

use serde_json::Value;

use crate::harness::Server;
use crate::{data, done, log, server_with_events};

/// Serves a copy.
async fn serve(copy: &Path) -> Server {
    Server::with(&["serve", "--data", copy.to_str().unwrap()]).await
}

/// Resumes a stream after an id. Returns the name and the data of the first event.
async fn first_event(server: &Server, id: &str) -> (String, Value) {
    let mut stream = server.resume("/topics/news", id).await;
    let first = stream.next_any().await.unwrap();
    (first.name, serde_json::from_str(&first.data).unwrap_or_default())
}

#[tokio::test]
async fn a_copy_made_while_the_server_runs_can_be_served() {
    let server = server_with_events().await;
    let copy = server.directory().join("copy");
    let output = done("backup", &data(&server), &[copy.to_str().unwrap()]).await;
    assert!(output.stderr.contains("--data") && output.stderr.contains("copy"), "{output:?}");
    done("verify", &copy, &[]).await;
    let restored = serve(&copy).await;
    assert_eq!(restored.history("/topics/news").await, server.history("/topics/news").await);
    assert_eq!(restored.page("/topics/job/7").await["ended"]["reason"], "done");
    restored.publish("/topics/news", "goes on").await;
}

#[tokio::test]
async fn a_backup_under_load_has_every_event_that_was_acknowledged_before_it() {
    let server = Server::start().await;
    let mut upload = server.upload("/topics/load", "application/x-ndjson").await;
    for n in 0..200 {
        upload.send(format!("{n}\n")).await;
    }
    let before = server.publish_each("/topics/news", 0..100).await;
    let copy = server.directory().join("copy");
    let backup = log("backup", &data(&server), &[copy.to_str().unwrap()]).start().await;
    for n in 200..400 {
        upload.send(format!("{n}\n")).await;
    }
    assert_eq!(backup.end().await.code, Some(0));
    upload.finish().await;
    done("verify", &copy, &[]).await;
    let restored = serve(&copy).await;
    let news = restored.history("/topics/news?last=1").await;
    assert_eq!(news[0]["id"].as_str(), Some(before.as_str()));
    let load = restored.history_data("/topics/load?limit=1000").await;
    let expected: Vec<String> = (0..load.len()).map(|n| n.to_string()).collect();
    assert_eq!(load, expected, "the first events of the topic, contiguous");
}

#[tokio::test]
async fn readers_of_the_original_resume_from_the_copy_or_get_a_gap() {
    let server = server_with_events().await;
    let both = server.publish("/topics/news", "in both").await;
    let copy = server.directory().join("copy");
    done("backup", &data(&server), &[copy.to_str().unwrap()]).await;
    let lost = server.publish("/topics/news", "in the original only").await;
    let mut live = server.subscribe("/topics/news").await;
    let position = live.position().await;
    let restored = serve(&copy).await;
    assert_eq!(first_event(&restored, &both).await.0, "stentor.cursor");
    for id in [&lost, &position] {
        let (name, gap) = first_event(&restored, id).await;
        assert_eq!((name.as_str(), &gap["requested"]), ("stentor.gap", &Value::from(id.as_str())));
    }
    // Also after new events in the copy.
    let next = restored.publish("/topics/news", "in the copy only").await;
    assert!(next > lost, "{next} {lost}");
    let mut stream = restored.resume("/topics/news", &lost).await;
    stream.gap().await;
    assert_eq!(stream.data(1).await, ["in the copy only"], "reading continues with new events");
    assert_eq!(first_event(&restored, &next).await.0, "stentor.cursor");
}

#[tokio::test]
async fn an_existing_directory_is_left_as_it_is() {
    let server = server_with_events().await;
    let dir = data(&server);
    for target in [dir.as_path(), server.directory()] {
        let done = log("backup", &dir, &[target.to_str().unwrap()]).run().await;
        assert_eq!(done.code, Some(1), "{done:?}");
        assert!(done.stderr.contains("new or empty"), "{done:?}");
    }
    assert_eq!(std::fs::read_dir(server.directory()).unwrap().count(), 1);
    server.publish("/topics/news", "goes on").await;
}
