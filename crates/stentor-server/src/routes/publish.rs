//! `POST /topics/{topic}`: one event, or a stream of them.

pub(crate) mod append;
pub(crate) mod options;

use http::Response;
use http::request::Parts;

use self::append::single;
use self::options::begin;
use crate::body::{Body, RequestBody};
use crate::content::Content;
use crate::context::Stentor;
use crate::incoming::Incoming;
use crate::problem::Problem;
use crate::routes::upload;

/// Publishes the body.
pub(crate) async fn publish(
    stentor: &Stentor,
    raw: &str,
    request: &Parts,
    body: RequestBody,
) -> Result<Response<Body>, Problem> {
    let answer = match begin(stentor, raw, request) {
        Ok((options, content)) => {
            let incoming = Incoming::of(stentor, request, body);
            match content {
                Content::Ndjson => upload::lines(stentor, &options, incoming).await,
                Content::EventStream => upload::events(stentor, &options, incoming).await,
                content => single(stentor, options, &content, incoming).await,
            }
        }
        Err(problem) => {
            drop(Incoming::of(stentor, request, body));
            Err(problem)
        }
    };
    stentor.metrics().count_publish(&answer);
    answer
}
