//! Reads the log as a client that subscribes to all topics.

use serde_json::Value;
use stentor_testing::judge::{Content, Log, LoggedRecord, offset};

use crate::kills::stream::{Opened, Stream, Transport};

/// All topics, from the first event.
const PATH: &str = "/events?topic=**&from=earliest";
/// Maximum number of broken streams while the log is read.
const CUTS_MAX: usize = 100;

/// Reads all topics, from a cursor or the start, up to the record with the id `until`.
///
/// # Panics
///
/// If it cannot be read, a gap is reported, or the record is missing.
pub async fn read_log(address: &str, after: Option<&str>, until: &str, is_bounded: bool) -> Log {
    let mut log = Log { after: after.map_or(0, offset), is_bounded, ..Log::default() };
    let mut cursor = after.unwrap_or_default().to_owned();
    // The server cuts a stream when an event is deleted that it is sending. Reading continues after that event.
    for _ in 0..CUTS_MAX {
        if read_on(&mut log, address, &cursor, until).await {
            return log;
        }
        cursor = log.records.last().map_or(cursor, |logged| logged.id.clone());
    }
    panic!("the log cannot be read up to {until}");
}

/// Reads up to the record with the id `until`, or up to its offset if it was removed. Returns `false` if the
/// stream was cut before.
async fn read_on(log: &mut Log, address: &str, cursor: &str, until: &str) -> bool {
    let opened =
        Stream::open(address, PATH, "application/x-ndjson", cursor, Transport::Socket).await;
    let Ok(Opened::Stream(mut stream)) = opened else { return false };
    let (mut text, last) = (Vec::new(), offset(until));
    while let Ok(Some(piece)) = stream.piece().await {
        text.extend_from_slice(&piece);
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines = text[..whole].split(|byte| *byte == b'\n');
        for line in lines.filter(|line| !line.is_empty()) {
            let object: Value = serde_json::from_slice(line).unwrap();
            if object["type"] == "stentor.gap" {
                gap(log, &object);
                if offset(object["id"].as_str().unwrap()) >= last {
                    return true;
                }
                continue;
            }
            let Some(logged) = logged_record(&object) else { continue };
            if logged.offset > last {
                assert!(log.is_bounded, "the log continues without {until}");
                return true;
            }
            log.records.push(logged);
            if log.records.last().is_some_and(|logged| logged.offset == last) {
                return true;
            }
        }
        text.drain(..whole);
    }
    false
}

/// Handles a gap: topics lost events while they were read, so the records of them that were read before are gone
/// too.
fn gap(log: &mut Log, object: &Value) {
    let topics = object["topics"].as_array().unwrap().iter();
    let topics: Vec<String> = topics.map(|topic| topic.as_str().unwrap().to_owned()).collect();
    // The size limit removes the oldest records of all topics, so everything read before is gone.
    log.records.retain(|logged| !log.is_bounded && !topics.contains(&logged.topic));
    match object["reason"].as_str() {
        Some("deleted") if !log.is_bounded => {}
        // One gap may cover several topics, with one reason.
        Some("deleted" | "trimmed") => log.trimmed.extend(topics),
        _ => panic!("unexpected gap in the log: {object}"),
    }
}

/// Returns `None` for positions, and for topics that are deleted meanwhile.
fn logged_record(object: &Value) -> Option<LoggedRecord> {
    let text = |name: &str| object[name].as_str().unwrap_or_default();
    let what = match text("type") {
        "stentor.cursor" => return None,
        // Only readers that had received events of the topic get this. The log does not contain it for later
        // readers.
        "stentor.end" if text("reason") == "deleted" => return None,
        "stentor.end" => Content::End(text("reason").to_owned()),
        _ => Content::of(text("data")),
    };
    Some(LoggedRecord::new(text("id"), text("topic"), what))
}
