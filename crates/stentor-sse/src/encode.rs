use std::time::Duration;

use crate::field::EventId;
use crate::line::text_lines;

/// Appends a comment: one `: ` line for each line of the text.
///
/// Clients ignore comments. Servers send them as keep-alives on a silent stream.
pub fn encode_comment(out: &mut Vec<u8>, text: &str) {
    for line in text_lines(text) {
        encode_line(out, ": ", line);
    }
}

/// Appends a block that sets the reconnection time of the client, in whole milliseconds, without an event.
///
/// A fraction of a millisecond is dropped.
pub fn encode_retry(out: &mut Vec<u8>, retry: Duration) {
    encode_field(out, "retry", &whole_millis(retry).to_string());
    out.push(b'\n');
}

/// Appends a block that sets the last event id of the client, without an event.
///
/// The standard and Blink accept an id in a block without data. Gecko and WebKit keep an id only from a block with
/// data. To reach them as well, encode an [`Event`](crate::Event) with empty data and a type that no page listens to.
pub fn encode_id(out: &mut Vec<u8>, id: &EventId) {
    encode_field(out, "id", id.as_str());
    out.push(b'\n');
}

/// Appends the `data:` lines of a block. Empty data needs one line as well: clients drop a block without data.
pub(crate) fn encode_data(out: &mut Vec<u8>, data: &str) {
    for line in text_lines(data) {
        encode_line(out, "data: ", line);
    }
}

/// Appends a field. The value must not contain a line end.
pub(crate) fn encode_field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    encode_line(out, ": ", value.as_bytes());
}

/// Converts a reconnection time to whole milliseconds, the unit of `retry:`.
pub(crate) fn whole_millis(retry: Duration) -> u64 {
    u64::try_from(retry.as_millis()).unwrap_or(u64::MAX)
}

/// Appends one line. `head` must end with a space: clients strip one space after the colon, and without it they would
/// strip the first space of `line`.
fn encode_line(out: &mut Vec<u8>, head: &str, line: &[u8]) {
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(line);
    out.push(b'\n');
}
