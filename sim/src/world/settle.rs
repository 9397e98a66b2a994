//! The end of a run: without disturbances, everything must settle.

use std::io;
use std::time::Duration;

use stentor_hub::Body;
use stentor_hub::storage::Storage as _;
use stentor_testing::judge::Form;
use tokio::time::Instant;

use super::World;
use crate::reader::Reader;

/// Simulated time for readers to catch up once the disturbances have ended.
const CATCH_UP_MAX: Duration = Duration::from_mins(6);
/// Maximum number of actions of that phase; more means that something never rests.
const CATCH_UP_ACTIONS_MAX: u64 = 400_000;
/// Maximum number of actions without faults in which publishers still publish.
const CALM_STEPS: u64 = 1_000;
/// Simulated time without faults in which publishers still publish. Longer than any pause after a failed query.
const CALM_TIME: Duration = Duration::from_secs(20);
/// After the newest record, a reader whose stream was open all the time must have received it within this time.
const QUIET_MIN: Duration = Duration::from_secs(2);
/// The check for that ends after this time.
const QUIET_MAX: Duration = Duration::from_secs(8);

impl World {
    /// Ends all disturbances and lets readers catch up. Returns the reason if they do not.
    ///
    /// # Errors
    ///
    /// If the system has no event queue left.
    pub(crate) async fn calm_down(&mut self) -> io::Result<Option<String>> {
        self.is_calm = true;
        self.disk.calm_down();
        self.start_readers(u64::MAX);
        self.trace.add("calm", &[], String::new);
        // A reader that would be woken by a new connection only, or by the next restart, misses these events.
        let began = Instant::now();
        for _ in 0..CALM_STEPS {
            self.calm_connections();
            self.act().await?;
            if began.elapsed() > CALM_TIME {
                break;
            }
        }
        self.trace.add("quiet", &[], String::new);
        self.is_quiet = true;
        let quiet = Instant::now();
        let mut newest = (self.disk.log().bounds().tail, quiet);
        let (until, began) = (Instant::now() + CATCH_UP_MAX, self.trace.actions());
        let mut settled_since = None;
        loop {
            self.calm_connections();
            // The rest is checked when all is quiet and time has passed.
            let has_acted = self.act().await?;
            if self.fault().is_some() {
                return Ok(None);
            }
            let actions = self.trace.actions() - began;
            if has_acted && actions <= CATCH_UP_ACTIONS_MAX {
                continue;
            }
            let now = Instant::now();
            // A lease may have ended a topic just now.
            let tail = self.disk.log().bounds().tail;
            if tail != newest.0 {
                newest = (tail, now);
            }
            if now - newest.1 > QUIET_MIN
                && now - quiet < QUIET_MAX
                && let Some(at) = self.readers.iter().position(|reader| {
                    reader.is_open_since(quiet - QUIET_MAX) && !self.is_at_tail(reader)
                })
            {
                return Ok(Some(format!("reader {at} was not woken")));
            }
            let unsettled = self.unsettled();
            match &unsettled {
                Some(_) => settled_since = None,
                None if now - *settled_since.get_or_insert(now) > Duration::from_secs(3) => {
                    return Ok(None);
                }
                None => {}
            }
            if now > until {
                return Ok(unsettled);
            }
            if actions > CATCH_UP_ACTIONS_MAX {
                let text = unsettled.unwrap_or_default();
                return Ok(Some(format!("the server never rests; {text}")));
            }
        }
    }

    /// Returns `true` if a reader has received the newest record that its filters match.
    fn is_at_tail(&self, reader: &Reader) -> bool {
        let observations = &reader.recorder.observations;
        let records = self.disk.records();
        let mut newest = records.iter().rev().filter(|record| *record.body() != Body::Deleted);
        let last = newest.find(|record| observations.matches(record.topic().as_str()));
        let last = last.map_or(0, |record| record.offset().get());
        observations.start.is_some_and(|start| start >= last)
            || observations.seen.iter().rev().take(50).any(|seen| seen.offset >= last)
    }

    fn calm_connections(&self) {
        for (wire, _) in self.readers.iter().filter_map(Reader::connection) {
            wire.calm_down();
        }
    }

    /// A text about something that is not finished yet.
    fn unsettled(&self) -> Option<String> {
        if let Some(at) = self.publishers.iter().position(|publisher| !publisher.is_idle())
            && !self.options.without_publishers.contains(&at)
        {
            return Some(format!("publisher {at} has no answer"));
        }
        if !self.disk.is_settled() {
            return Some("the disk is at work".to_owned());
        }
        for reader in self.readers.iter().filter(|reader| !reader.is_finished()) {
            let name = &reader.recorder.observations.name;
            let is_silent =
                reader.recorder.last_id().is_empty() && reader.plan.form != Form::Silent;
            if !reader.is_open() || is_silent {
                return Some(format!("{name} has no stream"));
            }
            if !self.is_at_tail(reader) {
                let wire = reader.connection().map(|(wire, _)| wire.describe());
                return Some(format!("{name} has not received the newest event; {wire:?}"));
            }
        }
        if self.history.is_bounded {
            // The size limit may remove the end of a topic, and a publish without an answer then uses the name again.
            return None;
        }
        let records = self.disk.records();
        let open = self.leases.open(&self.disk);
        open.first().map(|topic| {
            let left = records.iter().filter(|record| record.topic().as_str() == topic);
            let left: Vec<String> = left.map(|record| record.cursor().to_string()).collect();
            format!("{topic} has not ended, although its lease is over; it has {left:?}")
        })
    }
}
