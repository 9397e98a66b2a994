//! What becomes of a stream in a recording.

use std::io;
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::Timestamp;
use stentor_client::{Control, Item, State};
use tokio::time::Instant;

use super::file::{Past, Writer};
use super::line::{Head, Line, Open, What};

/// Turns what comes into lines.
pub(super) struct Recorder {
    writer: Writer,
    /// The first line, until there is another: what never began leaves an empty file.
    head: Option<Head>,
    last_event_id: String,
    /// How long the recording was when this run of it began.
    before: Duration,
    began: Instant,
    /// A reconnection time. If an event of the same block follows, it has it too.
    retry: Option<Line>,
    events: u64,
}

impl Recorder {
    /// A new recording of this address.
    pub(super) fn new(writer: Writer, url: String) -> Recorder {
        let started = Timestamp::now().as_millisecond();
        let started = Timestamp::from_millisecond(started).unwrap_or_default().to_string();
        let head = Some(Head::new(url, started));
        Recorder { head, ..Recorder::run(writer, Duration::ZERO, String::new()) }
    }

    /// Goes on with a recording, which must be of this address.
    pub(super) fn go_on(writer: Writer, past: Past, url: &str) -> anyhow::Result<Recorder> {
        let Past { head, length, last_event_id } = past;
        if head.url != url {
            bail!("it is a recording of {}; name another file", head.url);
        }
        let started: Timestamp = head.started.parse().context("when it started cannot be read")?;
        let passed = Timestamp::now().duration_since(started);
        let before = Duration::try_from(passed).unwrap_or_default().max(length);
        Ok(Recorder::run(writer, before, last_event_id))
    }

    fn run(writer: Writer, before: Duration, last_event_id: String) -> Recorder {
        let began = Instant::now();
        Recorder { writer, head: None, last_event_id, before, began, retry: None, events: 0 }
    }

    /// The id behind which it goes on.
    pub(super) fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// How many events this run has recorded, those not counted that are about the stream.
    pub(super) fn events(&self) -> u64 {
        self.events
    }

    /// How long this run is.
    pub(super) fn length(&self) -> Duration {
        self.began.elapsed()
    }

    /// Writes how the connection fares; a new one was asked for with this id.
    pub(super) fn take_state(&mut self, state: &State, last_event_id: String) -> io::Result<()> {
        let what = match state {
            State::Open(head) => What::Open(Open::of(head, last_event_id)),
            State::Waiting { reason, .. } => What::Lost(reason.to_string()),
            State::Connecting | State::Closed => return Ok(()),
        };
        self.write_retry()?;
        let line = self.line(what);
        self.write(&line)
    }

    /// Writes what came; nothing, if it is only that no more has come by now.
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
        if matches!(line.what, What::Retry(_)) {
            self.retry = Some(line);
            return Ok(());
        }
        self.write(&line)
    }

    fn write_retry(&mut self) -> io::Result<()> {
        match self.retry.take() {
            Some(line) => self.write(&line),
            None => Ok(()),
        }
    }

    fn line(&self, what: What) -> Line {
        let at = (self.before + self.began.elapsed()).as_millis();
        Line { at: u64::try_from(at).unwrap_or(u64::MAX), what }
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
        /// The lines behind the first.
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
    async fn a_line_tells_when_it_came() {
        let (mut recorder, page) = recorder();
        recorder.take(Some(Item::Comment("a".to_owned()))).unwrap();
        sleep(Duration::from_millis(1_500)).await;
        recorder.take(Some(Item::Comment("b".to_owned()))).unwrap();
        assert_eq!(page.lines(), [r#"{"at":0,"comment":"a"}"#, r#"{"at":1500,"comment":"b"}"#]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_is_that_of_its_event_or_stands_alone() {
        let (mut recorder, page) = recorder();
        let retry = Duration::from_millis(7);
        recorder.take(Some(Item::Retry(Duration::from_millis(5)))).unwrap();
        recorder.take(Some(Item::Retry(retry))).unwrap();
        recorder.take(Some(Item::Event(Event::new("x").with_retry(retry)))).unwrap();
        recorder.take(Some(Item::Retry(retry))).unwrap();
        assert_eq!(page.lines().len(), 2, "it may have an event");
        sleep(Duration::from_secs(1)).await;
        recorder.take(None).unwrap();
        let event = r#"{"at":0,"event":{"type":"message","data":"x","retry":7}}"#;
        assert_eq!(page.lines(), [r#"{"at":0,"retry":5}"#, event, r#"{"at":0,"retry":7}"#]);
    }
}
