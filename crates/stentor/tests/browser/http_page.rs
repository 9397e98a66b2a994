//! The web page of docs/http.md, saved and served as that page says.

use std::fs;

use serde_json::json;

use crate::driver::Browser;
use crate::harness::Server;
use crate::readme::{html_block, serve};

/// The lines that the page shows.
const SHOWN: &str = "document.getElementById('chat').textContent.trimEnd().split('\\n')";

#[tokio::test]
async fn the_web_page_of_the_http_page_shows_publishes_and_ends() {
    let server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("chat.html"), html_block("docs/http.md", &server)).unwrap();
    let (_process, port) = serve(folder.path()).await;
    let browser = Browser::start().await;
    browser.open(&format!("http://localhost:{port}/chat.html")).await;

    browser.type_into("input", "hello").await;
    browser.click("button").await;
    browser.until_is(SHOWN, json!(["hello"])).await;
    browser.until_is("document.querySelector('input').value", "").await;

    server.publish("/topics/chat?type=notice", "lunch").await;
    browser.until_is(SHOWN, json!(["hello", "notice: lunch"])).await;

    server.publish("/topics/chat?end=done", "").await;
    browser.until_is(SHOWN, json!(["hello", "notice: lunch", "ended: done"])).await;
    assert_eq!(browser.value("source.readyState === EventSource.CLOSED").await, true);

    browser.type_into("input", "too late").await;
    browser.click("button").await;
    browser.until(&format!("{SHOWN}.at(-1).includes('has ended')")).await;
}

#[tokio::test]
async fn the_web_page_of_the_http_page_reports_a_gap() {
    let mut server = Server::in_memory().await;
    server.publish("/topics/chat", "one").await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("chat.html"), html_block("docs/http.md", &server)).unwrap();
    let (_process, port) = serve(folder.path()).await;
    let browser = Browser::start().await;
    browser.open(&format!("http://localhost:{port}/chat.html")).await;
    browser.until_is(SHOWN, json!(["one"])).await;

    // A log in memory has another epoch after a restart.
    server.kill_and_restart().await;
    browser.until(&format!("{SHOWN}.includes('events lost: epoch')")).await;
    assert_eq!(browser.value(&format!("{SHOWN}[1]")).await, "reconnecting");
    server.publish("/topics/chat", "two").await;
    browser.until(&format!("{SHOWN}.at(-1) === 'two'")).await;
}
