//! Renewal of credentials.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use stentor_client::reconnect::Mode;
use stentor_client::{EventSourceBuilder, EventSourceError};
use tokio::sync::watch;

use crate::support::{NO_CONTENT, Request, Server, response, stream};
use crate::{data_of, fatal_error, quick, until_waiting};

/// Returns a source with the authorization `old`. Renewals return `new 1`, `new 2` and so on.
fn renewing(url: &str) -> EventSourceBuilder {
    let count = Arc::new(AtomicU32::new(0));
    quick(url).header("authorization", "old").renew_authorization(move || {
        let number = count.fetch_add(1, Ordering::Relaxed) + 1;
        async move { Ok::<_, std::io::Error>(format!("new {number}")) }
    })
}

fn unauthorized() -> String {
    response("401 Unauthorized", "www-authenticate: Bearer\r\n", "")
}

fn authorizations(requests: &[Request]) -> Vec<&str> {
    requests.iter().map(|request| request.header("authorization").unwrap()).collect()
}

#[tokio::test]
async fn new_credentials_after_a_401_are_kept() {
    let server = Server::start().await;
    let mut source = renewing(&server.url("/")).build().unwrap();
    let responses = [
        unauthorized(),
        stream("id: 1\ndata: a\n\n"),
        stream("data: b\n\n"),
        unauthorized(),
        NO_CONTENT.to_owned(),
    ];
    let (requests, data) = tokio::join!(server.respond(responses), data_of(&mut source));
    assert_eq!(data, ["a", "b"]);
    assert_eq!(authorizations(&requests), ["old", "new 1", "new 1", "new 1", "new 2"]);
    assert_eq!(requests[4].last_event_id(), Some("1"));
}

#[tokio::test]
async fn a_401_to_new_credentials_is_fatal() {
    let server = Server::start().await;
    let mut source = renewing(&server.url("/")).build().unwrap();
    let responses = [unauthorized(), unauthorized()];
    let (requests, error) = tokio::join!(server.respond(responses), fatal_error(&mut source));
    assert_eq!(authorizations(&requests), ["old", "new 1"]);
    assert!(matches!(error, EventSourceError::Unauthorized { .. }), "{error}");
}

#[tokio::test]
async fn a_401_is_fatal_without_a_callback_and_in_spec_mode() {
    let server = Server::start().await;
    let url = server.url("/");
    for builder in [quick(&url), renewing(&url).mode(Mode::Spec)] {
        let mut source = builder.build().unwrap();
        let (_, error) = tokio::join!(server.respond([unauthorized()]), fatal_error(&mut source));
        assert!(matches!(error, EventSourceError::Status { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_401_of_another_origin_renews_nothing() {
    let (home, other) = (Server::start().await, Server::start().await);
    let mut source = renewing(&home.url("/")).build().unwrap();
    let script = async {
        let location = format!("location: {}\r\n", other.url("/"));
        home.respond([response("302 Found", &location, "")]).await;
        other.respond([unauthorized()]).await
    };
    let (requests, error) = tokio::join!(script, fatal_error(&mut source));
    assert_eq!(requests[0].header("authorization"), None);
    assert!(matches!(error, EventSourceError::Status { .. }), "{error}");
}

#[tokio::test]
async fn a_failed_renewal_is_retried_later() {
    let server = Server::start().await;
    for (given, text) in
        [(Err("the issuer is unreachable"), "the issuer is unreachable"), (Ok("a\nb"), "header")]
    {
        let mut source = quick(&server.url("/"))
            .renew_authorization(move || async move { given.map(str::to_owned) })
            .build()
            .unwrap();
        let (_, (_, reason)) =
            tokio::join!(server.respond([unauthorized()]), until_waiting(&mut source));
        assert!(matches!(reason, EventSourceError::Renewal { .. }), "{reason}");
        assert!(reason.to_string().contains(text), "{reason}");
    }
}

#[tokio::test]
async fn a_reconnect_does_not_interrupt_a_renewal() {
    let server = Server::start().await;
    let (start, mut started) = watch::channel(false);
    let (allow, allowed) = watch::channel(false);
    let mut source = quick(&server.url("/"))
        .renew_authorization(move || {
            start.send_replace(true);
            let mut allowed = allowed.clone();
            async move { allowed.wait_for(|allowed| *allowed).await.map(|_| "new".to_owned()) }
        })
        .build()
        .unwrap();
    let script = async {
        server.respond([unauthorized()]).await;
        started.wait_for(|started| *started).await.unwrap();
    };
    tokio::select! {
        item = source.next() => panic!("{item:?}"),
        () = script => {}
    }
    source.reconnect();
    allow.send_replace(true);
    let (requests, _) = tokio::join!(server.respond([NO_CONTENT]), data_of(&mut source));
    assert_eq!(authorizations(&requests), ["new"]);
}
