//! Batches that are repeated after a restart of the server.

use serde_json::{Value, json};

use crate::{RestartableServer, TestClient};

/// A batch with a used idempotency key publishes nothing. It is a repeat only if all its events are equal to the first
/// batch with that key.
pub async fn the_key_of_a_batch_covers_all_of_it(mut server: impl RestartableServer) {
    let items = json!([{ "topic": "a", "data": "1" }, { "topic": "b", "data": "2" }]);
    let send = |server: &TestClient, items: &Value| {
        server.post("/topics", items.to_string()).header("Idempotency-Key", "k").send()
    };
    let first = send(&server, &items).await;
    assert_eq!(first.status, 201);
    let again = send(&server, &items).await;
    assert_eq!((again.status, again.json()), (200, first.json()));
    server.restart().await;
    let again = send(&server, &items).await;
    assert_eq!((again.status, again.json()), (200, first.json()));
    let fewer = json!([{ "topic": "a", "data": "1" }]);
    send(&server, &fewer).await.problem(422, "key-reused");
    assert_eq!(server.history("/topics/a").await.len(), 1);
    assert_eq!(server.history("/topics/b").await.len(), 1);
}
