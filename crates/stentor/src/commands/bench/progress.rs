//! How far it is, on a terminal only.

use std::fmt::Write;
use std::time::Duration;

use indicatif::ProgressBar;
use tokio::time::Instant;

use super::book::Book;
use super::figures::{count, milliseconds};
use super::ledger::Counts;
use super::readers::Readers;
use super::recorder::Recorder;

/// How often it is told.
const EVERY: Duration = Duration::from_millis(250);

/// A line on stderr; nothing when that is no terminal.
#[derive(Debug)]
pub(super) struct Progress {
    line: ProgressBar,
    is_seen: bool,
    next: Instant,
}

impl Progress {
    pub(super) fn new() -> Progress {
        let line = ProgressBar::new_spinner();
        Progress { is_seen: !line.is_hidden(), line, next: Instant::now() }
    }

    pub(super) fn connecting(&mut self, readers: &Readers, of: usize) {
        if self.is_due() {
            let connected = count(readers.connected() as u64);
            self.print_line(format!("{connected} of {} readers connected", count(of as u64)));
        }
    }

    pub(super) fn running(&mut self, book: &Book, readers: &Readers, recorder: &Recorder) {
        if !self.is_due() {
            return;
        }
        let Some(sample) = recorder.samples.last() else { return };
        let mut text = format!(
            "{:.0} s, {} readers, {} events/s, {} deliveries/s",
            sample.at,
            count(readers.connected() as u64),
            count(sample.published_per_second as u64),
            count(sample.delivered_per_second as u64),
        );
        if let (Some(p50), Some(p99)) = (sample.p50, sample.p99) {
            // Writing to memory does not fail.
            let _ = write!(text, ", {} (p50), {} (p99)", milliseconds(p50), milliseconds(p99));
        }
        let Counts { duplicated, out_of_order, .. } = book.ledger.counts();
        if duplicated + out_of_order > 0 {
            let (doubled, disordered) = (count(duplicated), count(out_of_order));
            let _ = write!(text, ", {doubled} doubled, {disordered} out of order");
        }
        self.print_line(text);
    }

    pub(super) fn end(&self) {
        self.line.finish_and_clear();
    }

    fn is_due(&self) -> bool {
        self.is_seen && Instant::now() >= self.next
    }

    fn print_line(&mut self, text: String) {
        self.next = Instant::now() + EVERY;
        self.line.set_message(text);
        self.line.tick();
    }
}
