//! The address of a publisher, for the bound of idempotency keys of one address.

use std::net::IpAddr;

use http::request::Parts;
use http::{Method, Request};
use stentor_hub::KeySource;

use crate::context::Stentor;
use crate::http_service::HttpService;
use crate::idempotency::IDEMPOTENCY_KEY;
use crate::inbound::InboundBody;

/// A service that passes the address of its client on with the requests that may use idempotency keys.
///
/// It is the address of the connection. Behind a reverse proxy that is the proxy, because a header such as
/// `X-Forwarded-For` could be anything. Under other servers than [`serve`](crate::serve) the address is not known.
#[derive(Clone)]
pub(crate) struct FromPeer<S> {
    service: S,
    address: IpAddr,
}

/// The address, as an extension of a request.
#[derive(Clone, Copy)]
struct PeerAddress(IpAddr);

impl<S> FromPeer<S> {
    pub(crate) fn new(service: S, address: IpAddr) -> FromPeer<S> {
        FromPeer { service, address }
    }
}

impl<S: HttpService> HttpService for FromPeer<S> {
    type ResponseBody = S::ResponseBody;
    type Future = S::Future;

    fn respond(self, mut request: Request<InboundBody>) -> S::Future {
        if may_have_keys(&request) {
            request.extensions_mut().insert(PeerAddress(self.address));
        }
        self.service.respond(request)
    }
}

/// Returns `true` if a request may publish with keys. Other requests are spared the extension.
fn may_have_keys<B>(request: &Request<B>) -> bool {
    let is_publish = matches!(*request.method(), Method::POST | Method::PUT);
    is_publish
        && (request.uri().query().is_some() || request.headers().contains_key(IDEMPOTENCY_KEY))
}

/// Returns the address of the client of a request, if it is known.
pub(crate) fn source_of(stentor: &Stentor, request: &Parts) -> Option<KeySource> {
    let PeerAddress(address) = request.extensions.get::<PeerAddress>()?;
    Some(KeySource::new(stentor.hub().epoch(), *address))
}
