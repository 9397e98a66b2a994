//! The examples of docs/client.md. Each `rust` block of the page is in this file, and runs as a test.
#![allow(clippy::similar_names, reason = "publisher and published are both clear")]

use std::fmt::Write;
use std::path::Path;

use serde::Deserialize;
use stentor_client::cursor::FileCursor;
use stentor_client::{Control, Decoder, Event, EventSource, Item, Publisher, State};

use crate::harness::Server;
use crate::page::blocks;

type TestResult = Result<(), Box<dyn std::error::Error>>;

#[test]
fn each_example_of_the_page_is_in_this_file() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docs/client.rs");
    let tested = flat(&std::fs::read_to_string(file).unwrap());
    for block in blocks("docs/client.md", "rust") {
        let line = block.line;
        assert!(
            tested.contains(&flat(&block.code)),
            "docs/client.md, line {line}: not in this file"
        );
    }
}

/// Removes all whitespace, and replaces the server URL of the page with that of a test server.
fn flat(code: &str) -> String {
    let mut parts = code.split("\"http://localhost:8080");
    let mut code = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (path, rest) = part.split_once('"').expect("a closing quote after the URL");
        write!(code, "server.url(\"{path}\"){rest}").unwrap();
    }
    code.split_whitespace().collect()
}

/// Runs the body of a complete program inside a test.
macro_rules! run_program {
    (use $import:path; #[tokio::main] async fn main() -> $result:ty $body:block) => {{
        let result: $result = async $body.await;
        result
    }};
}

#[tokio::test]
async fn receive_events() -> TestResult {
    let server = Server::start().await;
    server.publish("/topics/news", "one").await;
    server.publish("/topics/news?end", "two").await;

    run_program! {
        use stentor_client::EventSource;

        #[tokio::main]
        async fn main() -> Result<(), Box<dyn std::error::Error>> {
            let mut source = EventSource::new(server.url("/topics/news?from=earliest"))?;
            while let Some(event) = source.next().await {
                println!("{}", event?.data());
            }
            Ok(())
        }
    }
}

#[tokio::test]
async fn observe_the_connection() -> TestResult {
    let server = Server::start().await;

    let source = EventSource::new(server.url("/topics/news"))?;
    let mut states = source.states();
    tokio::spawn(async move {
        while states.changed().await.is_ok() {
            match &*states.borrow_and_update() {
                State::Connecting => println!("connecting"),
                State::Open(head) => println!("open: {} over {:?}", head.status, head.version),
                State::Waiting { reason, attempt, .. } => {
                    println!("waiting for attempt {attempt}: {reason}");
                }
                State::Closed => println!("closed"),
            }
        }
    });

    let mut source = source;
    let event = source.next().await.expect("the first event is a cursor")?;
    assert_eq!(Control::of(&event), Some(Control::Cursor));
    let State::Open(head) = source.state() else { panic!("{:?}", source.state()) };
    assert_eq!(head.status, 200);
    source.close();
    assert!(source.next().await.is_none());
    Ok(())
}

#[tokio::test]
async fn continue_after_a_restart() -> TestResult {
    fn process(event: &Event) {
        assert!(Control::of(event).is_some() || event.data() == "an order");
    }
    let server = Server::start().await;
    server.publish("/topics/orders", "an order").await;
    server.publish("/topics/orders?end", "").await;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("orders.cursor");

    let mut source = EventSource::builder(server.url("/topics/orders?from=earliest"))
        .cursor(FileCursor::new(&file))
        .build()?;
    while let Some(event) = source.next().await {
        process(&event?);
        source.commit().await?;
    }

    assert_eq!(std::fs::read_to_string(&file)?.trim_end(), source.last_event_id());
    let again = EventSource::builder(server.url("/topics/orders?from=earliest"))
        .cursor(FileCursor::new(&file));
    assert!(again.build()?.next().await.is_none(), "all events are processed");
    Ok(())
}

#[tokio::test]
async fn parse_json() -> TestResult {
    #[derive(Deserialize)]
    struct Reading {
        celsius: f64,
    }
    let server = Server::start().await;
    server.publish("/topics/kitchen", r#"{"celsius":21.5}"#).await;
    server.publish("/topics/kitchen?end", "no reading").await;

    let mut readings =
        EventSource::new(server.url("/topics/kitchen?from=earliest"))?.json::<Reading>();
    while let Some(reading) = readings.next().await {
        match reading {
            Ok(reading) => println!("{} °C", reading.celsius),
            Err(error) => eprintln!("{error}"),
        }
    }
    Ok(())
}

#[tokio::test]
async fn detect_gaps_and_ends() -> TestResult {
    let server = Server::start().await;
    server.publish("/topics/job/7?end=done", "100 %").await;

    let mut source = EventSource::new(server.url("/topics/job/7?from=earliest"))?;
    while let Some(event) = source.next().await {
        let event = event?;
        match Control::of(&event) {
            None => println!("{}", event.data()),
            Some(Control::Gap(gap)) => println!("events were lost: {}", gap.reason),
            Some(Control::End(end)) => println!("{} has ended: {}", end.topic, end.reason),
            Some(_) => {}
        }
    }
    Ok(())
}

#[tokio::test]
async fn send_a_request_body() -> TestResult {
    // A topic takes the place of the language model. It shows that the request body arrives.
    let server = Server::start().await;
    let completions = server.url("/topics/completions");

    let mut tokens = EventSource::builder(completions)
        .header("authorization", "Bearer secret")
        .header("content-type", "application/json")
        .body(r#"{"prompt":"Say hello","stream":true}"#)
        .attempts_max(5)
        .build()?;

    assert!(tokens.next().await.expect("a response").is_err(), "201 is not a stream");
    let received = server.history_data("/topics/completions").await;
    assert_eq!(received, [r#"{"prompt":"Say hello","stream":true}"#]);
    Ok(())
}

#[tokio::test]
async fn publish_events() -> TestResult {
    let server = Server::start().await;

    let publisher = Publisher::new(server.url(""))?;
    let published = publisher.publish("news", "hello").await?;
    println!("its id is {:?}", published.last_id);

    assert_eq!(server.history_data("/topics/news").await, ["hello"]);

    let queue = publisher.queue("sensors/kitchen")?;
    for celsius in [21.5, 21.6, 21.4] {
        queue.send(celsius.to_string()).await?;
    }
    let published = queue.finish().await?;
    println!("{} events up to {:?}", published.count, published.last_id);

    assert_eq!(server.history_data("/topics/sensors/kitchen").await, ["21.5", "21.6", "21.4"]);
    Ok(())
}

#[test]
fn use_the_decoder_alone() -> TestResult {
    let mut decoder = Decoder::new();
    let mut bytes: &[u8] = b"id: 7\ndata: hello\n\n";
    while let Some(item) = decoder.decode(&mut bytes) {
        if let Item::Event(event) = item? {
            println!("{}", event.data());
        }
    }
    assert_eq!(decoder.last_event_id(), "7");
    Ok(())
}
