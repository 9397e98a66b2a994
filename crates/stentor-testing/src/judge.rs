//! Judges a run of publishers and readers. Nothing here talks to a server.
//!
//! A [`History`] has the requests of the publishers and their responses, a [`Log`] the records that the log has in the
//! end, and [`Observations`] everything that a reader received, which a [`Recorder`] decodes. [`check_log`] and
//! [`check_reader`] compare them, and return a [`Violation`] for each event that is lost, duplicated, reordered or
//! falsely reported.
//!
//! The crash tests of the binary fill them from sockets and the simulator from memory, so both have one judge.

mod check_log;
mod check_reader;
mod check_trim;
mod history;
mod index;
mod log;
mod observations;
mod oldest;
mod recorder;
#[cfg(test)]
mod tests;
mod violation;

pub use self::check_log::check_log;
pub use self::check_reader::check_reader;
pub use self::history::{Atomicity, Delete, EventKey, History, Outcome, SentEvent, Trimmed, Write};
pub use self::index::Index;
pub use self::log::{Content, Log, LoggedRecord, offset};
pub use self::observations::{Observation, Observations, Received};
pub use self::recorder::{Form, Recorder};
pub use self::violation::{Fault, Violation, assert_no_violations};
