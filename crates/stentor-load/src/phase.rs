//! The outcome of a phase of the run: its duration and the CPU time it took.

use crate::clock::{Nanos, SECOND};
use crate::process::{self, Cpu, ProcessTree};
use crate::schedule::Unsent;

/// Outcome of a phase.
#[derive(Debug)]
pub(crate) struct Phase {
    /// Seconds until the last arrival, or until the last acknowledgement without subscribers.
    pub(crate) seconds: f64,
    /// Seconds until the last event was published.
    pub(crate) publish_seconds: f64,
    pub(crate) server_cpu: Option<Cpu>,
    pub(crate) own_cpu: Option<Cpu>,
    /// Seconds of polling without a result. Zero unless the run never sleeps (`--spin`).
    pub(crate) idle: f64,
    /// Seconds in which the run was ready but had no core.
    pub(crate) waited: Option<f64>,
    pub(crate) unsent: Unsent,
}

/// Times at which a phase started and ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) started: Nanos,
    pub(crate) published: Nanos,
    pub(crate) ended: Nanos,
}

/// CPU times at one moment.
#[derive(Debug)]
pub(crate) struct Usage {
    server: Option<Cpu>,
    own: Option<Cpu>,
    waited: Option<f64>,
    idle: Nanos,
}

impl Usage {
    /// Reads the current values. `idle` is the time the run has polled without a result so far.
    pub(crate) fn now(server: Option<&ProcessTree>, idle: Nanos) -> Usage {
        Usage {
            server: server.map(ProcessTree::cpu),
            own: process::own_cpu(),
            waited: process::own_wait(),
            idle,
        }
    }

    /// Returns the phase that started with this usage and ended with `now`.
    pub(crate) fn phase(&self, now: &Usage, times: Times, unsent: Unsent) -> Phase {
        let seconds = |until: Nanos| (until - times.started) as f64 / SECOND as f64;
        let since = |now: Option<Cpu>, before: Option<Cpu>| Some(now?.since(before?));
        Phase {
            seconds: seconds(times.ended),
            publish_seconds: seconds(times.published),
            server_cpu: since(now.server, self.server),
            own_cpu: since(now.own, self.own),
            idle: (now.idle - self.idle) as f64 / SECOND as f64,
            waited: now.waited.zip(self.waited).map(|(now, before)| now - before),
            unsent,
        }
    }
}
