//! Converts a stream to the lines of a recording.

use std::io;
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::Timestamp;
use stentor_client::{Control, Item, State};
use tokio::time::Instant;

use super::file::{Existing, Writer};
use super::line::{Entry, Head, Line, Open};

/// Writes each state and item of a stream as a line.
pub(super) struct Recorder {
    writer: Writer,
    /// The first line. It is written with the second one, so that a stream that never opens leaves the file
    /// empty.
    head: Option<Head>,
    last_event_id: String,
    /// Length of the recording at the start of this run.
    before: Duration,
    began: Instant,
    /// A reconnection time that is not written yet. An event in the same block repeats it.
    retry: Option<Line>,
    events: u64,
}

impl Recorder {
    /// Starts a new recording of this URL.
    pub(super) fn new(writer: Writer, url: String) -> Recorder {
        let started = Timestamp::now().as_millisecond();
        let started = Timestamp::from_millisecond(started).unwrap_or_default().to_string();
        let head = Some(Head::new(url, started));
        Recorder { head, ..Recorder::run(writer, Duration::ZERO, String::new()) }
    }

    /// Continues a recording.
    ///
    /// # Errors
    /// It is a recording of another URL.
    pub(super) fn resume(
        writer: Writer,
        existing: Existing,
        url: &str,
    ) -> anyhow::Result<Recorder> {
        let Existing { head, length, last_event_id } = existing;
        if head.url != url {
            bail!("the file is a recording of {}; choose another file", head.url);
        }
        let started: Timestamp =
            head.started.parse().context("the start time in the first line is not valid")?;
        let passed = Timestamp::now().duration_since(started);
        let before = Duration::try_from(passed).unwrap_or_default().max(length);
        Ok(Recorder::run(writer, before, last_event_id))
    }

    fn run(writer: Writer, before: Duration, last_event_id: String) -> Recorder {
        let began = Instant::now();
        Recorder { writer, head: None, last_event_id, before, began, retry: None, events: 0 }
    }

    /// Returns the id to continue after.
    pub(super) fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// Returns the number of events recorded in this run, without control events.
    pub(super) fn events(&self) -> u64 {
        self.events
    }

    /// Returns the length of this run.
    pub(super) fn length(&self) -> Duration {
        self.began.elapsed()
    }

    /// Writes a change of the connection. `last_event_id` is the id that a new request carried.
    pub(super) fn take_state(&mut self, state: &State, last_event_id: String) -> io::Result<()> {
        let entry = match state {
            State::Open(head) => Entry::Open(Open::of(head, last_event_id)),
            State::Waiting { reason, .. } => Entry::Lost(reason.to_string()),
            State::Connecting | State::Closed => return Ok(()),
        };
        self.write_retry()?;
        let line = self.line(entry);
        self.write(&line)
    }

    /// Writes an item. `None` means that no further item has arrived yet.
    pub(super) fn take(&mut self, item: Option<Item>) -> io::Result<()> {
        match &item {
            Some(Item::Event(event)) if event.retry().is_some() => self.retry = None,
            _ => self.write_retry()?,
        }
        let Some(item) = item else { return Ok(()) };
        if let Item::Event(event) = &item {
            self.events += u64::from(Control::of(event).is_none());
        }
        let line = self.line(item.into());
        if matches!(line.entry, Entry::Retry(_)) {
            self.retry = Some(line);
            return Ok(());
        }
        self.write(&line)
    }

    /// Writes the waiting lines. If the future is dropped, the write continues.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        self.writer.flush().await
    }

    /// Waits a short time for the write in progress.
    ///
    /// # Errors
    /// The output cannot be written, or takes no more data.
    pub(super) async fn finish_soon(&mut self) -> io::Result<()> {
        self.writer.finish_soon().await
    }

    fn write_retry(&mut self) -> io::Result<()> {
        match self.retry.take() {
            Some(line) => self.write(&line),
            None => Ok(()),
        }
    }

    fn line(&self, entry: Entry) -> Line {
        let at = (self.before + self.began.elapsed()).as_millis();
        Line { at: u64::try_from(at).unwrap_or(u64::MAX), entry }
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        if let Some(head) = self.head.take() {
            self.writer.write(&head)?;
        }
        self.writer.write(line)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use stentor_client::Event;
    use tokio::time::sleep;

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Page {
        /// Returns all lines but the first.
        fn lines(&self) -> Vec<String> {
            let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            text.lines().skip(1).map(str::to_owned).collect()
        }
    }

    fn recorder() -> (Recorder, Page) {
        let page = Page::default();
        (Recorder::new(Writer::to(page.clone()), "http://h/s".to_owned()), page)
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_has_the_time_of_its_arrival() {
        let (mut recorder, page) = recorder();
        recorder.take(Some(Item::Comment("a".to_owned()))).unwrap();
        sleep(Duration::from_millis(1_500)).await;
        recorder.take(Some(Item::Comment("b".to_owned()))).unwrap();
        recorder.flush().await.unwrap();
        assert_eq!(page.lines(), [r#"{"at":0,"comment":"a"}"#, r#"{"at":1500,"comment":"b"}"#]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_is_part_of_its_event_or_a_separate_line() {
        let (mut recorder, page) = recorder();
        let retry = Duration::from_millis(7);
        recorder.take(Some(Item::Retry(Duration::from_millis(5)))).unwrap();
        recorder.take(Some(Item::Retry(retry))).unwrap();
        recorder.take(Some(Item::Event(Event::new("x").with_retry(retry)))).unwrap();
        recorder.take(Some(Item::Retry(retry))).unwrap();
        recorder.flush().await.unwrap();
        assert_eq!(page.lines().len(), 2, "it may have an event");
        sleep(Duration::from_secs(1)).await;
        recorder.take(None).unwrap();
        recorder.flush().await.unwrap();
        let event = r#"{"at":0,"event":{"type":"message","data":"x","retry":7}}"#;
        assert_eq!(page.lines(), [r#"{"at":0,"retry":5}"#, event, r#"{"at":0,"retry":7}"#]);
    }
}
