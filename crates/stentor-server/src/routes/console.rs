//! `GET /`: the console's files, and 404 for unknown paths.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::body::Body;
use crate::context::Stentor;
use crate::problem::{Code, Problem};

#[derive(RustEmbed)]
#[folder = "assets/console"]
struct Assets;

/// The style sheet that the console and the pages of `stentor demo` share: colours, type, panels and
/// forms. Put it before your own rules to make a page look like the console.
pub const BASE_CSS: &str = include_str!("../../assets/console/base.css");

const INDEX: &str = "index.html";
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
                      form-action 'self'; frame-ancestors 'none'";

/// Returns a file of the console, or 404.
pub(crate) fn page(
    stentor: &Stentor,
    path: &str,
    request: &Parts,
) -> Result<Response<Body>, Problem> {
    let Some((name, file)) = find(stentor, path) else { return Err(no_such_path(stentor, path)) };
    let [a, b, c, d, ..] = file.metadata.sha256_hash();
    let tag = HeaderValue::from_str(&format!("\"{:08x}\"", u32::from_be_bytes([a, b, c, d]))).ok();
    let fresh = tag.is_some() && request.headers.get(IF_NONE_MATCH) == tag.as_ref();
    let mut response =
        Response::new(if fresh { Body::empty() } else { Body::full(bytes(file.data)) });
    if fresh {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(name)));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.extend(tag.map(|tag| (ETAG, tag)));
    Ok(response)
}

/// Returns the bytes of a file. Those of a release build are a part of the program, and are not copied.
fn bytes(data: Cow<'static, [u8]>) -> Bytes {
    match data {
        Cow::Borrowed(data) => Bytes::from_static(data),
        Cow::Owned(data) => data.into(),
    }
}

/// Returns `true` for a path that exists and can only be read.
pub(crate) fn is_known(stentor: &Stentor, path: &str) -> bool {
    matches!(path, "/events" | "/health/live" | "/health/ready" | "/metrics")
        || find(stentor, path).is_some()
}

fn find<'a>(stentor: &Stentor, path: &'a str) -> Option<(&'a str, EmbeddedFile)> {
    let console = stentor.config().console.as_ref()?;
    let name = if path == console { INDEX } else { path.strip_prefix("/console/")? };
    Assets::get(name).map(|file| (name, file))
}

/// Returns 404 with the paths that exist.
pub(crate) fn no_such_path(stentor: &Stentor, path: &str) -> Problem {
    let console = stentor
        .config()
        .console
        .as_deref()
        .map_or(String::new(), |console| format!(", and {console} for the console"));
    let detail = format!(
        "the path {path} does not exist; use /topics/NAME for one topic, /events?topic=NAME for several, \
         /topics for their list{console}"
    );
    Problem::of(Code::Path, detail)
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}
