//! Texts that are hard to transmit.

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
