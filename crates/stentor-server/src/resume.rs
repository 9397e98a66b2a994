//! The cursor that a reconnecting subscriber sends.

use std::borrow::Cow;

use http::{HeaderMap, Uri};

use crate::query::Query;

/// Names of the query parameter that carries a cursor. `EventSource` polyfills send the second one.
pub(crate) const LAST_EVENT_ID: [&str; 2] = ["last_event_id", "lastEventId"];

/// Returns the cursor of a request; an empty one counts as absent.
///
/// The `Last-Event-ID` header wins over the query parameter. A browser's `EventSource` always
/// reconnects to the URL that the page gave it, and sends the newer position in the header. If the
/// parameter is given several times, the last one counts: polyfills append theirs on a reconnect.
///
/// A header that is not UTF-8 is not a cursor of this server; the stream will begin with a gap.
pub(crate) fn last_event_id(headers: &HeaderMap, query: &Query) -> Option<String> {
    let header =
        headers.get("last-event-id").map(|value| String::from_utf8_lossy(value.as_bytes()));
    let header = header.filter(|text| !text.is_empty()).map(Cow::into_owned);
    header.or_else(|| query.last_value(&LAST_EVENT_ID).map(str::to_owned))
}

/// Returns the cursor of a request, for routes of your own: the header `Last-Event-ID`, or else the
/// query parameter `last_event_id=` or `lastEventId=`. Other query parameters are left to the route.
///
/// It takes the headers and the URI by themselves, because a handler that keeps a `&Request` while it
/// waits is not `Send`.
pub fn cursor_of(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let pairs = uri.query().unwrap_or_default().split('&');
    let ours =
        |pair: &&str| pair.split_once('=').is_some_and(|(name, _)| LAST_EVENT_ID.contains(&name));
    let pairs: Vec<&str> = pairs.filter(ours).collect();
    let query = Query::parse(Some(&pairs.join("&")), &LAST_EVENT_ID).unwrap_or_default();
    last_event_id(headers, &query)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(uri: &str, header: Option<&str>) -> Option<String> {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert("Last-Event-ID", header.parse().unwrap());
        }
        cursor_of(&headers, &uri.parse().unwrap())
    }

    #[test]
    fn the_header_wins_over_the_parameter() {
        assert_eq!(cursor("/?last_event_id=a", Some("b")).as_deref(), Some("b"));
        assert_eq!(cursor("/?lastEventId=a", Some("")).as_deref(), Some("a"));
        assert_eq!(cursor("/", None), None);
    }

    #[test]
    fn the_last_parameter_of_either_name_counts() {
        assert_eq!(cursor("/?lastEventId=a", None).as_deref(), Some("a"));
        assert_eq!(cursor("/?last_event_id=a&x=%ff&lastEventId=b", None).as_deref(), Some("b"));
        assert_eq!(cursor("/?lastEventId=b&last_event_id=a", None).as_deref(), Some("a"));
        assert_eq!(cursor("/?last_event_id=a&lastEventId=", None).as_deref(), Some("a"));
    }
}
