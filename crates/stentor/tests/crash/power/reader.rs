//! Readers that follow all topics, and resume after their last event id.

use std::path::PathBuf;

use serde_json::Value;

use super::history::{Seen, Sent, SharedHistory};
use super::journal;
use super::server::TestServer;
use crate::harness::EventStream;

/// One reader.
pub struct Reader {
    history: SharedHistory,
    journal: PathBuf,
    index: usize,
}

impl Reader {
    pub fn new(history: &SharedHistory, journal: PathBuf) -> Reader {
        Reader { history: history.clone(), journal, index: history.reader() }
    }

    /// Opens a stream after the last event that it received.
    pub async fn open(&self, server: &TestServer) -> EventStream {
        let last = self.history.lock().readers[self.index].last().map(|seen| seen.id.to_string());
        let request = server.request("GET", "/events?topic=**&envelope=json&from=earliest");
        request.header("Last-Event-ID", &last.unwrap_or_default()).open().await
    }

    /// Reads until the stream ends or breaks.
    pub async fn follow(self, mut stream: EventStream) -> Reader {
        while let Ok(Some(received)) = stream.try_next().await {
            if received.name != "message" {
                continue;
            }
            let at = journal::length(&self.journal);
            let object: Value = serde_json::from_str(&received.data).unwrap();
            let text = |name: &str| object[name].as_str().unwrap().to_owned();
            let event = Sent { topic: text("topic"), data: text("data") };
            let id = received.id.parse().unwrap();
            self.history.lock().readers[self.index].push(Seen { at, id, event });
        }
        self
    }
}
