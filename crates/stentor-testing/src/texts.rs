//! Data of events, and bodies of uploads.

use std::fmt::Write;

/// Returns texts that break servers which treat data as lines, fields or C strings.
pub fn awkward_texts() -> Vec<String> {
    let awkward = [
        "\r",
        "\n",
        "\r\n",
        "\n\n",
        "\r\r",
        "\n\r",
        "a\rb\nc\r\nd",
        "ends in a break\n",
        "\r\n\r\n\r",
        " ",
        "  two spaces",
        ":",
        ": comment",
        "data: x",
        "id",
        "\0",
        "a\0b",
        "\u{7f}\u{85}\u{2028}\u{2029}",
        "\u{feff}",
        "\u{feff}data: bom",
        "🎉👩‍👩‍👧‍👦",
        "Grüße €",
        "\"quoted\\\" \u{8}\u{c}\t\u{1b}",
        "{\"json\": [1, 2.50, \"\\u00e9\"]}",
        "x\rid: evil",
        "x\nid: evil",
        "x\r\nid: evil",
        "x\n\nevent: evil\ndata: y",
        "x\rretry: 1",
        "x\n\n: evil",
        "0\r\n\r\n",
    ];
    awkward.map(str::to_owned).into()
}

/// Returns the numbers from 0 to before `count` as texts.
pub fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|n| n.to_string()).collect()
}

/// Returns the numbers from 0 to before `count`, one on each line.
pub fn lines(count: usize) -> String {
    numbers(count).join("\n")
}

/// Returns an event stream with an event for each name. The name is its id and its data.
pub fn events_with_ids<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    names.into_iter().fold(String::new(), |mut events, name| {
        let name = name.as_ref();
        let _ = write!(events, "id: {name}\ndata: {name}\n\n");
        events
    })
}

/// Returns the data of event `number`: `bytes` bytes, of which no two parts are equal.
pub fn unique_text(number: usize, bytes: usize) -> String {
    let mut text = format!("{number}:");
    while text.len() < bytes {
        let _ = write!(text, "{number}.{} ", text.len());
    }
    text.truncate(bytes);
    text
}

/// Returns the bytes of a stream after its first line, the `retry:`, which differs between streams.
pub fn after_first_line(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| *byte == b'\n').unwrap();
    &text[end..]
}
