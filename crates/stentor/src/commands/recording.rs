//! Recordings: a stream with its timing in a file. [`record`] writes it, [`replay`] plays it back.
//!
//! A recording is JSON lines. The first line identifies the format; each other line is one entry, with
//! its time `at` in milliseconds after the start:
//!
//! ```text
//! {"recording":1,"url":"http://localhost:8080/topics/news","started":"2026-01-02T03:04:05.678Z"}
//! {"at":12,"open":{"status":200,"headers":{"content-type":"text/event-stream"}}}
//! {"at":12,"retry":1906}
//! {"at":12,"comment":"stentor"}
//! {"at":1530,"event":{"id":"18mklo06kcn_11_9sahb","type":"message","data":"hello"}}
//! {"at":9000,"lost":"the server ended the stream"}
//! ```
//!
//! The whole format is in `docs/formats/recording.md`.

mod file;
mod line;
mod pace;
pub(crate) mod record;
mod recorder;
pub(crate) mod replay;
mod serve;
mod stream;
