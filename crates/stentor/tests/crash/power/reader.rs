//! Those who read: they follow everything, and come back with their last id.

use std::path::PathBuf;

use serde_json::Value;

use super::journal;
use super::ledger::{Ledger, Seen, Sent};
use super::machine::Machine;
use crate::harness::EventStream;

/// One who reads.
pub struct Reader {
    ledger: Ledger,
    journal: PathBuf,
    place: usize,
}

impl Reader {
    pub fn new(ledger: &Ledger, journal: PathBuf) -> Reader {
        Reader { ledger: ledger.clone(), journal, place: ledger.reader() }
    }

    /// Opens a stream behind what it saw last.
    pub async fn open(&self, machine: &Machine) -> EventStream {
        let last = self.ledger.memory().readers[self.place].last().map(|seen| seen.id.to_string());
        let request = machine.request("GET", "/events?topic=**&envelope=json&from=earliest");
        request.header("Last-Event-ID", &last.unwrap_or_default()).open().await
    }

    /// Reads until the stream ends, however it does.
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
            self.ledger.memory().readers[self.place].push(Seen { at, id, event });
        }
        self
    }
}
