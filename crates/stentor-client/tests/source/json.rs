//! Events parsed from JSON.

use serde::Deserialize;
use stentor_client::JsonError;

use crate::source;
use crate::support::{NO_CONTENT, Server, response, stream};

#[derive(Debug, Deserialize, PartialEq)]
struct Reading {
    celsius: f32,
}

#[tokio::test]
async fn an_event_that_cannot_be_parsed_is_an_error_and_not_the_end() {
    let server = Server::start().await;
    let mut readings = source(&server.url("/")).json::<Reading>();
    let body = "event: stentor.cursor\nid: c0\ndata\n\n\
                data: {\"celsius\":1.5}\n\n\
                data: warm\n\n\
                event: stentor.gap\ndata: {\"reason\":\"trimmed\"}\n\n\
                data: {\"celsius\":2}\n\n\
                event: stentor.end\ndata: {}\n\n";
    let read = async {
        let mut seen = Vec::new();
        while let Some(reading) = readings.next().await {
            seen.push(reading);
        }
        seen
    };
    let (_, seen) = tokio::join!(server.respond([stream(body), NO_CONTENT.to_owned()]), read);
    assert_eq!(seen.len(), 4, "{seen:?}");
    assert_eq!(seen[0].as_ref().unwrap(), &Reading { celsius: 1.5 });
    assert!(matches!(&seen[1], Err(JsonError::Data { event, .. }) if event.data() == "warm"));
    assert!(matches!(&seen[2], Err(JsonError::Gap(gap)) if gap.reason == "trimmed"));
    assert_eq!(seen[3].as_ref().unwrap(), &Reading { celsius: 2.0 });
    assert_eq!(readings.source().last_event_id(), "c0");
}

#[tokio::test]
async fn an_error_of_the_source_is_the_last_item() {
    let server = Server::start().await;
    let mut readings = source(&server.url("/")).json::<Reading>();
    let (_, error) = tokio::join!(server.respond([response("404 X", "", "")]), readings.next());
    assert!(matches!(error, Some(Err(JsonError::Source(_)))), "{error:?}");
    assert!(readings.next().await.is_none());
}
