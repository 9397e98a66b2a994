//! Load generator for servers of Server-Sent Events; the library of `stentor bench`.
//!
//! A [`LoadTest`] connects many subscribers, publishes events that carry a marker, and checks for each subscriber
//! that every event arrives once and in order. It measures the time from publish to delivery and returns a
//! [`Report`](report::Report). It works with any server that speaks HTTP/1.1 or HTTP/2, not only with Stentor.
//!
//! One thread does all the work, on one `mio` poll. The report says when that thread was the bottleneck.
//!
//! # Map
//!
//! | modules | what they do |
//! | --- | --- |
//! | `options`, `plan` | the options of a run; the plan that results after checks and lookups |
//! | `load_test` | the poll and the phases of a run: connect, warm up, measure |
//! | `schedule`, `pacer`, `clock` | when the next event is due, and the timer that wakes for it |
//! | `subscribers`, `publishers` | the connections, each a state machine over a socket |
//! | `http`, `sse`, `mark` | requests, sockets, TLS, response parser; event scanner; the marker in an event's data |
//! | `http2` | connections that carry the streams of several subscribers, on the crate `h2` |
//! | `tracker` | which subscriber has received which event: losses, duplicates, order |
//! | `stats`, `latency`, `sampler`, `process` | histograms and counters; samples over time; CPU and memory |
//! | `report` | the result as data (JSON), as text, and as an HTML page with charts |
//! | `cleanup` | lists topics before a run, and deletes those that the run created |
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers are rounded when they are printed; counts of subscribers and events are bounded"
)]

mod cleanup;
mod clock;
pub mod format;
mod http;
mod http2;
mod latency;
mod load_test;
mod mark;
mod options;
mod pacer;
mod phase;
mod plan;
mod problems;
pub mod process;
mod progress;
mod publishers;
pub mod report;
mod sampler;
mod schedule;
mod sse;
mod stats;
mod subscribers;
mod tracker;

pub use self::cleanup::Cleanup;
pub use self::http::socket::{is_not_ready, start_connect};
pub use self::load_test::LoadTest;
pub use self::options::{Header, InvalidOptions, Options, Pace};
