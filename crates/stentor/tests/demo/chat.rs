//! `stentor demo chat`.

use serde_json::{Value, json};

use crate::harness::{Response, Server};

async fn start() -> Server {
    Server::with(&["demo", "chat"]).await
}

async fn say(server: &Server, user: &str, message: &str) -> Response {
    let body = json!({ "message": message, "user": user });
    let response = server.post("/sse/message", body.to_string()).send().await;
    assert_eq!(response.status, 200, "{response:?}");
    response
}

#[tokio::test]
async fn members_receive_the_user_and_the_message_with_its_line_breaks() {
    let server = start().await;
    let mut ada = server.subscribe("/sse?user=Ada").await;
    let mut grace = server.subscribe("/sse?user=Grace%20Hopper").await;
    let response = say(&server, "Ada", "one\ntwo\n\nfour: <b>").await;
    assert_eq!(response.text(), r#"{"succeeded":true,"message":"OK","errorMessage":""}"#);
    assert_eq!(response.header("content-type"), Some("application/json"));
    let text = ada.until("four").await;
    assert!(text.contains("\ndata: Ada: one\ndata: two\ndata: \ndata: four: <b>\n\n"), "{text}");
    for member in [&mut ada, &mut grace] {
        let event = member.next().await.unwrap();
        assert_eq!(
            (event.name.as_str(), event.data.as_str()),
            ("message", "Ada: one\ntwo\n\nfour: <b>")
        );
    }
    // As sent by `curl -d`, with the fields in another order.
    let post = server.post("/sse/message", r#"{"user":"Grace Hopper","message":"hello"}"#);
    let response = post.header("Content-Type", "application/x-www-form-urlencoded").send().await;
    assert_eq!(response.status, 200);
    assert_eq!(ada.data(1).await, ["Grace Hopper: hello"]);
}

#[tokio::test]
async fn joining_without_a_name_is_refused() {
    let server = start().await;
    for path in ["/sse", "/sse?user=", "/sse?user=%20", "/sse?name=Ada"] {
        let response = server.get(path).send().await;
        let detail = response.problem(400, "user");
        assert!(detail.contains("user=NAME"), "{path}: {detail}");
    }
}

#[tokio::test]
async fn an_invalid_message_is_refused_with_a_response_of_three_fields() {
    let server = start().await;
    for body in [
        "",
        "hello",
        "{}",
        r#"{"message":"m"}"#,
        r#"{"message":1,"user":"u"}"#,
        r#"{"message":"m","user":" "}"#,
    ] {
        let response = server.post("/sse/message", body).send().await;
        assert_eq!(response.status, 400, "{body}");
        let object: Value = response.json();
        let fields: Vec<&String> = object.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["succeeded", "message", "errorMessage"]);
        assert_eq!((&object["succeeded"], &object["message"]), (&json!(false), &json!("")));
        assert_ne!(object["errorMessage"], "");
    }
    let mut member = server.subscribe("/sse?user=Ada").await;
    say(&server, "Ada", "only this").await;
    assert_eq!(member.data(1).await, ["Ada: only this"]);
}

#[tokio::test]
async fn a_late_member_receives_the_last_fifty_messages_and_then_live_ones() {
    let mut server = start().await;
    for number in 1..=60 {
        say(&server, "Ada", &number.to_string()).await;
    }
    let mut late = server.subscribe("/sse?user=Grace").await;
    let fifty: Vec<String> = (11..=60).map(|number| format!("Ada: {number}")).collect();
    assert_eq!(late.data(50).await, fifty);
    say(&server, "Grace", "61").await;
    assert_eq!(late.data(1).await, ["Grace: 61"]);

    // A member whose connection breaks misses nothing, even if the server restarts.
    let cursor = late.last_event_id();
    drop(late);
    say(&server, "Ada", "while you were away").await;
    server.kill_and_restart().await;
    let mut late = server.resume("/sse?user=Grace", &cursor).await;
    assert_eq!(late.data(1).await, ["Ada: while you were away"]);
}

#[tokio::test]
async fn a_slow_member_delays_no_other_and_is_not_disconnected() {
    let server = start().await;
    let mut slow = server.subscribe("/sse?user=Slow").await;
    let mut quick = server.subscribe("/sse?user=Quick").await;
    // Far more than the socket buffers can hold.
    let long = "x".repeat(256 << 10);
    for number in 0..64 {
        say(&server, "Ada", &format!("{number} {long}")).await;
        let received = quick.data(1).await;
        assert!(received[0].starts_with(&format!("Ada: {number} ")));
    }
    for number in 0..64 {
        let received = slow.data(1).await;
        assert!(received[0].starts_with(&format!("Ada: {number} ")));
        assert_eq!(received[0].len(), format!("Ada: {number} ").len() + long.len());
    }
}
