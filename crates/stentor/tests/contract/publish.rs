//! `POST /topics/{topic}`.

use crate::harness::Server;

#[tokio::test]
async fn a_published_event_arrives_framed_as_specified() {
    let server = Server::start().await;
    let id = server.publish("/topics/news", "hello").await;
    let mut stream = server.subscribe("/topics/news?from=earliest").await;
    let text = stream.until("data: hello\n\n").await;
    assert!(text.ends_with(&format!("\n\nid: {id}\ndata: hello\n\n")), "{text}");
}
