//! `DELETE /topics/{topic}`: deletes a topic.

use http::request::Parts;
use http::{Response, StatusCode};

use crate::body::Body;
use crate::context::Stentor;
use crate::path;
use crate::problem::{Code, Problem};
use crate::query::Query;

/// Deletes a topic. Returns 204, also if the topic does not exist.
pub(crate) async fn delete(
    stentor: &Stentor,
    raw: &str,
    request: &Parts,
) -> Result<Response<Body>, Problem> {
    let topic = path::topic(raw)?;
    if topic.is_reserved() {
        let detail = format!(
            "names that begin with `$` are reserved, and {:?} cannot be deleted; choose another topic",
            topic.as_str()
        );
        return Err(Problem::of(Code::Topic, detail));
    }
    Query::parse(request.uri.query(), &[])?;
    if stentor.is_draining() {
        return Err(Problem::draining());
    }
    stentor.hub().delete(&topic).await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}
