//! `DELETE /topics/{topic}`.

use serde_json::{Value, json};

use super::mode;
use crate::harness::scenarios::streams;
use crate::harness::{Server, assert_deleted, delete_topic};

#[tokio::test]
async fn deleting_an_unknown_topic_is_not_an_error() {
    let server = Server::start_with(mode()).await;
    delete_topic(&server, "never").await;
    server.publish("/topics/news", "x").await;
    delete_topic(&server, "news").await;
    delete_topic(&server, "news").await;
    server.delete("/topics/a/*").send().await.problem(400, "topic");
    server.delete("/topics/a?end").send().await.problem(400, "query");
}

#[tokio::test]
async fn live_readers_get_an_end_and_a_clean_close() {
    let server = Server::start_with(mode()).await;
    let mut one = server.subscribe("/topics/news?from=earliest").await;
    let mut pattern = server.subscribe("/events?topic=*/**&topic=news&topic=*").await;
    one.position().await;
    pattern.position().await;
    server.publish("/topics/news", "last").await;
    assert_eq!(
        (one.data(1).await, pattern.data(1).await),
        (vec!["last".to_owned()], vec!["last".to_owned()])
    );
    delete_topic(&server, "news").await;
    assert_deleted(&mut one, "news").await;
    assert_eq!(one.next_any().await, None);
    assert_deleted(&mut pattern, "news").await;
    server.publish("/topics/other", "continues").await;
    assert_eq!(pattern.data(1).await, ["continues"]);
}

#[tokio::test]
async fn in_json_older_readers_get_the_end() {
    let server = Server::start_with(mode()).await;
    let one = server.publish("/topics/news", "one").await;
    delete_topic(&server, "news").await;
    let page = server.page(&format!("/topics/news?after={one}")).await;
    assert_eq!((&page["ended"]["reason"], &page["gap"]), (&json!("deleted"), &Value::Null));
    assert_eq!(page["events"], json!([]));
}

#[tokio::test]
async fn new_readers_do_not_see_a_deletion_and_wait() {
    let server = Server::start_with(mode()).await;
    server.publish("/topics/news", "old").await;
    delete_topic(&server, "news").await;
    for options in ["", "?from=earliest", "?last=5", "?last_each=5", "?since=2020-01-01T00:00:00Z"]
    {
        let mut stream = server.subscribe(&format!("/topics/news{options}")).await;
        stream.position().await;
        let id = server.publish("/topics/news", "reborn").await;
        let event = stream.next_any().await.unwrap();
        assert_eq!((event.data.as_str(), event.id), ("reborn", id), "{options}");
        delete_topic(&server, "news").await;
        assert_deleted(&mut stream, "news").await;
    }
}

#[tokio::test]
async fn a_reader_that_has_the_deletion_gets_the_new_topic_without_a_gap() {
    let server = Server::start_with(mode()).await;
    let one = server.publish("/topics/news", "one").await;
    delete_topic(&server, "news").await;
    let mut stream = server.resume("/topics/news", &one).await;
    let end = assert_deleted(&mut stream, "news").await;
    server.publish("/topics/news", "reborn").await;
    let mut stream = server.resume("/topics/news", &end).await;
    stream.position().await;
    assert_eq!(stream.data(1).await, ["reborn"]);
}

#[tokio::test]
async fn an_ended_topic_that_was_deleted_can_be_created_again() {
    let server = Server::start_with(mode()).await;
    let end = server.publish("/topics/job?end=done", "").await;
    delete_topic(&server, "job").await;
    let mut stream = server.resume("/topics/job", &end).await;
    assert_deleted(&mut stream, "job").await;
    assert_eq!(stream.next_any().await, None);
    server.publish("/topics/job", "reborn").await;
    assert_eq!(server.subscribe("/topics/job?from=earliest").await.data(1).await, ["reborn"]);
    let mut stream = server.resume("/topics/job", &end).await;
    assert_eq!(stream.gap().await.1["reason"], "deleted");
    assert_eq!(stream.data(1).await, ["reborn"]);
}

#[tokio::test]
async fn a_deleted_topic_does_not_close_a_stream_whose_other_topic_continues() {
    let server = Server::start_with(mode()).await;
    let path = "/events?topic=a&topic=b";
    let start = server.publish("/topics/a", "a1").await;
    let mut live = server.resume(path, &start).await;
    delete_topic(&server, "a").await;
    assert_deleted(&mut live, "a").await;
    server.publish("/topics/a", "a2").await;
    server.publish("/topics/b?end", "b1").await;
    assert_eq!(live.data(2).await, ["a2", "b1"]);
    assert_eq!(live.next().await.unwrap().name, "stentor.end");
    server.publish("/topics/a?end", "").await;
    assert_eq!(live.next().await.unwrap().name, "stentor.end");
    assert_eq!(live.next_any().await, None);
}

#[tokio::test]
async fn a_deletion_removes_the_topic_and_its_events() {
    streams::a_deletion_removes_the_topic_and_its_events(Server::start_with(mode()).await).await;
}

#[tokio::test]
async fn older_readers_get_the_end_and_no_gap() {
    streams::older_readers_get_the_end_and_no_gap(Server::start_with(mode()).await).await;
}
