//! The program of the crate's first page: routes of its own in axum, a guard, and `serve`.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used, reason = "a test that cannot continue panics")]

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Response, Uri, Version};
use axum::routing::get;
use stentor_hub::{Filters, Hub, Publish, Start, TopicName};
use stentor_server::{Body, Guard, Problem, Stentor, StreamOptions, bind, cursor_of, serve};

async fn mine(
    State(stentor): State<Stentor>,
    version: Version,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response<Body>, Problem> {
    let start = cursor_of(&headers, &uri).map_or(Start::Now, Start::Cursor);
    // A name from outside: an error of the hub becomes a response.
    let topic = TopicName::new(uri.query().unwrap_or("users/ann"))?;
    stentor.stream(Filters::topic(topic), start, StreamOptions::new(version)).await
}

fn start() -> (String, Hub) {
    let stentor = Stentor::new(Hub::memory());
    let hub = stentor.hub().clone();
    let app = Router::new()
        .route("/mine", get(mine))
        .with_state(stentor.clone())
        .fallback_service(stentor.clone());
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(listener, Guard::new().wrap(app), stentor));
    (url, hub)
}

#[tokio::test]
async fn a_route_of_ones_own_streams_and_resumes() {
    let (url, hub) = start();
    let topic = TopicName::new("users/ann").unwrap();
    let first = hub.send(&topic, "one").await.unwrap().first;
    hub.send(&topic, "two").await.unwrap();
    hub.publish(Publish::end(topic, "")).await.unwrap();
    let request = reqwest::Client::builder().no_proxy().build().unwrap().get(url + "/mine");
    let stream = request.header("Last-Event-ID", first.to_string()).send().await.unwrap();
    let text = stream.text().await.unwrap();
    assert!(text.contains("data: two") && !text.contains("data: one"), "{text}");
}

#[tokio::test]
async fn an_error_of_the_hub_is_a_problem() {
    let (url, _hub) = start();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = client.get(url + "/mine?*").send().await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn a_web_page_cannot_reach_it_through_a_host_name_of_its_own() {
    let (url, _hub) = start();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = client.get(url + "/topics").header("Host", "evil.example").send().await.unwrap();
    assert_eq!(response.status(), 403);
    let problem = response.text().await.unwrap();
    assert!(problem.contains("evil.example") && problem.contains("Guard::with_hosts"), "{problem}");
    assert!(!problem.contains("--host"), "{problem}");
}

#[test]
fn a_problem_is_an_error() {
    let problem: Box<dyn std::error::Error> = Problem::bad_request("x", "it is wrong").into();
    assert_eq!(problem.to_string(), "it is wrong");
}
