//! Checks HTTP/2: without it, a browser can hold only six streams.

use reqwest::{StatusCode, Version};

use super::endpoint::Endpoint;
use super::finding::{Check, Finding};

pub(super) const CHECKS: &[&Check] = &[&HTTP2];

const HTTP2: Check = Check {
    name: "http2",
    title: "HTTP/2 is supported",
    why: "Over HTTP/1.1 a browser opens at most six connections to a host, across all tabs. With six \
          open streams every further request waits, even of pages without streams. HTTP/2 carries a \
          hundred streams on one connection.",
    fix: "Offer HTTP/2 over https, in the server or in a proxy in front of it; or share one stream among \
          tabs.",
};

pub(super) async fn http2(endpoint: &Endpoint) -> Vec<Finding> {
    let is_cleartext = endpoint.url.scheme() == "http";
    let client = match endpoint.http2_client() {
        Ok(client) => client,
        Err(error) => return vec![HTTP2.not_observable(format!("{error:#}"))],
    };
    let open = endpoint.send(endpoint.stream_by(&client)).await;
    let negotiated = open.map(|open| (open.response.version(), open.response.status()));
    let finding = match negotiated {
        Ok((Version::HTTP_2, StatusCode::OK)) if is_cleartext => {
            HTTP2.pass("HTTP/2 without TLS, for proxies; browsers use it over https only")
        }
        Ok((Version::HTTP_2, StatusCode::OK)) => HTTP2.pass("HTTP/2 is negotiated"),
        Ok((Version::HTTP_2, status)) => {
            HTTP2.fail(format!("over HTTP/2 the response is {status}"))
        }
        Ok((version, _)) => {
            HTTP2.warn(format!("{version:?} is negotiated, though HTTP/2 was offered"))
        }
        Err(_) if is_cleartext => HTTP2.not_observable(
            "not without TLS; browsers use it over https only, so check the https URL",
        ),
        Err(error) => HTTP2.fail(error.to_string()),
    };
    vec![finding]
}
