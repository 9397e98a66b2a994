//! The cursor that a reconnecting reader brings along.

use http::{HeaderMap, Request};

use crate::query::Query;

/// The cursor of a request: the `Last-Event-ID` header, else the parameter, for `EventSource` sends
/// the header of its last event beside the parameter that its page began with. Empty is absent.
///
/// The header's bytes are UTF-8; what is not is no cursor of ours and is told as a gap.
pub(crate) fn last_event_id(headers: &HeaderMap, parameter: Option<&str>) -> Option<String> {
    let header =
        headers.get("last-event-id").map(|value| String::from_utf8_lossy(value.as_bytes()));
    let header = header.filter(|text| !text.is_empty()).map(std::borrow::Cow::into_owned);
    header.or_else(|| parameter.filter(|text| !text.is_empty()).map(str::to_owned))
}

/// The cursor of a request, from the header `Last-Event-ID` or else from the query `last_event_id=`,
/// for routes of one's own. Anything else in the query is left to the route.
pub fn cursor_of<B>(request: &Request<B>) -> Option<String> {
    let pairs = request.uri().query().unwrap_or_default().split('&');
    let ours: Vec<&str> = pairs.filter(|pair| pair.starts_with("last_event_id=")).collect();
    let query = Query::parse(ours.first().copied(), &["last_event_id"]).unwrap_or_default();
    last_event_id(request.headers(), query.value("last_event_id").ok().flatten())
}
