//! Connection options: Unix sockets, proxies, HTTP/2.

use std::convert::Infallible;
use std::process::{Command, Stdio};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use stentor_client::{EventSource, EventSourceError, State, Version};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

use crate::support::{NO_CONTENT, Server, stream};
use crate::{data_of, quick, until_waiting};

#[tokio::test]
async fn a_source_can_connect_to_a_unix_socket() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let mut source = quick("http://a.test/s").unix_socket(&path).build().unwrap();
    let script = async {
        let mut heads = Vec::new();
        for response in [&stream("id: 1\ndata: a\n\n"), NO_CONTENT] {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let read = socket.read(&mut head).await.unwrap();
            heads.push(String::from_utf8_lossy(&head[..read]).to_lowercase());
            socket.write_all(response.as_bytes()).await.unwrap();
        }
        heads
    };
    let (heads, data) = tokio::join!(script, data_of(&mut source));
    assert_eq!(data, ["a"]);
    assert!(heads[0].starts_with("get /s http/1.1\r\n"), "{}", heads[0]);
    assert!(heads[0].contains("host: a.test\r\n"), "{}", heads[0]);
    assert!(heads[1].contains("last-event-id: 1\r\n"), "{}", heads[1]);
}

#[tokio::test]
async fn a_source_can_connect_through_a_proxy() {
    let proxy = Server::start().await;
    let mut source = quick("http://a.test/s").proxy(proxy.url("")).build().unwrap();
    let responses = [stream("data: a\n\n"), NO_CONTENT.to_owned()];
    let (requests, data) = tokio::join!(proxy.respond(responses), data_of(&mut source));
    assert_eq!(data, ["a"]);
    assert_eq!(requests[0].line(), "GET http://a.test/s");
}

/// Serves one event over HTTP/2, with these response headers.
async fn serve_http_2(listener: &TcpListener, headers: HeaderMap) -> hyper::Result<()> {
    let (socket, _) = listener.accept().await.unwrap();
    let service = service_fn(|_| {
        let mut response = Response::new(Full::new(Bytes::from("data: a\n\n")));
        *response.headers_mut() = headers.clone();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        async { Ok::<_, Infallible>(response) }
    });
    http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service).await
}

#[tokio::test]
async fn http_2_is_used_without_tls_if_requested() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let mut source = EventSource::builder(url).http2_prior_knowledge().build().unwrap();
    tokio::select! {
        result = serve_http_2(&listener, HeaderMap::new()) => panic!("{result:?}"),
        event = source.next() => assert_eq!(event.unwrap().unwrap().data(), "a"),
    }
    let State::Open(head) = source.state() else { panic!("{:?}", source.state()) };
    assert_eq!(head.version, Version::HTTP_2);
}

#[tokio::test]
async fn a_head_over_the_limit_is_refused_on_http_2_as_well() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let mut source = EventSource::builder(url).http2_prior_knowledge().build().unwrap();
    let long = HeaderValue::try_from("x".repeat(1024)).unwrap();
    let mut headers = HeaderMap::new();
    for _ in 0..500 {
        headers.append("x-long", long.clone());
    }
    let (_, reason) = tokio::select! {
        result = serve_http_2(&listener, headers) => panic!("{result:?}"),
        waiting = until_waiting(&mut source) => waiting,
    };
    assert!(matches!(reason, EventSourceError::Unreachable { .. }), "{reason}");
}

/// Subscribes to a URL in another process, with these environment variables.
async fn subscribe_with(variables: &[(&str, &str)], url: &str) {
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", "connecting::subscribe_in_this_process"]);
    for name in ["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"] {
        program.env_remove(name);
    }
    program.envs(variables.iter().copied()).env(SUBSCRIBE, url).stdout(Stdio::null());
    let status = tokio::task::spawn_blocking(move || program.status().unwrap()).await.unwrap();
    assert!(status.success(), "{variables:?}");
}

/// Environment variable with the URL for `subscribe_in_this_process`.
const SUBSCRIBE: &str = "STENTOR_CLIENT_TEST_SUBSCRIBE";

/// Runs in the process that `subscribe_with` starts. Does nothing otherwise.
#[tokio::test]
async fn subscribe_in_this_process() {
    let Ok(url) = std::env::var(SUBSCRIBE) else { return };
    let mut source = EventSource::builder(url).attempts_max(1).build().unwrap();
    assert!(source.next().await.is_none());
}

#[tokio::test]
async fn the_proxy_of_the_environment_is_not_used_for_this_machine() {
    let (proxy, server) = (Server::start().await, Server::start().await);
    let variables = [("HTTP_PROXY", &*proxy.url(""))];
    let (requests, ()) =
        tokio::join!(proxy.respond([NO_CONTENT]), subscribe_with(&variables, "http://a.test/s"));
    assert_eq!(requests[0].line(), "GET http://a.test/s");

    let url = server.url("/s");
    let (requests, ()) =
        tokio::join!(server.respond([NO_CONTENT]), subscribe_with(&variables, &url));
    assert_eq!(requests[0].line(), "GET /s");
}

#[tokio::test]
async fn no_proxy_of_the_environment_is_honored() {
    let (proxy, server) = (Server::start().await, Server::start().await);
    // 0.0.0.0 also is this machine, but it is not a loopback address.
    let url = server.url("/s").replace("127.0.0.1", "0.0.0.0");
    let proxied = [("HTTP_PROXY", &*proxy.url(""))];
    let (requests, ()) = tokio::join!(proxy.respond([NO_CONTENT]), subscribe_with(&proxied, &url));
    assert!(requests[0].line().contains("http://0.0.0.0"), "{}", requests[0].line());

    let variables = [("HTTP_PROXY", &*proxy.url("")), ("NO_PROXY", "a.test,0.0.0.0")];
    let (requests, ()) =
        tokio::join!(server.respond([NO_CONTENT]), subscribe_with(&variables, &url));
    assert_eq!(requests[0].line(), "GET /s");
}
