//! A chat: who said what, the last fifty messages on joining, and nobody dropped for being slow.

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use futures_util::future::{FutureExt, pending};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use stentor_hub::{Start, TopicName};
use stentor_server::{Problem, Stentor};

use super::{Demo, page, topic};

/// Where messages are published, as `NAME: message`.
const TOPIC: &str = "chat";
/// How many messages a new member sees.
const HISTORY: usize = 50;

#[derive(Clone)]
struct App {
    stentor: Stentor,
    topic: TopicName,
}

#[derive(Deserialize)]
struct Member {
    #[serde(default)]
    user: String,
}

#[derive(Deserialize)]
struct Message {
    message: String,
    user: String,
}

pub(crate) fn demo(stentor: &Stentor) -> Demo {
    let topic = topic(TOPIC);
    let router = Router::new()
        .route("/", get(|| async { Redirect::temporary("pages/sse") }))
        .route("/pages/sse", get(|| page("chat.html")))
        .route("/sse", get(join))
        .route("/sse/message", post(say))
        .with_state(App { stentor: stentor.clone(), topic });
    Demo { router, background: pending().boxed() }
}

async fn join(State(app): State<App>, Query(member): Query<Member>, request: Request) -> Response {
    if member.user.trim().is_empty() {
        let detail = "say who you are: GET sse?user=NAME";
        return Problem::bad_request("user", detail).into_response().into_response();
    }
    super::stream(app.stentor, app.topic, Start::Last(HISTORY), request).await
}

async fn say(State(app): State<App>, request: Request) -> Response {
    let said = match super::json::<Message>(request).await {
        Ok(Message { message, user }) if !user.trim().is_empty() => {
            let data = format!("{user}: {message}");
            let published = app.stentor.hub().send(&app.topic, data).await;
            published
                .map(drop)
                .map_err(|error| (StatusCode::SERVICE_UNAVAILABLE, error.to_string()))
        }
        Ok(_) => Err((StatusCode::BAD_REQUEST, "`user` is empty; say who you are".to_owned())),
        Err(problem) => Err((StatusCode::BAD_REQUEST, problem.detail().to_owned())),
    };
    match said {
        Ok(()) => answer(StatusCode::OK, "OK", ""),
        Err((status, error)) => answer(status, "", &error),
    }
}

/// The same three members, whatever happened.
fn answer(status: StatusCode, message: &str, error: &str) -> Response {
    let succeeded = status == StatusCode::OK;
    let object = json!({ "succeeded": succeeded, "message": message, "errorMessage": error });
    (status, axum::Json(object)).into_response()
}
