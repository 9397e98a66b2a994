//! Streams that continue after a restart of the server.

use serde_json::{Value, json};

use crate::{
    RestartableServer, assert_deleted, assert_end, assert_no_second_gap, data_of, delete_topic,
    resume_status,
};

/// The events of a deleted topic are in no page of history, and the topic is not in the list of topics.
pub async fn a_deletion_removes_the_topic_and_its_events(mut server: impl RestartableServer) {
    server.publish("/topics/news", "secret").await;
    server.publish("/topics/other", "stays").await;
    delete_topic(&server, "news").await;
    for _ in 0..2 {
        let page = server.page("/topics/news").await;
        assert_eq!(
            (&page["events"], &page["earliest"], &page["ended"]),
            (&json!([]), &Value::Null, &Value::Null)
        );
        let topics = server.page("/topics").await;
        let names: Vec<&Value> =
            topics["topics"].as_array().unwrap().iter().map(|topic| &topic["topic"]).collect();
        assert_eq!(names, ["other"]);
        assert_eq!(server.history_data("/events?topic=**").await, ["stays"]);
        server.restart().await;
    }
}

/// Readers that connected before a topic was deleted get an end when they resume, and no gap. With the id of that end,
/// they get 204.
pub async fn older_readers_get_the_end_and_no_gap(mut server: impl RestartableServer) {
    let position = server.subscribe("/topics/news").await.position().await;
    let one = server.publish("/topics/news", "one").await;
    let two = server.publish("/topics/news", "two").await;
    delete_topic(&server, "news").await;
    for _ in 0..2 {
        for cursor in [&position, &one, &two] {
            let mut stream = server.resume("/topics/news", cursor).await;
            stream.position().await;
            let end = assert_deleted(&mut stream, "news").await;
            assert_eq!(stream.next_any().await, None, "a clean close");
            let again = server.get("/topics/news").header("Last-Event-ID", &end).send().await;
            assert_eq!(again.status, 204);
            let mut pattern = server.resume("/events?topic=news/*&topic=*", cursor).await;
            pattern.position().await;
            assert_eq!(assert_deleted(&mut pattern, "news").await, end);
        }
        server.restart().await;
    }
}

/// The response to a reader of an ended topic is 204 only if its cursor is at or after the end.
pub async fn only_a_reader_that_has_passed_the_end_gets_204(mut server: impl RestartableServer) {
    let early = server.subscribe("/topics/job").await.position().await;
    let one = server.publish("/topics/job", "one").await;
    let two = server.publish("/topics/job?end=done", "two").await;
    let mut late = server.subscribe("/topics/other").await;
    let late = late.position().await;
    for _ in 0..2 {
        // A reader that may not have the end gets the remaining events, the end, and a clean close.
        let mut end = String::new();
        for (cursor, left) in [
            (early.as_str(), &["one", "two"][..]),
            (one.as_str(), &["two"]),
            (two.as_str(), &[]),
            (late.as_str(), &[]),
        ] {
            let rest = server.resume("/topics/job", cursor).await.rest().await;
            assert_eq!(data_of(&rest[..rest.len() - 1]), left);
            end = assert_end(rest.last().unwrap(), "job", "done");
        }
        for (options, left) in [
            ("", &[][..]),
            ("?from=now", &[]),
            ("?last=1", &["two"]),
            ("?from=earliest", &["one", "two"]),
        ] {
            let rest = server.subscribe(&format!("/topics/job{options}")).await.rest().await;
            assert_eq!(data_of(&rest[..rest.len() - 1]), left, "{options}");
            assert_eq!(assert_end(rest.last().unwrap(), "job", "done"), end);
        }
        assert_eq!(resume_status(&server, "/topics/job", &end).await, 204);
        let response = server.get(&format!("/topics/job?last_event_id={end}")).send().await;
        assert_eq!((response.status, response.body.as_slice()), (204, &b""[..]));
        // A reader that has a later event of another topic has passed the end.
        let beyond = server.publish("/topics/other", "later").await;
        assert_eq!(resume_status(&server, "/topics/job", &beyond).await, 204);
        server.restart().await;
    }
}

/// A reader from before the deletion of a topic gets a gap and the events of the new topic, if the topic exists again.
pub async fn a_topic_that_was_deleted_and_created_again_is_a_gap(
    mut server: impl RestartableServer,
) {
    let old = server.publish("/topics/news", "old").await;
    server.publish("/topics/news", "older readers never get this").await;
    server.delete("/topics/news").send().await;
    let first = server.publish("/topics/news", "new").await;
    server.publish("/topics/news", "newer").await;
    for _ in 0..2 {
        let mut stream = server.resume("/topics/news", &old).await;
        let (position, gap) = stream.gap().await;
        assert_eq!((&gap["reason"], &gap["topics"]), (&json!("deleted"), &json!(["news"])));
        assert_eq!(gap["earliest"], first);
        assert_eq!(stream.data(2).await, ["new", "newer"]);
        assert_no_second_gap(&server, "/topics/news", &position, &["new", "newer"]).await;
        server.restart().await;
    }
}

/// A reader that got only its position gets the events after that position when it resumes.
pub async fn a_reader_that_got_nothing_resumes_from_where_it_began(
    mut server: impl RestartableServer,
) {
    server.publish("/topics/news", "before").await;
    let position = server.subscribe("/topics/news").await.position().await;
    server.publish("/topics/news", "meanwhile").await;
    let mut stream = server.resume("/topics/news", &position).await;
    assert_eq!(stream.position().await, position);
    assert_eq!(stream.data(1).await, ["meanwhile"]);
    server.restart().await;
    let mut stream = server.resume("/topics/news", &position).await;
    assert_eq!(stream.position().await, position);
    assert_eq!(stream.data(1).await, ["meanwhile"]);
}

/// An id from one stream is a valid cursor for a stream of other topics.
pub async fn an_id_of_another_stream_is_a_position_in_the_log(mut server: impl RestartableServer) {
    server.publish("/topics/a", "a1").await;
    let of_b = server.publish("/topics/b", "b1").await;
    server.publish("/topics/a", "a2").await;
    let of_pattern = server.subscribe("/events?topic=**").await.position().await;
    server.publish("/topics/b", "b2").await;
    server.publish("/topics/a?end", "").await;
    for _ in 0..2 {
        let mut stream = server.resume("/topics/a", &of_b).await;
        assert_eq!(stream.data(1).await, ["a2"]);
        assert_eq!(stream.next().await.unwrap().name, "stentor.end");
        let rest = server.resume("/topics/a", &of_pattern).await.rest().await;
        assert_eq!(rest.len(), 1, "only the end is left");
        let mut stream = server.resume("/events?topic=*", &of_b).await;
        assert_eq!(stream.data(2).await, ["a2", "b2"]);
        server.restart().await;
    }
    // The id of an event of another topic, after the end: nothing is left for its reader.
    let behind = server.publish("/topics/b", "b3").await;
    let response = server.get("/topics/a").header("Last-Event-ID", &behind).send().await;
    assert_eq!(response.status, 204);
}
