//! Content negotiation of reads by the `Accept` header.

use http::HeaderMap;
use http::header::ACCEPT;

/// The representations of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Representation {
    /// `text/event-stream`; also the default.
    Stream,
    /// `application/x-ndjson`: event objects, live, one per line.
    Ndjson,
    /// `application/json`: a page of history.
    Json,
    /// `text/html`: the console's page.
    Html,
}

/// Chooses a representation by `Accept` (RFC 9110, 12.5.1). The highest weight wins; at equal
/// weights a named type wins over a wildcard, then the first one wins.
pub(crate) fn negotiate(headers: &HeaderMap) -> Representation {
    let ranges = headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    let mut best: Option<((u16, bool), Representation)> = None;
    for range in ranges.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
        let (representation, is_named) = match media_type.as_str() {
            "text/event-stream" => (Representation::Stream, true),
            "application/x-ndjson" => (Representation::Ndjson, true),
            "application/json" => (Representation::Json, true),
            "text/html" => (Representation::Html, true),
            "*/*" | "text/*" => (Representation::Stream, false),
            "application/*" => (Representation::Json, false),
            _ => continue,
        };
        let weight = parts.find_map(weight).unwrap_or(1000);
        let rank = (weight, is_named);
        if weight > 0 && best.is_none_or(|(held, _)| rank > held) {
            best = Some((rank, representation));
        }
    }
    best.map_or(Representation::Stream, |(_, representation)| representation)
}

/// Parses a parameter such as `q=0.5`, in thousandths.
fn weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    let weight: f32 =
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim().parse().ok())??;
    // RFC 9110 allows three decimals, so thousandths lose nothing.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Some((weight.clamp(0.0, 1.0) * 1000.0).round() as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(accept: &str) -> Representation {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        negotiate(&headers)
    }

    #[test]
    fn the_stream_is_the_default() {
        assert_eq!(negotiate(&HeaderMap::new()), Representation::Stream);
        for accept in ["*/*", "text/event-stream", "", "image/png", "text/*"] {
            assert_eq!(of(accept), Representation::Stream, "{accept}");
        }
    }

    #[test]
    fn a_browser_that_navigates_gets_the_page() {
        let chrome = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        assert_eq!(of(chrome), Representation::Html);
    }

    #[test]
    fn a_named_type_beats_a_wildcard_of_the_same_weight() {
        assert_eq!(of("*/*, application/json"), Representation::Json);
        assert_eq!(of("application/json;q=0.5, */*;q=0.5"), Representation::Json);
    }

    #[test]
    fn the_higher_weight_wins_then_the_first() {
        assert_eq!(
            of("application/json;q=0.5, application/x-ndjson;q=0.9"),
            Representation::Ndjson
        );
        assert_eq!(of("application/json, text/event-stream"), Representation::Json);
        assert_eq!(of("application/json;q=0, */*;q=0.1"), Representation::Stream);
    }
}
