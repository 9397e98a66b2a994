//! A stream with its timing, in a file: [`record`] writes it, [`replay`] brings it back.
//!
//! A recording is lines of JSON. The first says what it is; each further one what came, and `at` how
//! many milliseconds after the start:
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
//! `event` is the event object of the rest of Stentor, with the id that the event itself carries. An
//! `id` alone is that of a block without data. Lines can be cut out, and the file cut off anywhere.

mod file;
mod line;
mod pace;
pub(crate) mod record;
mod recorder;
pub(crate) mod replay;
mod serve;
mod stream;
