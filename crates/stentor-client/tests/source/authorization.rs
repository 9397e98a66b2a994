//! Credentials that are renewed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use stentor_client::reconnect::Mode;
use stentor_client::{EventSourceBuilder, EventSourceError};
use tokio::sync::watch;

use crate::support::{NOTHING_MORE, Request, Server, answer, stream};
use crate::{data_of, fatal_error, quick, until_waiting};

/// A source with the authorization `old`, and then `new 1`, `new 2` and so on.
fn renewing(url: &str) -> EventSourceBuilder {
    let count = Arc::new(AtomicU32::new(0));
    quick(url).header("authorization", "old").renew_authorization(move || {
        let number = count.fetch_add(1, Ordering::Relaxed) + 1;
        async move { Ok::<_, std::io::Error>(format!("new {number}")) }
    })
}

fn unauthorized() -> String {
    answer("401 Unauthorized", "www-authenticate: Bearer\r\n", "")
}

fn authorizations(requests: &[Request]) -> Vec<&str> {
    requests.iter().map(|request| request.header("authorization").unwrap()).collect()
}

#[tokio::test]
async fn a_401_is_answered_with_new_credentials_which_stay() {
    let server = Server::start().await;
    let mut source = renewing(&server.url("/")).build().unwrap();
    let answers = [
        unauthorized(),
        stream("id: 1\ndata: a\n\n"),
        stream("data: b\n\n"),
        unauthorized(),
        NOTHING_MORE.to_owned(),
    ];
    let (requests, data) = tokio::join!(server.answer(answers), data_of(&mut source));
    assert_eq!(data, ["a", "b"]);
    assert_eq!(authorizations(&requests), ["old", "new 1", "new 1", "new 1", "new 2"]);
    assert_eq!(requests[4].last_event_id(), Some("1"));
}

#[tokio::test]
async fn a_401_to_new_credentials_is_fatal() {
    let server = Server::start().await;
    let mut source = renewing(&server.url("/")).build().unwrap();
    let answers = [unauthorized(), unauthorized()];
    let (requests, error) = tokio::join!(server.answer(answers), fatal_error(&mut source));
    assert_eq!(authorizations(&requests), ["old", "new 1"]);
    assert!(matches!(error, EventSourceError::Unauthorized { .. }), "{error}");
}

#[tokio::test]
async fn without_a_way_to_renew_or_by_the_letter_a_401_is_fatal() {
    let server = Server::start().await;
    let url = server.url("/");
    for builder in [quick(&url), renewing(&url).mode(Mode::Spec)] {
        let mut source = builder.build().unwrap();
        let (_, error) = tokio::join!(server.answer([unauthorized()]), fatal_error(&mut source));
        assert!(matches!(error, EventSourceError::Status { .. }), "{error}");
    }
}

#[tokio::test]
async fn the_401_of_a_stranger_renews_nothing() {
    let (home, abroad) = (Server::start().await, Server::start().await);
    let mut source = renewing(&home.url("/")).build().unwrap();
    let script = async {
        let location = format!("location: {}\r\n", abroad.url("/"));
        home.answer([answer("302 Found", &location, "")]).await;
        abroad.answer([unauthorized()]).await
    };
    let (requests, error) = tokio::join!(script, fatal_error(&mut source));
    assert_eq!(requests[0].header("authorization"), None);
    assert!(matches!(error, EventSourceError::Status { .. }), "{error}");
}

#[tokio::test]
async fn credentials_that_cannot_be_had_are_asked_for_again_later() {
    let server = Server::start().await;
    for (given, text) in [(Err("the issuer is away"), "the issuer is away"), (Ok("a\nb"), "header")]
    {
        let mut source = quick(&server.url("/"))
            .renew_authorization(move || async move { given.map(str::to_owned) })
            .build()
            .unwrap();
        let (_, (_, reason)) =
            tokio::join!(server.answer([unauthorized()]), until_waiting(&mut source));
        assert!(matches!(reason, EventSourceError::Renewal { .. }), "{reason}");
        assert!(reason.to_string().contains(text), "{reason}");
    }
}

#[tokio::test]
async fn a_restart_does_not_disturb_a_renewal() {
    let server = Server::start().await;
    let (ask, mut asked) = watch::channel(false);
    let (give, given) = watch::channel(false);
    let mut source = quick(&server.url("/"))
        .renew_authorization(move || {
            ask.send_replace(true);
            let mut given = given.clone();
            async move { given.wait_for(|given| *given).await.map(|_| "new".to_owned()) }
        })
        .build()
        .unwrap();
    let script = async {
        server.answer([unauthorized()]).await;
        asked.wait_for(|asked| *asked).await.unwrap();
    };
    tokio::select! {
        item = source.next() => panic!("{item:?}"),
        () = script => {}
    }
    source.reconnect();
    give.send_replace(true);
    let (requests, _) = tokio::join!(server.answer([NOTHING_MORE]), data_of(&mut source));
    assert_eq!(authorizations(&requests), ["new"]);
}
