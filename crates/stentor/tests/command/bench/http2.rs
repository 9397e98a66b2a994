//! `stentor bench --http2`.

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::faulty_server::acceptor;
use super::tls::ROOT;
use super::{QUICK, bench, counts, json};
use crate::harness::{Output, Server};

/// Frame header and payload of empty SETTINGS, which start a connection, and of their acknowledgement.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0];

/// Runs `stentor bench --http2` where no stream opens. Returns its stderr.
async fn refusal(url: &str, args: &[&str]) -> String {
    let output = bench(url, &[&["-n", "3", "--http2"], args].concat()).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(!output.stderr.contains("panicked"), "{output:?}");
    output.stderr
}

/// Starts a server that sends these bytes to each connection after the first request, and then closes it.
async fn server_that_sends(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                // The first connection only tests the address.
                if stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {
                    let _ = stream.write_all(bytes).await;
                    let _ = stream.shutdown().await;
                    while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
                }
            });
        }
    });
    format!("http://{address}/sub")
}

fn assert_complete(output: &Output, connections: u64) {
    assert_eq!(output.code, Some(0), "{output:?}");
    let report = json(output);
    assert_eq!(counts(&report), [4000, 4000, 0, 0, 0]);
    assert_eq!(report["connect"]["http2_connections"], connections);
    assert_eq!(report["connect"]["connected"], 20);
    assert_eq!(report["problems"], serde_json::json!([]));
    assert!(report["load"]["reads"].as_u64() > Some(0), "{report:#}");
}

#[tokio::test]
async fn every_event_reaches_every_subscriber_over_http2() {
    let server = Server::in_memory().await;
    let pid = server.pid().to_string();
    let args = [&QUICK[..], &["-n", "20", "--http2", "--json", "--pid", &pid]].concat();
    let output = bench(&server.url(""), &args).await;
    assert_complete(&output, 20);
    assert!(json(&output)["server"]["memory_per_connection_bytes"].is_number(), "{output:?}");
}

#[tokio::test]
async fn subscribers_share_connections() {
    let server = Server::in_memory().await;
    let shared = ["-n", "20", "--http2", "--streams-per-connection", "8"];
    let url = server.url("");
    let output = bench(&url, &[&QUICK[..], &shared, &["--json"]].concat()).await;
    assert_complete(&output, 3);
    let output = bench(&url, &[&QUICK[..], &shared].concat()).await;
    let line = "connected        20 of 20 subscribers on 3 HTTP/2 connections";
    assert!(output.stdout.contains(line), "{output:?}");
}

#[tokio::test]
async fn shared_connections_that_drop_and_reconnect_lose_nothing() {
    let server = Server::in_memory().await;
    let load = ["-n", "20", "--rate", "400", "--events", "400", "--warm-up", "0s", "--json"];
    let storm = ["--storm", "50%", "--storm-every", "100ms"];
    let http2 = ["--http2", "--streams-per-connection", "5"];
    let output = bench(&server.url(""), &[&load[..], &storm, &http2].concat()).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    let report = json(&output);
    assert_eq!(counts(&report), [8000, 8000, 0, 0, 0]);
    let [dropped, returned] = ["dropped", "returned"].map(|name| report["storms"][name].as_u64());
    assert!(dropped > Some(0) && dropped.map(|dropped| dropped % 5) == Some(0), "{report:#}");
    assert_eq!(dropped, returned);
}

#[tokio::test]
async fn connections_are_opened_and_closed_over_http2() {
    let server = Server::in_memory().await;
    let args = ["-n", "3", "--churn", "50", "--http2", "--streams-per-connection", "2", "--json"];
    let output = bench(&server.url(""), &args).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    let churn = &json(&output)["churn"];
    assert_eq!((&churn["connections"], &churn["failed"]), (&50.into(), &0.into()));
}

#[tokio::test]
async fn a_refusal_over_http2_is_reported_with_its_status() {
    let server = Server::in_memory().await;
    let text = refusal(&server.url("/nowhere"), &[]).await;
    assert!(text.contains("no subscriber could connect: 3 × 404 Not Found"), "{text}");
    let text = refusal(&server.url("/health/live"), &[]).await;
    assert!(text.contains("instead of text/event-stream"), "{text}");
}

#[tokio::test]
async fn a_server_without_http2_is_explained() {
    let http1 = server_that_sends(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
    let text = refusal(&http1, &[]).await;
    assert!(text.contains("3 × the server answered with HTTP/1.1"), "{text}");
    assert!(text.contains("leave out --http2"), "{text}");
    let silent = server_that_sends(b"").await;
    let text = refusal(&silent, &[]).await;
    assert!(text.contains("does the server support HTTP/2 on this port?"), "{text}");
}

#[tokio::test]
async fn the_way_in_which_a_stream_over_http2_ends_is_reported() {
    /// A response head with `:status 200` and a content type, without Huffman codes.
    const HEAD: &[u8] = b"\0\0\x14\x01\x04\0\0\0\x01\x88\x0f\x10\x10text/html-stream";
    for (end, words) in [
        (
            &b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x07"[..],
            "the server reset the stream (REFUSED_STREAM)",
        ),
        (b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0b", "GOAWAY (ENHANCE_YOUR_CALM)"),
        (b"\xff\xff\xff\x01\x04\0\0\0\x01", "violated the HTTP/2 protocol (FRAME_SIZE_ERROR)"),
        (b"", "the connection was closed without a response"),
        (HEAD, "200, but of type \"text/html-stream\""),
    ] {
        let bytes: &'static [u8] = [SETTINGS, end].concat().leak();
        let text = refusal(&server_that_sends(bytes).await, &[]).await;
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[tokio::test]
async fn slow_subscribers_need_http1() {
    let server = Server::in_memory().await;
    let output = bench(&server.url(""), &["-n", "3", "--slow", "1", "--http2"]).await;
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.contains("--slow needs HTTP/1.1"), "{output:?}");
}

/// Starts a proxy that accepts TLS and forwards the bytes to a server. Returns its port.
async fn tls_proxy(to: &Server, protocols: &[&str]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (to, tls) = (to.url("").replace("http://", ""), acceptor(protocols));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (to, tls) = (to.clone(), tls.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = tls.accept(stream).await else { return };
                let mut server = TcpStream::connect(to).await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut server).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn every_event_reaches_every_subscriber_over_http2_with_tls() {
    let server = Server::in_memory().await;
    let url = format!("https://localhost:{}", tls_proxy(&server, &["h2", "http/1.1"]).await);
    let shared = ["-n", "20", "--http2", "--streams-per-connection", "7", "--json"];
    let args = [&QUICK[..], &shared, &["--root-certificate", ROOT]].concat();
    assert_complete(&bench(&url, &args).await, 3);
}

#[tokio::test]
async fn a_server_with_tls_but_without_http2_is_explained() {
    let server = Server::in_memory().await;
    let url = format!("https://localhost:{}/topics/t", tls_proxy(&server, &["http/1.1"]).await);
    let text = refusal(&url, &["--root-certificate", ROOT]).await;
    let words = "3 × the server does not support this version of HTTP over TLS";
    assert!(text.contains(words), "{text}");
}
