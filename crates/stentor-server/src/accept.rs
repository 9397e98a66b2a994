//! What a reader wants to get back.

use http::HeaderMap;
use http::header::ACCEPT;

/// The forms in which a topic is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// `text/event-stream`, and whatever does not ask for something else.
    Stream,
    /// `application/x-ndjson`: event objects, live, one per line.
    Ndjson,
    /// `application/json`: a page of history.
    Json,
    /// `text/html`: the console's page.
    Html,
}

/// Chooses by the `Accept` header (RFC 9110, 12.5.1): the highest weight, at the same weight a type
/// that is named before a wildcard, then the one that comes first.
pub(crate) fn wanted(headers: &HeaderMap) -> Wanted {
    let ranges = headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    let mut best: Option<((u16, bool), Wanted)> = None;
    for range in ranges.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let (wanted, named) = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "text/event-stream" => (Wanted::Stream, true),
            "application/x-ndjson" => (Wanted::Ndjson, true),
            "application/json" => (Wanted::Json, true),
            "text/html" => (Wanted::Html, true),
            "*/*" | "text/*" => (Wanted::Stream, false),
            "application/*" => (Wanted::Json, false),
            _ => continue,
        };
        let weight = parts.find_map(weight).unwrap_or(1000);
        let rank = (weight, named);
        if weight > 0 && best.is_none_or(|(held, _)| rank > held) {
            best = Some((rank, wanted));
        }
    }
    best.map_or(Wanted::Stream, |(_, wanted)| wanted)
}

/// A parameter `q=0.5`, in thousandths.
fn weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    let weight: f32 =
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim().parse().ok())??;
    // Three digits are all the standard allows, so nothing is lost.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Some((weight.clamp(0.0, 1.0) * 1000.0).round() as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(accept: &str) -> Wanted {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        wanted(&headers)
    }

    #[test]
    fn programs_that_do_not_care_get_the_stream() {
        assert_eq!(wanted(&HeaderMap::new()), Wanted::Stream);
        for accept in ["*/*", "text/event-stream", "", "image/png", "text/*"] {
            assert_eq!(of(accept), Wanted::Stream, "{accept}");
        }
    }

    #[test]
    fn a_browser_that_navigates_gets_the_page() {
        let chrome = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        assert_eq!(of(chrome), Wanted::Html);
    }

    #[test]
    fn a_named_type_beats_a_wildcard_of_the_same_weight() {
        assert_eq!(of("*/*, application/json"), Wanted::Json);
        assert_eq!(of("application/json;q=0.5, */*;q=0.5"), Wanted::Json);
    }

    #[test]
    fn the_higher_weight_wins_then_the_first() {
        assert_eq!(of("application/json;q=0.5, application/x-ndjson;q=0.9"), Wanted::Ndjson);
        assert_eq!(of("application/json, text/event-stream"), Wanted::Json);
        assert_eq!(of("application/json;q=0, */*;q=0.1"), Wanted::Stream);
    }
}
