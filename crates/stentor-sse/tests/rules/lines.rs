//! P1 to P5: bytes and lines.

use stentor_sse::Decoder;

use crate::{check, comment, data, typed, with_id};

#[test]
fn p1_exactly_one_leading_byte_order_mark_is_stripped() {
    check([
        ("one", b"\xEF\xBB\xBFdata: a\n\n", vec![data("a")]),
        ("before a comment", b"\xEF\xBB\xBF:a\n", vec![comment("a")]),
        ("before a line end", b"\xEF\xBB\xBF\r\ndata: a\n\n", vec![data("a")]),
        ("a second", b"\xEF\xBB\xBF\xEF\xBB\xBFdata: a\n\ndata: b\n\n", vec![data("b")]),
        ("a second line's", b"\n\xEF\xBB\xBFdata: a\n\ndata: b\n\n", vec![data("b")]),
        ("in the data", b"data: \xEF\xBB\xBFa\n\n", vec![data("\u{FEFF}a")]),
        ("the stream is UTF-8", "data: žlutý 🐎\n\n".as_bytes(), vec![data("žlutý 🐎")]),
    ]);
}

#[test]
fn p2_a_broken_byte_order_mark_is_malformed_text() {
    check([
        ("two bytes of it", b"\xEF\xBBdata: a\n\ndata: b\n\n", vec![data("b")]),
        ("another third byte", b"\xEF\xBB\xBEdata: a\n\ndata: b\n\n", vec![data("b")]),
        ("cut off by the line's end", b"\xEF\xBB\n\xBFdata: a\ndata: b\n\n", vec![data("b")]),
    ]);
}

#[test]
fn p3_malformed_utf8_becomes_replacement_characters() {
    check([
        ("in data", b"data: a\xFFb\n\n", vec![data("a\u{FFFD}b")]),
        ("truncated", b"data: \xF0\x9F\x90\n\n", vec![data("\u{FFFD}")]),
        (
            "truncated, before data that would complete it",
            b"data: \xC3\ndata: \xA9\n\n",
            vec![data("\u{FFFD}\n\u{FFFD}")],
        ),
        ("a surrogate", b"data: \xED\xA0\x80\n\n", vec![data("\u{FFFD}\u{FFFD}\u{FFFD}")]),
        ("in a type", b"event: \xFF\ndata\n\n", vec![typed("\u{FFFD}", "")]),
        ("in an id", b"id: \xFF\ndata\n\n", vec![with_id("\u{FFFD}", "")]),
        ("in a comment", b": \xFF\n", vec![comment("\u{FFFD}")]),
        ("in a name", b"dat\xFFa: a\ndata: b\n\n", vec![data("b")]),
        ("in an ignored field", b"x: \xC3\ndata: b\n\n", vec![data("b")]),
    ]);
}

#[test]
fn p4_lines_end_with_lf_cr_or_crlf_in_any_mix() {
    check([
        ("LF", b"data: a\n\ndata: b\n\n", vec![data("a"), data("b")]),
        ("CR", b"data: a\r\rdata: b\r\r", vec![data("a"), data("b")]),
        ("CRLF", b"data: a\r\n\r\ndata: b\r\n\r\n", vec![data("a"), data("b")]),
        ("CRLF, LF", b"data: a\r\n\n", vec![data("a")]),
        ("LF, CR", b"data: a\n\rdata: b\n\r", vec![data("a"), data("b")]),
        ("mixed within a block", b"data: a\rdata: b\ndata: c\r\n\r", vec![data("a\nb\nc")]),
        ("no other line ends", "data: a\u{B}\u{C}\u{85}\u{2028}b\n\n".as_bytes(), {
            vec![data("a\u{B}\u{C}\u{85}\u{2028}b")]
        }),
    ]);
}

#[test]
fn p5_a_cr_ends_a_line_at_once_and_swallows_an_lf_that_follows() {
    check([
        ("an event's last CR is the last byte", b"data: a\r\n\r", vec![data("a")]),
        ("the LF belongs to the CR", b"data: a\r\ndata: b\r\n\r\n", vec![data("a\nb")]),
        ("only one LF belongs to it", b"data: a\r\n\ndata: b\n\n", vec![data("a"), data("b")]),
    ]);

    let mut decoder = Decoder::new();
    let mut input = &b"data: a\r\n\r"[..];
    assert_eq!(decoder.decode(&mut input), Some(Ok(data("a"))));
    let mut input = &b"\ndata: b\r"[..];
    assert_eq!(decoder.decode(&mut input), None);
    let mut input = &b"\n\r"[..];
    assert_eq!(decoder.decode(&mut input), Some(Ok(data("b"))));
    let mut input = &b"\n"[..];
    assert_eq!(decoder.decode(&mut input), None);
    assert!(!decoder.is_mid_block());
}
