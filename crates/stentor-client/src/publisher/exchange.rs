//! One request and its answer.

use std::time::{Duration, SystemTime};

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, Url};

use crate::attempt::parse_retry_after;
use crate::error::{Attempts, PublishError, cause};
use crate::problem::Problem;
use crate::publish::Publish;
use crate::published::Published;
use crate::server_url::ServerUrl;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The longest key that a server takes, in bytes.
const KEY_BYTES_MAX: usize = 256;

/// The bound of an answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What is requested, but for the body.
#[derive(Debug)]
pub(super) struct Call {
    url: Url,
    content_type: HeaderValue,
    key: Option<(String, HeaderValue)>,
}

/// Why an attempt failed.
pub(super) struct Failure {
    pub(super) error: PublishError,
    /// How long the server wants to be left alone.
    pub(super) asked: Option<Duration>,
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Failure {
        Failure { error, asked: None }
    }
}

impl Call {
    /// To publish this to a topic.
    pub(super) fn new(
        server: &ServerUrl,
        topic: &str,
        publish: Publish<()>,
    ) -> Result<Call, PublishError> {
        let mut url = server.topic(topic)?;
        let query = publish.query();
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let key = publish.key.map(checked).transpose()?;
        let content_type = publish.content_type;
        let content_type = HeaderValue::try_from(&content_type)
            .map_err(|_| PublishError::ContentType { content_type })?;
        Ok(Call { url, content_type, key })
    }

    /// To publish a batch.
    pub(super) fn batch(server: &ServerUrl, key: Option<String>) -> Result<Call, PublishError> {
        let content_type = HeaderValue::from_static("application/json");
        Ok(Call { url: server.topics(), content_type, key: key.map(checked).transpose()? })
    }

    pub(super) fn key(&self) -> Option<String> {
        self.key.as_ref().map(|(key, _)| key.clone())
    }

    /// The request without its body.
    pub(super) fn request(&self, client: &Client, headers: &HeaderMap) -> RequestBuilder {
        let mut headers = headers.clone();
        headers.insert(CONTENT_TYPE, self.content_type.clone());
        if let Some((_, key)) = &self.key {
            headers.insert(IDEMPOTENCY_KEY, key.clone());
        }
        client.post(self.url.clone()).headers(headers)
    }

    /// Sends the request, and reads the answer.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Published, Failure> {
        let response = request.send().await.map_err(|error| no_answer(&error))?;
        let status = response.status();
        if status.is_success() {
            let repeat = status == reqwest::StatusCode::OK;
            let answer = Published::read(&read(response).await?, repeat);
            return Ok(answer.ok_or(PublishError::UnexpectedResponse)?);
        }
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        if status.is_redirection()
            && let Some(location) = header(LOCATION)
        {
            let location =
                self.url.join(location).map_or_else(|_| location.to_owned(), String::from);
            return Err(PublishError::Redirected { status, location }.into());
        }
        let asked = header(RETRY_AFTER).and_then(|text| parse_retry_after(text, SystemTime::now()));
        let problem = Problem::read(response).await.map(Box::new);
        let error = PublishError::Refused { status, problem, attempts: Attempts::default() };
        Err(Failure { error, asked })
    }
}

/// A key that a server takes.
fn checked(key: String) -> Result<(String, HeaderValue), PublishError> {
    let is_key =
        (1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    match HeaderValue::try_from(&key) {
        Ok(value) if is_key => Ok((key, value)),
        _ => Err(PublishError::Key { key }),
    }
}

/// The whole answer, which is small.
async fn read(mut response: Response) -> Result<Vec<u8>, PublishError> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| no_answer(&error))? {
        if body.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(PublishError::UnexpectedResponse);
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

fn no_answer(error: &reqwest::Error) -> PublishError {
    if error.is_connect() {
        PublishError::Unreachable { cause: cause(error), attempts: Attempts::default() }
    } else if error.is_timeout() {
        PublishError::too_slow()
    } else {
        PublishError::NoResponse { cause: cause(error), attempts: Attempts::default() }
    }
}
