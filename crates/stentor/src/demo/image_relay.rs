//! A picture relay: a picture posted by one client appears on every open page. A new page gets the last one.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::future::{FutureExt, pending};
use http::header::{ACCEPT, VARY};
use http::request::Parts;
use serde::Deserialize;
use serde_json::{Value, json};
use stentor_hub::{Event, Publish, Start, TopicName};
use stentor_server::{Problem, Stentor};

use super::support::{self, Demo, page, topic};

/// Topic of the pictures. Each event is a `data:` URL.
const TOPIC: &str = "image-relay";

#[derive(Clone)]
struct App {
    stentor: Stentor,
    topic: TopicName,
}

#[derive(Deserialize)]
struct Picture {
    #[serde(rename = "imageSrc")]
    image_src: String,
}

pub(crate) fn demo(stentor: &Stentor) -> Demo {
    let topic = topic(TOPIC);
    let app = App { stentor: stentor.clone(), topic };
    let router = Router::new()
        .route("/", get(root))
        .route("/receive-image", post(receive))
        .route("/sse-image", get(stream))
        .with_state(app);
    Demo { router, background: pending().boxed() }
}

/// Returns the page to browsers, and a short status to programs.
async fn root(request: Request) -> Response {
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
    let body = if accept.is_some_and(|accept| accept.contains("text/html")) {
        page("image-relay.html").await
    } else {
        "status ok!".into_response()
    };
    ([(VARY, "Accept")], body).into_response()
}

async fn receive(State(app): State<App>, request: Request) -> Result<Json<Value>, Problem> {
    let Picture { image_src } = support::json(request).await?;
    if !image_src.starts_with("data:image/") {
        let detail = "`imageSrc` is not a picture; send a URL that begins with data:image/";
        return Err(Problem::bad_request("image", detail));
    }
    let event = Event::new(image_src);
    app.stentor.hub().publish(Publish::event(app.topic, event)).await?;
    Ok(Json(json!({ "message": "Images received and accept successfully" })))
}

async fn stream(State(app): State<App>, request: Parts) -> Result<Response, Problem> {
    support::stream(app.stentor, app.topic, Start::Last(1), &request)
        .await
        .map(IntoResponse::into_response)
}
