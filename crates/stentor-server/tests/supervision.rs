//! Background tasks that end are started again: a storage panics in a query of each of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot continue panics"
)]

#[path = "../../stentor-hub/tests/gated/mod.rs"]
mod gated;

use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::BodyExt;
use stentor_hub::storage::TopicsQuery;
use stentor_hub::{
    Body, Event, Filters, Hub, PRODUCER_LOST, Publish, Retention, Start, StorageError, Subscribed,
    TopicLimits, TopicName,
};
use stentor_server::Stentor;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tower::ServiceExt;

use self::gated::{Gate, GatedStorage};

const LEASE: Duration = Duration::from_secs(10);

struct Running {
    stentor: Stentor,
    gate: Gate,
    background: Option<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(background) = &self.background {
            background.abort();
        }
    }
}

/// A server whose topics keep one event.
fn start() -> Running {
    let mut server = without_background();
    server.run_background();
    server
}

fn without_background() -> Running {
    let (storage, gate) = GatedStorage::new();
    gate.open();
    Running { stentor: Stentor::new(Hub::new(storage)), gate, background: None }
}

fn topic() -> TopicName {
    "t".parse().unwrap()
}

impl Running {
    fn run_background(&mut self) {
        let newest = TopicLimits { events: Some(1), ..TopicLimits::default() };
        let retention = Retention::new([("**".parse().unwrap(), newest)]).unwrap();
        self.background = Some(tokio::spawn(self.stentor.run_background(retention)));
    }

    async fn publish_three(&self) {
        for data in ["1", "2", "3"] {
            self.stentor.hub().send(&topic(), data).await.unwrap();
        }
    }

    async fn events(&self) -> u64 {
        let all = TopicsQuery { limit: 9, ..TopicsQuery::default() };
        self.stentor.hub().topics(all).await.unwrap()[0].events
    }

    /// The status and the body of `/health/ready`.
    async fn ready(&self) -> (StatusCode, String) {
        let request = Request::get("/health/ready").body(stentor_server::Body::empty()).unwrap();
        let response = self.stentor.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    fn restarts(&self, task: &str) -> u64 {
        let text = self.stentor.metrics().to_text(self.stentor.hub());
        let name = format!("stentor_task_restarts_total{{task=\"{task}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&name));
        line.map_or(0, |count| count.parse().unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn retention_goes_on_after_a_panic_of_the_storage() {
    for call in ["trim_point", "trim"] {
        let mut server = without_background();
        server.publish_three().await;
        server.gate.panic_in(call, 3);
        server.run_background();
        sleep(Duration::from_secs(10)).await;
        assert_eq!(server.events().await, 1, "{call}");
        assert_eq!((server.restarts("retention"), server.restarts("leases")), (3, 0), "{call}");
        server.publish_three().await;
        sleep(Duration::from_secs(2)).await;
        assert_eq!(server.events().await, 1, "it goes on");
    }
}

#[tokio::test(start_paused = true)]
async fn readers_and_publishers_notice_nothing_of_a_retention_that_panics() {
    let server = start();
    let hub = server.stentor.hub();
    let open = hub.subscribe(Filters::topic(topic()), Start::Now).await.unwrap();
    let Subscribed::Open(mut reader) = open else { panic!("the topic has not ended") };
    server.gate.panic_in("topics", u32::MAX);
    for number in 0..100 {
        hub.send(&topic(), format!("{number}")).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        let batch = reader.next().await.unwrap().unwrap();
        assert_eq!((batch.records.len(), batch.gap), (1, None), "event {number}");
    }
    let restarts = server.restarts("retention");
    assert!((5..15).contains(&restarts), "pauses grow: {restarts} restarts in 100 s");
}

#[tokio::test(start_paused = true)]
async fn leases_expire_after_a_panic_of_the_storage() {
    let mut server = without_background();
    server.gate.panic_in("leases", 3);
    server.run_background();
    let leased = Publish::event(topic(), Event::new("x")).with_lease(topic(), Some(LEASE));
    server.stentor.hub().publish(leased).await.unwrap();
    let filters = Filters::topic(topic());
    let open = server.stentor.hub().subscribe(filters, Start::Now).await.unwrap();
    let Subscribed::Open(mut reader) = open else { panic!("the topic has not ended") };
    let end = reader.next().await.unwrap().unwrap().records.remove(0);
    assert!(matches!(end.body(), Body::End { reason } if reason == PRODUCER_LOST));
    assert_eq!((server.restarts("retention"), server.restarts("leases")), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn errors_of_the_storage_are_retried_without_a_restart() {
    let mut server = without_background();
    server.publish_three().await;
    server.gate.fail_with(StorageError::Full);
    server.run_background();
    sleep(Duration::from_mins(1)).await;
    assert_eq!(server.events().await, 3);
    assert_eq!((server.restarts("retention"), server.restarts("leases")), (0, 0));
    server.gate.recover();
    sleep(Duration::from_mins(1)).await;
    assert_eq!(server.events().await, 1);
}

#[tokio::test(start_paused = true)]
async fn readiness_names_the_committer_while_an_append_does_not_return() {
    let (storage, gate) = GatedStorage::new();
    let server = Running { stentor: Stentor::new(Hub::new(storage)), gate, background: None };
    assert_eq!(server.ready().await.0, StatusCode::OK);
    let hub = server.stentor.hub().clone();
    let publishing = tokio::spawn(async move { hub.send(&topic(), "x").await });
    server.gate.wait_for_append().await;
    sleep(Duration::from_secs(2)).await;
    let (status, body) = server.ready().await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains("an append to the log has been running for 2s"), "{body}");
    server.gate.open();
    publishing.await.unwrap().unwrap();
    assert_eq!(server.ready().await.0, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn restarts_of_the_committer_are_counted() {
    let server = without_background();
    assert_eq!(server.restarts("committer"), 0);
    server.gate.panic_once();
    let hub = server.stentor.hub().clone();
    let publishing = tokio::spawn(async move { hub.send(&topic(), "x").await });
    assert!(!matches!(publishing.await, Ok(Ok(_))), "the append panics");
    server.stentor.hub().send(&topic(), "y").await.unwrap();
    assert_eq!(server.restarts("committer"), 1);
}
