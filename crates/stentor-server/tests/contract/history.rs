//! Pages of history: a topic as `application/json`.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::harness::{Response, Server};

const EMPTY: [&str; 0] = [];

fn data(page: &Value) -> Vec<&str> {
    page["events"].as_array().unwrap().iter().map(|event| event["data"].as_str().unwrap()).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}"))
}

async fn refused(server: &Server, path: &str) -> Response {
    server.get(path).header("Accept", "application/json").send().await
}

/// Publishes the letters a to e, and returns their ids.
async fn letters(server: &Server, topic: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for letter in ["a", "b", "c", "d", "e"] {
        ids.push(server.publish(&format!("/topics/{topic}"), letter).await);
    }
    ids
}

/// Reads page after page with at most `limit` events each, and returns the data of all.
async fn walk(server: &Server, path: &str, limit: usize) -> Vec<String> {
    let mut all = Vec::new();
    let mut after = String::new();
    loop {
        let page = server.page(&format!("{path}limit={limit}{after}")).await;
        let data = data(&page);
        assert!(data.len() <= limit);
        all.extend(data.into_iter().map(str::to_owned));
        match page["next"].as_str() {
            None => return all,
            Some(next) => after = format!("&after={next}"),
        }
    }
}

#[tokio::test]
async fn a_page_has_its_events_and_their_bounds() {
    let server = Server::start().await;
    let first = server.publish("/topics/news?type=sport&retry=10", "one").await;
    let second = server.publish("/topics/news", "two").await;
    let mut page = server.page("/topics/news").await;
    for event in page["events"].as_array_mut().unwrap() {
        let time = event["time"].take();
        assert!(text(&time).ends_with('Z') && text(&time).contains('T'), "{time}");
    }
    let tail = page["tail"].take();
    assert!(second.starts_with(text(&tail)), "{tail}");
    let wanted = json!({
        "topic": "news",
        "events": [
            {"id": first, "topic": "news", "type": "sport", "time": null, "data": "one", "retry": 10},
            {"id": second, "topic": "news", "type": "message", "time": null, "data": "two"},
        ],
        "next": null, "earliest": first, "tail": null, "gap": null, "ended": null, "subscribers": 0,
    });
    assert_eq!(page, wanted);
}

#[tokio::test]
async fn a_page_of_several_topics_names_them_all() {
    let server = Server::start().await;
    for topic in ["b/x", "a", "other", "b/y"] {
        server.publish(&format!("/topics/{topic}"), topic).await;
    }
    let page = server.page("/events?topic=a&topic=b/*").await;
    assert_eq!(data(&page), ["b/x", "a", "b/y"]);
    assert_eq!((&page["topics"], page.get("topic")), (&json!(["a", "b/*"]), None));
}

#[tokio::test]
async fn an_unknown_topic_is_an_empty_page() {
    let server = Server::start().await;
    let mut page = server.page("/topics/never").await;
    assert!(!text(&page["tail"].take()).is_empty());
    let wanted = json!({
        "topic": "never", "events": [], "next": null, "earliest": null, "tail": null, "gap": null,
        "ended": null, "subscribers": 0,
    });
    assert_eq!(page, wanted);
}

#[tokio::test]
async fn without_an_option_a_page_is_the_oldest() {
    let server = Server::start().await;
    server.publish_each("/topics/news", 0..1_500).await;
    let page = server.page("/topics/news").await;
    let whole = server.page("/topics/news?limit=1000").await;
    assert_eq!((data(&page)[0], data(&whole)[0]), ("0", "0"));
    assert_eq!(data(&whole).len(), 1_000, "the most events of a page");
    assert!(page["next"].is_string() && whole["next"].is_string());
}

#[tokio::test]
async fn the_next_page_is_after_the_last_event_of_this_one() {
    let server = Server::start().await;
    let ids = letters(&server, "news").await;
    let page = server.page("/topics/news?limit=2").await;
    assert_eq!((data(&page), &page["next"]), (vec!["a", "b"], &json!(ids[1])));
    let page = server.page(&format!("/topics/news?limit=2&after={}", ids[1])).await;
    assert_eq!(data(&page), ["c", "d"]);
    let page = server.page(&format!("/topics/news?limit=2&after={}", ids[3])).await;
    assert_eq!((data(&page), &page["next"]), (vec!["e"], &Value::Null));
    let page = server.page(&format!("/topics/news?after={}", ids[4])).await;
    assert_eq!((data(&page), &page["next"]), (EMPTY.to_vec(), &Value::Null));
    assert_eq!(page["earliest"], ids[0]);
    let header = server.get("/topics/news").header("Accept", "application/json");
    let page = header.header("Last-Event-ID", &ids[3]).send().await.json();
    assert_eq!(data(&page), ["e"]);
}

#[tokio::test]
async fn before_is_the_newest_page_before_an_event_in_log_order() {
    let server = Server::start().await;
    let ids = letters(&server, "news").await;
    let mut before = ids[4].clone();
    for wanted in [&["c", "d"][..], &["a", "b"], &[]] {
        let page = server.page(&format!("/topics/news?limit=2&before={before}")).await;
        assert_eq!(data(&page), wanted);
        if let Some(first) = page["events"].get(0) {
            before = text(&first["id"]).to_owned();
        }
    }
    let page = server.page(&format!("/topics/news?after={}&before={}", ids[0], ids[3])).await;
    assert_eq!(data(&page), ["b", "c"]);
}

