//! `GET /topics`, health, metrics, and unknown paths.

use serde_json::{Value, json};

use crate::harness::Server;

fn names(page: &Value) -> Vec<&str> {
    page["topics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|topic| topic["topic"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn topics_are_listed_by_name_with_what_they_hold() {
    let mut server = Server::start().await;
    assert_eq!(server.page("/topics").await, json!({"topics": [], "next": null}));
    server.publish("/topics/news", "hello").await;
    server.publish("/topics/news", "wörld").await;
    server.publish("/topics/job?end=done", "x").await;
    let mut stream = server.subscribe("/topics/news").await;
    stream.position().await;
    let mut page = server.page("/topics").await;
    for topic in page["topics"].as_array_mut().unwrap() {
        let (bytes, events) = (topic["bytes"].take(), &topic["events"]);
        assert!(bytes.as_u64() >= events.as_u64(), "{bytes} bytes of {events} events");
    }
    let wanted = json!({
        "topics": [
            {"topic": "job", "events": 1, "bytes": null, "subscribers": 0, "ended": true},
            {"topic": "news", "events": 2, "bytes": null, "subscribers": 1, "ended": false},
        ],
        "next": null,
    });
    assert_eq!(page, wanted);
    server.restart().await;
    assert_eq!(names(&server.page("/topics").await), ["job", "news"]);
}

#[tokio::test]
async fn the_list_has_pages_in_byte_order() {
    let server = Server::start().await;
    let mut wanted = ["b", "a/x", "a", "é", "Z", "a b", "a/x/y", "ab"];
    for topic in wanted {
        server.publish(&format!("/topics/{}", topic.replace(' ', "%20")), "x").await;
    }
    wanted.sort_unstable();
    let mut all = Vec::new();
    let mut path = "/topics?limit=3".to_owned();
    loop {
        let page = server.page(&path).await;
        assert!(names(&page).len() <= 3);
        all.extend(names(&page).into_iter().map(str::to_owned));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/topics?limit=3&after={}", next.replace(' ', "%20"));
    }
    assert_eq!(all, wanted);
    assert_eq!(server.page("/topics?limit=8").await["next"], Value::Null);
    for limit in ["0", "1001"] {
        let response = server.get(&format!("/topics?limit={limit}")).send().await;
        assert!(response.problem(400, "query").contains("1 to 1000"), "{response:?}");
    }
}

#[tokio::test]
async fn a_prefix_narrows_the_list() {
    let server = Server::start().await;
    for topic in ["a", "a/x", "a/y", "ab", "b"] {
        server.publish(&format!("/topics/{topic}"), "x").await;
    }
    assert_eq!(names(&server.page("/topics?prefix=a/").await), ["a/x", "a/y"]);
    assert_eq!(names(&server.page("/topics?prefix=a").await), ["a", "a/x", "a/y", "ab"]);
    assert_eq!(names(&server.page("/topics?prefix=a&after=a/x").await), ["a/y", "ab"]);
    assert_eq!(names(&server.page("/topics?prefix=a/&limit=1&after=a/x").await), ["a/y"]);
    assert_eq!(names(&server.page("/topics?prefix=&after=&limit=").await).len(), 5);
    assert_eq!(server.page("/topics?prefix=z").await, json!({"topics": [], "next": null}));
    let response = server.get("/topics?prefx=a").send().await;
    assert!(response.problem(400, "query").contains("`prefix`"), "{response:?}");
}

#[tokio::test]
async fn a_running_server_is_live_and_ready() {
    let server = Server::start().await;
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(server.get(path).send().await.status, 200);
        let head = server.request("HEAD", path).send().await;
        assert_eq!((head.status, head.body.as_slice()), (200, &b""[..]));
        let post = server.post(path, "").send().await;
        post.problem(405, "method");
        assert_eq!(post.header("allow"), Some("GET, HEAD"));
    }
}

#[tokio::test]
async fn metrics_count_what_was_published_and_delivered() {
    let server = Server::start().await;
    let mut stream = server.subscribe("/topics/news").await;
    stream.position().await;
    let published = server.metric("stentor_published_events_total").await;
    let delivered = server.metric("stentor_delivered_events_total").await;
    server.publish_each("/topics/news", 0..5).await;
    server.post("/topics/news/*", "refused").send().await.problem(400, "topic");
    stream.data(5).await;
    assert_eq!(server.metric("stentor_published_events_total").await, published + 5);
    assert_eq!(server.metric("stentor_delivered_events_total").await, delivered + 5);
    assert_eq!(server.metric("stentor_publishes_total").await, 1);
    let commits = server.metric("stentor_commits_total").await;
    assert!((1..=5).contains(&commits), "{commits} commits of 5 events");
    assert_eq!(server.metric("stentor_publishes_refused_total").await, 1);
    assert_eq!(server.metric("stentor_streams_open").await, 1);
    let response = server.get("/metrics").send().await;
    assert!(response.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(response.text().ends_with("# EOF\n"));
}

#[tokio::test]
async fn an_unknown_path_is_answered_with_the_known_ones() {
    let server = Server::start().await;
    for (method, path) in [("GET", "/topic/news"), ("POST", "/publish"), ("GET", "/console/none")] {
        let response = server.request(method, path).send().await;
        assert!(response.problem(404, "path").contains("/topics/NAME"), "{response:?}");
    }
    for (method, path, allow) in [
        ("PATCH", "/topics/news", "GET, HEAD, POST, PUT, DELETE"),
        ("DELETE", "/topics", "GET, HEAD, POST"),
        ("POST", "/events", "GET, HEAD"),
        ("DELETE", "/", "GET, HEAD"),
    ] {
        let response = server.request(method, path).send().await;
        response.problem(405, "method");
        assert_eq!(response.header("allow"), Some(allow), "{method} {path}");
    }
}

#[tokio::test]
async fn the_console_is_at_the_root() {
    let server = Server::start().await;
    for accept in ["text/html", "*/*"] {
        let page = server.get("/").header("Accept", accept).send().await;
        assert_eq!(
            (page.status, page.header("content-type")),
            (200, Some("text/html; charset=utf-8"))
        );
        let tag = page.header("etag").unwrap();
        let again = server.get("/").header("If-None-Match", tag).send().await;
        assert_eq!((again.status, again.body.as_slice()), (304, &b""[..]));
    }
}
