//! Uploads.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, stream};
use stentor_client::{Publish, PublishError, Publisher};
use tokio::sync::mpsc;

use crate::support::{Server, response};
use crate::{created_many, ended, unavailable};

type Chunks = mpsc::UnboundedSender<Result<Bytes, io::Error>>;

const NDJSON: &str = "application/x-ndjson";

/// An upload whose chunks are sent by the test.
fn chunks() -> (Chunks, Publish<impl futures_util::Stream<Item = Result<Bytes, io::Error>>>) {
    let (send, mut chunks) = mpsc::unbounded_channel();
    (send, Publish::stream(NDJSON, stream::poll_fn(move |cx| chunks.poll_recv(cx))))
}

fn send(chunks: &Chunks, chunk: &'static str) {
    chunks.send(Ok(Bytes::from(chunk))).unwrap();
}

#[tokio::test]
async fn each_chunk_is_sent_as_it_arrives() {
    let server = Server::start().await;
    let publisher = Publisher::new(server.url("")).unwrap();
    let (chunks, upload) = chunks();
    let responses = async {
        send(&chunks, "one\n");
        let mut connection = server.accept().await;
        connection.read_until("one\n").await;
        send(&chunks, "two\n");
        connection.read_until("two\n").await;
        drop(chunks);
        connection.read_until("\r\n0\r\n\r\n").await;
        connection.write(&created_many(2, 2)).await;
        connection.close().await
    };
    let upload = upload.and_end("done");
    let (request, result) = tokio::join!(responses, publisher.upload("t", upload));
    assert_eq!(result.unwrap().count, 2);
    assert_eq!(request.line(), "POST /topics/t?end=done");
    assert_eq!(request.header("content-type"), Some(NDJSON));
    assert_eq!(request.header("transfer-encoding"), Some("chunked"));
    assert_eq!(request.header("idempotency-key"), None);
}

#[tokio::test]
async fn a_refusal_ends_an_upload_that_is_still_open() {
    let server = Server::start().await;
    let publisher = Publisher::new(server.url("")).unwrap();
    let (chunks, upload) = chunks();
    let problem = r#"{"code":"topic-ended","detail":"it has ended","published":1,"last_id":"c1"}"#;
    let refusal = response("409 Conflict", "content-type: application/problem+json\r\n", problem);
    let responses = async {
        send(&chunks, "one\n");
        let mut connection = server.accept().await;
        connection.read_until("one\n").await;
        connection.write(&refusal).await;
        connection.close().await
    };
    let (_, result) = tokio::join!(responses, publisher.upload("t", upload));
    let error = result.unwrap_err();
    let problem = error.problem().unwrap();
    assert_eq!((problem.published, problem.last_id.as_deref()), (Some(1), Some("c1")));
    assert!(!error.may_be_published());
}

#[tokio::test]
async fn a_stream_that_fails_aborts_the_upload() {
    let server = Server::start().await;
    let publisher = Publisher::new(server.url("")).unwrap();
    let (chunks, upload) = chunks();
    let responses = async {
        send(&chunks, "one\n");
        let mut connection = server.accept().await;
        connection.read_until("one\n").await;
        chunks.send(Err(io::Error::other("the camera is gone"))).unwrap();
        connection.read_to_end().await;
        connection.request
    };
    let (request, result) = tokio::join!(responses, publisher.upload("t", upload));
    assert!(!request.body.contains("0\r\n\r\n"), "the server must see that the body is incomplete");
    match result.unwrap_err() {
        PublishError::Stream { cause } => assert_eq!(cause, "the camera is gone"),
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn an_upload_is_not_retried_and_the_error_says_how_to() {
    let server = Server::start().await;
    let publisher = Publisher::new(server.url("")).unwrap();
    let (chunks, upload) = chunks();
    let responses = async {
        send(&chunks, "one\n");
        let mut connection = server.accept().await;
        connection.read_until("one\n").await;
        connection.close().await
    };
    let upload = upload.with_idempotency_key("file-1");
    let (request, result) = tokio::join!(responses, publisher.upload("t", upload));
    assert_eq!(request.header("idempotency-key"), Some("file-1"));
    let error = result.unwrap_err();
    assert!(matches!(error, PublishError::NoResponse { .. }), "{error}");
    assert!(error.may_be_published() && error.to_string().contains("file-1"), "{error}");
}

#[tokio::test]
async fn a_repeatable_upload_is_retried_with_one_key() {
    let server = Server::start().await;
    let publisher = Publisher::new(server.url("")).unwrap();
    let mut times = 0;
    let lines = || {
        times += 1;
        stream::iter(["one\n", "two\n"].map(|line| Ok::<_, io::Error>(Bytes::from(line))))
    };
    let responses = async {
        let mut key = None;
        for last in ["", &unavailable(), &created_many(2, 2)] {
            let mut connection = server.accept().await;
            connection.read_until("two\n").await;
            connection.write(last).await;
            let request = connection.close().await;
            let sent = request.header("idempotency-key").expect("a key").to_owned();
            assert_eq!(key.get_or_insert(sent.clone()), &sent);
        }
    };
    let upload = Publish::stream(NDJSON, lines);
    let ((), result) = tokio::join!(responses, publisher.upload_repeatable("t", upload));
    assert_eq!((result.unwrap().count, times), (2, 3));
}

#[tokio::test]
async fn a_permanent_refusal_ends_a_repeatable_upload() {
    let server = Server::start().await;
    let publisher = Publisher::new(server.url("")).unwrap();
    let lines = || stream::iter([Ok::<_, io::Error>(Bytes::from("one\n"))]);
    let upload = Publish::stream(NDJSON, lines).with_idempotency_key("file");
    let (requests, result) =
        tokio::join!(server.respond([ended()]), publisher.upload_repeatable("t", upload).boxed());
    assert_eq!(requests[0].header("idempotency-key"), Some("file"));
    assert!(!result.unwrap_err().may_be_published());
}

#[tokio::test]
async fn the_request_timeout_starts_at_the_end_of_an_upload() {
    let server = Server::start().await;
    let publisher = Publisher::builder(server.url(""))
        .request_timeout(Duration::from_millis(50))
        .build()
        .unwrap();
    let lines = stream::iter([Ok::<_, io::Error>(Bytes::from("one\n"))]);
    let upload = Publish::stream(NDJSON, lines);
    let (_connection, result) = tokio::join!(server.accept(), publisher.upload("t", upload));
    assert!(result.unwrap_err().may_be_published());
}

#[tokio::test]
async fn an_open_upload_has_no_timeout() {
    let server = Server::start().await;
    let publisher = Publisher::builder(server.url(""))
        .request_timeout(Duration::from_millis(1))
        .build()
        .unwrap();
    let (chunks, upload) = chunks();
    let mut upload = publisher.upload("t", upload).boxed();
    send(&chunks, "one\n");
    let mut connection = tokio::select! {
        connection = server.accept() => connection,
        result = &mut upload => panic!("{result:?}"),
    };
    let silence = tokio::time::sleep(Duration::from_millis(50));
    tokio::select! {
        () = silence => {}
        result = &mut upload => panic!("{result:?}"),
    }
    let refuse = async {
        connection.read_until("one\n").await;
        connection.write(&ended()).await;
        connection.close().await
    };
    let (_, result) = tokio::join!(refuse, upload);
    assert!(matches!(result, Err(PublishError::Refused { .. })));
    drop(chunks);
}
