//! Options of a publisher.

use stentor_client::{BuildError, Publisher};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::created;
use crate::support::Server;

#[tokio::test]
async fn headers_and_a_token_are_sent_with_each_request() {
    let server = Server::start().await;
    let publisher = Publisher::builder(server.url(""))
        .bearer_token("secret")
        .header("x-tenant", "blue")
        .build()
        .unwrap();
    let (requests, _) = tokio::join!(server.respond([created()]), publisher.publish("t", "x"));
    assert_eq!(requests[0].header("authorization"), Some("Bearer secret"));
    assert_eq!(requests[0].header("x-tenant"), Some("blue"));
}

#[tokio::test]
async fn an_invalid_header_is_named_without_its_value() {
    let builder = Publisher::builder("http://h").bearer_token("sec\nret");
    assert!(!format!("{builder:?}").contains("sec"));
    match builder.build().unwrap_err() {
        BuildError::Header { name } => assert_eq!(name, "authorization"),
        error => panic!("{error}"),
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_replaces_the_host() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let publisher = Publisher::builder("http://stentor").unix_socket(path).build().unwrap();
    let responses = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = String::new();
        while !request.ends_with("\r\n\r\nx") {
            request.push(char::from(socket.read_u8().await.unwrap()));
        }
        socket.write_all(created().as_bytes()).await.unwrap();
        request
    };
    let (request, result) = tokio::join!(responses, publisher.publish("t", "x"));
    assert!(request.contains("host: stentor\r\n"), "{request}");
    assert_eq!(result.unwrap().count, 1);
}

#[tokio::test]
async fn clones_share_a_connection() {
    let server = Server::start().await;
    let publisher = Publisher::new(server.url("")).unwrap();
    let responses = async {
        let mut connection = server.accept().await;
        connection.write(&created().replace("connection: close\r\n", "")).await;
        connection.next_request().await;
        assert_eq!(connection.request.body, "two");
        connection.write(&created()).await;
    };
    let publish = async {
        publisher.publish("t", "one").await.unwrap();
        publisher.clone().publish("t", "two").await.unwrap();
    };
    tokio::join!(responses, publish);
}
