//! Sends requests for an event stream over HTTP, and follows redirects.

use std::future::Future;

use futures_core::future::BoxFuture;
use reqwest::Client;
use reqwest::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue};

use super::attempt::{Attempt, StreamResponse};
use super::authorization::RenewAuthorization;
use super::redirect::{self, REDIRECTS_MAX, RedirectError};
use super::request::Request;
use crate::http_client::root_cause;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Sends requests for one stream. Each attempt starts at the original URL.
#[derive(Debug)]
pub(crate) struct Transport {
    pub(crate) client: Client,
    pub(crate) request: Request,
    pub(crate) renew_authorization: Option<RenewAuthorization>,
}

impl Transport {
    /// Sends a request with this last event id, and follows redirects.
    pub(crate) fn request(&self, last_event_id: &str) -> impl Future<Output = Attempt> + use<> {
        let (client, mut request) = (self.client.clone(), self.request.clone());
        let mut can_renew = self.renew_authorization.is_some();
        let last_event_id = last_event_id_header(last_event_id);
        async move {
            for _ in 0..=REDIRECTS_MAX {
                let response = match send(&client, &request, last_event_id.as_ref()).await {
                    Ok(response) => response,
                    Err(error) => return Attempt::NoResponse(root_cause(&error)),
                };
                let status = response.status();
                let target = match redirect::target(&request.url, status, response.headers()) {
                    Ok(Some(target)) => target,
                    Ok(None) => {
                        let response = StreamResponse::read(response, can_renew).await;
                        return Attempt::Response(response);
                    }
                    Err(error) => return Attempt::BadRedirect(error),
                };
                // Another origin gets no credentials, so its 401 is not a reason to renew them.
                can_renew &= target.origin() == request.url.origin();
                request = match request.redirected(status, target) {
                    Ok(request) => request,
                    Err(error) => return Attempt::BadRedirect(error),
                };
            }
            Attempt::BadRedirect(RedirectError::TooMany { limit: REDIRECTS_MAX })
        }
    }

    /// Obtains a new `Authorization` value. Returns `None` if there is no callback.
    pub(crate) fn renew(&self) -> Option<BoxFuture<'static, Result<HeaderValue, String>>> {
        self.renew_authorization.as_ref().map(RenewAuthorization::call)
    }

    pub(crate) fn set_authorization(&mut self, value: HeaderValue) {
        self.request.headers.insert(AUTHORIZATION, value);
    }
}

fn send(
    client: &Client,
    request: &Request,
    last_event_id: Option<&HeaderValue>,
) -> impl Future<Output = reqwest::Result<reqwest::Response>> + use<> {
    let mut sending = client
        .request(request.method.clone(), request.url.clone())
        .headers(with_standard_headers(&request.headers, last_event_id));
    if let Some(body) = &request.body {
        sending = sending.body(body.clone());
    }
    sending.send()
}

/// Adds the headers that every event source sends. They replace headers of the caller.
fn with_standard_headers(headers: &HeaderMap, last_event_id: Option<&HeaderValue>) -> HeaderMap {
    let mut headers = headers.clone();
    headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Some(id) = last_event_id {
        headers.insert(LAST_EVENT_ID, id.clone());
    }
    headers
}

/// Converts an id to a header in UTF-8.
///
/// An empty id, or one with a control character, is omitted. The server then decides where the stream starts.
fn last_event_id_header(id: &str) -> Option<HeaderValue> {
    (!id.is_empty()).then(|| HeaderValue::from_bytes(id.as_bytes()).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_not_a_valid_header_is_omitted() {
        assert_eq!(last_event_id_header(""), None);
        assert_eq!(last_event_id_header("a\u{C}b"), None);
        assert_eq!(last_event_id_header("ünï").unwrap().as_bytes(), "ünï".as_bytes());
    }
}
