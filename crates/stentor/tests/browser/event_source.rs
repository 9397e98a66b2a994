//! Chromium's `EventSource` over a connection that breaks.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::driver::Browser;
use crate::harness::Server;
use crate::relay::Relay;

/// Time without a request after the end of a topic.
const QUIET: Duration = Duration::from_secs(10);

/// Opens an `EventSource` in the page of the console, which has the same origin as the topics.
async fn read(browser: &Browser, relay: &Relay, path: &str) {
    browser.open(&relay.url("/")).await;
    let script = format!(
        "window.ids = []; window.data = []; window.cursors = 0; window.ends = [];
         window.source = new EventSource({});
         source.onmessage = (event) => {{ ids.push(event.lastEventId); data.push(event.data); }};
         source.addEventListener('stentor.cursor', () => (cursors += 1));
         source.addEventListener('stentor.end', (event) => ends.push(JSON.parse(event.data)));",
        json!(path),
    );
    browser.run(&script).await;
}

/// Returns one member of each event of a topic, from the history.
async fn history(server: &Server, topic: &str, member: &str) -> Vec<Value> {
    let path = format!("/topics/{topic}?limit=1000");
    let page = server.get(&path).header("Accept", "application/json").send().await.json();
    page["events"].as_array().unwrap().iter().map(|event| event[member].clone()).collect()
}

#[tokio::test]
async fn a_thousand_events_arrive_once_and_in_order_over_a_connection_that_breaks() {
    let server = Server::start().await;
    let relay = Relay::to(&server.address).await;
    let browser = Browser::start().await;
    read(&browser, &relay, "/topics/thousand?from=earliest").await;
    browser.until("cursors === 1").await;

    // Every frame is far larger than 20 bytes, so the cut is in the first half of the 1,000 events.
    relay.cut_after(20_000);
    let events = (0..1_000).map(|number| format!("event {number}"));
    server.publish_each("/topics/thousand", events).await;

    browser.until("ids.length >= 1000").await;
    assert_eq!(browser.value("data").await, json!(history(&server, "thousand", "data").await));
    assert_eq!(browser.value("ids").await, json!(history(&server, "thousand", "id").await));
    assert_eq!(relay.requests("/topics/thousand"), 2);
    assert_eq!(browser.value("data").await[999], "event 999");
}

#[tokio::test]
async fn a_page_without_events_misses_nothing_while_it_is_disconnected() {
    let server = Server::start().await;
    let relay = Relay::to(&server.address).await;
    let browser = Browser::start().await;
    server.publish("/topics/quiet", "before the page").await;
    read(&browser, &relay, "/topics/quiet").await;
    browser.until("cursors === 1").await;

    relay.cut();
    browser.until("source.readyState === EventSource.CONNECTING").await;
    server.publish("/topics/quiet", "while it was away").await;
    relay.restore();
    browser.until("data.length > 0").await;
    server.publish("/topics/quiet", "after").await;
    browser.until_is("data", json!(["while it was away", "after"])).await;
}

#[tokio::test]
async fn an_ended_topic_is_not_requested_again() {
    let server = Server::start().await;
    let relay = Relay::to(&server.address).await;
    let browser = Browser::start().await;
    server.publish("/topics/finite", "only").await;
    read(&browser, &relay, "/topics/finite?from=earliest").await;
    browser.until_is("data", json!(["only"])).await;

    server.publish("/topics/finite?end=done", "").await;
    browser.until("source.readyState === EventSource.CLOSED").await;
    let end = json!([{ "topic": "finite", "reason": "done" }]);
    assert_eq!(browser.value("ends").await, end);
    assert_eq!((relay.requests("/topics/finite"), relay.responses(204)), (2, 1));

    // Wait, to see that no further request arrives.
    sleep(QUIET).await;
    assert_eq!(relay.requests("/topics/finite"), 2);
    assert_eq!(browser.value("[data, ends]").await, json!([["only"], end]));
}
