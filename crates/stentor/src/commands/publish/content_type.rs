//! Which content type a file has.

use std::path::Path;

pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// Of these each line, or each event, is published by itself.
const STREAMED: [&str; 2] = ["application/x-ndjson", "text/event-stream"];

/// By the name of the file; `None` if that says nothing.
pub(super) fn by_name(path: &Path) -> Option<&'static str> {
    let extension = path.extension()?.to_string_lossy().to_ascii_lowercase();
    Some(match extension.as_str() {
        "avif" => "image/avif",
        "css" => "text/css",
        "csv" => "text/csv",
        "gif" => "image/gif",
        "html" => "text/html",
        "jpeg" | "jpg" => "image/jpeg",
        "js" => "text/javascript",
        "json" => "application/json",
        "jsonl" | "ndjson" => "application/x-ndjson",
        "md" => "text/markdown",
        "mp3" => "audio/mpeg",
        "mp4" => "video/mp4",
        "pdf" => "application/pdf",
        "png" => "image/png",
        "sse" => "text/event-stream",
        "svg" => "image/svg+xml",
        "txt" => TEXT,
        "webm" => "video/webm",
        "webp" => "image/webp",
        "xml" => "application/xml",
        "yaml" | "yml" => "application/yaml",
        _ => return None,
    })
}

/// By what is in it: text is text.
pub(super) fn by_content(body: &[u8]) -> &'static str {
    let is_text = !body.contains(&0) && std::str::from_utf8(body).is_ok();
    if is_text { TEXT } else { "application/octet-stream" }
}

/// Whether a body of this type is many events, and so may be of any length.
pub(super) fn is_streamed(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    STREAMED.iter().any(|streamed| streamed.eq_ignore_ascii_case(essence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_tells_its_type() {
        let of = |name: &str| by_name(Path::new(name));
        assert_eq!(of("a/b.PNG"), Some("image/png"));
        assert_eq!(of("x.tar.json"), Some("application/json"));
        assert_eq!(of("lines.jsonl"), Some("application/x-ndjson"));
        for name in ["x.bin", "png", "server.log"] {
            assert_eq!(of(name), None, "{name}");
        }
    }

    #[test]
    fn text_under_an_unknown_name_is_text() {
        assert_eq!(by_content("grün\n".as_bytes()), TEXT);
        assert_eq!(by_content(b"gr\xfcn\n"), "application/octet-stream");
        assert_eq!(by_content(b"\0"), "application/octet-stream");
    }

    #[test]
    fn many_events_come_in_two_types() {
        assert!(is_streamed("application/x-ndjson") && is_streamed("Text/Event-Stream; x=y"));
        assert!(!is_streamed("application/json") && !is_streamed(TEXT));
    }
}
