//! The five programs that Stentor grew out of, each a start for one's own.
//!
//! Every program is one file: routes over a hub, built from the public API of the hub and server
//! crates alone. [`gallery`] serves all of them, [`Program::alone`] one at the root.

mod audit_trail;
mod chat;
mod counter;
mod image_relay;
mod progress;

use axum::Router;
use axum::extract::Request;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use futures_util::future::{BoxFuture, FutureExt, join_all};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use rust_embed::RustEmbed;
use serde_json::Value;
use stentor_hub::{Filters, Start, TopicName};
use stentor_server::{BASE_CSS, Problem, Stentor, StreamOptions, cursor_of};

/// What is served, and what runs beside it.
pub(crate) struct Demo {
    pub(crate) router: Router,
    pub(crate) background: BoxFuture<'static, ()>,
}

/// One of the five.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Program {
    /// Pictures, from one that has them to all who look (port 8081).
    ImageRelay,
    /// One count for all who look (port 8080).
    Counter,
    /// Who said what, with the history on joining (port 8080).
    Chat,
    /// A job's progress that survives reloads (port 9090).
    Progress,
    /// An audit trail on disk: history, then live (port 8888).
    AuditTrail,
}

impl Program {
    const ALL: [Program; 5] = [
        Program::ImageRelay,
        Program::Counter,
        Program::Chat,
        Program::Progress,
        Program::AuditTrail,
    ];

    /// Its name in addresses, directories and topics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Program::ImageRelay => "image-relay",
            Program::Counter => "counter",
            Program::Chat => "chat",
            Program::Progress => "progress",
            Program::AuditTrail => "audit-trail",
        }
    }

    /// The port of its original.
    pub(crate) fn port(self) -> u16 {
        match self {
            Program::ImageRelay => 8081,
            Program::Counter | Program::Chat => 8080,
            Program::Progress => 9090,
            Program::AuditTrail => 8888,
        }
    }

    /// It alone, at the root.
    pub(crate) fn alone(self, stentor: &Stentor) -> Demo {
        let shared =
            Router::new().route("/demo.css", get(style)).route("/connection.js", get(script));
        let demo = match self {
            Program::ImageRelay => image_relay::demo(stentor),
            Program::Counter => counter::demo(stentor),
            Program::Chat => chat::demo(stentor),
            Program::Progress => progress::demo(stentor),
            Program::AuditTrail => audit_trail::demo(stentor),
        };
        Demo { router: demo.router.merge(shared), ..demo }
    }
}

/// All five under `/demo/NAME/`, with a page at the root that shows each of them live, and the server
/// itself behind them: `/topics`, `/events`, the console at `/console`.
pub(crate) fn gallery(stentor: &Stentor) -> Demo {
    let mut router = Router::new()
        .route("/", get(|| page("index.html")))
        .route("/demo", get(|| async { Redirect::permanent("/") }))
        .route("/demo/", get(|| async { Redirect::permanent("/") }))
        .route("/demo.css", get(style))
        .route("/connection.js", get(script));
    let mut background = Vec::new();
    for program in Program::ALL {
        let demo = program.alone(stentor);
        let root = format!("/demo/{}/", program.name());
        let with_slash = root.clone();
        router = router
            .route(
                root.trim_end_matches('/'),
                get(|| async move { Redirect::permanent(&with_slash) }),
            )
            .nest(&root, demo.router);
        background.push(demo.background);
    }
    Demo {
        router: router.fallback_service(stentor.clone()),
        background: join_all(background).map(drop).boxed(),
    }
}

/// The pages, embedded in the program.
#[derive(RustEmbed)]
#[folder = "assets/demo"]
struct Assets;

async fn page(name: &'static str) -> Response {
    match Assets::get(name) {
        Some(file) => Html(file.data.into_owned()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The console's base style, followed by the style of the demo pages.
async fn style() -> Response {
    let own = Assets::get("demo.css").map(|file| file.data).unwrap_or_default();
    let style = [BASE_CSS.as_bytes(), &own].concat();
    ([(CONTENT_TYPE, HeaderValue::from_static("text/css"))], style).into_response()
}

async fn script() -> Response {
    let mut response = page("connection.js").await;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/javascript"));
    response
}

/// The stream of a topic: behind the event that the reader saw last, else from here.
async fn stream(
    stentor: Stentor,
    topic: TopicName,
    otherwise: Start,
    request: Request,
) -> Response {
    let start = cursor_of(&request).map_or(otherwise, Start::Cursor);
    let options = StreamOptions::new(request.version());
    // A request cannot be shared between threads, so it goes before anything is waited for.
    drop(request);
    let answer = stentor.stream(Filters::topic(topic), start, options).await;
    answer.unwrap_or_else(Problem::into_response).into_response()
}

/// The topic of this name, which is a constant of the program.
#[allow(clippy::expect_used)]
fn topic(name: &'static str) -> TopicName {
    TopicName::new(name).expect("a constant that is a topic name")
}

/// The JSON of a request, whatever its content type says, for `curl -d` sends none of JSON.
async fn json<T: serde::de::DeserializeOwned>(request: Request) -> Result<T, Problem> {
    /// The largest event, and the JSON around it.
    const BODY_BYTES_MAX: usize = stentor_hub::EVENT_BYTES_MAX + (64 << 10);
    let body = axum::body::to_bytes(request.into_body(), BODY_BYTES_MAX).await.map_err(|_| {
        let detail =
            format!("the body is broken off or larger than {BODY_BYTES_MAX} bytes; send less");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail)
    })?;
    // An object and nothing else: serde would take an array of the same values too.
    let object = serde_json::from_slice::<serde_json::Map<_, _>>(&body).map(Value::Object);
    object.and_then(serde_json::from_value).map_err(|error| {
        Problem::bad_request("json", format!("the body is not the JSON that belongs here: {error}"))
    })
}
