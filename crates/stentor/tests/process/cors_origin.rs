//! `--cors-origin` is checked before the server starts.

use tokio::process::Command;
use tokio::time::timeout;

use crate::harness::{Server, TIMEOUT};

#[tokio::test]
async fn an_origin_that_no_browser_sends_is_refused_at_start_with_advice() {
    let directory = tempfile::tempdir().unwrap();
    for (origin, advice) in [
        ("example.org", "write https://example.org"),
        ("https://*.example.org", "use * to allow every origin"),
        ("https://example.org/app", "write only https://example.org"),
        ("https://", "such as https://example.org:8443"),
    ] {
        for command in ["serve", "demo"] {
            let mut run = Command::new(env!("CARGO_BIN_EXE_stentor"));
            run.args([command, "--listen", "127.0.0.1:0", "--cors-origin", origin]);
            let run = run.current_dir(directory.path()).kill_on_drop(true).output();
            let output = timeout(TIMEOUT, run).await.expect("the program ends in time").unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{stderr}");
            assert!(stderr.contains("--cors-origin") && stderr.contains(advice), "{stderr}");
        }
    }
}

#[tokio::test]
async fn an_origin_may_have_a_slash_its_default_port_and_capitals() {
    let args = ["serve", "--memory", "--cors-origin", "HTTPS://Example.org:443/"];
    let server = Server::with(&args).await;
    let post = server.post("/topics/t", "x").header("Origin", "https://example.org");
    let response = post.send().await;
    assert_eq!(response.status, 201);
    assert_eq!(response.header("access-control-allow-origin"), Some("https://example.org"));
}
