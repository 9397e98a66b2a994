//! `DELETE /topics/{topic}`.

use http::request::Parts;
use http::{Response, StatusCode};

use crate::body::Body;
use crate::context::Stentor;
use crate::path;
use crate::problem::Problem;
use crate::query::Query;

/// Deletes a topic: 204, also if there is none.
pub(crate) async fn delete(
    stentor: &Stentor,
    raw: &str,
    request: &Parts,
) -> Result<Response<Body>, Problem> {
    let topic = path::topic(raw)?;
    Query::parse(request.uri.query(), &[])?;
    if stentor.is_draining() {
        return Err(Problem::draining());
    }
    stentor.hub().delete(&topic).await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}
