//! `GET /events?topic=A&topic=B/*`: one stream of many topics.

use crate::harness::Server;

/// Returns a path with `count` different filters.
fn filters(count: usize) -> String {
    let filters: Vec<String> = (0..count).map(|number| format!("topic=t{number}")).collect();
    format!("/events?{}", filters.join("&"))
}

#[tokio::test]
async fn a_stream_of_several_topics_has_their_events_in_the_order_of_the_log() {
    let server = Server::start().await;
    let topics = ["a", "other", "b/x", "a", "b/y", "b/x/z", "b", "a", "b/x"];
    for (number, topic) in topics.iter().enumerate() {
        server.publish(&format!("/topics/{topic}"), format!("{topic}-{number}")).await;
    }
    let wanted = ["a-0", "b/x-2", "a-3", "b/y-4", "a-7", "b/x-8"];
    let mut stream = server.subscribe("/events?topic=a&topic=b/*&from=earliest").await;
    assert_eq!(stream.data(6).await, wanted);

    let mut live = server.subscribe("/events?topic=b/*&topic=a").await;
    live.position().await;
    for (number, topic) in topics.iter().enumerate() {
        server.publish(&format!("/topics/{topic}"), format!("{topic}-{number}")).await;
    }
    assert_eq!(live.data(6).await, wanted);
    assert_eq!(stream.data(6).await, wanted);
}

#[tokio::test]
async fn an_event_that_several_filters_match_is_sent_once() {
    let server = Server::start().await;
    let path = "/events?topic=a/b&topic=a/*&topic=a/**&topic=**&topic=a/b";
    let mut live = server.subscribe(path).await;
    live.position().await;
    server.publish("/topics/a/b", "once").await;
    server.publish("/topics/a/b", "then").await;
    assert_eq!(live.data(2).await, ["once", "then"]);
    let mut past = server.subscribe(&format!("{path}&from=earliest")).await;
    assert_eq!(past.data(2).await, ["once", "then"]);
    let mut last = server.subscribe(&format!("{path}&last=2")).await;
    assert_eq!(last.data(2).await, ["once", "then"]);
    let mut each = server.subscribe(&format!("{path}&last_each=2")).await;
    assert_eq!(each.data(2).await, ["once", "then"]);
}

#[tokio::test]
async fn one_star_is_one_segment_and_two_are_one_or_more() {
    let server = Server::start().await;
    for topic in ["a", "a/b", "a/b/c", "a/b/c/d", "ab", "z/b/c"] {
        server.publish(&format!("/topics/{topic}"), topic).await;
    }
    server.publish("/topics/zz", "the end of it").await;
    for (filter, wanted) in [
        ("a/*", &["a/b"][..]),
        ("a/**", &["a/b", "a/b/c", "a/b/c/d"]),
        ("*", &["a", "ab"]),
        ("*/b/*", &["a/b/c", "z/b/c"]),
        ("*/*/c/**", &["a/b/c/d"]),
        ("**", &["a", "a/b", "a/b/c", "a/b/c/d", "ab", "z/b/c"]),
    ] {
        let path = format!("/events?topic={filter}&topic=zz&from=earliest");
        let mut stream = server.subscribe(&path).await;
        let data = stream.data(wanted.len() + 1).await;
        assert_eq!(data[..wanted.len()], *wanted, "{filter}");
        assert_eq!(data[wanted.len()], "the end of it", "{filter}");
    }
}