#[tokio::test]
async fn a_page_begins_where_a_stream_would() {
    let server = Server::start().await;
    letters(&server, "news").await;
    letters(&server, "more").await;
    let since = text(&server.history("/topics/more").await[0]["time"]).to_owned();
    for (path, wanted) in [
        ("/topics/news?from=earliest&limit=2".to_owned(), &["a", "b"][..]),
        ("/topics/news?from=now".to_owned(), &[]),
        ("/topics/news?last=2".to_owned(), &["d", "e"]),
        ("/topics/news?last=0".to_owned(), &[]),
        ("/events?topic=news&topic=more&last=6".to_owned(), &["e", "a", "b", "c", "d", "e"]),
        ("/events?topic=news&topic=more&last_each=1".to_owned(), &["e", "e"]),
        (format!("/topics/more?since={since}"), &["a", "b", "c", "d", "e"]),
        ("/topics/news?since=2999-01-01T00:00:00Z".to_owned(), &[]),
    ] {
        assert_eq!(data(&server.page(&path).await), wanted, "{path}");
    }
    refused(&server, "/topics/news?last=2&from=now").await.problem(400, "query");
    refused(&server, "/topics/news?last=100001").await.problem(400, "too-many");
}

#[tokio::test]
async fn all_pages_together_hold_every_event_once() {
    let server = Server::start().await;
    let mut wanted = HashSet::new();
    for number in 0..12 {
        let topic = ["x/a", "other", "x/b"][number % 3];
        let data: Vec<String> = (0..200).map(|line| format!("{topic}-{number}-{line}")).collect();
        server.publish_each(&format!("/topics/{topic}"), &data).await;
        server.publish(&format!("/topics/x/end{number}?end"), "").await;
        if topic != "other" {
            wanted.extend(data);
        }
    }
    for limit in [7, 100, 1_000] {
        let all = walk(&server, "/events?topic=x/**&topic=x/a&", limit).await;
        assert_eq!(all.len(), wanted.len(), "pages of {limit}");
        assert_eq!(all.into_iter().collect::<HashSet<_>>(), wanted);
    }
    let one = walk(&server, "/topics/x/a?", 9).await;
    assert_eq!((one.len(), one[0].as_str(), one[799].as_str()), (800, "x/a-0-0", "x/a-9-199"));
}

#[tokio::test]
async fn a_page_ends_at_a_mebibyte_or_with_one_event() {
    let server = Server::start().await;
    for size in [400 << 10, 500 << 10, 400 << 10, 3 << 20, 10, 1 << 20, 10] {
        server.publish("/topics/large", vec![b'x'; size]).await;
    }
    let mut sizes = Vec::new();
    let mut path = "/topics/large".to_owned();
    loop {
        let page = server.page(&path).await;
        sizes.push(data(&page).iter().map(|data| data.len()).collect::<Vec<_>>());
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/topics/large?after={next}");
    }
    assert!(
        sizes.iter().all(|page| page.len() == 1 || page.iter().sum::<usize>() <= 1 << 20),
        "{sizes:?}"
    );
    assert_eq!(sizes[0], [400 << 10, 500 << 10], "as many as fit");
    let whole: Vec<usize> = sizes.concat();
    assert_eq!(whole, [400 << 10, 500 << 10, 400 << 10, 3 << 20, 10, 1 << 20, 10]);
}

#[tokio::test]
async fn a_page_reports_an_end_in_a_member_of_its_own() {
    let server = Server::start().await;
    letters(&server, "job").await;
    let end = server.publish("/topics/job?end=done", "").await;
    let mut page = server.page("/topics/job").await;
    assert_eq!((data(&page).len(), &page["next"]), (5, &Value::Null));
    assert!(text(&page["ended"]["time"].take()).ends_with('Z'));
    assert_eq!(page["ended"], json!({"reason": "done", "time": null, "id": end}));
    server.publish("/topics/other", "x").await;
    assert_eq!(server.page("/events?topic=job&topic=other").await["ended"], Value::Null);
}

#[tokio::test]
async fn a_page_counts_the_streams_of_its_topic() {
    let server = Server::start().await;
    let mut streams = Vec::new();
    for path in ["/topics/news", "/topics/news?from=earliest", "/events?topic=news&topic=other"] {
        let mut stream = server.subscribe(path).await;
        stream.position().await;
        streams.push(stream);
    }
    assert_eq!(server.page("/topics/news").await["subscribers"], 3);
    assert_eq!(server.page("/topics/other").await["subscribers"], 1);
    drop(streams);
    server.until_metric("stentor_streams_open", 0).await;
    assert_eq!(server.page("/topics/news").await["subscribers"], 0);
}

#[tokio::test]
async fn a_stream_from_the_tail_of_a_page_continues_without_a_gap() {
    let server = Server::start().await;
    letters(&server, "news").await;
    let page = server.page("/topics/news").await;
    server.publish("/topics/news", "f").await;
    let mut stream = server.resume("/topics/news", text(&page["tail"])).await;
    stream.position().await;
    assert_eq!(stream.data(1).await, ["f"]);
}

#[tokio::test]
async fn an_invalid_request_for_a_page_is_refused_with_advice() {
    let server = Server::start().await;
    letters(&server, "news").await;
    for (options, code) in [
        ("after=nonsense", "cursor"),
        ("before=nonsense", "cursor"),
        ("limit=many", "query"),
        ("limit=0", "query"),
        ("limit=1001", "query"),
        ("limits=2", "query"),
        ("since=yesterday", "time"),
    ] {
        let response = refused(&server, &format!("/topics/news?{options}")).await;
        assert!(response.problem(400, code).len() > 10, "{options}");
    }
    // Streams do not take the options of pages.
    server.get("/topics/news?limit=2").send().await.problem(400, "query");
}
