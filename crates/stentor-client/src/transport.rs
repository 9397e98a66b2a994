//! How bytes come in: requests and their redirects, over HTTP.

use std::future::Future;

use futures_core::future::BoxFuture;
use reqwest::Client;
use reqwest::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue};

use crate::attempt::{Answer, Attempt};
use crate::error::cause;
use crate::event_source::EventSource;
use crate::redirect::{self, RedirectError};
use crate::renewal::Renewal;
use crate::request::Request;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Requests the stream, always from its own address.
#[derive(Debug)]
pub(crate) struct Transport {
    pub(crate) client: Client,
    pub(crate) request: Request,
    pub(crate) renewal: Option<Renewal>,
}

impl Transport {
    /// One request with this id, and those that it is redirected to.
    pub(crate) fn request(&self, last_event_id: &str) -> impl Future<Output = Attempt> + use<> {
        let (client, mut request) = (self.client.clone(), self.request.clone());
        let mut can_renew = self.renewal.is_some();
        let last_event_id = last_event_id_header(last_event_id);
        async move {
            for _ in 0..=EventSource::REDIRECTS_MAX {
                let response = match send(&client, &request, last_event_id.as_ref()).await {
                    Ok(response) => response,
                    Err(error) => return Attempt::NoAnswer(cause(&error)),
                };
                let status = response.status();
                let target = match redirect::target(&request.url, status, response.headers()) {
                    Ok(Some(target)) => target,
                    Ok(None) => return Attempt::Answer(Answer::read(response, can_renew).await),
                    Err(error) => return Attempt::Astray(error),
                };
                // A stranger gets no credentials, so that new ones are none of its business.
                can_renew &= target.origin() == request.url.origin();
                request = match request.redirected(status, target) {
                    Ok(request) => request,
                    Err(error) => return Attempt::Astray(error),
                };
            }
            Attempt::Astray(RedirectError::TooMany { limit: EventSource::REDIRECTS_MAX })
        }
    }

    /// Asks for a new `Authorization`; `None` if nobody knows how to come by one.
    pub(crate) fn renew(&self) -> Option<BoxFuture<'static, Result<HeaderValue, String>>> {
        self.renewal.as_ref().map(Renewal::renew)
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
        .headers(with_own(&request.headers, last_event_id));
    if let Some(body) = &request.body {
        sending = sending.body(body.clone());
    }
    sending.send()
}

/// The headers of the caller with those of every event source, which win.
fn with_own(headers: &HeaderMap, last_event_id: Option<&HeaderValue>) -> HeaderMap {
    let mut headers = headers.clone();
    headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Some(id) = last_event_id {
        headers.insert(LAST_EVENT_ID, id.clone());
    }
    headers
}

/// The id as a header, in UTF-8. An id that is empty or cannot be one (it holds a control character)
/// is left out: the stream goes on from wherever the server then begins.
fn last_event_id_header(id: &str) -> Option<HeaderValue> {
    (!id.is_empty()).then(|| HeaderValue::from_bytes(id.as_bytes()).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_no_header_is_left_out() {
        assert_eq!(last_event_id_header(""), None);
        assert_eq!(last_event_id_header("a\u{C}b"), None);
        assert_eq!(last_event_id_header("ünï").unwrap().as_bytes(), "ünï".as_bytes());
    }
}
