//! The page of README.md, saved and served as the README says.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::driver::Browser;
use crate::harness::Server;

#[tokio::test]
async fn the_page_of_the_readme_shows_events_when_it_is_served_on_localhost() {
    let server = Server::start().await;
    server.publish("/topics/news", "hello").await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("news.html"), html_block("README.md", &server)).unwrap();
    let (_process, port) = serve(folder.path()).await;

    let browser = Browser::start().await;
    browser.open(&format!("http://localhost:{port}/news.html")).await;
    browser.until_is("document.getElementById('news').innerText", "hello").await;
    server.publish("/topics/news", "world").await;
    browser.until_is("document.getElementById('news').innerText", "hello\nworld").await;
}

#[tokio::test]
async fn the_page_of_the_readme_is_refused_when_it_is_opened_as_a_file() {
    let server = Server::start().await;
    server.publish("/topics/news", "hello").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("news.html");
    fs::write(&file, html_block("README.md", &server)).unwrap();

    let browser = Browser::start().await;
    browser.open(&format!("file://{}", file.display())).await;
    browser.run("source.onerror = () => (window.refused = true);").await;
    browser.until("window.refused || source.readyState === EventSource.CLOSED").await;
    browser.until_is("document.getElementById('news').innerText", "").await;
}

/// Returns the web page in a Markdown file, with the address of the test server.
pub fn html_block(markdown: &str, server: &Server) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(markdown);
    let text = fs::read_to_string(file).unwrap();
    let page = text.split("```html\n").nth(1).and_then(|rest| rest.split("```").next());
    page.expect("a web page in the file").replace("localhost:8080", &server.address)
}

/// Runs `python3 -m http.server` in a folder and returns its port.
pub async fn serve(folder: &Path) -> (Child, String) {
    let mut process = Command::new("python3")
        .args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1"])
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().expect("the line with the port");
    let port = line.split("port ").nth(1).and_then(|rest| rest.split(' ').next());
    let port = port.expect("a port in the line").to_owned();
    (process, port)
}
