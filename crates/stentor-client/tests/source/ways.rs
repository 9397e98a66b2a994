//! Ways to the server.

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

use crate::support::{NOTHING_MORE, Server, stream};
use crate::{data_of, quick, until_waiting};

#[tokio::test]
async fn a_unix_socket_is_a_way() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let mut source = quick("http://a.test/s").unix_socket(&path).build().unwrap();
    let script = async {
        let mut heads = Vec::new();
        for answer in [&stream("id: 1\ndata: a\n\n"), NOTHING_MORE] {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let read = socket.read(&mut head).await.unwrap();
            heads.push(String::from_utf8_lossy(&head[..read]).to_lowercase());
            socket.write_all(answer.as_bytes()).await.unwrap();
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
async fn a_proxy_is_a_way() {
    let proxy = Server::start().await;
    let mut source = quick("http://a.test/s").proxy(proxy.url("")).build().unwrap();
    let answers = [stream("data: a\n\n"), NOTHING_MORE.to_owned()];
    let (requests, data) = tokio::join!(proxy.answer(answers), data_of(&mut source));
    assert_eq!(data, ["a"]);
    assert_eq!(requests[0].line(), "GET http://a.test/s");
}

/// Serves HTTP/2 with these headers and one event.
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
async fn http_2_is_spoken_at_once_if_the_server_is_known_to() {
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
async fn a_head_beyond_bounds_is_refused_on_http_2_as_well() {
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

/// Follows an address in a program of its own, which has these variables.
async fn follow_with(variables: &[(&str, &str)], url: &str) {
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", "ways::in_an_environment_of_its_own"]);
    for name in ["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"] {
        program.env_remove(name);
    }
    program.envs(variables.iter().copied()).env(FOLLOW, url).stdout(Stdio::null());
    let status = tokio::task::spawn_blocking(move || program.status().unwrap()).await.unwrap();
    assert!(status.success(), "{variables:?}");
}

/// The address to follow, for the test below.
const FOLLOW: &str = "STENTOR_CLIENT_TEST_FOLLOW";

/// The program that the tests around it start; nothing by itself.
#[tokio::test]
async fn in_an_environment_of_its_own() {
    let Ok(url) = std::env::var(FOLLOW) else { return };
    let mut source = EventSource::builder(url).attempts_max(1).build().unwrap();
    assert!(source.next().await.is_none());
}

#[tokio::test]
async fn the_environment_names_a_proxy_but_not_for_this_machine() {
    let (proxy, server) = (Server::start().await, Server::start().await);
    let variables = [("HTTP_PROXY", &*proxy.url(""))];
    let (requests, ()) =
        tokio::join!(proxy.answer([NOTHING_MORE]), follow_with(&variables, "http://a.test/s"));
    assert_eq!(requests[0].line(), "GET http://a.test/s");

    let url = server.url("/s");
    let (requests, ()) = tokio::join!(server.answer([NOTHING_MORE]), follow_with(&variables, &url));
    assert_eq!(requests[0].line(), "GET /s");
}

#[tokio::test]
async fn the_environment_names_hosts_that_need_no_proxy() {
    let (proxy, server) = (Server::start().await, Server::start().await);
    // 0.0.0.0 is this machine as well, but no loopback address.
    let url = server.url("/s").replace("127.0.0.1", "0.0.0.0");
    let proxied = [("HTTP_PROXY", &*proxy.url(""))];
    let (requests, ()) = tokio::join!(proxy.answer([NOTHING_MORE]), follow_with(&proxied, &url));
    assert!(requests[0].line().contains("http://0.0.0.0"), "{}", requests[0].line());

    let variables = [("HTTP_PROXY", &*proxy.url("")), ("NO_PROXY", "a.test,0.0.0.0")];
    let (requests, ()) = tokio::join!(server.answer([NOTHING_MORE]), follow_with(&variables, &url));
    assert_eq!(requests[0].line(), "GET /s");
}
