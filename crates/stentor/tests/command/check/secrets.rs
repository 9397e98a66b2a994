//! The servers that credentials are sent to.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::check;
use super::test_server::{Fault, TestServer};
use crate::harness::stentor;

#[tokio::test]
async fn a_token_is_sent_with_each_request_except_a_preflight() {
    let server = TestServer::start(Fault::Guarded).await;
    let url = server.url();
    check(&[&url, "--for", "300ms"]).await.must_blame(&["status"]);
    let args = [&*url, "--for", "300ms", "--publish-url", &url, "--token", "secret"];
    let checked = check(&args).await;
    checked.must_blame(&[]);
    assert!(!checked.object.to_string().contains("secret"), "{:#}", checked.object);
}

#[tokio::test]
async fn the_token_of_the_environment_is_only_sent_to_our_server() {
    let server = TestServer::start(Fault::Guarded).await;
    let url = server.url();
    let args = ["check", &url, "--for", "300ms"];
    let foreign = stentor(&args).env("STENTOR_TOKEN", "secret").run().await;
    assert_eq!(foreign.code, Some(1), "{foreign:?}");
    let own = stentor(&args).env("STENTOR_TOKEN", "secret").env("STENTOR_URL", &url).run().await;
    assert_eq!(own.code, Some(0), "{own:?}");
}

#[tokio::test]
async fn secrets_do_not_follow_a_redirect_to_another_origin() {
    let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let second = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", first.local_addr().unwrap());
    let target = format!("http://{}/", second.local_addr().unwrap());
    let args = ["check", &url, "--token", "secret", "--header", "X-Key: secret", "--for", "1s"];
    let heads = async {
        let (mut socket, _) = first.accept().await.unwrap();
        let asked = head(&mut socket).await;
        let moved =
            format!("HTTP/1.1 307 Moved\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n");
        socket.write_all(moved.as_bytes()).await.unwrap();
        let (mut socket, _) = second.accept().await.unwrap();
        let asked_again = head(&mut socket).await;
        socket.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        (asked, asked_again)
    };
    let (done, (asked, asked_again)) = tokio::join!(stentor(&args).run(), heads);
    assert_eq!(asked.matches("secret").count(), 2, "{asked}");
    assert!(!asked_again.contains("secret"), "{asked_again}");
    assert!(done.stdout.contains(&format!("307 to {target}")), "{done:?}");
}

#[tokio::test]
async fn a_password_in_the_url_is_not_printed() {
    let server = TestServer::start(Fault::Guarded).await;
    let url = server.url().replace("://", "://me:secret@");
    let done = stentor(&["check", &url, "--for", "300ms"]).run().await;
    assert!(done.stdout.contains("://me@"), "{done:?}");
    assert!(!done.stdout.contains("secret") && !done.stderr.contains("secret"), "{done:?}");
}

async fn head(socket: &mut tokio::net::TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        assert_ne!(socket.read_buf(&mut bytes).await.unwrap(), 0);
    }
    String::from_utf8(bytes).unwrap()
}
