//! A chat room. A new member gets the last fifty messages; a slow member is not disconnected.

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use futures_util::future::{FutureExt, pending};
use http::StatusCode;
use http::request::Parts;
use serde::Deserialize;
use serde_json::json;
use stentor_hub::{Start, TopicName};
use stentor_server::{Problem, Stentor};

use super::support::{self, Demo, page, topic};

/// Topic of the messages. Each event is `NAME: message`.
const TOPIC: &str = "chat";
/// Number of old messages that a new member gets.
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

async fn join(
    State(app): State<App>,
    Query(member): Query<Member>,
    request: Parts,
) -> Result<impl IntoResponse, Problem> {
    if member.user.trim().is_empty() {
        let detail = "the user name is missing; use GET sse?user=NAME";
        return Err(Problem::bad_request("user", detail));
    }
    support::stream(app.stentor, app.topic, Start::Last(HISTORY), &request).await
}

async fn say(State(app): State<App>, request: Request) -> Response {
    let said = match support::json::<Message>(request).await {
        Ok(Message { message, user }) if !user.trim().is_empty() => {
            let data = format!("{user}: {message}");
            let published = app.stentor.hub().send(&app.topic, data).await;
            published
                .map(drop)
                .map_err(|error| (StatusCode::SERVICE_UNAVAILABLE, error.to_string()))
        }
        Ok(_) => Err((StatusCode::BAD_REQUEST, "`user` is empty; send a name".to_owned())),
        Err(problem) => Err((StatusCode::BAD_REQUEST, problem.detail().to_owned())),
    };
    match said {
        Ok(()) => response(StatusCode::OK, "OK", ""),
        Err((status, error)) => response(status, "", &error),
    }
}

/// Returns the JSON that the page expects, for success and failure.
fn response(status: StatusCode, message: &str, error: &str) -> Response {
    let succeeded = status == StatusCode::OK;
    let object = json!({ "succeeded": succeeded, "message": message, "errorMessage": error });
    (status, axum::Json(object)).into_response()
}
