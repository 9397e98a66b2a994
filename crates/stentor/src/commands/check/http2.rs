//! Whether a page can hold more than six streams.

use reqwest::{StatusCode, Version};

use super::endpoint::Endpoint;
use super::finding::{Check, Finding};

pub(super) const CHECKS: &[&Check] = &[&HTTP2];

const HTTP2: Check = Check {
    name: "http2",
    title: "HTTP/2 is spoken",
    why: "Over HTTP/1.1 a browser opens six connections to a host, all tabs together. Six open streams, and \
          every further request hangs, also of pages that have nothing to do with streams. HTTP/2 carries a \
          hundred streams over one.",
    mend: "Offer HTTP/2 over https, in the server or in a proxy before it; or share one stream among tabs.",
};

pub(super) async fn http2(endpoint: &Endpoint) -> Vec<Finding> {
    let is_clear = endpoint.url.scheme() == "http";
    let client = match endpoint.http2_client() {
        Ok(client) => client,
        Err(error) => return vec![HTTP2.not_observable(format!("{error:#}"))],
    };
    let answer = endpoint.send(endpoint.stream_by(&client)).await;
    let spoken = answer.map(|answer| (answer.response.version(), answer.response.status()));
    let finding = match spoken {
        Ok((Version::HTTP_2, StatusCode::OK)) if is_clear => {
            HTTP2.pass("HTTP/2 in the clear, for proxies; browsers speak it over https only")
        }
        Ok((Version::HTTP_2, StatusCode::OK)) => HTTP2.pass("HTTP/2 is agreed upon"),
        Ok((Version::HTTP_2, status)) => HTTP2.fail(format!("over HTTP/2 the answer is {status}")),
        Ok((version, _)) => {
            HTTP2.warn(format!("{version:?} is agreed upon, though HTTP/2 was offered"))
        }
        Err(_) if is_clear => HTTP2.not_observable(
            "not in the clear; browsers speak it over https only, so check that address",
        ),
        Err(error) => HTTP2.fail(error.to_string()),
    };
    vec![finding]
}
