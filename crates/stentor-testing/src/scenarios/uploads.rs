//! Uploads that are repeated after a restart of the server.

use serde_json::json;

use crate::{
    RestartableServer, assert_differs_after, events_with_ids, keyed_upload, lines,
    upload_events_with_ids, upload_lines,
};

/// An upload with an idempotency key is cut and sent again: only the events after the cut are published.
pub async fn a_repeated_upload_publishes_only_what_is_missing(mut server: impl RestartableServer) {
    let mut stream = server.subscribe("/topics/t").await;
    let mut cut = keyed_upload(&server, "application/x-ndjson").upload().await;
    cut.send("1\n2\nha").await;
    assert_eq!(stream.data(2).await, ["1", "2"]);
    drop(cut);
    server.restart().await;
    let response = upload_lines(&server, "1\n2\nhalf\n4\n").await;
    assert_eq!((response.status, &response.json()["count"]), (201, &json!(4)));
    let repeat = upload_lines(&server, "1\n2\nhalf\n4").await;
    assert_eq!((repeat.status, repeat.json()), (200, response.json()));
    let events = server.history("/topics/t").await;
    let data: Vec<_> = events.iter().map(|event| event["data"].clone()).collect();
    assert_eq!(data, ["1", "2", "half", "4"]);
    assert_eq!(response.json()["first_id"], events[0]["id"]);
    assert_eq!(response.json()["last_id"], events[3]["id"]);
}

/// An upload that is shorter than the first one with its idempotency key, and differs from it, is refused at the first
/// event that differs.
pub async fn a_shorter_repeat_that_differs_is_refused_where_it_does(
    mut server: impl RestartableServer,
) {
    upload_lines(&server, lines(5)).await;
    for restart in [false, true] {
        if restart {
            server.restart().await;
        }
        for (body, agreeing) in [("0\n1\nother\n", 2), ("other\n", 0), ("0\n2\n", 1)] {
            let response = upload_lines(&server, body).await;
            assert_differs_after(&server, &response, agreeing).await;
        }
    }
    assert_eq!(server.history_data("/topics/t").await, ["0", "1", "2", "3", "4"]);
}

/// An upload whose event ids are idempotency keys is sent again, then with one more event. Only the additional event
/// is published.
pub async fn a_repeated_upload_with_ids_publishes_only_what_is_missing(
    mut server: impl RestartableServer,
) {
    let first = upload_events_with_ids(&server, events_with_ids(["a", "b"])).await;
    assert_eq!(first.status, 201);
    server.restart().await;
    let again = upload_events_with_ids(&server, events_with_ids(["a", "b"])).await;
    assert_eq!((again.status, again.json()), (200, first.json()));
    let more = upload_events_with_ids(&server, events_with_ids(["a", "b", "c"])).await;
    assert_eq!((more.status, &more.json()["count"]), (201, &json!(3)));
    assert_eq!(more.json()["first_id"], first.json()["first_id"]);
    assert_eq!(server.history_data("/topics/t").await, ["a", "b", "c"]);
}
