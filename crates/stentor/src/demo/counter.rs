//! One counter shared by all subscribers. It pauses while there are none, and continues from its last value.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use futures_util::FutureExt;
use http::Response;
use http::request::Parts;
use stentor_hub::{Filters, HistoryRequest, Hub, Start, TopicName};
use stentor_server::{Body, Problem, Restarts, Stentor};
use tokio::time::{MissedTickBehavior, interval};

use super::support::{self, Demo, page, topic};

/// Topic of the counter. Each event is a number.
const TOPIC: &str = "counter";

#[derive(Clone)]
struct App {
    stentor: Stentor,
    topic: TopicName,
}

pub(crate) fn demo(stentor: &Stentor) -> Demo {
    let topic = topic(TOPIC);
    let (hub, counted) = (stentor.hub().clone(), topic.clone());
    let count = move || count(hub.clone(), counted.clone());
    let background = stentor.supervise("counter", Restarts::Unlimited, count).map(drop).boxed();
    let router = Router::new()
        .route("/", get(|| page("counter.html")))
        .route("/event", get(stream))
        .with_state(App { stentor: stentor.clone(), topic });
    Demo { router, background }
}

async fn stream(State(app): State<App>, request: Parts) -> Result<Response<Body>, Problem> {
    support::stream(app.stentor, app.topic, Start::Last(1), &request).await
}

async fn count(hub: Hub, topic: TopicName) {
    let mut number = last_number(&hub, &topic).await;
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        seconds.tick().await;
        if hub.subscribers(&topic) == 0 {
            continue;
        }
        match hub.send(&topic, (number + 1).to_string()).await {
            Ok(_) => number += 1,
            Err(error) => tracing::warn!(%error, "the counter pauses: cannot publish"),
        }
    }
}

/// Returns the last value in the log, or 0.
async fn last_number(hub: &Hub, topic: &TopicName) -> u64 {
    let filters = Filters::topic(topic.clone());
    let request = HistoryRequest { filters, start: Start::Last(1), before: None, limit: 1 };
    let page = hub.history(request).await;
    let event = page.ok().and_then(|page| page.events.last().cloned());
    event.and_then(|record| record.event()?.data().parse().ok()).unwrap_or_default()
}
