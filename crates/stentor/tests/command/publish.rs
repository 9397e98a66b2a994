//! `stentor pub`.

use serde_json::{Value, json};

use crate::harness::{Server, stentor};

/// The events of a topic, and whether and why it has ended.
async fn history(server: &Server, topic: &str) -> Value {
    server.get(&format!("/topics/{topic}")).header("Accept", "application/json").send().await.json()
}

#[tokio::test]
async fn an_argument_is_published_and_its_id_printed() {
    let server = Server::in_memory().await;
    let url = server.url("");
    let done = stentor(&["pub", "--url", &url, "news/today", "hello\nworld", "--type", "greeting"])
        .run()
        .await;
    assert_eq!((done.code, done.talk.as_str()), (Some(0), ""), "{done:?}");
    let page = history(&server, "news/today").await;
    let event = &page["events"][0];
    assert_eq!((&event["data"], &event["type"]), (&json!("hello\nworld"), &json!("greeting")));
    assert_eq!(done.out, format!("{}\n", event["id"].as_str().unwrap()));
    // The address may also come from the environment.
    let done = stentor(&["pub", "news/today", "again"]).env("STENTOR_URL", &url).run().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(history(&server, "news/today").await["events"][1]["data"], "again");
}

#[tokio::test]
async fn stdin_is_published_whole() {
    let server = Server::in_memory().await;
    let url = server.url("");
    for args in [vec!["pub", "--url", &url, "t"], vec!["pub", "--url", &url, "t", "-"]] {
        let done = stentor(&args).input("from\nstdin\n").run().await;
        assert_eq!(done.code, Some(0), "{done:?}");
    }
    let page = history(&server, "t").await;
    assert_eq!(
        (&page["events"][0]["data"], &page["events"][1]["data"]),
        (&json!("from\nstdin\n"), &json!("from\nstdin\n"))
    );
}

#[tokio::test]
async fn a_file_is_published_by_what_it_is() {
    let server = Server::in_memory().await;
    let url = server.url("");
    let directory = server.directory();
    for (name, content) in [
        ("notes.txt", &b"plain"[..]),
        ("picture.png", &b"\x89PNG"[..]),
        ("lines.ndjson", &b"{\"a\":1}\n{\"a\":2}\n"[..]),
    ] {
        let path = directory.join(name);
        std::fs::write(&path, content).unwrap();
        let done =
            stentor(&["pub", "--url", &url, name, "--file", path.to_str().unwrap()]).run().await;
        assert_eq!(done.code, Some(0), "{done:?}");
    }
    assert_eq!(history(&server, "notes.txt").await["events"][0]["data"], "plain");
    assert_eq!(
        history(&server, "picture.png").await["events"][0]["data"],
        "data:image/png;base64,iVBORw=="
    );
    let lines = history(&server, "lines.ndjson").await;
    assert_eq!(
        (&lines["events"][0]["data"], &lines["events"][1]["data"]),
        (&json!("{\"a\":1}"), &json!("{\"a\":2}"))
    );
}

#[tokio::test]
async fn a_topic_is_ended_with_or_without_last_words() {
    let server = Server::in_memory().await;
    let url = server.url("");
    let done = stentor(&["pub", "--url", &url, "a", "bye", "--end=done"]).run().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let done = stentor(&["pub", "--url", &url, "b", "--end"]).run().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let (a, b) = (history(&server, "a").await, history(&server, "b").await);
    assert_eq!((&a["events"][0]["data"], &a["ended"]["reason"]), (&json!("bye"), &json!("done")));
    assert_eq!((&b["events"], &b["ended"]["reason"]), (&json!([]), &json!("")));

    let done = stentor(&["pub", "--url", &url, "a", "too late"]).run().await;
    assert_eq!((done.code, done.out.as_str()), (Some(1), ""));
    assert!(done.talk.contains("409") && done.talk.contains("ended"), "{done:?}");
}

#[tokio::test]
async fn what_cannot_be_published_is_said_in_words() {
    let server = Server::in_memory().await;
    let url = server.url("");
    for (args, words) in [
        (vec!["pub", "--url", "http://127.0.0.1:1", "t", "x"], "cannot reach the server"),
        (vec!["pub", "--url", "nonsense", "t", "x"], "nonsense"),
        (vec!["pub", "--url", &url, "news/*", "x"], "news/*"),
        (vec!["pub", "--url", &url, "t", "--file", "/no/such/file"], "/no/such/file"),
        (vec!["pub", "--url", &url, "t", "x", "--type", "stentor.own"], "stentor."),
    ] {
        let done = stentor(&args).run().await;
        assert_eq!((done.code, done.out.as_str()), (Some(1), ""), "{args:?}: {done:?}");
        assert!(
            done.talk.starts_with("stentor: ") && done.talk.contains(words),
            "{args:?}: {done:?}"
        );
        assert!(!done.talk.contains("panicked"), "{done:?}");
    }
}
