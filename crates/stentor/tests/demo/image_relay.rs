//! `stentor demo image-relay`.

use crate::harness::Server;

const PICTURE: &str = "data:image/png;base64,iVBORw0KGgo=";
const EVENT_BYTES_MAX: usize = 8 << 20;

async fn start() -> Server {
    Server::with(&["demo", "image-relay"]).await
}

fn picture(source: &str) -> String {
    format!(r#"{{"imageSrc":"{source}"}}"#)
}

async fn send(server: &Server, source: &str) {
    let response = server.post("/receive-image", picture(source)).send().await;
    assert_eq!(response.status, 200, "{response:?}");
}

#[tokio::test]
async fn a_picture_is_acknowledged_and_relayed_as_in_the_original() {
    let server = start().await;
    let mut viewer = server.subscribe("/sse-image").await;
    // With the type of JSON, with that of `curl -d`, and without a content type.
    for content_type in [Some("application/json"), Some("application/x-www-form-urlencoded"), None]
    {
        let mut post = server.post("/receive-image", picture(PICTURE));
        if let Some(content_type) = content_type {
            post = post.header("Content-Type", content_type);
        }
        let response = post.send().await;
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(response.text(), r#"{"message":"Images received and accept successfully"}"#);
        assert_eq!(response.header("content-type"), Some("application/json"));
        let event = viewer.next().await.unwrap();
        assert_eq!((event.name.as_str(), event.data.as_str()), ("message", PICTURE));
    }
}

#[tokio::test]
async fn an_invalid_picture_is_refused_and_not_relayed() {
    let server = start().await;
    let mut viewer = server.subscribe("/sse-image").await;
    for (body, code) in [
        ("", "json"),
        ("not JSON", "json"),
        ("{}", "json"),
        (r#"{"imageSrc":7}"#, "json"),
        (r#"{"imageSrc":""}"#, "image"),
        (r#"{"imageSrc":"https://example.org/a.png"}"#, "image"),
        (r#"{"imageSrc":"data:text/html,<b>"}"#, "image"),
    ] {
        let response = server.post("/receive-image", body).send().await;
        assert!(!response.problem(400, code).is_empty(), "{body}");
    }
    for size in [EVENT_BYTES_MAX + 1, EVENT_BYTES_MAX * 2] {
        let large = format!("data:image/png;base64,{}", "A".repeat(size));
        let response = server.post("/receive-image", picture(&large)).send().await;
        assert_eq!(response.status, 413, "{size}");
    }
    assert_eq!(server.get("/receive-image").send().await.status, 405);
    send(&server, PICTURE).await;
    assert_eq!(viewer.data(1).await, [PICTURE]);
}

#[tokio::test]
async fn every_viewer_receives_each_picture_and_a_late_one_the_latest() {
    let server = start().await;
    let mut viewers = Vec::new();
    for _ in 0..20 {
        viewers.push(server.subscribe("/sse-image").await);
    }
    let pictures: Vec<String> = (0..3).map(|number| format!("{PICTURE}{number}")).collect();
    for picture in &pictures {
        send(&server, picture).await;
    }
    for viewer in &mut viewers {
        assert_eq!(viewer.data(3).await, pictures);
    }
    let mut late = server.subscribe("/sse-image").await;
    assert_eq!(late.data(1).await, pictures[2..]);
    send(&server, PICTURE).await;
    assert_eq!(late.data(1).await, [PICTURE]);
}

#[tokio::test]
async fn a_viewer_that_reconnects_receives_the_pictures_it_missed() {
    let mut server = start().await;
    let mut viewer = server.subscribe("/sse-image").await;
    send(&server, "data:image/png,1").await;
    assert_eq!(viewer.data(1).await, ["data:image/png,1"]);
    let cursor = viewer.last_event_id();
    drop(viewer);
    send(&server, "data:image/png,2").await;
    server.kill_and_restart().await;
    send(&server, "data:image/png,3").await;
    let mut viewer = server.resume("/sse-image", &cursor).await;
    assert_eq!(viewer.data(2).await, ["data:image/png,2", "data:image/png,3"]);
}

#[tokio::test]
async fn the_root_is_a_text_for_programs_and_a_page_for_browsers() {
    let server = start().await;
    let plain = server.get("/").send().await;
    assert_eq!((plain.status, plain.text().as_str()), (200, "status ok!"));
    assert!(plain.header("vary").unwrap().contains("Accept"));
    let page = server.get("/").header("Accept", "text/html,*/*;q=0.8").send().await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.text().contains("<title>Image relay"));
}

#[tokio::test]
async fn a_front_end_on_another_local_port_may_post_and_watch() {
    let server = start().await;
    let origin = "http://localhost:3000";
    let preflight = server
        .request("OPTIONS", "/receive-image")
        .header("Origin", origin)
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "content-type")
        .send()
        .await;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-origin"), Some(origin));
    assert!(preflight.header("access-control-allow-methods").unwrap().contains("POST"));
    let allowed = preflight.header("access-control-allow-headers").unwrap();
    assert!(allowed.to_ascii_lowercase().contains("content-type"));

    let post =
        server.post("/receive-image", picture(PICTURE)).header("Origin", origin).send().await;
    assert_eq!(post.status, 200);
    assert_eq!(post.header("access-control-allow-origin"), Some(origin));
    let viewer = server.get("/sse-image").header("Origin", origin).open().await;
    assert_eq!(viewer.head.header("access-control-allow-origin"), Some(origin));
    let refused = server.post("/receive-image", "?").header("Origin", origin).send().await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.header("access-control-allow-origin"), Some(origin));

    let foreign = server.post("/receive-image", picture(PICTURE));
    let foreign = foreign.header("Origin", "https://elsewhere.example").send().await;
    foreign.problem(403, "foreign-origin");
}
