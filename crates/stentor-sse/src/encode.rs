use std::time::Duration;

use crate::EventId;
use crate::line::text_lines;

/// Appends a comment, one `: ` line for each line of the text. Readers skip it; it keeps a silent
/// connection alive.
pub fn encode_comment(out: &mut Vec<u8>, text: &str) {
    for line in text_lines(text) {
        encode_line(out, ": ", line);
    }
}

/// Appends a block that sets the reader's reconnection time, in whole milliseconds, and dispatches
/// nothing.
pub fn encode_retry(out: &mut Vec<u8>, retry: Duration) {
    encode_field(out, "retry", &whole_millis(retry).to_string());
    out.push(b'\n');
}

/// Appends a block that sets the reader's last event id and dispatches nothing.
///
/// That is the letter of the standard, and Blink's way. Gecko and WebKit keep an id only of a block
/// with data: to reach them too, encode an empty [`Event`](crate::Event) of a type that nobody
/// listens to.
pub fn encode_id(out: &mut Vec<u8>, id: &EventId) {
    encode_field(out, "id", id.as_str());
    out.push(b'\n');
}

/// Appends the data of a block. Empty data is one line too, for without any a reader dispatches
/// nothing.
pub(crate) fn encode_data(out: &mut Vec<u8>, data: &str) {
    for line in text_lines(data) {
        encode_line(out, "data: ", line);
    }
}

/// Appends a field whose value has no line end.
pub(crate) fn encode_field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    encode_line(out, ": ", value.as_bytes());
}

/// A reconnection time in the unit of the wire.
pub(crate) fn whole_millis(retry: Duration) -> u64 {
    u64::try_from(retry.as_millis()).unwrap_or(u64::MAX)
}

/// The head has to end with a space, since readers take one away: else a line's own would be lost.
fn encode_line(out: &mut Vec<u8>, head: &str, line: &[u8]) {
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(line);
    out.push(b'\n');
}
