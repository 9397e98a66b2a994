//! An audit trail on disk: all records in order, then new ones live. A subscriber that reconnects misses
//! nothing and gets nothing twice.

use axum::Router;
use axum::extract::{Request, State};
use axum::routing::get;
use futures_util::future::{FutureExt, pending};
use http::header::ACCEPT;
use http::{Response, Uri};
use serde::Deserialize;
use serde_json::json;
use stentor_hub::{Start, Timestamp, TopicName};
use stentor_server::{Body, Problem, Stentor};

use super::support::{self, Demo, page, topic};

/// Topic of the audits. Each event is `{"id", "created_at"}`.
const TOPIC: &str = "audit-trail";

#[derive(Clone)]
struct App {
    stentor: Stentor,
    topic: TopicName,
}

#[derive(Deserialize)]
struct Audit {
    id: String,
}

pub(crate) fn demo(stentor: &Stentor) -> Demo {
    let topic = topic(TOPIC);
    let router = Router::new()
        .route("/", get(|| page("audit-trail.html")))
        .route("/api/v1/audits", get(read).post(store))
        .with_state(App { stentor: stentor.clone(), topic });
    Demo { router, background: pending().boxed() }
}

/// Stores an audit. Responds 200 with an empty body once it is on disk.
async fn store(State(app): State<App>, request: Request) -> Result<(), Problem> {
    let Audit { id } = support::json(request).await?;
    let audit = json!({ "id": id, "created_at": Timestamp::now().to_string() });
    app.stentor.hub().send(&app.topic, audit.to_string()).await?;
    Ok(())
}

/// Streams all audits, then each new one. For `Accept: application/json` returns a page of history.
async fn read(State(app): State<App>, mut request: Request) -> Result<Response<Body>, Problem> {
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
    if accept.is_some_and(|accept| accept.contains("application/json")) {
        let query = request.uri().query().map_or(String::new(), |query| format!("?{query}"));
        if let Ok(uri) = format!("/topics/{TOPIC}{query}").parse::<Uri>() {
            *request.uri_mut() = uri;
        }
        return Ok(app.stentor.handle(request).await);
    }
    let (request, _) = request.into_parts();
    support::stream(app.stentor, app.topic, Start::Earliest, &request).await
}
