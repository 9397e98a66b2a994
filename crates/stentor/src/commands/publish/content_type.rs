//! Content types of files.

use std::path::Path;

pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// The byte order mark, which some editors put at the start of UTF-8 text.
pub(super) const BOM: &[u8] = "\u{FEFF}".as_bytes();

/// Types whose lines or events are published separately.
const STREAMED: [&str; 2] = ["application/x-ndjson", "text/event-stream"];

/// Returns the type for the extension of the file; `None` if the extension is unknown.
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

/// Returns `text/plain` for UTF-8 without NUL, else the type of binary data.
pub(super) fn by_content(body: &[u8]) -> &'static str {
    let is_text = !body.contains(&0) && std::str::from_utf8(body).is_ok();
    if is_text { TEXT } else { "application/octet-stream" }
}

/// `true` if a body of this type holds many events, so that it can have any length.
pub(super) fn is_streamed(content_type: &str) -> bool {
    STREAMED.contains(&&*essence(content_type))
}

/// `true` if a body of this type is published as text.
pub(super) fn is_text(content_type: &str) -> bool {
    let essence = essence(content_type);
    let subtype = essence.split_once('/').map_or("", |(_, subtype)| subtype);
    essence.starts_with("text/")
        || matches!(subtype.rsplit('+').next(), Some("json" | "xml" | "yaml"))
            && essence.starts_with("application/")
}

/// Returns the type without parameters, in lower case.
fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_of_a_file_determines_its_type() {
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
    fn text_and_binary_data_are_distinguished() {
        for text in ["text/csv", "Text/Plain; x=y", "application/json", "application/geo+json"] {
            assert!(is_text(text), "{text}");
        }
        for binary in ["image/svg+xml", "application/pdf", "application/octet-stream", "json"] {
            assert!(!is_text(binary), "{binary}");
        }
    }

    #[test]
    fn two_types_hold_many_events() {
        assert!(is_streamed("application/x-ndjson") && is_streamed("Text/Event-Stream; x=y"));
        assert!(!is_streamed("application/json") && !is_streamed(TEXT));
    }
}
