//! Helpers shared by the example apps: pages, streams, JSON bodies.

use axum::Router;
use axum::extract::Request;
use axum::response::{Html, IntoResponse, Response};
use futures_util::future::BoxFuture;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use rust_embed::RustEmbed;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use stentor_hub::{Filters, Start, TopicName};
use stentor_server::{BASE_CSS, Body, Problem, Stentor, StreamOptions, cursor_of};

/// An app: its routes, and the task that runs beside them.
pub(crate) struct Demo {
    pub(crate) router: Router,
    pub(crate) background: BoxFuture<'static, ()>,
}

/// The pages, embedded in the binary.
#[derive(RustEmbed)]
#[folder = "assets/demo"]
struct Assets;

/// Responds with an embedded HTML page.
pub(super) async fn page(name: &'static str) -> Response {
    match Assets::get(name) {
        Some(file) => Html(file.data.into_owned()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Responds with the style of the demo pages, after the base style that the console uses too.
pub(super) async fn style() -> Response {
    let own = Assets::get("demo.css").map(|file| file.data).unwrap_or_default();
    let style = [BASE_CSS.as_bytes(), &own].concat();
    ([(CONTENT_TYPE, "text/css")], style).into_response()
}

/// Responds with the script of the demo pages.
pub(super) async fn script() -> Response {
    let mut response = page("connection.js").await;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/javascript"));
    response
}

/// Responds with the stream of a topic: after the last event that the subscriber received, or from `start` for
/// a new subscriber.
pub(super) async fn stream(
    stentor: Stentor,
    topic: TopicName,
    start: Start,
    request: &Parts,
) -> Result<Response<Body>, Problem> {
    let start = cursor_of(&request.headers, &request.uri).map_or(start, Start::Cursor);
    let options = StreamOptions::new(request.version);
    stentor.stream(Filters::topic(topic), start, options).await
}

/// Returns the topic with this constant name.
///
/// # Panics
/// The name is not valid, which is a bug in the app.
#[allow(clippy::expect_used, reason = "the names are constants, and each app is tested")]
pub(super) fn topic(name: &'static str) -> TopicName {
    TopicName::new(name).expect("the constant is a valid topic name")
}

/// Parses the JSON body of a request. Ignores its content type, because `curl -d` sends another one.
///
/// # Errors
/// The body is incomplete, too large, or not the expected object.
pub(super) async fn json<T: DeserializeOwned>(request: Request) -> Result<T, Problem> {
    /// Room for the largest event, and for the JSON around it.
    const BODY_BYTES_MAX: usize = stentor_hub::EVENT_BYTES_MAX + (64 << 10);
    let body = axum::body::to_bytes(request.into_body(), BODY_BYTES_MAX).await.map_err(|_| {
        let detail =
            format!("the body is incomplete or larger than {BODY_BYTES_MAX} bytes; send less");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail)
    })?;
    // Serde would also accept an array with the values in order, so require an object first.
    let object = serde_json::from_slice::<Map<_, _>>(&body).map(Value::Object);
    object.and_then(serde_json::from_value).map_err(|error| {
        Problem::bad_request("json", format!("the body is not the expected JSON object: {error}"))
    })
}
