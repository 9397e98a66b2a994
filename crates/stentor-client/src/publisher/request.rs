//! One publish request and its response.

use std::time::SystemTime;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, Url};

use super::error::{Attempts, PublishError};
use super::publish::Publish;
use super::published::Published;
use crate::http_client::root_cause;
use crate::problem::Problem;
use crate::retry_after::parse_retry_after;
use crate::server_url::ServerUrl;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Maximum length of an idempotency key, in bytes.
const KEY_BYTES_MAX: usize = 256;

/// Maximum size of a response body, in bytes.
const RESPONSE_BYTES_MAX: usize = 64 * 1024;

/// A publish request without its body. It can be sent several times.
#[derive(Debug)]
pub(super) struct PublishRequest {
    url: Url,
    content_type: HeaderValue,
    key: Option<(String, HeaderValue)>,
}

impl PublishRequest {
    /// Creates a request to publish to a topic.
    pub(super) fn new(
        server: &ServerUrl,
        topic: &str,
        publish: Publish<()>,
    ) -> Result<PublishRequest, PublishError> {
        let mut url = server.topic(topic)?;
        let query = publish.query();
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let key = publish.key.map(parse_key).transpose()?;
        let content_type = publish.content_type;
        let content_type = HeaderValue::try_from(&content_type)
            .map_err(|_| PublishError::ContentType { content_type })?;
        Ok(PublishRequest { url, content_type, key })
    }

    /// Creates a request to publish a batch.
    pub(super) fn batch(
        server: &ServerUrl,
        key: Option<String>,
    ) -> Result<PublishRequest, PublishError> {
        let content_type = HeaderValue::from_static("application/json");
        Ok(PublishRequest {
            url: server.topics(),
            content_type,
            key: key.map(parse_key).transpose()?,
        })
    }

    pub(super) fn key(&self) -> Option<String> {
        self.key.as_ref().map(|(key, _)| key.clone())
    }

    /// Returns the HTTP request, without its body.
    pub(super) fn to_http(&self, client: &Client, headers: &HeaderMap) -> RequestBuilder {
        let mut headers = headers.clone();
        headers.insert(CONTENT_TYPE, self.content_type.clone());
        if let Some((_, key)) = &self.key {
            headers.insert(IDEMPOTENCY_KEY, key.clone());
        }
        client.post(self.url.clone()).headers(headers)
    }

    /// Sends the request, and reads the response.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Published, PublishError> {
        let response = request.send().await.map_err(|error| no_response(&error))?;
        let status = response.status();
        if status.is_success() {
            let repeat = status == reqwest::StatusCode::OK;
            let published = Published::parse(&read_body(response).await?, repeat);
            return published.ok_or(PublishError::UnexpectedResponse);
        }
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        if status.is_redirection()
            && let Some(location) = header(LOCATION)
        {
            let location =
                self.url.join(location).map_or_else(|_| location.to_owned(), String::from);
            return Err(PublishError::Redirected { status, location });
        }
        let retry_after =
            header(RETRY_AFTER).and_then(|text| parse_retry_after(text, SystemTime::now()));
        let problem = Problem::read(response).await.map(Box::new);
        Err(PublishError::Refused { status, problem, retry_after, attempts: Attempts::default() })
    }
}

/// Checks an idempotency key, and converts it to a header value.
fn parse_key(key: String) -> Result<(String, HeaderValue), PublishError> {
    let is_key =
        (1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    match HeaderValue::try_from(&key) {
        Ok(value) if is_key => Ok((key, value)),
        _ => Err(PublishError::Key { key }),
    }
}

/// Reads the whole response body.
async fn read_body(mut response: Response) -> Result<Vec<u8>, PublishError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| no_response(&error))? {
        if body.len() + chunk.len() > RESPONSE_BYTES_MAX {
            return Err(PublishError::UnexpectedResponse);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn no_response(error: &reqwest::Error) -> PublishError {
    if error.is_connect() {
        PublishError::Unreachable { cause: root_cause(error), attempts: Attempts::default() }
    } else if error.is_timeout() {
        PublishError::timed_out()
    } else {
        PublishError::NoResponse { cause: root_cause(error), attempts: Attempts::default() }
    }
}
