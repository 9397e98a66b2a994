//! Demo pages without an end: image relay, counter, chat.

use serde_json::{Value, json};

use crate::driver::Browser;
use crate::harness::Server;

const STATE: &str = "document.getElementById('state').dataset.state";

#[tokio::test]
async fn a_picture_appears_in_two_tabs_and_in_one_opened_late() {
    let server = Server::with(&["demo", "image-relay"]).await;
    let browser = Browser::start().await;
    let first = browser.open(&server.url("/")).await;
    browser.until(&format!("{STATE} === 'live'")).await;
    browser.open_tab(&server.url("/")).await;
    browser.until(&format!("{STATE} === 'live'")).await;
    browser.click("#test-picture").await;

    let picture = "document.getElementById('current')";
    let shown = format!("{picture}.src.startsWith('data:image/png') && {picture}.complete");
    browser.until(&shown).await;
    let sent = browser.text(&format!("{picture}.src")).await;
    for tab in [first, browser.open_tab(&server.url("/")).await] {
        browser.switch_to(&tab).await;
        browser.until(&shown).await;
        assert_eq!(browser.value(&format!("{picture}.src")).await, sent);
        assert_eq!(browser.value(&format!("{picture}.naturalWidth")).await, 640);
        assert_eq!(browser.text(&format!("{picture}.alt")).await, "The latest picture");
    }
}

#[tokio::test]
async fn the_count_rises_in_two_tabs_and_is_one_count() {
    let server = Server::with(&["demo", "counter"]).await;
    let browser = Browser::start().await;
    // Records the numbers that the page shows.
    let watch = "window.series = [];
        const count = document.getElementById('count');
        const note = () => Number(count.textContent) && series.push(Number(count.textContent));
        note();
        new MutationObserver(note).observe(count, { childList: true, characterData: true, subtree: true });";
    let first = browser.open(&server.url("/")).await;
    browser.run(watch).await;
    browser.until("series.length >= 3").await;
    browser.open_tab(&server.url("/")).await;
    browser.run(watch).await;
    browser.until("series.length >= 3").await;

    let second = browser.value("series").await;
    let joined = second[0].as_u64().unwrap();
    assert!(joined >= 3, "the second tab joins the count of the first: {second}");
    browser.switch_to(&first).await;
    browser.until(&format!("series.length >= {}", joined + 2)).await;
    for series in [second, browser.value("series").await] {
        let series: Vec<u64> =
            series.as_array().unwrap().iter().filter_map(Value::as_u64).collect();
        let expected: Vec<u64> = (series[0]..).take(series.len()).collect();
        assert_eq!(series, expected);
    }
    // The first tab started the count at 1.
    assert_eq!(browser.value("series[0]").await, 1);
}

#[tokio::test]
async fn two_users_chat_and_their_messages_are_not_markup() {
    let server = Server::with(&["demo", "chat"]).await;
    let browser = Browser::start().await;
    let messages = "[...document.querySelectorAll('#messages li')].map((line) => line.textContent)";
    let page = server.url("/");

    let ada = browser.open(&page).await;
    browser.type_into("#name", "Ada").await;
    browser.click("#connect").await;
    browser.until(&format!("{STATE} === 'live'")).await;
    let grace = browser.open_tab(&page).await;
    browser.type_into("#name", "Grace").await;
    browser.click("#connect").await;
    browser.until(&format!("{STATE} === 'live'")).await;

    // Shift and Enter start a new line; Enter alone sends the message.
    browser.type_into("#message", "first line\u{e008}\u{e007}\u{e008}second line\u{e007}").await;
    let mut said = vec!["Grace: first line\nsecond line"];
    browser.until_is(messages, json!(said)).await;
    browser.switch_to(&ada).await;
    browser.until_is(messages, json!(said)).await;
    let height = "document.querySelector('#messages li').clientHeight";
    assert!(browser.value(height).await.as_u64().unwrap() > 40, "both lines are visible");

    let markup = "<img src=x onerror=\"window.fooled = true\"><b>bold</b>";
    browser.type_into("#message", markup).await;
    browser.click("#send").await;
    let spoken = format!("Ada: {markup}");
    said.push(&spoken);
    browser.until_is(messages, json!(said)).await;
    browser.switch_to(&grace).await;
    browser.until_is(messages, json!(said)).await;
    assert_eq!(browser.value("document.querySelectorAll('#messages img').length").await, 0);
    assert_eq!(browser.value("window.fooled").await, json!(null));

    // A user who joins later sees the earlier messages.
    browser.open_tab(&page).await;
    browser.type_into("#name", "Edsger").await;
    browser.click("#connect").await;
    browser.until_is(messages, json!(said)).await;
    browser.click("#close").await;
    assert_eq!(browser.text("document.getElementById('state').textContent").await, "closed");
}
