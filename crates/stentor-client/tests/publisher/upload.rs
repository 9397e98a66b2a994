//! Bodies that come piece by piece.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, stream};
use stentor_client::{Publish, PublishError, Publisher};
use tokio::sync::mpsc;

use crate::support::{Server, answer};
use crate::{created_many, ended, unavailable};

type Pieces = mpsc::UnboundedSender<Result<Bytes, io::Error>>;

const NDJSON: &str = "application/x-ndjson";

/// An upload whose pieces the test sends.
fn pieces() -> (Pieces, Publish<impl futures_util::Stream<Item = Result<Bytes, io::Error>>>) {
    let (send, mut pieces) = mpsc::unbounded_channel();
    (send, Publish::stream(NDJSON, stream::poll_fn(move |cx| pieces.poll_recv(cx))))
}

fn send(pieces: &Pieces, piece: &'static str) {
    pieces.send(Ok(Bytes::from(piece))).unwrap();
}

#[tokio::test]
async fn each_piece_is_sent_as_it_comes() {
    let server = Server::start().await;
    let publisher = Publisher::new(server.url("")).unwrap();
    let (pieces, upload) = pieces();
    let answers = async {
        send(&pieces, "one\n");
        let mut connection = server.accept().await;
        connection.read_until("one\n").await;
        send(&pieces, "two\n");
        connection.read_until("two\n").await;
        drop(pieces);
        connection.read_until("\r\n0\r\n\r\n").await;
        connection.write(&created_many(2, 2)).await;
        connection.close().await
    };
    let upload = upload.and_end("done");
    let (request, result) = tokio::join!(answers, publisher.upload("t", upload));
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
    let (pieces, upload) = pieces();
    let problem = r#"{"code":"topic-ended","detail":"it has ended","published":1,"last_id":"c1"}"#;
    let refusal = answer("409 Conflict", "content-type: application/problem+json\r\n", problem);
    let answers = async {
        send(&pieces, "one\n");
        let mut connection = server.accept().await;
        connection.read_until("one\n").await;
        connection.write(&refusal).await;
        connection.close().await
    };
    let (_, result) = tokio::join!(answers, publisher.upload("t", upload));
    let error = result.unwrap_err();
    let problem = error.problem().unwrap();
    assert_eq!((problem.published, problem.last_id.as_deref()), (Some(1), Some("c1")));
    assert!(!error.may_be_published());
}

#[tokio::test]
async fn a_stream_that_fails_breaks_the_upload_off() {
    let server = Server::start().await;
    let publisher = Publisher::new(server.url("")).unwrap();
    let (pieces, upload) = pieces();
    let answers = async {
        send(&pieces, "one\n");
        let mut connection = server.accept().await;
        connection.read_until("one\n").await;
        pieces.send(Err(io::Error::other("the camera is gone"))).unwrap();
        connection.read_to_end().await;
        connection.request
    };
    let (request, result) = tokio::join!(answers, publisher.upload("t", upload));
    assert!(!request.body.contains("0\r\n\r\n"), "the server must see that it is not whole");
    match result.unwrap_err() {
        PublishError::Stream { cause } => assert_eq!(cause, "the camera is gone"),
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn nothing_is_repeated_and_the_error_says_how_to() {
    let server = Server::start().await;
    let publisher = Publisher::new(server.url("")).unwrap();
    let (pieces, upload) = pieces();
    let answers = async {
        send(&pieces, "one\n");
        let mut connection = server.accept().await;
        connection.read_until("one\n").await;
        connection.close().await
    };
    let upload = upload.with_idempotency_key("file-1");
    let (request, result) = tokio::join!(answers, publisher.upload("t", upload));
    assert_eq!(request.header("idempotency-key"), Some("file-1"));
    let error = result.unwrap_err();
    assert!(matches!(error, PublishError::NoResponse { .. }), "{error}");
    assert!(error.may_be_published() && error.to_string().contains("file-1"), "{error}");
}

#[tokio::test]
async fn what_can_be_had_again_is_uploaded_again_under_one_key() {
    let server = Server::start().await;
    let publisher = Publisher::new(server.url("")).unwrap();
    let mut times = 0;
    let lines = || {
        times += 1;
        stream::iter(["one\n", "two\n"].map(|line| Ok::<_, io::Error>(Bytes::from(line))))
    };
    let answers = async {
        let mut key = None;
        for last in ["", &unavailable(), &created_many(2, 2)] {
            let mut connection = server.accept().await;
            connection.read_until("two\n").await;
            connection.write(last).await;
            let request = connection.close().await;
            let again = request.header("idempotency-key").expect("a key").to_owned();
            assert_eq!(key.get_or_insert(again.clone()), &again);
        }
    };
    let upload = Publish::stream(NDJSON, lines);
    let ((), result) = tokio::join!(answers, publisher.upload_repeatable("t", upload));
    assert_eq!((result.unwrap().count, times), (2, 3));
}

#[tokio::test]
async fn a_refusal_for_good_ends_what_could_be_had_again() {
    let server = Server::start().await;
    let publisher = Publisher::new(server.url("")).unwrap();
    let lines = || stream::iter([Ok::<_, io::Error>(Bytes::from("one\n"))]);
    let upload = Publish::stream(NDJSON, lines).with_idempotency_key("file");
    let (requests, result) =
        tokio::join!(server.answer([ended()]), publisher.upload_repeatable("t", upload).boxed());
    assert_eq!(requests[0].header("idempotency-key"), Some("file"));
    assert!(!result.unwrap_err().may_be_published());
}

#[tokio::test]
async fn an_answer_that_does_not_come_after_the_end_is_not_waited_for() {
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
async fn an_open_upload_may_be_silent_for_long() {
    let server = Server::start().await;
    let publisher = Publisher::builder(server.url(""))
        .request_timeout(Duration::from_millis(1))
        .build()
        .unwrap();
    let (pieces, upload) = pieces();
    let mut upload = publisher.upload("t", upload).boxed();
    send(&pieces, "one\n");
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
    drop(pieces);
}
