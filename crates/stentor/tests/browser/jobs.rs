//! Demo pages that show history: a job that ends, and an audit trail.

use serde_json::json;

use crate::driver::Browser;
use crate::harness::Server;
use crate::relay::Relay;

const DONE: &str = "document.getElementById('done').textContent";
const LOG: &str = "[...document.querySelectorAll('#log li')].map((line) => line.textContent)";
const STATE: &str = "document.getElementById('state').dataset.state";
/// Ids of the audit records on the page.
const IDS: &str =
    "[...document.querySelectorAll('#rows tr')].map((row) => row.cells[0].textContent)";

#[tokio::test]
async fn a_job_ends_and_stays_ended() {
    let server = Server::with(&["demo", "progress"]).await;
    let relay = Relay::to(&server.address).await;
    let browser = Browser::start().await;
    let all: Vec<String> =
        (1..=10).map(|number| format!("server sent event message: {number}")).collect();

    browser.open(&relay.url("/")).await;
    browser.until(&format!("{LOG}.length >= 3")).await;
    // A reload in the middle of the job continues it, and does not start a new one.
    browser.reload().await;
    assert!(browser.value(&format!("{LOG}.length")).await.as_u64().unwrap() >= 3);
    browser.until_is(DONE, "10 of 10, done").await;
    assert_eq!(browser.value(LOG).await, json!(all));
    assert_eq!(browser.value("document.getElementById('bar').value").await, 10);

    // The browser reconnects, gets a 204, and stops. It does so again after a reload.
    relay.until_responses(204, 1).await;
    browser.reload().await;
    relay.until_responses(204, 2).await;
    browser.until(&format!("{STATE} === 'ended'")).await;
    assert_eq!(browser.text(DONE).await, "10 of 10, done");
    assert_eq!(browser.value(LOG).await, json!(all));
    // One request for each of the three loads of the page, and one reconnect after the end.
    assert_eq!(relay.requests("/sse"), 4);
}

#[tokio::test]
async fn two_tabs_see_one_job_and_a_button_starts_the_next() {
    let server = Server::with(&["demo", "progress"]).await;
    let browser = Browser::start().await;
    let job = "JSON.parse(sessionStorage.getItem('progress')).id";

    let first = browser.open(&server.url("/")).await;
    browser.until(&format!("{LOG}.length >= 2")).await;
    browser.open_tab(&server.url("/")).await;
    browser.until_is(DONE, "10 of 10, done").await;
    let end = browser.text(job).await;
    assert_eq!(browser.value(&format!("{LOG}.length")).await, 10);
    browser.switch_to(&first).await;
    browser.until_is(DONE, "10 of 10, done").await;
    assert_eq!(browser.text(job).await, end);

    browser.click("#again").await;
    browser.until(&format!("{LOG}.length > 0 && {LOG}.length < 10")).await;
    browser.until_is(DONE, "10 of 10, done").await;
    assert_ne!(browser.text(job).await, end);
}

#[tokio::test]
async fn ten_audit_records_appear_once_in_three_tabs_and_again_after_a_crash() {
    let mut server = Server::with(&["demo", "audit-trail"]).await;
    let browser = Browser::start().await;
    let first = browser.open(&server.url("/")).await;
    browser.until(&format!("{STATE} === 'live'")).await;
    let second = browser.open_tab(&server.url("/")).await;
    browser.until(&format!("{STATE} === 'live'")).await;
    browser.click("#post-ten").await;
    let third = browser.open_tab(&server.url("/")).await;

    let mut ids: Vec<String> = (1..=10).map(|id| id.to_string()).collect();
    for tab in [&third, &first, &second] {
        browser.switch_to(tab).await;
        browser.until_is(IDS, ids.clone()).await;
    }
    let total = browser.text("document.getElementById('total').textContent").await;
    assert_eq!(total, "10 records");
    let rows = "[...document.querySelectorAll('#rows tr')].map((row) => row.textContent)";
    let before = browser.value(rows).await;

    server.kill_and_restart().await;
    let late = browser.open_tab(&server.url("/")).await;
    browser.until_is(rows, before).await;
    assert_eq!(server.post("/api/v1/audits", r#"{"id":"after"}"#).send().await.status, 200);
    ids.push("after".to_owned());
    for tab in [&late, &first, &second, &third] {
        browser.switch_to(tab).await;
        browser.until_is(IDS, ids.clone()).await;
    }
}
