//! `stentor demo`: one page that shows all five apps live.

use serde_json::json;

use crate::driver::Browser;
use crate::harness::Server;
use crate::relay::Relay;

#[tokio::test]
async fn the_gallery_shows_the_five_apps_live_over_one_stream() {
    let server = Server::with(&["demo"]).await;
    let relay = Relay::to(&server.address).await;
    let browser = Browser::start().await;
    browser.open(&relay.url("/")).await;
    browser.until("document.getElementById('state').dataset.state === 'live'").await;

    let count = "Number(document.querySelector('#card-counter .big').textContent)";
    browser.until(&format!("{count} >= 2")).await;
    browser.click("#card-image-relay button").await;
    browser
        .until("document.querySelector('#card-image-relay .show img')?.naturalWidth === 640")
        .await;
    browser.click("#card-chat button").await;
    let spoken = "[...document.querySelectorAll('#card-chat li')].map((line) => line.textContent)";
    browser.until_is(spoken, json!(["Gallery: Hello from the gallery"])).await;
    browser.click("#card-audit-trail button").await;
    let audits = "document.querySelectorAll('#card-audit-trail li:not(.soft)').length";
    browser.until_is(audits, 1).await;
    let mut job = server.subscribe("/demo/progress/sse").await;
    assert_eq!(job.rest().await.len(), 11);
    let label = "document.querySelector('#card-progress label').textContent";
    browser.until(&format!("/^Job \\d+: done$/.test({label})")).await;
    assert_eq!(browser.value("document.getElementById('bar').value").await, 10);
    assert_eq!(relay.requests("/events"), 1);

    // After a reload the page shows the current state of all apps.
    browser.reload().await;
    browser.until_is(spoken, json!(["Gallery: Hello from the gallery"])).await;
    browser.until_is(audits, 1).await;
    browser
        .until("document.querySelector('#card-image-relay .show img')?.naturalWidth === 640")
        .await;
    browser.until(&format!("/^Job \\d+: (10 of 10|done)$/.test({label})")).await;
}

#[tokio::test]
async fn the_gallery_links_to_each_app_and_to_the_console() {
    let server = Server::with(&["demo"]).await;
    let browser = Browser::start().await;
    for (name, title) in [
        ("image-relay", "Image relay"),
        ("counter", "Counter"),
        ("chat", "Chat"),
        ("progress", "Progress"),
        ("audit-trail", "Audit trail"),
    ] {
        browser.open(&server.url("/")).await;
        browser.click(&format!("#card-{name} a")).await;
        browser.until_is("document.querySelector('h1').textContent", title).await;
        if name == "chat" {
            browser.type_into("#name", "Ada").await;
            browser.click("#connect").await;
        }
        browser.until("document.getElementById('state').dataset.state === 'live'").await;
    }
    browser.open(&server.url("/console")).await;
    browser.until("document.querySelector('#topics a[href^=\"#topic=progress/\"]')").await;
}
