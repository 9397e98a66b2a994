//! The web console, operated with clicks and typed text.

use serde_json::json;

use crate::driver::Browser;
use crate::harness::Server;
use crate::picture::{self, png};
use crate::relay::Relay;

/// Texts in the rows of events.
const ROWS: &str =
    "[...document.querySelectorAll('#events .data')].map((data) => data.textContent)";
/// Names in the list of topics.
const TOPICS: &str =
    "[...document.querySelectorAll('#topics .name')].map((name) => name.textContent)";
const STATE: &str = "document.getElementById('state').dataset.state";

#[tokio::test]
async fn the_console_lists_a_topic_and_shows_it_from_its_start() {
    let server = Server::start().await;
    server.publish_each("/topics/numbers", 1..=150).await;
    server.publish("/topics/news/today", "hello").await;
    let browser = Browser::start().await;
    browser.open(&server.url("/")).await;

    browser.until_is(TOPICS, json!(["news/today", "numbers"])).await;
    browser.click("#topics a[href='#topic=numbers']").await;
    browser.until(&format!("{ROWS}.length === 100")).await;
    assert_eq!(browser.value(&format!("{ROWS}[0]")).await, "51");
    browser.click("#watch-start").await;
    let all: Vec<String> = (1..=150).map(|number| number.to_string()).collect();
    browser.until_is(ROWS, all).await;
    assert_eq!(browser.text(STATE).await, "live");

    server.publish("/topics/numbers", "151").await;
    browser.until(&format!("{ROWS}[150] === '151'")).await;

    browser.fill("#watch-topic", "news/*").await;
    browser.click("#watch-form button[type=submit]").await;
    browser.until_is(ROWS, json!(["hello"])).await;
    assert_eq!(
        browser.text("document.querySelector('#events .topic').textContent").await,
        "news/today"
    );

    browser.fill("#filter", "num").await;
    browser.until_is(TOPICS, json!(["numbers"])).await;
}

#[tokio::test]
async fn the_console_publishes_the_form() {
    let server = Server::start().await;
    let browser = Browser::start().await;
    browser.open(&server.url("/")).await;

    browser.fill("#publish-topic", "a topic/ü").await;
    browser.fill("#publish-type", "greeting").await;
    browser.fill("#publish-data", "<b>first</b>\nsecond").await;
    browser.click("#publish-send").await;
    browser.until("document.getElementById('publish-answer').className === 'accepted'").await;
    let page = server
        .get("/topics/a%20topic/%C3%BC")
        .header("Accept", "application/json")
        .send()
        .await
        .json();
    assert_eq!(page["events"][0]["data"], "<b>first</b>\nsecond");
    assert_eq!(page["events"][0]["type"], "greeting");

    // The topic appears in the list at once, and its data is shown as text.
    browser.until_is(TOPICS, json!(["a topic/ü"])).await;
    browser.click("#topics a").await;
    browser.until_is(ROWS, json!(["<b>first</b>\nsecond"])).await;

    // Publish a last event that ends the topic. A further one is refused.
    browser.fill("#publish-data", "last").await;
    browser.click("#publish-end").await;
    browser.click("#publish-send").await;
    browser.until(&format!("{STATE} === 'ended'")).await;
    let mark = "document.querySelector('#events .mark.end').textContent";
    browser.until_is(mark, "End of a topic/ü").await;
    browser.fill("#publish-data", "too late").await;
    browser.click("#publish-send").await;
    browser.until("document.getElementById('publish-answer').className === 'refused'").await;
    let refused = browser.text("document.getElementById('publish-answer').textContent").await;
    assert!(refused.starts_with("409: "), "{refused}");
}

#[tokio::test]
async fn the_console_shows_a_gap_and_an_end() {
    let server = Server::start().await;
    let relay = Relay::to(&server.address).await;
    let browser = Browser::start().await;
    server.publish("/topics/fragile", "one").await;
    browser.open(&relay.url("/#topic=fragile")).await;
    browser.until_is(ROWS, json!(["one"])).await;

    relay.cut();
    browser.until(&format!("{STATE} === 'reconnecting'")).await;
    server.publish("/topics/fragile", "two").await;
    assert_eq!(server.delete("/topics/fragile").send().await.status, 204);
    server.publish("/topics/fragile", "three").await;
    relay.restore();
    let rows = "[...document.querySelectorAll('#events li')].map((row) =>
        row.className || row.querySelector('.data').textContent)";
    browser.until_is(rows, json!(["one", "mark gap", "three"])).await;
    let gap = browser.text("document.querySelector('#events .gap').textContent").await;
    assert_eq!(gap, "Gap: events are missing here, a topic was deleted (fragile)");

    server.publish("/topics/fragile?end=enough", "").await;
    browser.until_is(rows, json!(["one", "mark gap", "three", "mark end"])).await;
    let end = browser.text("document.querySelector('#events .end').textContent").await;
    assert_eq!(end, "End of fragile: enough");
}

#[tokio::test]
async fn the_console_shows_a_posted_png_as_a_picture() {
    let server = Server::start().await;
    let browser = Browser::start().await;
    browser.open(&server.url("/#topic=pictures/1")).await;
    browser.until(&format!("{STATE} === 'live'")).await;

    let png = png();
    assert!(png.len() > 1 << 20);
    let posted =
        server.post("/topics/pictures/1", png).header("Content-Type", "image/png").send().await;
    assert_eq!(posted.status, 201);
    browser.until("document.querySelector('#events img')?.complete").await;
    assert_eq!(
        browser.value("document.querySelector('#events img').naturalWidth").await,
        picture::SIDE
    );
    assert_eq!(
        browser.value("document.querySelector('#events img').naturalHeight").await,
        picture::SIDE
    );
}

#[tokio::test]
async fn a_topic_with_a_star_inside_a_segment_can_be_watched() {
    let server = Server::start().await;
    let browser = Browser::start().await;
    server.publish("/topics/a*b", "one").await;
    browser.open(&server.url("/#topic=a*b")).await;
    browser.until_is(ROWS, json!(["one"])).await;
    browser.until(&format!("{STATE} === 'live'")).await;
}