#[tokio::test]
async fn a_slash_that_was_escaped_is_a_slash_of_the_name() {
    let server = Server::start().await;
    server.publish("/topics/https:%2F%2Fx%2Fy", "a page").await;
    for path in [
        "/events?topic=https://x/y",
        "/events?topic=https%3A%2F%2Fx%2F*",
        "/topics/https:%2F%2Fx%2Fy",
    ] {
        let with = if path.contains('?') { '&' } else { '?' };
        let mut stream =
            server.subscribe(&format!("{path}{with}from=earliest&envelope=json")).await;
        assert!(stream.data(1).await[0].contains(r#""topic":"https://x/y""#));
    }
}

#[tokio::test]
async fn a_plus_is_a_space_in_a_query_and_itself_in_a_path() {
    let server = Server::start().await;
    server.publish("/topics/a+b", "plus").await;
    server.publish("/topics/a%20b", "space").await;
    for (path, wanted) in [
        ("/events?topic=a+b&from=earliest", "space"),
        ("/events?topic=a%2Bb&from=earliest", "plus"),
        ("/topics/a+b?from=earliest", "plus"),
    ] {
        assert_eq!(server.subscribe(path).await.data(1).await, [wanted], "{path}");
    }
}

#[tokio::test]
async fn a_stream_has_at_most_64_filters() {
    let server = Server::start().await;
    let mut stream = server.subscribe(&format!("{}&from=earliest", filters(64))).await;
    server.publish("/topics/t0", "first").await;
    server.publish("/topics/t63", "last").await;
    assert_eq!(stream.data(2).await, ["first", "last"]);
    let response = server.get(&filters(65)).send().await;
    assert!(response.problem(400, "filters").contains("64"), "{response:?}");
}

#[tokio::test]
async fn a_stream_of_no_topic_is_refused() {
    let server = Server::start().await;
    for path in ["/events", "/events?from=earliest"] {
        server.get(path).send().await.problem(400, "filters");
    }
    server.get("/events?topic=").send().await.problem(400, "topic");
}

#[tokio::test]
async fn two_stars_are_allowed_at_the_end_only() {
    let server = Server::start().await;
    for filter in ["a/**/b", "**/b", "**/**"] {
        let response = server.get(&format!("/events?topic={filter}")).send().await;
        response.problem(400, "topic");
    }
}

#[tokio::test]
async fn a_star_inside_a_segment_of_a_filter_is_refused_and_a_name_may_have_it() {
    let server = Server::start().await;
    for filter in ["news*", "a*b/c", "a/*b", "***", "%2A%2A%2A"] {
        let response = server.get(&format!("/events?topic={filter}")).send().await;
        let detail = response.problem(400, "topic");
        assert!(detail.contains("news/*") && detail.contains("/topics/NAME"), "{detail}");
    }
    server.publish("/topics/a*b", "a name").await;
    for path in ["/topics/a*b", "/topics/a%2Ab"] {
        let mut stream = server.subscribe(&format!("{path}?from=earliest")).await;
        assert_eq!(stream.data(1).await, ["a name"]);
    }
}

#[tokio::test]
async fn a_filter_in_a_path_is_answered_with_the_path_to_use() {
    let server = Server::start().await;
    for (name, line) in [("a/*", "/events?topic=a/*"), ("b%20c/**", "/events?topic=b%20c/**")] {
        for method in ["GET", "POST", "DELETE"] {
            let response = server.request(method, &format!("/topics/{name}")).send().await;
            assert!(response.problem(400, "topic").contains(line), "{response:?}");
        }
        server.subscribe(line).await.position().await;
    }
}

#[tokio::test]
async fn names_that_begin_with_a_dollar_sign_are_reserved() {
    let server = Server::start().await;
    for topic in ["$sys", "$sys/a"] {
        server.post(&format!("/topics/{topic}"), "x").send().await.problem(400, "topic");
    }
    server.subscribe("/events?topic=$sys/*&topic=*").await.position().await;
}

#[tokio::test]
async fn an_invalid_topic_is_refused_in_paths_and_queries() {
    let server = Server::start().await;
    let long = "x".repeat(513);
    for topic in ["%00", "a%0Ab", "%7F", "%C2%85", "%ff", long.as_str()] {
        for path in [format!("/topics/{topic}"), format!("/events?topic={topic}")] {
            let response = server.get(&path).send().await;
            assert_eq!(response.status, 400, "{path}: {response:?}");
            assert_eq!(response.header("content-type"), Some("application/problem+json"));
        }
    }
    for path in
        ["/topics/", "/topics//a", "/topics/a//b", "/topics/a/", "/topics/./a", "/topics/a/.."]
    {
        server.get(path).send().await.problem(400, "topic");
    }
    let longest = "x".repeat(512);
    server.subscribe(&format!("/topics/{longest}")).await.position().await;
}
