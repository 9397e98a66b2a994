//! Chromium's own `EventSource`, on a line that breaks.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::driver::Browser;
use crate::harness::Server;
use crate::relay::Relay;

/// How long nothing may happen after the end.
const QUIET: Duration = Duration::from_secs(10);

/// A reader in the page of the console, which is of the same origin as the topics.
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

/// Each event of a topic as the log has it.
async fn history(server: &Server, topic: &str, member: &str) -> Vec<Value> {
    let path = format!("/topics/{topic}?limit=1000");
    let page = server.get(&path).header("Accept", "application/json").send().await.json();
    page["events"].as_array().unwrap().iter().map(|event| event[member].clone()).collect()
}

#[tokio::test]
async fn a_thousand_events_arrive_once_each_in_order_over_a_line_that_breaks() {
    let server = Server::start().await;
    let relay = Relay::to(&server.address).await;
    let browser = Browser::start().await;
    read(&browser, &relay, "/topics/thousand?from=earliest").await;
    browser.until("cursors === 1").await;

    // Every frame has far more than twenty bytes, so this is somewhere in the first half.
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
async fn a_page_that_has_received_nothing_yet_misses_nothing_while_it_is_cut_off() {
    let server = Server::start().await;
    let relay = Relay::to(&server.address).await;
    let browser = Browser::start().await;
    server.publish("/topics/quiet", "before the page").await;
    read(&browser, &relay, "/topics/quiet").await;
    browser.until("cursors === 1").await;

    relay.cut();
    browser.until("source.readyState === EventSource.CONNECTING").await;
    server.publish("/topics/quiet", "while it was away").await;
    relay.mend();
    browser.until("data.length > 0").await;
    server.publish("/topics/quiet", "after").await;
    browser.until_is("data", json!(["while it was away", "after"])).await;
}

#[tokio::test]
async fn a_finished_topic_is_asked_for_no_more() {
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
    assert_eq!((relay.requests("/topics/finite"), relay.answers(204)), (2, 1));

    // That nothing comes can only be seen by waiting.
    sleep(QUIET).await;
    assert_eq!(relay.requests("/topics/finite"), 2);
    assert_eq!(browser.value("[data, ends]").await, json!([["only"], end]));
}
