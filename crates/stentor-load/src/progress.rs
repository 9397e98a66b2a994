//! Progress of a run as one line of text, a few times a second.

use std::fmt::{self, Write};
use std::time::Duration;

use tokio::time::Instant;

use crate::format::{count, milliseconds};
use crate::sampler::Sample;
use crate::tracker::Counts;

/// Time from one line to the next.
const EVERY: Duration = Duration::from_millis(250);

/// Calls a function of the caller with the progress of the run.
pub(crate) struct Progress<'a> {
    show: Option<&'a mut dyn FnMut(&str)>,
    next: Instant,
}

impl fmt::Debug for Progress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").field("next", &self.next).finish_non_exhaustive()
    }
}

impl<'a> Progress<'a> {
    pub(crate) fn new(show: Option<&'a mut dyn FnMut(&str)>) -> Progress<'a> {
        Progress { show, next: Instant::now() }
    }

    pub(crate) fn connecting(&mut self, connected: usize, of: usize) {
        if self.is_due() {
            let (connected, of) = (count(connected as u64), count(of as u64));
            self.show(&format!("{connected} of {of} subscribers connected"));
        }
    }

    pub(crate) fn running(&mut self, connected: usize, counts: Counts, last: Option<&Sample>) {
        if !self.is_due() {
            return;
        }
        let Some(sample) = last else { return };
        let mut text = format!(
            "{:.0} s, {} subscribers, {} events/s, {} deliveries/s",
            sample.at,
            count(connected as u64),
            count(sample.published_per_second as u64),
            count(sample.delivered_per_second as u64),
        );
        if let (Some(p50), Some(p99)) = (sample.p50, sample.p99) {
            // Writing to memory cannot fail.
            let _ = write!(text, ", {} (p50), {} (p99)", milliseconds(p50), milliseconds(p99));
        }
        let Counts { duplicated, out_of_order, .. } = counts;
        if duplicated + out_of_order > 0 {
            let (duplicated, out_of_order) = (count(duplicated), count(out_of_order));
            let _ = write!(text, ", {duplicated} duplicated, {out_of_order} out of order");
        }
        self.show(&text);
    }

    fn is_due(&self) -> bool {
        self.show.is_some() && Instant::now() >= self.next
    }

    fn show(&mut self, text: &str) {
        self.next = Instant::now() + EVERY;
        if let Some(show) = &mut self.show {
            show(text);
        }
    }
}
