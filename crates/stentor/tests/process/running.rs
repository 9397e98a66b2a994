//! `stentor serve` starts, refuses to start, and stops.

use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

use crate::harness::{Server, TIMEOUT, stentor};

/// Runs the binary, which must refuse to start, and returns its stderr.
async fn refused(directory: &Path, args: &[&str], code: i32) -> String {
    let run = Command::new(env!("CARGO_BIN_EXE_stentor"))
        .args(args)
        .current_dir(directory)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(TIMEOUT, run).await.expect("the program ends in time").unwrap();
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn a_port_in_use_is_an_error_that_names_the_remedy() {
    let server = Server::in_memory().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let stderr =
        refused(elsewhere.path(), &["serve", "--memory", "--listen", &server.address], 1).await;
    assert!(stderr.contains(&server.address) && stderr.contains("--listen"), "{stderr}");
    server.publish("/topics/t", "the first one continues").await;
}

#[tokio::test]
async fn log_lines_have_no_colours_without_a_terminal() {
    let serve = stentor(&["serve", "--memory", "--listen", "127.0.0.1:0"]);
    let mut serve = serve.env("RUST_LOG", "trace").start().await;
    let line = serve.until_stderr("TRACE").await;
    assert!(!line.contains('\x1b'), "{line:?}");
    serve.kill().await;
}

#[tokio::test]
async fn a_data_directory_in_use_is_an_error_that_names_the_remedy() {
    let server = Server::start().await;
    server.publish("/topics/t", "before").await;
    let data = server.directory().join("stentor-data");
    assert!(data.is_dir());
    let elsewhere = tempfile::tempdir().unwrap();
    let by_option = ["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    for stderr in [
        refused(server.directory(), &["serve", "--listen", "127.0.0.1:0"], 1).await,
        refused(elsewhere.path(), &by_option, 1).await,
    ] {
        assert!(stderr.contains("in use"), "{stderr}");
        assert!(stderr.contains("choose another directory"), "{stderr}");
        assert!(stderr.contains("stentor-data"), "{stderr}");
    }
    server.publish("/topics/t", "after").await;
    assert_eq!(server.history_data("/topics/t").await, ["before", "after"]);
}

#[tokio::test]
async fn a_public_address_needs_open() {
    let elsewhere = tempfile::tempdir().unwrap();
    for address in ["0.0.0.0:0", "[::]:0"] {
        let stderr =
            refused(elsewhere.path(), &["serve", "--memory", "--listen", address], 2).await;
        assert!(stderr.contains("--open") && stderr.contains("127.0.0.1"), "{stderr}");
    }
}

#[tokio::test]
async fn an_invalid_address_is_answered_with_an_example() {
    let elsewhere = tempfile::tempdir().unwrap();
    let stderr = refused(elsewhere.path(), &["serve", "--memory", "--listen", "8080"], 2).await;
    assert!(stderr.contains("127.0.0.1:8080"), "{stderr}");
}

#[tokio::test]
async fn a_signal_ends_all_streams_cleanly_and_then_stops_the_server() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start().await;
        let mut streams = Vec::new();
        for path in ["/topics/t", "/events?topic=**&envelope=json", "/topics/t?control=off"] {
            streams.push(server.subscribe(path).await);
        }
        server.publish("/topics/t", "last").await;
        for stream in &mut streams {
            stream.data(1).await;
        }
        server.signal(signal).await;
        for stream in &mut streams {
            // A reset or a missing end of the body would fail this.
            assert_eq!(stream.rest().await, []);
            let text = String::from_utf8_lossy(&stream.text);
            let last = text.trim_end().rsplit('\n').next();
            let retry = last.and_then(|line| line.strip_prefix("retry: "));
            let retry = retry.unwrap_or_else(|| panic!("no retry at the end of {text:?}"));
            let retry: u32 = retry.parse().unwrap();
            assert!((1_000..=15_000).contains(&retry), "{retry}");
        }
        assert_eq!(server.exit_code().await, Some(0), "SIG{signal}");
    }
}

#[tokio::test]
async fn no_client_can_prevent_the_server_from_stopping() {
    let mut server = Server::start().await;
    let mut silent = TcpStream::connect(&server.address).await.unwrap();
    let mut stream = server.subscribe("/topics/t").await;
    let mut upload = server.upload("/topics/t", "application/x-ndjson").await;
    upload.send("acknowledged by being seen\nha").await;
    assert_eq!(stream.data(1).await, ["acknowledged by being seen"]);
    // A reader that never reads, and more events for it than any socket holds.
    let stuck = server.get("/topics/large?from=earliest").connect().await;
    for _ in 0..4 {
        server.publish("/topics/large", "x".repeat(8 << 20)).await;
    }
    assert_eq!(server.stop().await, Some(0));
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap(), 0);
    drop((stuck, upload));
    server.start_again().await;
    assert_eq!(server.history_data("/topics/t").await, ["acknowledged by being seen"]);
}

#[tokio::test]
async fn a_server_continues_where_it_stopped() {
    let mut server = Server::start().await;
    let first = server.publish("/topics/t", "1").await;
    assert_eq!(server.stop().await, Some(0));
    server.start_again().await;
    server.publish("/topics/t", "2").await;
    let mut stream = server.resume("/topics/t", &first).await;
    assert_eq!(stream.data(1).await, ["2"]);
}
