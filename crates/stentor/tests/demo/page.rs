//! The pages and files of every app, and the gallery of all five.

use crate::harness::Server;

#[tokio::test]
async fn each_app_serves_its_page_and_files() {
    for (name, path, title) in [
        ("image-relay", "/", "Image relay"),
        ("counter", "/", "Counter"),
        ("chat", "/pages/sse", "Chat"),
        ("progress", "/", "Progress"),
        ("audit-trail", "/", "Audit trail"),
    ] {
        let server = Server::with(&["demo", name]).await;
        let page = server.get(path).header("Accept", "text/html").send().await;
        assert_eq!(
            (page.status, page.header("content-type")),
            (200, Some("text/html; charset=utf-8"))
        );
        assert!(page.text().contains(&format!("<title>{title} ")), "{name}");
        for (file, content_type) in
            [("/demo.css", "text/css"), ("/connection.js", "text/javascript")]
        {
            let response = server.get(file).send().await;
            assert_eq!(response.status, 200, "{name}{file}");
            assert!(response.header("content-type").unwrap().starts_with(content_type));
        }
        // Its log has its own directory.
        assert!(server.directory().join("stentor-demo-data").join(name).is_dir());
    }
}

#[tokio::test]
async fn the_gallery_has_all_five_and_their_topics() {
    let server = Server::with(&["demo"]).await;
    let post = |path, body: &str| server.post(path, body).send();
    let picture =
        post("/demo/image-relay/receive-image", r#"{"imageSrc":"data:image/png,"}"#).await;
    assert_eq!(picture.status, 200);
    let said = post("/demo/chat/sse/message", r#"{"message":"hi","user":"Ada"}"#).await;
    assert_eq!(said.status, 200);
    assert_eq!(post("/demo/audit-trail/api/v1/audits", r#"{"id":"1"}"#).await.status, 200);
    assert_eq!(server.subscribe("/demo/counter/event").await.data(1).await, ["1"]);
    let mut job = server.subscribe("/demo/progress/sse").await;
    assert_eq!(job.rest().await.len(), 11);
    drop(job);

    let page = server.get("/topics").send().await.json();
    let names = page["topics"].as_array().unwrap().iter().map(|t| t["topic"].as_str().unwrap());
    let expected = ["audit-trail", "chat", "counter", "image-relay", "progress/1"];
    assert_eq!(names.collect::<Vec<_>>(), expected);
    let page = server.get("/").header("Accept", "text/html").send().await.text();
    for name in ["image-relay", "counter", "chat", "progress", "audit-trail"] {
        assert!(page.contains(&format!("href=\"demo/{name}/")), "{name}");
        let moved = server.get(&format!("/demo/{name}")).send().await;
        assert_eq!(moved.header("location"), Some(format!("/demo/{name}/").as_str()));
    }
    assert_eq!(server.get("/console").send().await.status, 200);
}
