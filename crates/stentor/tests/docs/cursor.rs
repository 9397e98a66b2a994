//! The examples of docs/formats/cursor.md, computed.

use std::path::Path;

use stentor_hub::{Attributes, Body, Cursor, Epoch, Event, Offset, Record, Timestamp, TopicName};

/// Epoch of the examples.
const EPOCH: Epoch = Epoch::new(123_456_789_012_345);
/// Time of the records: 2026-01-02T03:04:05Z.
const TIME: Timestamp = Timestamp::from_micros(1_767_323_045_000_000);

/// Returns the cells of all table rows of the page, without backticks.
fn rows() -> Vec<Vec<String>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/formats/cursor.md");
    let text = std::fs::read_to_string(page).unwrap();
    let cells = |line: &str| {
        let line = line.strip_prefix("| ")?.strip_suffix(" |")?;
        Some(line.split(" | ").map(|cell| cell.trim_matches('`').to_owned()).collect())
    };
    text.lines().filter_map(cells).collect()
}

#[test]
fn the_positions_of_the_page_are_computed() {
    let rows: Vec<_> = rows().into_iter().filter(|row| row[0] == "position").collect();
    assert_eq!(rows.len(), 6);
    for row in rows {
        let cursor = Cursor::position(EPOCH, Offset::new(row[1].parse().unwrap()));
        assert_eq!(cursor.to_string(), row[2]);
        assert_eq!(row[2].parse(), Ok(cursor));
    }
}

#[test]
fn the_event_ids_of_the_page_are_computed() {
    let event = Body::Event(Event::new("hello"));
    let end = Body::End { reason: "done".to_owned() };
    let news: TopicName = "news".parse().unwrap();
    for (name, body) in
        [("event with data `hello`, no type", event), ("end with reason `done`", end)]
    {
        let rows = rows();
        let row = rows.iter().find(|row| row[0] == name.trim_matches('`')).expect(name);
        let offset = Offset::new(row[1].parse().unwrap());
        let record = Record::new(EPOCH, offset, TIME, news.clone(), body, Attributes::default());
        let cursor = record.cursor();
        assert_eq!(cursor.to_string(), row[3]);
        assert_eq!(cursor.check.unwrap().get().to_string(), row[2]);
    }
}

#[test]
fn the_texts_that_are_not_cursors_are_rejected() {
    let rows = rows();
    let start = rows.iter().position(|row| *row == ["text", "reason"]).expect("the table");
    // The row after the header is the rule of the table.
    for row in &rows[start + 2..start + 8] {
        assert!(row[0].parse::<Cursor>().is_err(), "{}: {}", row[0], row[1]);
    }
}
