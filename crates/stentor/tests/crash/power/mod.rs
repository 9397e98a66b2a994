//! A disk that loses power or fails.
//!
//! The real binary runs under a shim (`shim.c`), which records every change to its directory in a [`journal`], and
//! makes calls fail on command. From a journal, a [`disk`] is brought to the state of any moment. A possible content
//! after a power failure at that moment is written to a directory and opened by the real binary again. A [`check`]
//! compares it with the history of publishers and readers.
//!
//! `STENTOR_CRASH_SEED` repeats the choices of a run. `STENTOR_POWER_CUTS` is the number of power failures. Linux and
//! a C compiler (`cc`) are required.

mod check;
mod content;
mod cuts;
mod disk;
mod examine;
mod failing;
mod full;
mod history;
mod journal;
mod new_log;
mod publisher;
mod reader;
mod server;
mod shim;
