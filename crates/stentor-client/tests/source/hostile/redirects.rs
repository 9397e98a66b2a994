//! Servers that redirect.

use stentor_client::{EventSource, EventSourceError, RedirectError};

use crate::support::{NO_CONTENT, Server, response};
use crate::{data_of, fatal_error, source};

fn redirect(status: u16, to: &str) -> String {
    response(&format!("{status} Moved"), &format!("location: {to}\r\n"), "")
}

#[tokio::test]
async fn another_origin_gets_no_secret_and_neither_does_its_redirect_target() {
    let (home, other) = (Server::start().await, Server::start().await);
    let with_password = home.url("/s").replace("http://", "http://user:secret@");
    for url in [home.url("/s"), with_password] {
        let mut source = EventSource::builder(url)
            .header("Authorization", "Bearer secret")
            .header("Cookie", "a=secret")
            .header("X-Key", "secret")
            .last_event_id("9")
            .build()
            .unwrap();
        assert!(!format!("{source:?}").contains("secret"), "{source:?}");
        let script = async {
            let responses = [redirect(307, "/t"), redirect(308, &other.url("/u"))];
            let first = home.respond(responses).await;
            let second = other.respond([redirect(302, &home.url("/v"))]).await;
            let third = home.respond([NO_CONTENT]).await;
            (first, second, third)
        };
        let ((first, second, third), data) = tokio::join!(script, data_of(&mut source));
        assert!(data.is_empty());
        for request in &first {
            assert_eq!(request.header("authorization"), Some("Bearer secret"));
            assert_eq!(request.header("cookie"), Some("a=secret"));
            assert_eq!(request.header("x-key"), Some("secret"));
        }
        for request in second.iter().chain(&third) {
            assert!(!request.head().contains("secret"), "{}", request.head());
            assert!(request.header("authorization").is_none(), "{}", request.head());
            assert_eq!(request.last_event_id(), Some("9"));
            assert_eq!(request.header("accept"), Some("text/event-stream"));
        }
    }
}

#[tokio::test]
async fn no_body_goes_to_another_origin() {
    let (home, other) = (Server::start().await, Server::start().await);
    for status in [307, 308] {
        let url = home.url("/").replace("http://", "http://user:password@");
        let mut source = EventSource::builder(url).body("secret").build().unwrap();
        let responses = [redirect(status, &other.url("/"))];
        let (_, error) = tokio::join!(home.respond(responses), fatal_error(&mut source));
        let text = error.to_string();
        assert!(matches!(error, EventSourceError::Redirect(RedirectError::Body { .. })), "{text}");
        assert!(text.contains(&other.url("/")) && !text.contains("password"), "{text}");
    }
}

#[tokio::test]
async fn a_redirect_that_changes_the_method_to_get_drops_the_body() {
    let (home, other) = (Server::start().await, Server::start().await);
    let mut source = EventSource::builder(home.url("/"))
        .header("content-type", "text/plain")
        .header("x-key", "secret")
        .body("secret")
        .build()
        .unwrap();
    let script = async {
        home.respond([redirect(302, &other.url("/u"))]).await;
        other.respond([NO_CONTENT]).await.remove(0)
    };
    let (request, _) = tokio::join!(script, data_of(&mut source));
    assert_eq!((request.line(), request.body.as_str()), ("GET /u", ""));
    assert_eq!(request.header("content-type"), None);
    assert!(!request.head().contains("secret"), "{}", request.head());
}

#[tokio::test]
async fn a_loop_of_redirects_ends_after_twenty() {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let redirects = vec![redirect(301, "/"); EventSource::REDIRECTS_MAX + 1];
    let (requests, error) = tokio::join!(server.respond(redirects), fatal_error(&mut source));
    assert_eq!(requests.len(), EventSource::REDIRECTS_MAX + 1);
    assert!(matches!(error, EventSourceError::Redirect(RedirectError::TooMany { limit: 20 })));
}

#[tokio::test]
async fn a_redirect_to_another_scheme_is_fatal() {
    for to in ["file:///etc/passwd", "data:text/event-stream,data:x", "gopher://x", "http://"] {
        let server = Server::start().await;
        let mut source = source(&server.url("/"));
        let (_, error) =
            tokio::join!(server.respond([redirect(302, to)]), fatal_error(&mut source));
        let is_refused =
            matches!(error, EventSourceError::Redirect(RedirectError::Location { .. }));
        assert!(is_refused, "{to}: {error}");
    }
}

#[tokio::test]
async fn the_body_of_a_redirect_is_not_waited_for() {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let script = async {
        let mut endless = server.accept().await;
        endless.write("HTTP/1.1 302 Found\r\nlocation: /t\r\n\r\nblah").await;
        server.respond([NO_CONTENT]).await;
        endless
    };
    let (mut endless, data) = tokio::join!(script, data_of(&mut source));
    assert!(data.is_empty());
    endless.closed_by_client().await;
}
